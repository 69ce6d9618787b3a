"""Measurements with any leading axes as batches `[B, C, H, W]`, which is what networks take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfrecon.physics.scale import expand_to, measurement_scale, normalise
from tfrecon.serve.compile import CompiledReconstruct
from tfrecon.serve.pace import Pace
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.errors import InputError

Engine = Callable[[Measurement, Tensor, Pace], Reconstruction]
"""`(measurement [B, C, H, W] in its own units, seed, pace) -> images in the same units`, NumPy arrays."""


def in_own_units(
    compiled: CompiledReconstruct, measurement: Measurement, seed: Tensor, series: bool = False
) -> Reconstruction:
    """Normalises a measurement, reconstructs it, and undoes the normalisation.

    Args:
        compiled: from `serve.compile.compiled_reconstruct`.
        measurement: not normalised; see `typing.Measurement`.
        seed: from `util.rng.make_seed`.
        series: whether the axis before the coils is time: all frames then have one scale.

    Returns:
        NumPy arrays in the units of the measurement.
    """
    scale = measurement_scale(measurement.kspace, measurement.mask, series)
    normalised = normalise(measurement, scale)
    result = compiled(normalised, seed)
    scale = np.asarray(normalised.scale)

    def back(array: Any, like: Any) -> np.ndarray | None:
        return None if array is None else np.asarray(array) * np.asarray(expand_to(scale, like)).astype(np.float32)

    return Reconstruction(*(back(array, result.image) for array in result))


def flatten(measurement: Measurement) -> Measurement:
    """All leading axes as one batch axis: slices and frames alike become images of their own.

    Args:
        measurement: NumPy arrays `[..., C, H, W]`; maps and mask may have leading axes of one, and maps
            may lack them.

    Returns:
        k-space `[B, C, H, W]`, mask `[B, 1, H or 1, W]`, and where they are given maps `[B, C, H, W]`,
        noise `[B]` and labels `[B, L]`.

    Raises:
        InputError: several sets of maps.
    """
    kspace = np.asarray(measurement.kspace)
    lead = kspace.shape[:-3]

    def flat(array: Any, rank: int) -> np.ndarray | None:
        if array is None:
            return None
        array = np.asarray(array)
        item = array.shape[array.ndim - rank :]
        return np.broadcast_to(array, (*lead, *item)).reshape(-1, *item)

    maps = measurement.maps
    if maps is not None and np.ndim(maps) > max(kspace.ndim, 3):
        raise InputError(
            f"maps {np.shape(maps)} hold several sets", fix="a learned method takes one set: give it alone"
        )
    return Measurement(
        flat(kspace, 3),
        flat(measurement.mask, 3),
        flat(maps, 3),
        _noise(measurement, lead),
        label=flat(measurement.label, 1),
    )


def unflatten(result: Reconstruction, lead: Sequence[int]) -> Reconstruction:
    """Images `[B, H, W]` and samples `[K, B, H, W]` with the leading axes that were flattened."""
    image, std, samples = result
    return Reconstruction(
        image.reshape(*lead, *image.shape[1:]),
        None if std is None else std.reshape(*lead, *std.shape[1:]),
        None if samples is None else samples.reshape(samples.shape[0], *lead, *samples.shape[2:]),
    )


def join(parts: Sequence[Reconstruction]) -> Reconstruction:
    """The reconstructions of the parts of a batch as one."""

    def along(axis: int, arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
        return None if arrays[0] is None else np.concatenate(arrays, axis)

    images, deviations, samples = zip(*parts, strict=True)
    return Reconstruction(along(0, images), along(0, deviations), along(1, samples))


def take(measurement: Measurement, part: slice) -> Measurement:
    """Some items of a batch."""
    return Measurement(*(None if array is None else array[part] for array in measurement))


def _noise(measurement: Measurement, lead: Sequence[int]) -> np.ndarray | None:
    if measurement.noise_std is None:
        return None
    noise = np.asarray(measurement.noise_std, np.float32)
    return np.broadcast_to(np.asarray(expand_to(noise, np.empty(lead))), lead).reshape(-1)
