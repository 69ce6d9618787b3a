"""Volumes as evaluation and figures see them: slices in order, brought to one size."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tfrecon.metrics.measures import as_float64, magnitude
from tfrecon.report.images import ImageEntry, ImageSet
from tfrecon.report.pairing import Pairing, match_shapes, pair_images
from tfrecon.report.scorecard import BASELINE, RESULT
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class Case:
    """One image with what it is compared to.

    Attributes:
        image: the result's entry.
        reference: its reference's.
        baseline: the zero-filled image's, None where it was left out on request.
    """

    image: ImageEntry
    reference: ImageEntry
    baseline: ImageEntry | None


@dataclasses.dataclass(frozen=True)
class Volume:
    """One volume in memory.

    Attributes:
        volume_id: its name.
        places: entry and frame (None for stills) of each slice.
        reference: float64 (or complex128) `[N, H, W]`.
        stacks: `[N, H, W]` by role, `scorecard.RESULT` and `scorecard.BASELINE`.
    """

    volume_id: str
    places: list[tuple[ImageEntry, int | None]]
    reference: np.ndarray
    stacks: dict[str, np.ndarray]


class VolumeReader:
    """Loads volumes, brings their images to one size and remembers what was cut.

    Args:
        images: the results.
        references: what they are compared to.
        baseline: zero-filled images, or None.
        values: "magnitude" or "complex".

    Attributes:
        roles: whose scores there will be.
        crops: in words, each kind of crop that was needed.
        slices: how many slices were read.
    """

    def __init__(self, images: ImageSet, references: ImageSet, baseline: ImageSet | None, values: str) -> None:
        self.images, self.references, self.baseline = images, references, baseline
        self.roles = [RESULT] if baseline is None else [RESULT, BASELINE]
        self.complex_values = values == "complex"
        self.crops: set[str] = set()
        self.slices = 0

    def read(self, volume_id: str, cases: Sequence[Case]) -> Volume:
        """The volume's slices in order.

        Raises:
            InputError: an image is broken, not finite, or does not fit its reference.
        """
        stacks: dict[str, list[np.ndarray]] = {role: [] for role in self.roles}
        reference_stack: list[np.ndarray] = []
        places: list[tuple[ImageEntry, int | None]] = []
        for case in cases:
            reference, result, baseline = self._load(case)
            frames = len(result) if result.ndim == 3 else None
            places += [(case.image, frame) for frame in (range(frames) if frames else [None])]
            reference_stack.append(reference)
            stacks[RESULT].append(result)
            if baseline is not None:
                stacks[BASELINE].append(baseline)
        self.slices += len(places)
        return Volume(
            volume_id,
            places,
            _stack_slices(reference_stack, volume_id),
            {role: _stack_slices(stack, volume_id) for role, stack in stacks.items()},
        )

    def _load(self, case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        reference = self._values(self.references.load(case.reference), case.reference)
        result = self._values(self.images.load(case.image), case.image)
        result, reference, cut = match_shapes(result, reference, case.image.label)
        self._note(cut)
        if self.baseline is None or case.baseline is None:
            return reference, result, None
        baseline = self._values(self.baseline.load(case.baseline), case.baseline)
        wanted = reference.shape
        baseline, reference, cut = match_shapes(baseline, reference, f"zero-filled {case.baseline.label}")
        if reference.shape != wanted:
            raise InputError(
                f"zero-filled image {case.baseline.label} {baseline.shape} is smaller than the result {wanted}",
                str(self.baseline.folder),
                "make both from the same measurement",
            )
        self._note(cut and f"zero-filled {cut}")
        return reference, result, baseline

    def _values(self, image: np.ndarray, entry: ImageEntry) -> np.ndarray:
        if not self.complex_values:
            return magnitude(image)
        if not np.iscomplexobj(image):
            raise InputError(
                f"image {entry.label} is {image.dtype}, not complex",
                fix="reconstruct with --complex, or score magnitudes",
            )
        return as_float64(image)

    def _note(self, cut: str | None) -> None:
        if cut:
            self.crops.add(f"{cut} (around the centre)")


def _stack_slices(images: list[np.ndarray], volume_id: str) -> np.ndarray:
    sizes = {image.shape[-2:] for image in images}
    if len(sizes) > 1:
        shown = " and ".join("×".join(map(str, size)) for size in sorted(sizes))
        raise InputError(
            f"volume {volume_id!r} has slices of several sizes: {shown}", fix="give them volume ids of their own"
        )
    return np.concatenate([image.reshape(-1, *image.shape[-2:]) for image in images])


def make_cases(pairing: Pairing, baseline: ImageSet | None) -> list[Case]:
    """Adds the zero-filled partner to each pair.

    Raises:
        InputError: an image has none; a baseline over fewer slices would compare unlike things.
    """
    if baseline is None:
        return [Case(image, reference, None) for image, reference in pairing.pairs]
    own = ImageSet(baseline.folder, [image for image, _ in pairing.pairs])
    found = pair_images(own, baseline)
    if found.unmatched:
        raise InputError(
            f"{len(found.unmatched)} images have no zero-filled partner, first {found.unmatched[0]}",
            str(baseline.folder),
            "make the zero-filled images from the same input",
        )
    partner = {id(image): zero for image, zero in found.pairs}
    return [Case(image, reference, partner[id(image)]) for image, reference in pairing.pairs]


def by_volume(cases: Sequence[Case]) -> Iterator[tuple[str, list[Case]]]:
    """Volumes with their cases, slices in order."""
    ordered = sorted(cases, key=lambda case: (case.image.volume_id, case.image.slice_index))
    for volume_id, members in itertools.groupby(ordered, key=lambda case: case.image.volume_id):
        yield volume_id, list(members)
