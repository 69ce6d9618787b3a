"""Noise of complex k-space samples.

Throughout tfrecon the noise level is `noise_std = sqrt(E|n|²)` of one complex sample; its real and
imaginary parts each have a standard deviation of `noise_std / sqrt(2)`. The Fourier transform is
orthonormal, so coil images have the same level as k-space.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import check_mask_fits, check_rank

PERIPHERY = 0.1
MINIMUM_SAMPLES = 64


def noise_std_of_scan(noise: Tensor) -> float:
    """The noise level of a scan without signal.

    Args:
        noise: complex `[C, ...]` samples, as a scanner's noise adjustment gives them. Each coil's mean
            (a receiver's offset) is removed.

    Returns:
        sqrt(E|n|²), averaged over coils in variance.

    Raises:
        InputError: fewer than two samples per coil.
    """
    samples = ops.convert_to_numpy(noise)
    samples = samples.reshape(samples.shape[0], -1).astype(np.complex128)
    if samples.shape[1] < 2:
        raise InputError(f"a noise scan of shape {noise.shape} has no two samples per coil", fix="give [C, ...]")
    samples = samples - samples.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.sum(np.abs(samples) ** 2) / (samples.size - samples.shape[0])))


def peripheral_samples(kspace: Tensor, mask: Tensor, fraction: float = PERIPHERY) -> np.ndarray:
    """The measured samples farthest from the centre of k-space, which are mostly noise.

    Samples that are exactly zero in all coils are left out: some scanners pad k-space.

    Args:
        kspace: complex64 `[..., C, H, W]`.
        mask: 0/1, broadcastable to k-space with one coil.
        fraction: how much of the measured samples to take, in (0, 1].

    Returns:
        complex64 `[C, N]`; covariances between coils are kept.

    Raises:
        InputError: fewer than 64 samples would be left, or `fraction` out of range.
    """
    kspace = ops.convert_to_numpy(kspace).astype(np.complex64, copy=False)
    mask = ops.convert_to_numpy(mask)
    check_rank("kspace", kspace, range(3, 9), "[..., coils, height, width]")
    check_mask_fits(mask, kspace)
    if not 0 < fraction <= 1:
        raise InputError(f"fraction is {fraction}", fix="give a number above 0 and up to 1")
    height, width = kspace.shape[-2:]
    measured = np.broadcast_to(mask != 0, (*kspace.shape[:-3], 1, height, width))[..., 0, :, :]
    measured = measured & np.any(kspace != 0, axis=-3)
    rows = (np.arange(height) - height // 2) / height
    columns = (np.arange(width) - width // 2) / width
    radius = np.broadcast_to(np.hypot(rows[:, None], columns), measured.shape)[measured]
    count = int(fraction * radius.size)
    if count < MINIMUM_SAMPLES:
        raise InputError(
            f"{count} samples in the periphery of k-space are too few to tell its noise", fix="give noise_std"
        )
    outermost = np.argpartition(radius, radius.size - count)[-count:]
    return np.moveaxis(kspace, -3, 0)[:, measured][:, outermost]


def estimate_noise_std(kspace: Tensor, mask: Tensor, fraction: float = PERIPHERY) -> float:
    """The noise level of a measurement, from the periphery of its own k-space.

    |n|² of complex Gaussian noise is exponentially distributed with median `ln 2 · E|n|²`; the median
    is little moved by the samples that carry signal. What signal remains makes this an upper
    estimate.

    Args:
        kspace: complex64 `[..., C, H, W]`.
        mask: 0/1, broadcastable to k-space with one coil.
        fraction: how much of the measured samples to take, from the outermost inwards.

    Returns:
        sqrt(E|n|²), averaged over coils in variance.

    Raises:
        InputError: too few measured samples.
    """
    power = np.abs(peripheral_samples(kspace, mask, fraction)).astype(np.float64) ** 2
    return float(np.sqrt(np.mean(np.median(power, axis=1)) / np.log(2)))
