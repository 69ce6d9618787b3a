r"""Bits per dimension of images under a trained diffusion prior, by its probability flow.

python tools/likelihood.py --model=runs/prior --input=data/full/test --max=8 --option=probes=4 \
    --round_trip --output=likelihood.json

docs/likelihood.md says what the number means. `--option` is NAME=VALUE of `methods.score.likelihood.FlowOptions`:
tolerance, max_steps, probes, dequantise, step, centre. The file is written anew after each image.
"""

import dataclasses
import itertools
import sys

from absl import app, flags

from tfrecon.util.errors import InputError

_MODEL = flags.DEFINE_string("model", None, "workdir or model folder of method 'score'", required=True)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "of a workdir: best, final or a step")
_INPUT = flags.DEFINE_string("input", None, "dataset or file with references", required=True)
_MAX = flags.DEFINE_integer("max", None, "only so many slices")
_OPTIONS = flags.DEFINE_multi_string("option", [], "NAME=VALUE")
_ROUND_TRIP = flags.DEFINE_bool("round_trip", False, "also take each image to noise and back")
_SEED = flags.DEFINE_integer("seed", 0, "of noise and probes")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file")


def main(argv: list[str]) -> None:
    """Prints a line for each image and writes the file."""
    del argv
    try:
        run()
    except InputError as error:
        sys.exit(f"likelihood: {error}")


def run() -> None:
    """What `main` does, with the user's errors."""
    from tfrecon.data.sources import open_source
    from tfrecon.methods.score.likelihood import FlowOptions
    from tfrecon.report.likelihood import measure_likelihoods, summary
    from tfrecon.util.files import write_json
    from tfrecon.util.settings import make_settings, to_dictionary

    if _MAX.value is not None and _MAX.value < 1:
        raise InputError(f"--max={_MAX.value}", fix="give at least 1")
    words = [word.partition("=") for word in _OPTIONS.value]
    options = make_settings(FlowOptions, {name: value for name, _, value in words}, "likelihood")
    records = list(itertools.islice(open_source(_INPUT.value), _MAX.value))
    about = {"model": _MODEL.value, "input": _INPUT.value, "seed": _SEED.value, "options": to_dictionary(options)}
    found = []
    for one in measure_likelihoods(
        _MODEL.value,
        records,
        options,
        checkpoint=_CHECKPOINT.value,
        seed=_SEED.value,
        round_trip=_ROUND_TRIP.value,
    ):
        found.append(one)
        print(f"{one.record_id}: {one.bits:.3f} bits/dim, {one.calls} calls, {one.seconds:.0f} s", flush=True)
        if _OUTPUT.value:
            write_json(_OUTPUT.value, {**about, "images": [dataclasses.asdict(each) for each in found]})
    if not found:
        raise InputError("holds no slices", _INPUT.value, "check the path")
    print(summary(found))


if __name__ == "__main__":
    app.run(main)
