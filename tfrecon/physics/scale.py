"""The scale of a measurement: what k-space is divided by before a method sees it.

It is computed from the measured samples alone, stored, and undone on output, so that
`reconstruct(c * y) == c * reconstruct(y)` and one regularisation weight serves every scanner.
"""

from __future__ import annotations

from keras import ops

from tfrecon.physics import fourier
from tfrecon.typing import Measurement, Tensor
from tfrecon.util.complex import energy

QUANTILE = 0.99
"""A quantile rather than the maximum: one bright vessel or spike should not set the scale."""


def measurement_scale(kspace: Tensor, mask: Tensor, series: bool = False) -> Tensor:
    """The 99 % quantile of the root-sum-of-squares magnitude of the zero-filled coil images.

    Args:
        kspace: complex64 `[..., C, H, W]`.
        mask: float 0/1, broadcastable to `kspace`.
        series: whether the axis before the coils is time; one scale then serves all frames.

    Returns:
        float32 `[...]` (without the time axis for a series), zero for all-zero data.
    """
    kspace = ops.convert_to_tensor(kspace, "complex64")
    coil_images = fourier.ifft2c(kspace * ops.cast(mask, "complex64"))
    magnitude = ops.sqrt(ops.sum(energy(coil_images), axis=-3))
    axes = (-3, -2, -1) if series else (-2, -1)
    return ops.quantile(magnitude, QUANTILE, axis=axes)


def normalise(measurement: Measurement, scale: Tensor) -> Measurement:
    """Divides k-space and noise by `scale` `[...]` and remembers it.

    Zero scales (nothing measured) are taken as one.
    """
    safe = ops.where(ops.equal(scale, 0), ops.ones_like(scale), scale)
    noise_std = measurement.noise_std
    return measurement._replace(
        kspace=measurement.kspace / ops.cast(expand_to(safe, measurement.kspace), "complex64"),
        noise_std=None if noise_std is None else noise_std / safe,
        scale=safe,
    )


def expand_to(value: Tensor, like: Tensor) -> Tensor:
    """Appends axes of length one to `value` until it has the rank of `like`."""
    value = ops.convert_to_tensor(value)
    for _ in range(len(like.shape) - len(value.shape)):
        value = ops.expand_dims(value, -1)
    return value
