"""Measurements with any leading axes as one batch, and images of several samples as one reconstruction.

For methods that work on batches `[B, C, H, W]` of tensors; sizes need not be known.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.complex import energy
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import map_set_axis


def as_batch(measurement: Measurement, method: str, *, map_sets: bool = False) -> tuple[Measurement, tuple[Any, ...]]:
    """The measurement with its leading axes as one, and what they were.

    Args:
        measurement: with any leading axes; mask, maps and noise may have axes of one among them.
        method: its name, for messages.
        map_sets: whether it takes several sets of maps.

    Returns:
        k-space complex64 `[B, C, H, W]`, mask `[B, 1, H or 1, W]`, maps `[B, C, H, W]` or `[B, S, C, H, W]`, noise
        `[B]` and label `[B, L]` or None, without a scale; and the leading axes of k-space.

    Raises:
        InputError: several sets of maps, and the method takes one.
    """
    kspace = ops.convert_to_tensor(measurement.kspace, "complex64")
    lead = tuple(ops.shape(kspace)[:-3])

    def flat(field: Tensor | None, own: int) -> Tensor | None:
        if field is None:
            return None
        field = ops.convert_to_tensor(field)
        item = ops.shape(field)[len(field.shape) - own :]
        return ops.reshape(ops.broadcast_to(field, (*lead, *item)), (-1, *item))

    sets = measurement.maps is not None and map_set_axis(kspace, measurement.maps)
    if sets and not map_sets:
        raise InputError(
            f"{method} takes one set of maps, not {tuple(measurement.maps.shape)}", fix="estimate maps with one set"
        )
    fields = (
        flat(kspace, 3),
        flat(measurement.mask, 3),
        flat(measurement.maps, 3 + sets),
        flat(measurement.noise_std, 0),
    )
    return Measurement(*fields, label=flat(measurement.label, 1)), lead


def repeat_batch(tensor: Tensor | None, count: int | Tensor) -> Tensor | None:
    """A batch `count` times in a row; None stays None."""
    if tensor is None or (isinstance(count, int) and count == 1):
        return tensor
    return ops.tile(tensor, (count, *[1] * (len(tensor.shape) - 1)))


def summarise_samples(samples: Tensor, variances: Tensor | None = None) -> Reconstruction:
    """The mean of samples as the image, and the standard deviation where it is known.

    With samples that are estimates of their own, each of a law with a variance, it is the root of the law of total
    variance, `mean of variances + variance of samples`. A single sample so has one too.

    Args:
        samples: complex64 `[K, ..., H, W]`.
        variances: float32 like them; None where samples are nothing but samples.
    """
    spread = 0.0 if variances is None else ops.mean(variances, axis=0)
    if samples.shape[0] == 1:
        return Reconstruction(samples[0], None if variances is None else ops.sqrt(spread))
    mean = ops.mean(samples, axis=0)
    variance = ops.sum(energy(samples - mean), axis=0) / (samples.shape[0] - 1)
    return Reconstruction(mean, ops.sqrt(variance + spread), samples)
