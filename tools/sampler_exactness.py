r"""Measures the posterior samplers on a problem whose posterior is known, and writes the table of docs/samplers.md.

python tools/sampler_exactness.py --page=docs/samplers.md --plot=docs/samplers.svg

`--chains=256 --calls=10,50` gives a rough table in a minute or two, the defaults take half an hour; without `--page`
the table is only printed.
"""

import sys

from absl import app, flags

from tfrecon.util.errors import InputError

_PAGE = flags.DEFINE_string("page", None, "a page with the marks of the table, which is replaced")
_PLOT = flags.DEFINE_string("plot", None, "figure of both errors (.svg, .png, .pdf)")
_CHAINS = flags.DEFINE_integer("chains", 512, "samples of each sampler")
_CALLS = flags.DEFINE_list("calls", ["10", "20", "50", "100", "200", "500", "1000", "2000"], "budgets of network calls")
_SIZE = flags.DEFINE_integer("size", 8, "height and width of the images")
_COILS = flags.DEFINE_integer("coils", 4, "receive coils")
_ACCELERATION = flags.DEFINE_float("acceleration", 8 / 3, "width over lines measured")
_NOISE = flags.DEFINE_float("noise", 0.05, "standard deviation of the data; the image's root mean square is 0.5")


def main(argv: list[str]) -> None:
    """Prints both tables and writes what was asked for."""
    del argv
    from tfrecon.report.figures import save_figure
    from tfrecon.report.gaussian_problem import make_problem
    from tfrecon.report.pages import replace_marked
    from tfrecon.report.sampler_exactness import figure, measure, table

    try:
        problem = make_problem(_SIZE.value, _COILS.value, _ACCELERATION.value, _NOISE.value)
        points = measure(problem, [int(count) for count in _CALLS.value], _CHAINS.value)
        text = (
            f"{_CHAINS.value} samples of {_SIZE.value}×{_SIZE.value} pixels, {_COILS.value} coils, "
            f"acceleration {_ACCELERATION.value:.3g}, noise {_NOISE.value:g}.\n\n"
            f"Relative error of the mean, per cent, by network calls:\n\n{table(points, covariance=False)}\n\n"
            f"Relative error of the covariance, per cent:\n\n{table(points, covariance=True)}"
        )
        print(text)
        if _PAGE.value:
            replace_marked(_PAGE.value, text)
        if _PLOT.value:
            save_figure(figure(points), _PLOT.value)
    except InputError as error:
        sys.exit(f"sampler_exactness: {error}")


if __name__ == "__main__":
    app.run(main)
