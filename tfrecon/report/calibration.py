"""How often the truth lies in the intervals of a folder of images, and the factor that makes it as often as said."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfrecon.metrics.aggregate import Summary, summarise
from tfrecon.metrics.calibration import (
    LEVEL,
    LEVELS,
    coverage,
    fit_factor,
    half_width,
    object_mask,
    standardised_errors,
)
from tfrecon.metrics.measures import magnitude
from tfrecon.report.figures import save_figure
from tfrecon.report.images import REFERENCE_FOLDER, ImageEntry, ImageSet, open_images
from tfrecon.report.pairing import match_shapes, pair_images
from tfrecon.report.scorecard import json_ready, plural
from tfrecon.serve.interval_scale import IntervalScale
from tfrecon.serve.kinds import quantile_of
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import write_json
from tfrecon.util.progress import progress

STD_FOLDER = "std"


@dataclasses.dataclass(frozen=True)
class _Slice:
    """The pixels of one image that lie in the object.

    Attributes:
        errors: standardised, of intervals that are not scaled.
        std: not scaled.
        brightness: of the reference.
        between: whether the reference lies between the written quantiles; None without any.
    """

    errors: np.ndarray
    std: np.ndarray
    brightness: np.ndarray
    between: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What the intervals of a folder are worth.

    Attributes:
        scale: of the intervals here.
        levels: nominal.
        observed: the part of the pixels that each level's interval covers.
        slices: of `LEVEL`'s interval, over the images: mean, spread and confidence interval of what it covers.
        sharpness: mean width of `LEVEL`'s interval over the mean brightness of the object.
        quantiles: (nominal, observed) of the interval between the written quantiles; None without any.
        errors: standardised errors of all pixels, of intervals that are not scaled.
        facts: what was looked at: folder, method, counts.
        warnings: what a reader must know, one line each.
    """

    scale: IntervalScale
    levels: tuple[float, ...]
    observed: tuple[float, ...]
    slices: Summary
    sharpness: float
    quantiles: tuple[float, float] | None
    errors: np.ndarray = dataclasses.field(repr=False)
    facts: dict[str, Any]
    warnings: list[str]

    def table(self) -> str:
        """As text."""
        lines = [self.heading(), "nominal  " + "  ".join(f"{100 * p:5.0f} %" for p in self.levels)]
        lines.append("covered  " + "  ".join(f"{100 * p:5.1f} %" for p in self.observed))
        lines.append(self.sentence())
        return "\n".join([*lines, *(f"warning: {line}" for line in self.warnings)])

    def heading(self) -> str:
        """One line: what was looked at, and how the intervals were scaled."""
        counts = f"{plural(self.facts['pixels'], 'pixel')} in the object of {plural(self.facts['images'], 'image')}"
        return f"calibration over {counts}; {scale_text(self.scale)}"

    def sentence(self) -> str:
        """One line: spread over images, sharpness, quantiles."""
        percent = f"{100 * LEVEL:.0f} %"
        said = [f"{percent} intervals cover {100 * self.slices.mean:.1f} % of an image's object on average"]
        if np.isfinite(self.slices.std):
            said[0] += f" (± {100 * self.slices.std:.1f})"
        said.append(f"their width is {100 * self.sharpness:.1f} % of its brightness")
        if self.quantiles is not None:
            nominal, observed = self.quantiles
            said.append(f"between the quantiles, {100 * nominal:.0f} % of all, lie {100 * observed:.1f} %")
        return "; ".join(said)

    def fit(self) -> IntervalScale:
        """The scale that fits these images, with what it was fitted on.

        Raises:
            InputError: as `metrics.calibration.fit_factor`.
        """
        return fit_together([self])

    def to_json(self) -> dict[str, Any]:
        """As a dictionary that JSON can hold."""
        content = {
            "facts": self.facts,
            "warnings": self.warnings,
            "scale": self.scale.to_json(),
            "levels": list(self.levels),
            "observed": list(self.observed),
            "level": LEVEL,
            "per_image": dataclasses.asdict(self.slices),
            "sharpness": self.sharpness,
            "quantiles": self.quantiles,
        }
        return json_ready(content)

    def save(self, output: PathLike) -> tuple[pathlib.Path, pathlib.Path]:
        """Writes `calibration.json` and the reliability plot `reliability.png` into a folder; returns their paths."""
        folder = pathlib.Path(output)
        write_json(folder / "calibration.json", self.to_json())
        save_figure(reliability_figure({"": self}), folder / "reliability.png")
        return folder / "calibration.json", folder / "reliability.png"


