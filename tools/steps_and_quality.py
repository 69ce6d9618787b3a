r"""Quality and time of a prior's samplers against the number of network calls, on test data.

python tools/steps_and_quality.py --model=runs/prior --test=data/full/test --mask=gaussian1d:4:20 \
    --curve=dds:5,10,20,50,100 --curve=dpm_solver:10,20,50:spacing=log_snr --curve=pc:100,500,2000 \
    --output=runs/steps

Writes OUTPUT/steps_and_quality.json after each slice, and from it steps_and_quality.md and .svg. The same command goes
on where an earlier one was stopped, and measures only what is not there. A mask is KIND:ACCELERATION:ACS_LINES; a curve
is SAMPLER:NFE,NFE,…:OPTION=VALUE…, with options of the method (`tfrecon reconstruct --list_options`).
"""

import pathlib
import sys
from typing import Any

from absl import app, flags

from tfrecon.util.errors import InputError

_MODEL = flags.DEFINE_string("model", None, "trained prior: workdir or model folder", required=True)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "of a workdir: best, final or a step")
_TEST = flags.DEFINE_string("test", None, "dataset of fully sampled records with references", required=True)
_MAX = flags.DEFINE_integer("max", None, "only so many records, evenly spread")
_MASKS = flags.DEFINE_multi_string("mask", ["gaussian1d:4:20"], "KIND:ACCELERATION:ACS_LINES")
_CURVES = flags.DEFINE_multi_string(
    "curve",
    [
        "dds:5,10,20,50,100",
        "dpm_solver:10,20,50:spacing=log_snr",
        "diffpir:20,50,100",
        "dps:100,500",
        "pc:100,500,2000",
    ],
    "SAMPLER:NFE,NFE,…:OPTION=VALUE…",
)
_AGAINST = flags.DEFINE_string("against", "pc", "curve whose longest run others are measured by, with its options")
_WITHIN = flags.DEFINE_float("within", 0.2, "dB that count as equal")
_CONVENTION = flags.DEFINE_string("convention", "slice", "of the scores")
_SEED = flags.DEFINE_integer("seed", 0, "of masks and samplers")
_FORMAT = flags.DEFINE_string("format", "svg", "of the figure: svg, png or pdf")
_OUTPUT = flags.DEFINE_string("output", None, "folder of the results", required=True)


def main(argv: list[str]) -> None:
    """Measures what is left, prints the table and writes the files."""
    del argv
    try:
        run()
    except InputError as error:
        sys.exit(f"steps_and_quality: {error}")


def run() -> None:
    """What `main` does, with the user's errors."""
    import tfrecon
    from tfrecon.data.sources import open_source
    from tfrecon.report import steps_and_quality as report
    from tfrecon.report.figures import save_figure
    from tfrecon.util.files import atomic_path

    curves = [report.parse_curve(text) for text in _CURVES.value]
    records = spread(list(open_source(_TEST.value)), _MAX.value)
    model = tfrecon.load(_MODEL.value, _CHECKPOINT.value)
    target = pathlib.Path(_OUTPUT.value) / "steps_and_quality.json"
    about = {
        "weights": model.settings["model"]["sha256"],
        "options": model.settings["options"],
        "test": _TEST.value,
        "convention": _CONVENTION.value,
        "seed": _SEED.value,
    }
    measured = report.Measured(target, about)
    settings = {"convention": _CONVENTION.value, "seed": _SEED.value}
    rows = report.measure(model, records, _MASKS.value, curves, measured, **settings)
    lines = [f"- {line}" for line in report.comparisons(rows, _AGAINST.value, _WITHIN.value)]
    text = "\n".join([report.table(rows, len(records)), "", *lines, ""])
    print(text)
    with atomic_path(target.with_suffix(".md")) as temporary:
        temporary.write_text(text)
    save_figure(report.figure(rows), target.with_suffix(f".{_FORMAT.value}"))
    print(f"wrote {target}, .md and .{_FORMAT.value}")


def spread(records: list[Any], most: int | None) -> list[Any]:
    """At most so many records, evenly spread.

    Raises:
        InputError: fewer than one asked for.
    """
    if most is None or most >= len(records):
        return records
    if most < 1:
        raise InputError(f"--max={most}", fix="give at least 1")
    return [records[(2 * n + 1) * len(records) // (2 * most)] for n in range(most)]


if __name__ == "__main__":
    app.run(main)
