"""Figures of reconstructions: what was measured, what came out, what is wrong with it.

Figures are made without pyplot, so none stays behind in memory and no display is needed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase

from tfrecon.report.cases import FigureCase
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path

WINDOW_QUANTILE = 0.999
"""The window ends here in the reference: a few bright vessels should not darken the picture."""

ERROR_GAINS = (1, 2, 5, 10, 20, 50, 100)
COLUMN_INCHES = 2.4
DPI = 130


def window_of(reference: np.ndarray) -> float:
    """The upper end of the grey scale shared by all images of a case; the lower one is 0."""
    top = float(np.quantile(reference, WINDOW_QUANTILE))
    return top if top > 0 else max(float(np.max(reference)), 1.0)


def error_gain(case: FigureCase) -> int:
    """By how much errors are multiplied: the most that keeps the middle column's errors in the window."""
    worst = [float(np.quantile(np.abs(column.image - case.reference), 0.99)) for column in case.columns]
    middle = float(np.median(worst))
    fitting = [gain for gain in ERROR_GAINS if gain * middle <= window_of(case.reference)]
    return fitting[-1] if fitting else ERROR_GAINS[0]


def cases_figure(cases: Sequence[FigureCase]) -> Figure:
    """A figure with a block per case.

    The upper row of a block shows the reference, the zero-filled image and the results in one
    window; the lower row the k-space mask and, under each image, its error times a stated factor
    in the same window.

    Args:
        cases: at least one.

    Returns:
        The figure; `save_figure` or `png_bytes` writes it.
    """
    heights = [2 * _panel_height(case.reference) + 1.15 for case in cases]
    columns = max(len(case.columns) + 1 for case in cases)
    figure = Figure(figsize=(COLUMN_INCHES * columns, sum(heights)), layout="constrained")
    blocks = np.atleast_1d(figure.subfigures(len(cases), 1, height_ratios=heights))
    for block, case in zip(blocks, cases, strict=True):
        _draw_case(block, case)
    return figure


def grid_figure(images: Mapping[str, np.ndarray], rows: int = 2, title: str = "", dpi: int = DPI) -> Figure:
    """Images side by side, each in its own window from 0 to its brightest pixel but a few.

    Args:
        images: `[H, W]` by label, in order; a series shows its middle frame.
        rows: at most that many rows.
        title: above all.
        dpi: at which the figure is to be written; panels are made so large that they have at least
            as many pixels as their images.

    Returns:
        The figure.

    Raises:
        InputError: no images, or no rows.
    """
    if not images or rows < 1:
        raise InputError(f"a grid of {len(images)} images in {rows} rows shows nothing", fix="name some images")
    rows = min(rows, len(images))
    columns = math.ceil(len(images) / rows)
    planes = {label: _middle(np.abs(image)) for label, image in images.items()}
    width = max(COLUMN_INCHES, *(plane.shape[1] / dpi + 0.1 for plane in planes.values()))
    height = max(_panel_height(plane) for plane in planes.values()) * width / COLUMN_INCHES + 0.35
    size = (max(width * columns, 4.0), height * rows + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, (label, plane) in zip(axes, planes.items(), strict=False):
        _show(axis, plane, window_of(plane))
        axis.set_title(label, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def png_bytes(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as a PNG file's content."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_figure(figure: Figure, path: PathLike, dpi: int = DPI) -> None:
    """Writes the figure in the format of the path's suffix (.png, .pdf, .svg, ...), whole or not at all.

    Raises:
        InputError: an unknown format, or the path cannot be written.
    """
    canvas = FigureCanvasAgg(figure)
    known = sorted(canvas.get_supported_filetypes())
    with atomic_path(path) as temporary:
        if temporary.suffix.removeprefix(".").lower() not in known:
            raise InputError("is no kind of figure file", str(path), "name it .png, .pdf or .svg")
        figure.savefig(temporary, dpi=dpi)


def _draw_case(block: FigureBase, case: FigureCase) -> None:
    top, gain = window_of(case.reference), error_gain(case)
    axes = block.subplots(2, len(case.columns) + 1, squeeze=False)
    display = f"window 0 to {_three_digits(top)}, errors × {gain}"
    block.suptitle(f"{case.title}\nscores of this slice, convention {case.convention}; {display}", fontsize=9)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    _show(axes[0, 0], case.reference, top)
    axes[0, 0].set_title("reference", fontsize=8)
    _draw_mask(axes[1, 0], case)
    for n, column in enumerate(case.columns, start=1):
        _show(axes[0, n], column.image, top)
        axes[0, n].set_title(f"{column.name}\n{_score_text(column.scores)}", fontsize=8)
        _show(axes[1, n], np.abs(column.image - case.reference) * gain, top, "inferno")
        axes[1, n].set_title(f"|error| × {gain}", fontsize=8)


def _draw_mask(axis: Axes, case: FigureCase) -> None:
    if case.mask is None:
        axis.axis("off")
        return
    height = case.reference.shape[0] if case.mask.shape[0] == 1 else case.mask.shape[0]
    _show(axis, np.broadcast_to(case.mask, (height, case.mask.shape[1])), 1.0)
    axis.set_title("k-space mask", fontsize=8)


def _show(axis: Axes, image: np.ndarray, top: float, colours: str = "gray") -> None:
    axis.imshow(image, cmap=colours, vmin=0.0, vmax=top)


def _score_text(scores: Mapping[str, float] | None) -> str:
    if scores is None or math.isnan(scores["nmse"]):
        return "not scored"
    if math.isinf(scores["psnr"]):
        return "identical to the reference"
    return f"{scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}"


def _three_digits(value: float) -> str:
    if not 1e-3 <= value < 1e6:
        return f"{value:.2e}"
    return np.format_float_positional(value, precision=3, unique=False, fractional=False, trim="-")


def _panel_height(image: np.ndarray) -> float:
    height, width = image.shape[-2:]
    return float(np.clip(COLUMN_INCHES * height / width, 0.8, 2.5 * COLUMN_INCHES))


def _middle(image: np.ndarray) -> np.ndarray:
    return image[len(image) // 2] if image.ndim == 3 else image