def calibrate(
    recon: PathLike,
    reference: PathLike | None = None,
    *,
    scale: IntervalScale | None = None,
    levels: Sequence[float] = LEVELS,
    seed: int = 0,
) -> Calibration:
    """Compares the intervals of a folder of images with the truth, inside the object (`metrics.calibration`).

    Args:
        recon: a folder that `reconstruct` wrote, with `std/`.
        reference: folder of the references; None for `RECON/reference`.
        scale: of the intervals, in the place of the one that they were written with.
        levels: nominal.
        seed: of the bootstrap interval.

    Raises:
        InputError: there is no standard deviation, no reference, or images that do not fit.
    """
    images = open_images(recon)
    if not (images.folder / STD_FOLDER).is_dir():
        raise InputError("has no std/ beside its images", str(recon), "reconstruct with --samples=8")
    references = _open_references(images, reference)
    written = written_scale(images)
    scale = written if scale is None else scale
    pairs = pair_images(images, references).pairs
    reader = _Reader(images, references, written.factor, scale.factor)
    slices = [reader.read(own, partner) for own, partner in progress(pairs, "calibration", disable=len(pairs) < 50)]
    errors = np.concatenate([one.errors for one in slices])
    if not errors.size:
        raise InputError("all references are empty", references.source, "give references of the same input")
    facts = {
        "folder": str(images.folder),
        "reference": {"source": references.source, "type": references.reference_type},
        "images": len(pairs),
        "pixels": int(errors.size),
        "records": [own.record_id for own, _ in pairs],
        **_origin(images),
    }
    return Calibration(
        scale,
        tuple(levels),
        tuple(coverage(errors, level, scale.factor) for level in levels),
        summarise([coverage(one.errors, LEVEL, scale.factor) for one in slices if one.errors.size], seed),
        _sharpness(slices, scale.factor),
        reader.between(slices),
        errors,
        facts,
        _warnings(scale, facts["records"], images),
    )


def fit_together(found: Sequence[Calibration]) -> IntervalScale:
    """One scale for the pixels of several folders, such as those of several masks.

    Args:
        found: of folders that one model reconstructed with the same options.

    Returns:
        The factor, and on what it was fitted; what differs between the folders is a list.

    Raises:
        InputError: method, options or model differ; or as `metrics.calibration.fit_factor`.
    """
    first = found[0].facts
    for other in (one.facts for one in found[1:]):
        changed = [key for key in ("method", "options", "model") if other[key] != first[key]]
        if changed:
            where = f"{first['folder']} and {other['folder']}"
            raise InputError(f"were reconstructed with another {', '.join(changed)}", where, "fit a scale to each")
    facts = dict(first)
    for key in ("folder", "reference", "input", "undersampling"):
        facts[key] = _one_or_all([one.facts[key] for one in found])
    facts["input"] = facts["input"] or facts["folder"]
    facts |= {key: sum(one.facts[key] for one in found) for key in ("images", "pixels")}
    facts["records"] = sorted({name for one in found for name in one.facts["records"] if name is not None})
    errors = np.concatenate([one.errors for one in found])
    return IntervalScale(fit_factor(errors), {**facts, "level": LEVEL, "covered_before": coverage(errors, LEVEL)})


def _one_or_all(values: Sequence[Any]) -> Any:
    """The value where all are alike, else the list of them."""
    return values[0] if all(value == values[0] for value in values) else list(values)


def _sharpness(slices: Sequence[_Slice], factor: float) -> float:
    std, brightness = (np.concatenate([getattr(one, name) for one in slices]).mean() for name in ("std", "brightness"))
    return float(2 * factor * half_width(LEVEL) * std / brightness)


def written_scale(images: ImageSet) -> IntervalScale:
    """The scale with which the intervals of a folder were written."""
    said = (images.info.get("intervals") or {}).get("scale") or {}
    return IntervalScale(float(said.get("factor", 1.0)), said.get("fitted_on") or {})


