"""What a conditional prior is trained on: images, and masks that say what of them was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keras import ops

from tfrecon.methods.conditional.objective import ConditionalObjective
from tfrecon.methods.priors.images import images_of
from tfrecon.physics.fourier import ifft2c
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy, make_complex
from tfrecon.util.errors import InputError


def training_pair(
    batch: Mapping[str, Tensor], objective: ConditionalObjective, seeds: Tensor, method: str
) -> tuple[Tensor, Tensor]:
    """The images of a batch, complex64 `[B, H, W]`, and masks for them, float32 `[B, 1, H or 1, W]`.

    Args:
        batch: of slices, as `data.pipeline` yields it.
        objective: says which images, and which masks where none come with them.
        seeds: of the masks, `[B, 2]`.
        method: its name, for messages.

    Raises:
        InputError: the batch is of series, or references are not on the grid of k-space.
    """
    if objective.images == "reference":
        image, size = images_of(batch, "reference", method), batch["kspace"].shape[-2:]
        if None not in (*image.shape[-2:], *size) and tuple(image.shape[-2:]) != tuple(size):
            raise InputError(
                f"references {tuple(image.shape[-2:])} are not on the grid of k-space {tuple(size)}, where masks are",
                fix="take fully sampled records and objective.images=measured",
            )
        return image, ops.cast(ops.cast(batch["mask"], "float32") > 0, "float32")
    if objective.images == "magnitude":
        image = magnitude_image(batch["kspace"], method)
    else:
        image = images_of(batch, "measured", method)
    return image, draw_lines(seeds, ops.shape(image)[-1], objective.accelerations, objective.center_fractions)


def magnitude_image(kspace: Tensor, method: str) -> Tensor:
    """The root sum of squares of fully sampled coils, a real image as complex64 `[B, H, W]`.

    Args:
        kspace: complex64 `[B, C, H, W]`.
        method: its name, for messages.

    Raises:
        InputError: k-space of series.
    """
    if len(kspace.shape) != 4:
        raise InputError(f"{method} trains on slices, not k-space {tuple(kspace.shape)}", fix="give [B, C, H, W]")
    magnitude = ops.sqrt(ops.sum(energy(ifft2c(ops.cast(kspace, "complex64"))), axis=1))
    return make_complex(magnitude, ops.zeros_like(magnitude))


def draw_lines(
    seeds: Tensor, width: int | Tensor, accelerations: Sequence[int], center_fractions: Sequence[float]
) -> Tensor:
    """Evenly spaced lines and the centre, float32 `[B, 1, 1, W]`, in a graph where sizes need not be known.

    Args:
        seeds: `[B, 2]`; acceleration and first line depend on them.
        width: W.
        accelerations: distances of lines, each as likely.
        center_fractions: see `ConditionalObjective`.
    """
    which = _below(rng.for_purpose(seeds, "acceleration"), len(accelerations))
    spacing = ops.take(ops.convert_to_tensor(accelerations, "int32"), which, axis=0)
    first = _below(rng.for_purpose(seeds, "first line"), spacing)
    fraction = ops.take(ops.convert_to_tensor(center_fractions, "float32"), which, axis=0)
    centre = ops.maximum(ops.cast(ops.round(fraction * ops.cast(width, "float32")), "int32"), 1)
    line = ops.arange(width, dtype="int32")[None]
    on_lattice = ops.equal((line - first[:, None]) % spacing[:, None], 0)
    place = line - (width // 2 - centre[:, None] // 2)
    inside = ops.logical_and(place >= 0, place < centre[:, None])
    return ops.cast(ops.logical_or(on_lattice, inside), "float32")[:, None, None]


def _below(seeds: Tensor, count: int | Tensor) -> Tensor:
    """A whole number from 0 to below `count` for each seed, int32 `[B]`."""
    drawn = rng.uniform(seeds, ops.shape(seeds)[:1]) * ops.cast(count, "float32")
    return ops.minimum(ops.cast(drawn, "int32"), ops.cast(count, "int32") - 1)
