"""Scores a reconstruction against a reference, the zero-filled image beside it."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrecon.metrics import METRICS, Convention, convention_names, get_convention, score_volume, summarise
from tfrecon.metrics.aggregate import AGGREGATION_TEXT
from tfrecon.report.images import BASELINE_FOLDER, REFERENCE_FOLDER, ImageSet, array_images, open_images
from tfrecon.report.pairing import pair_images
from tfrecon.report.passport import VolumeScale, make_passport, make_warnings, scale_of
from tfrecon.report.scorecard import Report
from tfrecon.report.volumes import Volume, VolumeReader, by_volume, make_cases
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.progress import progress

NO_BASELINE = "none"
"""What `zero_filled` is set to by somebody who wants the scores without the baseline."""

Images = PathLike | np.ndarray

__all__ = ["NO_BASELINE", "Report", "evaluate", "evaluate_sets", "open_baseline"]


def evaluate(
    recon: Images,
    reference: Images | None = None,
    convention: str | Sequence[str] = "fastmri",
    zero_filled: Images | None = None,
    output: PathLike | None = None,
    *,
    values: str = "magnitude",
    seed: int = 0,
) -> Report:
    """PSNR, SSIM, NMSE and NRMSE under named conventions, beside those of the zero-filled image.

    A score means little without the one of doing nothing, so the zero-filled image is scored on
    the same slices; leaving it out has to be asked for and is written into the report.

    Args:
        recon: a folder of images (`report.images`), one file, or an array `[H, W]`, `[N, H, W]`.
        reference: likewise; None for `RECON/reference`.
        convention: a name, several, or "all"; see docs/metrics.md.
        zero_filled: likewise; None for `RECON/zero_filled`; "none" for no baseline.
        output: a folder for `metrics.json` and `metrics.csv`; None writes nothing.
        values: "magnitude", or "complex" for PSNR, NMSE and NRMSE of the complex error (SSIM is
            always that of magnitudes). A wrong phase then counts as error.
        seed: of the bootstrap intervals.

    Returns:
        The report: `.table()`, `.rows`, `.summary`, `.passport`, `.warnings`, `.save(folder)`.

    Raises:
        InputError: images missing, broken, not finite, without partner, or of sizes that do not
            fit; no zero-filled image; an unknown convention.
    """
    conventions = _conventions(convention, values)
    images = _open(recon, "recon")
    if reference is None:
        if images.in_memory:
            raise InputError("no reference was given", fix="give the reference image beside the reconstruction")
        reference = pathlib.Path(recon) / REFERENCE_FOLDER
        if not reference.is_dir():
            raise InputError("has no reference images beside it", str(recon), "name them with --reference")
    references = _open(reference, "reference")
    if images.in_memory and references.in_memory and len(images) != len(references):
        raise InputError(f"{len(images)} images and {len(references)} references", fix="give one reference per image")
    baseline = open_baseline(zero_filled, images)
    report = evaluate_sets(images, references, baseline, conventions, values=values, seed=seed)
    if output is not None:
        report.save(output)
    return report


def evaluate_sets(
    images: ImageSet,
    references: ImageSet,
    baseline: ImageSet | None,
    conventions: Sequence[Convention],
    *,
    values: str = "magnitude",
    seed: int = 0,
) -> Report:
    """`evaluate` on image sets that are open already; one volume at a time is in memory."""
    pairing = pair_images(images, references)
    cases = make_cases(pairing, baseline)
    reader = VolumeReader(images, references, baseline, values)
    rows: list[dict[str, Any]] = []
    scales: list[VolumeScale] = []
    volumes = list(by_volume(cases))
    for volume_id, members in progress(volumes, "evaluate", disable=len(volumes) < 2):
        volume = reader.read(volume_id, members)
        for role, stack in volume.stacks.items():
            scales.append(scale_of(volume_id, role, stack, volume.reference))
            for convention in conventions:
                rows.extend(_rows(convention, role, volume, stack))
    summary = {
        convention.name: {role: _summary(rows, convention.name, role, seed) for role in reader.roles}
        for convention in conventions
    }
    passport = make_passport(images, references, baseline, conventions, pairing, values)
    passport |= {"volumes": len(volumes), "slices": reader.slices, "crop": sorted(reader.crops) or "none"}
    passport |= {"aggregation": AGGREGATION_TEXT.format(seed=seed), "scale": [dataclasses.asdict(s) for s in scales]}
    return Report(rows, summary, passport, make_warnings(passport, summary, scales, images))


def default_output(recon: PathLike) -> pathlib.Path:
    """Where scores go when nobody says: beside the images."""
    path = pathlib.Path(recon)
    return path if path.is_dir() else path.parent


def open_baseline(zero_filled: Images | None, images: ImageSet) -> ImageSet | None:
    """The zero-filled images that belong to a reconstruction; None where "none" was asked for.

    Raises:
        InputError: there are none.
    """
    if isinstance(zero_filled, str) and zero_filled == NO_BASELINE:
        return None
    if zero_filled is not None:
        return _open(zero_filled, "zero_filled")
    beside = images.folder / BASELINE_FOLDER
    if not images.in_memory and beside.is_dir():
        return open_images(beside)
    if images.method == "zero_filled":
        return images
    raise InputError(
        "no zero-filled images to score beside the result",
        "the arrays given" if images.in_memory else str(images.folder),
        'give them with zero_filled (--zero_filled=FOLDER), or "none" to report without a baseline',
    )


def _conventions(names: str | Sequence[str], values: str) -> list[Convention]:
    names = [names] if isinstance(names, str) else list(names)
    if values not in ("magnitude", "complex"):
        raise InputError(f"values is {values!r}", fix="it is magnitude or complex")
    every = [get_convention(name) for name in convention_names()]
    able = [convention for convention in every if values == "magnitude" or convention.accepts_complex]
    chosen = able if "all" in names else [get_convention(name) for name in dict.fromkeys(names)]
    if not chosen:
        raise InputError("no convention was named", fix=f"choose one of {', '.join(convention_names())}, or all")
    refused = [convention.name for convention in chosen if convention not in able]
    if refused:
        raise InputError(f"convention {refused[0]!r} is defined on magnitudes", fix="leave values at magnitude")
    return chosen


def _open(images: Images, name: str) -> ImageSet:
    if isinstance(images, str | os.PathLike):
        return open_images(images)
    return array_images(np.asarray(images), name)


def _rows(convention: Convention, role: str, volume: Volume, stack: np.ndarray) -> list[dict[str, Any]]:
    scores = score_volume(convention, stack, volume.reference)
    whole = convention.unit == "volume"
    common = {"convention": convention.name, "image": role, "volume_id": volume.volume_id}
    rows = []
    for (entry, frame), numbers in zip(volume.places, scores.slices, strict=True):
        place = {"slice_index": entry.slice_index, "frame": frame, "record_id": entry.record_id}
        facts = {key: entry.facts.get(key) for key in ("acceleration", "seconds")}
        rows.append({**common, "level": "slice", "counted": not whole, **place, **numbers, **facts, **_note(numbers)})
    if whole:
        numbers = scores.units[0]
        rows.append({**common, "level": "volume", "counted": True, **numbers, **_note(numbers)})
    return rows


def _note(numbers: dict[str, float]) -> dict[str, str]:
    if math.isnan(numbers["nmse"]):
        return {"note": "reference is zero everywhere"}
    return {"note": "identical to the reference" if numbers["nmse"] == 0 else ""}


def _summary(rows: list[dict[str, Any]], convention: str, role: str, seed: int) -> dict[str, dict[str, float]]:
    counted = [row for row in rows if row["counted"] and row["convention"] == convention and row["image"] == role]
    return {metric: dataclasses.asdict(summarise([row[metric] for row in counted], seed)) for metric in METRICS}
