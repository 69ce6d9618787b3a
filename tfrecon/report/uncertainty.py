"""How sure reconstructions are, as pictures: the image, its interval, and maps of what it is unsure of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from tfrecon.metrics.calibration import LEVEL, half_width
from tfrecon.metrics.measures import magnitude
from tfrecon.report.calibration import (
    STD_FOLDER,
    Calibration,
    calibrate,
    reliability_figure,
    scale_text,
    written_scale,
)
from tfrecon.report.cases import case_title, matching_entry
from tfrecon.report.figures import COLUMN_INCHES, png_bytes, window_of
from tfrecon.report.html_parts import escape, figure_html, table, warning_list
from tfrecon.report.images import ImageEntry, ImageSet, open_images
from tfrecon.report.pairing import match_shapes, pair_images
from tfrecon.serve.kinds import is_uncertainty, quantile_of
from tfrecon.util.errors import InputError

WINDOW_QUANTILE = 0.995
"""The window of the maps ends here in the widest of them."""

TITLES = {"std": "standard deviation", "msd": "in measured k-space (MSD)", "usd": "in the rest of k-space (USD)"}


@dataclasses.dataclass(frozen=True)
class UncertaintyCase:
    """One slice with all that says how sure it is.

    Attributes:
        title: record, acceleration, frame; how intervals were scaled.
        images: float64 `[H, W]` by title, drawn in one window: reference (where there is one), image, and either
            quantiles or, where none were written, the ends of the interval that the standard deviation gives.
        maps: float64 `[H, W]` by title, drawn in another: error, standard deviation, width, dispersions.
    """

    title: str
    images: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]


def has_uncertainty(images: ImageSet) -> bool:
    """Whether a folder says how sure its images are."""
    return not images.in_memory and (images.folder / STD_FOLDER).is_dir()


def collect_uncertainty(
    images: ImageSet, references: ImageSet | None, entries: Sequence[ImageEntry]
) -> list[UncertaintyCase]:
    """Reads what the figures need.

    Args:
        images: a folder with `std/`.
        references: what errors are against; None leaves them out.
        entries: of `images`.

    Raises:
        InputError: there is no standard deviation, or images do not fit.
    """
    if not has_uncertainty(images):
        raise InputError("has no std/ beside its images", images.source, "reconstruct with --samples=8")
    folders = sorted(path for path in images.folder.iterdir() if path.is_dir() and is_uncertainty(path.name))
    beside = {path.name: open_images(path) for path in folders}
    partners = {} if references is None else {id(own): other for own, other in pair_images(images, references).pairs}
    scale = scale_text(written_scale(images))
    cases = []
    for entry in entries:
        partner = partners.get(id(entry))
        reference = None if partner is None else magnitude(references.load(partner))
        planes = {"": magnitude(images.load(entry))}
        planes |= {name: magnitude(found.load(matching_entry(entry, images, found))) for name, found in beside.items()}
        frame = len(planes[""]) // 2 if planes[""].ndim == 3 else None
        cases.append(_case(f"{case_title(entry, frame)}; {scale}", planes, reference, frame, entry.label))
    return cases


def uncertainty_figure(cases: Sequence[UncertaintyCase]) -> Figure:
    """A figure with two rows per case: images in one window, maps in another."""
    columns = max(max(len(case.images), len(case.maps)) for case in cases)
    figure = Figure(figsize=(COLUMN_INCHES * columns, 2 * (COLUMN_INCHES + 0.6) * len(cases)), layout="constrained")
    blocks = np.atleast_1d(figure.subfigures(len(cases), 1))
    for block, case in zip(blocks, cases, strict=True):
        _draw(block, case, columns)
    return figure


def uncertainty_section(
    results: Mapping[str, ImageSet], references: ImageSet | None, entries: Sequence[ImageEntry]
) -> str:
    """The part of the HTML report about how sure the methods are; empty where none says.

    Args:
        results: the image sets by method; `entries` are of the first.
        references: with which coverage is counted, and errors are drawn; or None.
        entries: which slices are shown.
    """
    sure = {name: images for name, images in results.items() if has_uncertainty(images)}
    if not sure:
        return ""
    first = next(iter(results.values()))
    parts = ["<h3>Uncertainty</h3>"]
    if references is not None:
        found = {name: calibrate(images.folder, references.folder) for name, images in sure.items()}
        parts.append(warning_list([f"{name}: {line}" for name, one in found.items() for line in one.warnings]))
        parts += [_coverage_table(found), figure_html(png_bytes(reliability_figure(found)), "reliability")]
    for name, images in sure.items():
        own = [matching_entry(entry, first, images) for entry in entries]
        for case in collect_uncertainty(images, references, own):
            titled = dataclasses.replace(case, title=f"{name}: {case.title}")
            parts.append(figure_html(png_bytes(uncertainty_figure([titled])), titled.title))
    return "\n".join(part for part in parts if part)


def _coverage_table(found: Mapping[str, Calibration]) -> str:
    first = next(iter(found.values()))
    rows = [
        [
            escape(name),
            *(f"{100 * p:.1f} %" for p in one.observed),
            f"{100 * one.sharpness:.1f} %",
            escape(scale_text(one.scale)),
        ]
        for name, one in found.items()
    ]
    headers = ["method", *(f"{100 * level:.0f} %" for level in first.levels), "width of 90 %", "intervals"]
    caption = (
        "Part of the object's pixels whose reference lies in the interval about the image, for each nominal level, and "
        "mean width of the 90 % interval over the mean brightness of the object."
    )
    return table(headers, rows, caption)


def _case(
    title: str, planes: Mapping[str, np.ndarray], reference: np.ndarray | None, frame: int | None, label: str
) -> UncertaintyCase:
    planes = {name: plane if frame is None else plane[frame] for name, plane in planes.items()}
    images, maps = {"image": planes[""]}, {}
    if reference is not None:
        reference = reference if frame is None else reference[frame]
        _, reference, _ = match_shapes(planes[""], reference, label)
        planes = {name: match_shapes(plane, reference, label)[0] for name, plane in planes.items()}
        images = {"reference": reference, "image": planes[""]}
        maps["|error|"] = np.abs(planes[""] - reference)
    ends, width = _interval(planes)
    maps = {**maps, TITLES["std"]: planes["std"], **width}
    maps |= {TITLES[name]: planes[name] for name in ("msd", "usd") if name in planes}
    return UncertaintyCase(title, images | ends, maps)


def _interval(planes: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The ends of an interval, and its width: the written quantiles, else `LEVEL`'s by the standard deviation."""
    quantiles = sorted((quantile_of(name), name) for name in planes if quantile_of(name) is not None)
    if not quantiles:
        reach, level = half_width(LEVEL) * planes["std"], f"{100 * LEVEL:g} % interval"
        low, high = np.maximum(planes[""] - reach, 0.0), planes[""] + reach
        return {f"{level}, lower end": low, f"{level}, upper end": high}, {f"width of the {level}": high - low}
    ends = {f"{100 * p:g} % quantile": planes[name] for p, name in quantiles}
    (low, first), (high, last) = quantiles[0], quantiles[-1]
    if first == last:
        return ends, {}
    return ends, {f"width of the {100 * (high - low):g} % interval": planes[last] - planes[first]}


def _draw(block: FigureBase, case: UncertaintyCase, columns: int) -> None:
    axes = block.subplots(2, columns, squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    grey = window_of(case.images.get("reference", case.images["image"]))
    top = max(float(np.quantile(plane, WINDOW_QUANTILE)) for plane in case.maps.values()) or 1.0
    block.suptitle(f"{case.title}\nimages 0 to {grey:.3g}, maps 0 to {top:.3g}", fontsize=9)
    for row, planes, end, colours in ((0, case.images, grey, "gray"), (1, case.maps, top, "inferno")):
        for axis, (name, plane) in zip(axes[row], planes.items(), strict=False):
            _show(axis, plane, end, colours, name)


def _show(axis: Axes, plane: np.ndarray, top: float, colours: str, title: str) -> None:
    axis.imshow(plane, cmap=colours, vmin=0.0, vmax=top)
    axis.set_title(title, fontsize=8)
