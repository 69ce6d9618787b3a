"""Scores a classical method over a grid of regularisation weights on validation data.

python tools/choose_regularisation.py --input=VALIDATION --method=tv --acceleration=4 --acs_lines=24

The input is anything fully sampled that tfrecon reads (a dataset of `tfrecon convert`, h5, NIfTI); it is
undersampled in retrospect. Choose a weight on validation data, report on test data.
"""

import sys

from absl import app, flags

from tfrecon.util.errors import InputError

_INPUT = flags.DEFINE_string("input", None, "dataset or raw file of fully sampled validation data", required=True)
_METHOD = flags.DEFINE_string("method", "cg_sense", "a method with an option `regularisation`")
_VALUES = flags.DEFINE_list("values", ["1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2", "1e-1"], "the weights")
_UNDERSAMPLE = flags.DEFINE_string("undersample", "equispaced", "kind of mask")
_ACCELERATION = flags.DEFINE_float("acceleration", 4.0, "acceleration of the mask")
_ACS_LINES = flags.DEFINE_integer("acs_lines", 24, "calibration lines of the mask")
_MAX = flags.DEFINE_integer("max", 20, "at most so many slices")


def main(argv: list[str]) -> None:
    """Prints the table; the best PSNR is marked."""
    del argv
    import itertools

    from tfrecon.data.sources import open_source
    from tfrecon.data.transforms import Undersampling
    from tfrecon.report.compare import scan
    from tfrecon.serve.map_choice import MapChoice
    from tfrecon.serve.mask_choice import MaskChoice

    try:
        masks = MaskChoice(Undersampling(_UNDERSAMPLE.value, _ACCELERATION.value, acs_lines=_ACS_LINES.value))
        maps = MapChoice()
        records = [
            maps.apply(masks.apply(record), k, 0)
            for k, record in enumerate(itertools.islice(open_source(_INPUT.value), _MAX.value))
        ]
        rows = scan(records, _METHOD.value, "regularisation", [float(value) for value in _VALUES.value])
    except InputError as error:
        sys.exit(f"choose_regularisation: {error}")
    best = max(rows, key=lambda row: row[1].psnr)
    print(f"{_METHOD.value}, {len(records)} slices, {_UNDERSAMPLE.value} R = {_ACCELERATION.value:g}, convention slice")
    for row in rows:
        value, scores = row
        mark = "  best" if row is best else ""
        print(f"λ = {value:<8g} PSNR {scores.psnr:6.2f} dB  SSIM {scores.ssim:.4f}{mark}")


if __name__ == "__main__":
    app.run(main)