def scale_text(scale: IntervalScale) -> str:
    """How intervals were scaled, in words."""
    if scale.factor == 1 and not scale.fitted_on:
        return "intervals as the samples give them"
    fitted = scale.fitted_on
    if not fitted:
        return f"intervals scaled by {scale.factor:.4g}, a number given by hand"
    return f"intervals scaled by {scale.factor:.4g}, fitted on {plural(fitted['images'], 'image')} of {fitted['input']}"


def reliability_figure(found: dict[str, Calibration]) -> Figure:
    """Covered against nominal parts, one line for each name; on the diagonal intervals are right."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="right")
    for name, calibration in found.items():
        label = name or scale_text(calibration.scale).split(",")[0]
        axis.plot(calibration.levels, calibration.observed, marker="o", markersize=4, label=label)
    axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", ylabel="pixels covered", aspect="equal")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left")
    return figure


class _Reader:
    """Reads image, deviation, quantiles and reference of one record, inside the object."""

    def __init__(self, images: ImageSet, references: ImageSet, written: float, wanted: float) -> None:
        self._images, self._references, self._written = images, references, written
        self._widened = wanted / written
        self._std = open_images(images.folder / STD_FOLDER)
        levels = sorted(
            (quantile_of(path.name), path)
            for path in images.folder.iterdir()
            if path.is_dir() and quantile_of(path.name) is not None
        )
        ends = [levels[0], levels[-1]] if len(levels) > 1 else []
        self._nominal = ends[-1][0] - ends[0][0] if ends else None
        self._ends = [open_images(path) for _, path in ends]

    def read(self, own: ImageEntry, partner: ImageEntry) -> _Slice:
        raw_image, raw_reference = self._images.load(own), self._references.load(partner)
        image, reference, _ = match_shapes(magnitude(raw_image), magnitude(raw_reference), own.label)

        def beside(images: ImageSet) -> np.ndarray:
            entry = next((entry for entry in images if entry.k == own.k), None)
            if entry is None:
                raise InputError(f"has no image of {own.label}", str(images.folder), "reconstruct the folder again")
            return match_shapes(magnitude(images.load(entry)), reference, own.label)[0]

        inside = np.stack([object_mask(plane) for plane in reference.reshape(-1, *reference.shape[-2:])])
        inside = inside.reshape(reference.shape)
        std = beside(self._std) / self._written
        between = None
        if self._ends:
            low, high = (image + self._widened * (beside(end) - image) for end in self._ends)
            between = ((low <= reference) & (reference <= high))[inside]
        errors = standardised_errors(image, std, reference)
        return _Slice(errors[inside], std[inside], reference[inside], between)

    def between(self, slices: Sequence[_Slice]) -> tuple[float, float] | None:
        """Nominal and observed part between the outermost quantiles."""
        if self._nominal is None:
            return None
        return self._nominal, float(np.concatenate([one.between for one in slices]).mean())


def _open_references(images: ImageSet, reference: PathLike | None) -> ImageSet:
    if reference is not None:
        return open_images(reference)
    if not (images.folder / REFERENCE_FOLDER).is_dir():
        raise InputError("has no reference images beside it", str(images.folder), "name them with --reference")
    return open_images(images.folder / REFERENCE_FOLDER)


def _origin(images: ImageSet) -> dict[str, Any]:
    """What decided the images, as `IntervalScale.differences` compares it."""
    model = images.info.get("model") or {}
    known = {key: images.info.get(key) for key in ("method", "options", "undersampling", "input")}
    return {**known, "model": model.get("sha256")}


def _warnings(scale: IntervalScale, ids: Sequence[str | None], images: ImageSet) -> list[str]:
    lines = []
    shared = set(scale.fitted_on.get("records") or []) & {name for name in ids if name is not None}
    if shared:
        lines.append(
            f"the interval scale was fitted on {len(shared)} of these {len(ids)} images: this is no test of it"
        )
    settings = _origin(images) | {"model": images.info.get("model")}
    changed = scale.differences(settings) if settings["method"] else []
    if changed:
        lines.append(f"the interval scale was fitted with another {', '.join(changed)}")
    return lines
