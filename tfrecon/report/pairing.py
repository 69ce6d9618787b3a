"""Which image belongs to which reference; what belongs to nothing is named, never passed over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable

import numpy as np

from tfrecon.report.image_files import stem_of
from tfrecon.report.images import ImageEntry, ImageSet
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_crop

_KEYS: dict[str, Callable[[ImageEntry], Hashable | None]] = {
    "record id": lambda entry: entry.record_id,
    "volume and slice": lambda entry: (entry.volume_id, entry.slice_index),
    "file name": lambda entry: (stem_of(entry.file), entry.index or 0),
    "number in the file name": lambda entry: entry.number,
}
"""Ways to recognise an image, the surest first."""


@dataclasses.dataclass(frozen=True)
class Pairing:
    """What was paired with what.

    Attributes:
        kind: by what.
        pairs: (image, reference), in the order of the images.
        unmatched: labels of the images without a reference.
        unmatched_reference: labels of the references without an image.
    """

    kind: str
    pairs: list[tuple[ImageEntry, ImageEntry]]
    unmatched: list[str]
    unmatched_reference: list[str]


def pair_images(images: ImageSet, references: ImageSet) -> Pairing:
    """Pairs two image sets by whatever identifies most images in both.

    Args:
        images: what is scored.
        references: what it is scored against.

    Returns:
        The pairing; at least one pair.

    Raises:
        InputError: not one image has a reference.
    """
    best: tuple[str, dict[Hashable, ImageEntry], dict[Hashable, ImageEntry]] | None = None
    most = 0
    for kind, key in _KEYS.items():
        left, right = _by_key(images, key), _by_key(references, key)
        common = len(left.keys() & right.keys())
        if common > most:
            best, most = (kind, left, right), common
    if best is None:
        raise InputError(
            f"no image has a reference: {_first(images)} against {_first(references)}",
            f"{images.folder} and {references.folder}",
            "pairs need equal record ids, volume and slice, or file names",
        )
    kind, left, right = best
    pairs = [(entry, right[key]) for key, entry in left.items() if key in right]
    paired = {id(entry) for pair in pairs for entry in pair}
    return Pairing(kind, pairs, _labels_without(images, paired), _labels_without(references, paired))


def match_shapes(image: np.ndarray, reference: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Cuts the larger of two images around its centre to the size of the smaller.

    Args:
        image: `[..., H, W]`.
        reference: `[..., H', W']` with equal leading axes.
        where: the images' name, for the message.

    Returns:
        Both at one size, and in words what was cut, None for nothing.

    Raises:
        InputError: leading axes differ, or neither image contains the other.
    """
    if image.shape == reference.shape:
        return image, reference, None
    size, wanted = image.shape[-2:], reference.shape[-2:]
    if image.shape[:-2] == reference.shape[:-2]:
        if all(n >= m for n, m in zip(size, wanted, strict=True)):
            return centre_crop(image, wanted), reference, f"image {_text(size)} → {_text(wanted)}"
        if all(n <= m for n, m in zip(size, wanted, strict=True)):
            return image, centre_crop(reference, size), f"reference {_text(wanted)} → {_text(size)}"
    fix = "one must contain the other"
    if image.shape[:-2] != reference.shape[:-2]:
        fix = "both must be single images, or series of as many frames"
    elif size == wanted[::-1]:
        fix = "height and width look swapped: transpose one of them"
    raise InputError(f"image {image.shape} and reference {reference.shape} do not fit", where, fix)


def _by_key(images: ImageSet, key: Callable[[ImageEntry], Hashable | None]) -> dict[Hashable, ImageEntry]:
    """Entries by key; empty where a key occurs twice, for then it identifies nothing."""
    keyed = [(key(entry), entry) for entry in images]
    keyed = [(value, entry) for value, entry in keyed if value is not None]
    found = dict(keyed)
    return found if len(found) == len(keyed) else {}


def _labels_without(images: Iterable[ImageEntry], paired: set[int]) -> list[str]:
    return [entry.label for entry in images if id(entry) not in paired]


def _first(images: ImageSet) -> str:
    return images.entries[0].label


def _text(size: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in size)
