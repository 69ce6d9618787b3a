"""Single slices for figures: reference, zero-filled, results and mask, each result with its scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfrecon.metrics import Convention, score_slice
from tfrecon.metrics.conventions import Scores
from tfrecon.report.images import ImageEntry, ImageSet
from tfrecon.report.pairing import pair_images
from tfrecon.report.scorecard import BASELINE, RESULT
from tfrecon.report.volumes import Volume, VolumeReader, by_volume, make_cases
from tfrecon.util.errors import InputError

SHOWN = 4
"""How many slices are shown when none are named."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One image of a figure.

    Attributes:
        name: the method.
        image: float64 `[H, W]`.
        scores: of this slice, under the figure's convention; None without a reference.
    """

    name: str
    image: np.ndarray
    scores: Scores | None


@dataclasses.dataclass(frozen=True)
class FigureCase:
    """One slice with all that is shown of it.

    Attributes:
        title: record, achieved acceleration, calibration area, frame.
        convention: the name under which the columns are scored.
        reference: float64 `[H, W]`.
        columns: zero-filled (where there is one) and the results.
        mask: `[H or 1, W]`, None if unknown.
    """

    title: str
    convention: str
    reference: np.ndarray
    columns: list[Column]
    mask: np.ndarray | None


def choose_entries(images: ImageSet, numbers: Sequence[int] | None) -> tuple[list[ImageEntry], list[int]]:
    """The entries of the given numbers, and which numbers there are no images of.

    Args:
        images: where to look.
        numbers: the k of the images; None for a few, evenly spread.

    Raises:
        InputError: none of them is there, or two images have one number.
    """
    if numbers is None:
        positions = np.linspace(0, len(images) - 1, min(SHOWN, len(images))).round().astype(int)
        return [images.entries[n] for n in positions], []
    by_number: dict[int, ImageEntry] = {}
    for entry in images:
        other = by_number.setdefault(entry.k, entry)
        if entry.k in numbers and other is not entry:
            raise InputError(
                f"image number {entry.k} is both {other.file} and {entry.file}",
                str(images.folder),
                "move one of them to a folder of its own",
            )
    found = [by_number[k] for k in numbers if k in by_number]
    missing = [k for k in numbers if k not in by_number]
    if not found:
        known = f"{min(by_number)} to {max(by_number)}"
        raise InputError(f"no image number {', '.join(map(str, missing))}", str(images.folder), f"there are {known}")
    return found, missing


def method_names(results: Sequence[ImageSet]) -> list[str]:
    """A name for each result: its method, or its folder where that is not known or not unique."""
    methods = [images.method or images.folder.name for images in results]
    if len(set(methods)) == len(methods):
        return methods
    folders = [f"{method} ({images.folder.name})" for method, images in zip(methods, results, strict=True)]
    if len(set(folders)) == len(folders):
        return folders
    return [f"{method} ({images.folder})" for method, images in zip(methods, results, strict=True)]


def collect_cases(
    results: Sequence[ImageSet],
    references: ImageSet,
    baseline: ImageSet | None,
    entries: Sequence[ImageEntry],
    convention: Convention,
) -> list[FigureCase]:
    """Reads what a figure of each entry needs.

    Args:
        results: image sets of the methods; `entries` are of the first.
        references: what they are scored against.
        baseline: zero-filled images, or None.
        entries: which slices.
        convention: how they are scored; the data range is that of the whole volume where the
            convention says so.

    Raises:
        InputError: a slice lacks its reference, or one of the methods lacks the slice.
    """
    names = method_names(results)
    cases = []
    for entry in entries:
        columns: list[Column] = []
        for n, (name, images) in enumerate(zip(names, results, strict=True)):
            own = entry if n == 0 else matching_entry(entry, results[0], images)
            volume, place, frame = _read(own, images, references, baseline if n == 0 else None)
            if n == 0:
                reference, shown = volume.reference[place], frame
            if volume.reference[place].shape != reference.shape:
                raise InputError(
                    f"{name} has images of another size than {names[0]}", own.label, "reconstruct both alike"
                )
            labels = {BASELINE: "zero_filled", RESULT: name}
            for role in (BASELINE, RESULT):
                if role in volume.stacks:
                    columns.append(_column(labels[role], volume, role, place, convention))
        mask = results[0].mask(entry)
        cases.append(
            FigureCase(case_title(entry, shown), convention.name, reference, columns, _mask_plane(mask, shown))
        )
    return cases


def case_title(entry: ImageEntry, frame: int | None) -> str:
    """Record, achieved acceleration, calibration area, frame: as far as they are known."""
    parts = [entry.record_id or entry.label]
    if entry.facts.get("acceleration"):
        parts.append(f"R = {entry.facts['acceleration']:.2f} achieved")
    if entry.facts.get("acs"):
        parts.append(f"ACS {'×'.join(str(n) for n in entry.facts['acs'])}")
    if frame is not None:
        parts.append(f"frame {frame}")
    return ", ".join(parts)


def matching_entry(entry: ImageEntry, first: ImageSet, other: ImageSet) -> ImageEntry:
    """The entry of `other` that shows the same slice as `entry` of `first`.

    Raises:
        InputError: there is none.
    """
    if other is first:
        return entry
    for own, partner in pair_images(first, other).pairs:
        if own is entry:
            return partner
    raise InputError(f"has no image of {entry.label}", str(other.folder), "reconstruct the same input with each method")


def _read(
    entry: ImageEntry, images: ImageSet, references: ImageSet, baseline: ImageSet | None
) -> tuple[Volume, int, int | None]:
    """The volume of an entry, the entry's place in it, and its frame (the middle one of a series)."""
    pairing = pair_images(images, references)
    if not any(own is entry for own, _ in pairing.pairs):
        raise InputError(f"no reference belongs to {entry.label}", str(references.folder), "choose other --indices")
    groups = dict(by_volume(make_cases(pairing, baseline)))
    volume = VolumeReader(images, references, baseline, "magnitude").read(entry.volume_id, groups[entry.volume_id])
    places = [n for n, (own, _) in enumerate(volume.places) if own is entry]
    place = places[len(places) // 2]
    return volume, place, volume.places[place][1]


def _column(name: str, volume: Volume, role: str, place: int, convention: Convention) -> Column:
    stack, reference = volume.stacks[role], volume.reference
    if convention.unit == "volume":
        pair = convention.prepare(stack, reference).slice(place)
    else:
        pair = convention.prepare(stack[place : place + 1], reference[place : place + 1])
    return Column(name, stack[place], score_slice(convention, pair, empty=not reference[place].any()))


def _mask_plane(mask: np.ndarray | None, frame: int | None) -> np.ndarray | None:
    """`[H or 1, W]` of a mask `[..., 1, H or 1, W]`: the shown frame's, where frames differ."""
    if mask is None:
        return None
    plane = mask.reshape(-1, *mask.shape[-2:])
    return plane[min(frame or 0, len(plane) - 1)]
