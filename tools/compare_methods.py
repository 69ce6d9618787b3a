r"""A table of methods on the same undersampled test data: scores, time, best weight, calls and parameters.

python tools/compare_methods.py --test=data/single/test --validation=data/single/validation \
    --mask=gaussian1d:4:20 --mask=gaussian2d:8:10 --model=self-supervised=weights/ssdiffrecon_small/single_coil \
    --model=prior=runs/prior:nfe=50:samples=4 --output=table.json

A mask is KIND:ACCELERATION:ACS_LINES, a model NAME=FOLDER:OPTION=VALUE… with options of its own besides those of
`--option`, which all models get. The weight λ of each classical method is chosen for each mask on the validation data,
by PSNR; test data are only reported. How far a model is ahead of the best classical method is a mean over slices, with
the paired bootstrap's 95 % interval. The file is written anew after each line; `tools/score_tables.py` makes tables of
it.
"""

import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from absl import app, flags

from tfrecon.util.errors import InputError

_TEST = flags.DEFINE_string("test", None, "dataset of fully sampled test records with references", required=True)
_VALIDATION = flags.DEFINE_string("validation", None, "dataset of fully sampled validation records", required=True)
_MASKS = flags.DEFINE_multi_string("mask", ["gaussian1d:4:20"], "KIND:ACCELERATION:ACS_LINES")
_METHODS = flags.DEFINE_list("methods", ["zero_filled", "cg_sense", "tv", "l1_wavelet"], "classical methods")
_MODELS = flags.DEFINE_multi_string("model", [], "NAME=FOLDER:OPTION=VALUE… of a trained model")
_OPTIONS = flags.DEFINE_multi_string("option", [], "NAME=VALUE, a reconstruction option of all trained models")
_VALUES = flags.DEFINE_list("values", ["1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2"], "weights λ to choose from")
_CONVENTION = flags.DEFINE_string("convention", "slice", "of the scores")
_SEED = flags.DEFINE_integer("seed", 0, "of the masks")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file of the table")


def main(argv: list[str]) -> None:
    """Prints the table and writes it."""
    del argv
    try:
        run()
    except InputError as error:
        sys.exit(f"compare_methods: {error}")


def run() -> None:
    """What `main` does, with the user's errors."""
    from tfrecon.data.sources import open_source
    from tfrecon.report.compare import parse_mask
    from tfrecon.report.comparison import with_differences
    from tfrecon.util.files import write_json

    models = _models()
    for mask in _MASKS.value:
        parse_mask(mask)  # a wrong word is said before hours of work
    test, validation = (list(open_source(path)) for path in (_TEST.value, _VALIDATION.value))
    print(f"{len(test)} records of {_TEST.value}, convention {_CONVENTION.value}")
    lines = []
    for mask in _MASKS.value:
        for row in rows_for(mask, test, validation, models):
            lines.append(row)
            print(line_text(row, lines), flush=True)
            if _OUTPUT.value:
                write_json(pathlib.Path(_OUTPUT.value), with_differences(lines))
    if _OUTPUT.value:
        print(f"wrote {_OUTPUT.value}")


def rows_for(mask: str, test: list[Any], validation: list[Any], models: dict[str, Any]) -> Iterator[Any]:
    """The lines of the table for one mask, classical methods first."""
    from tfrecon.report.compare import acceleration, parse_mask, scan, score, undersampled
    from tfrecon.report.comparison import Row
    from tfrecon.serve.reconstruct import Reconstructor

    masks = parse_mask(mask)
    measured, tuning = (undersampled(records, masks, _SEED.value) for records in (test, validation))
    rate = acceleration(measured)

    def row(name: str, reconstruct: Any, options: dict[str, Any], **facts: int | None) -> Row:
        scores = score(name, reconstruct, measured, _CONVENTION.value)
        means = {key: getattr(scores, key) for key in ("psnr", "ssim", "nmse", "seconds", "slices", "records")}
        return Row(mask, rate, name, options=options, **facts, **means)

    for method in _METHODS.value:
        options = {}
        if method != "zero_filled":
            tried = scan(tuning, method, "regularisation", [float(value) for value in _VALUES.value])
            options = {"regularisation": max(tried, key=lambda pair: pair[1].psnr)[0]}
        yield row(method, Reconstructor(method, options), options)
    for name, (model, options) in models.items():
        facts = {"calls": model.network_calls(options), "parameters": model.parameters}
        yield row(name, model.reconstructor(options), options, **facts)


def line_text(row: Any, rows: list[Any]) -> str:
    """One line of the table for people."""
    from tfrecon.report.comparison import difference_text, over_classical

    text = (
        f"{row.mask:18} R={row.acceleration:.2f} {row.method:24} {row.psnr:6.2f} dB "
        f"SSIM {row.ssim:.4f} NMSE {row.nmse:.4f} {row.seconds:7.3f} s"
    )
    if row.calls is not None:
        text += f" {row.calls} calls"
    if row.options:
        text += f" {json.dumps(row.options)}"
    ahead = over_classical(row, rows)
    return text if ahead is None else f"{text} {difference_text(ahead[1])} dB over {ahead[0]}"


def _models() -> dict[str, Any]:
    """(model, options) by name; each is loaded once, and its options are known to it."""
    import tfrecon
    from tfrecon.cli.reconstruct import parse_options
    from tfrecon.methods.base import untrained_names
    from tfrecon.report.compare import parse_models
    from tfrecon.report.comparison import CLASSICAL

    for_all, loaded = parse_options(_OPTIONS.value), {}
    chosen = parse_models(_MODELS.value, [*untrained_names(), CLASSICAL])
    for folder in dict.fromkeys(choice.folder for choice in chosen):
        loaded[folder] = tfrecon.load(folder)
    models = {choice.name: (loaded[choice.folder], {**for_all, **choice.options}) for choice in chosen}
    for model, options in models.values():
        model.resolve(options)
    return models


if __name__ == "__main__":
    app.run(main)
