r"""A table of methods on the same undersampled test data: PSNR, SSIM, NMSE, time, best weight.

python tools/compare_methods.py --test=data/single/test --validation=data/single/validation \
    --mask=gaussian1d:4:20 --mask=gaussian2d:8:10 --model=self-supervised=weights/ssdiffrecon_small/single_coil \
    --output=table.json

A mask is KIND:ACCELERATION:ACS_LINES. The weight λ of each classical method is chosen for each mask on the
validation data, by PSNR; test data are only reported.
"""

import json
import pathlib
import sys
from typing import Any

from absl import app, flags

from tfrecon.util.errors import InputError

_TEST = flags.DEFINE_string("test", None, "dataset of fully sampled test records with references", required=True)
_VALIDATION = flags.DEFINE_string("validation", None, "dataset of fully sampled validation records", required=True)
_MASKS = flags.DEFINE_multi_string("mask", ["gaussian1d:4:20"], "KIND:ACCELERATION:ACS_LINES")
_METHODS = flags.DEFINE_list("methods", ["zero_filled", "cg_sense", "tv", "l1_wavelet"], "classical methods")
_MODELS = flags.DEFINE_multi_string("model", [], "NAME=FOLDER of a trained model")
_OPTIONS = flags.DEFINE_multi_string("option", [], "NAME=VALUE, a reconstruction option of the trained models")
_VALUES = flags.DEFINE_list("values", ["1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2"], "weights λ to choose from")
_CONVENTION = flags.DEFINE_string("convention", "slice", "of the scores")
_SEED = flags.DEFINE_integer("seed", 0, "of the masks")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file of the table")


def rows_for(mask: str, test: list[Any], validation: list[Any]) -> list[dict[str, Any]]:
    """The lines of the table for one mask."""
    from tfrecon.report.compare import acceleration, parse_mask, scan, score, undersampled
    from tfrecon.serve.reconstruct import Reconstructor

    masks = parse_mask(mask)
    measured, tuning = (undersampled(records, masks, _SEED.value) for records in (test, validation))
    lines = []
    for method in _METHODS.value:
        options = {}
        if method != "zero_filled":
            tried = scan(tuning, method, "regularisation", [float(value) for value in _VALUES.value])
            options = {"regularisation": max(tried, key=lambda pair: pair[1].psnr)[0]}
        scores = score(method, Reconstructor(method, options), measured, _CONVENTION.value)
        lines.append(line(mask, acceleration(measured), scores, options))
    for model in _MODELS.value:
        name, _, folder = model.partition("=")
        lines.append(line(mask, acceleration(measured), score(name, _learned(folder), measured, _CONVENTION.value), {}))
    return lines


def line(mask: str, achieved: float, scores: Any, options: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    values = {key: getattr(scores, key) for key in ("method", "psnr", "ssim", "nmse", "seconds")}
    return {"mask": mask, "acceleration": achieved, **values, "options": options, "slices": scores.slices}


def _learned(folder: str) -> Any:
    import tfrecon

    return tfrecon.load(folder).reconstructor(dict(word.split("=", 1) for word in _OPTIONS.value))


def main(argv: list[str]) -> None:
    """Prints the table and writes it."""
    del argv
    from tfrecon.data.sources import open_source
    from tfrecon.util.files import write_json

    test, validation = (list(open_source(path)) for path in (_TEST.value, _VALIDATION.value))
    lines = []
    for mask in _MASKS.value:
        lines += rows_for(mask, test, validation)
    print(f"{len(test)} records of {_TEST.value}, convention {_CONVENTION.value}")
    for row in lines:
        chosen = json.dumps(row["options"]) if row["options"] else ""
        print(
            f"{row['mask']:18} R={row['acceleration']:.2f} {row['method']:24} {row['psnr']:6.2f} dB "
            f"SSIM {row['ssim']:.4f} NMSE {row['nmse']:.4f} {row['seconds']:7.3f} s {chosen}"
        )
    if _OUTPUT.value:
        write_json(pathlib.Path(_OUTPUT.value), lines)
        print(f"wrote {_OUTPUT.value}")


if __name__ == "__main__":
    try:
        app.run(main)
    except InputError as error:
        sys.exit(f"compare_methods: {error}")
