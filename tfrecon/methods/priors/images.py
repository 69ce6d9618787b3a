"""The images that priors learn from, out of the batches of a trainer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from keras import ops

from tfrecon.nets.patches import fit_centre
from tfrecon.physics.operators import least_squares_image, measurement_operator
from tfrecon.physics.phase import low_resolution_phase
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex
from tfrecon.util.errors import InputError

Images = Literal["reference", "measured"]


def images_of(batch: Mapping[str, Tensor], images: Images, method: str) -> Tensor:
    """The images of a batch, complex64 `[B, H, W]`.

    Args:
        batch: of slices, as `data.pipeline` yields it.
        images: "reference" for the records' references, "measured" for their coils combined by least squares.
        method: its name, for messages.

    Raises:
        InputError: the batch is of series.
    """
    if len(batch["kspace"].shape) != 4:
        raise InputError(
            f"{method} trains on slices, not k-space {tuple(batch['kspace'].shape)}", fix="give [B, C, H, W]"
        )
    if images == "reference":
        return ops.cast(batch["reference"], "complex64")
    return combined_image(_measurement(batch))


def without_phase(image: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Images without the low-resolution phase that their measurement tells (`physics.phase`); nearly real.

    Args:
        image: from `images_of`; a reference may be cropped, with the same centre as k-space's image.
        batch: see there.
    """
    return image * ops.conj(fit_centre(phase_of(_measurement(batch)), ops.shape(image)[1:]))


def turned(image: Tensor, seeds: Tensor) -> Tensor:
    """Images times a random global phase each.

    Args:
        image: complex64 `[B, H, W]`.
        seeds: `[B, 2]`.
    """
    angle = math.tau * rng.uniform(seeds, ops.shape(seeds)[:1])
    return image * make_complex(ops.cos(angle), ops.sin(angle))[:, None, None]


def rescaled(image: Tensor, seeds: Tensor, jitter: float) -> Tensor:
    """Images times a random factor from 1 - jitter to 1 + jitter each; arguments as `turned`."""
    factor = 1.0 + jitter * (2.0 * rng.uniform(seeds, ops.shape(seeds)[:1]) - 1.0)
    return image * ops.cast(factor, "complex64")[:, None, None]


def combined_image(measurement: Measurement) -> Tensor:
    """The coils' images combined by least squares, complex64 `[..., H, W]`."""
    kspace = ops.cast(measurement.kspace, "complex64")
    return least_squares_image(measurement_operator(measurement), kspace)


def phase_of(measurement: Measurement) -> Tensor:
    """`exp(iφ)`, φ the low-resolution phase of each image, complex64 `[..., H, W]`."""
    maps = measurement_operator(measurement).maps
    return low_resolution_phase(maps, measurement.kspace, measurement.mask)


def _measurement(batch: Mapping[str, Tensor]) -> Measurement:
    return Measurement(batch["kspace"], batch["mask"], batch.get("maps"))
