"""ESPIRiT: coil sensitivities as eigenvectors of the calibration data's own consistency condition.

Uecker et al., MRM 71:990 (2014). Windows of fully sampled k-space span a low-dimensional space; the
projection onto it, written as an operator on images, is a C×C matrix at every pixel whose
eigenvectors with eigenvalue one are the sensitivities.

Only the projection's autocorrelation enters those matrices, (2k-1)² coefficients per coil pair, so
the cost does not grow with the number of kernels. Runs on the host in single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from keras import ops

from tfrecon.physics.eigenfield import leading_eigenvectors, multiply
from tfrecon.util.errors import InputError

KERNEL_SIZE = 6
THRESHOLD = 0.02
CROP = 0.8


class EspiritMaps(NamedTuple):
    """What ESPIRiT finds.

    Attributes:
        maps: complex64 `[..., S, C, H, W]`, zero where the eigenvalue is below the crop.
        eigenvalues: float32 `[..., S, H, W]` in [0, 1], not cropped; near one where a set of maps
            explains the data.
    """

    maps: np.ndarray
    eigenvalues: np.ndarray


def espirit(
    calibration: np.ndarray,
    shape: Sequence[int],
    *,
    kernel_size: int = KERNEL_SIZE,
    threshold: float = THRESHOLD,
    crop: float = CROP,
    map_sets: int = 1,
    soft_crop: bool = False,
) -> EspiritMaps:
    """Estimates coil sensitivities from fully sampled central k-space.

    The phase of every map is relative to the first principal component of the calibration data over
    coils (its combination is real and positive), so that maps vary smoothly and two calls agree.

    Args:
        calibration: complex64 `[..., C, h, w]`, the centre of k-space.
        shape: (H, W) of the maps.
        kernel_size: width of the k-space windows.
        threshold: windows' singular values below this fraction of the largest are noise. BART's
            `-t` means the square of it: its default 0.001 is 0.032 here. Raise it for noisy data: with
            noise above the threshold every pixel fits and no map means anything.
        crop: pixels whose eigenvalue is smaller carry no map.
        map_sets: 1, or 2 where the object folds over itself within the field of view (soft-SENSE).
        soft_crop: fades the maps in between `crop` and (1 + crop)/2 in place of a sharp edge; there
            their norm is below one.

    Returns:
        Maps of unit norm over coils where kept, and the eigenvalues.

    Raises:
        InputError: the calibration region is too small or zero, or an option is out of range.
    """
    calibration = np.asarray(calibration, np.complex64)
    _check(calibration, shape, kernel_size, threshold, crop, map_sets)
    items = calibration.reshape(-1, *calibration.shape[-3:])
    found = [_espirit_item(item, shape, kernel_size, threshold, crop, map_sets) for item in items]
    lead = calibration.shape[:-3]
    maps = np.stack([maps for maps, _ in found]).reshape(*lead, *found[0][0].shape)
    values = np.stack([values for _, values in found]).reshape(*lead, *found[0][1].shape)
    weight = crop_weight(values, crop, soft_crop)[..., None, :, :]
    return EspiritMaps(np.where(weight > 0, weight * maps, 0), values)


def crop_weight(eigenvalues: np.ndarray, crop: float, soft: bool = False) -> np.ndarray:
    """What maps are multiplied with: 0 below `crop`, 1 above (soft: rising smoothly up to (1 + crop)/2)."""
    if not soft:
        return (eigenvalues >= crop).astype(np.float32)
    rise = np.clip((eigenvalues - crop) / max((1 - crop) / 2, 1e-6), 0, 1)
    return (rise * rise * (3 - 2 * rise)).astype(np.float32)


def principal_coil(calibration: np.ndarray) -> np.ndarray:
    """The first principal component over coils of `[C, h, w]`, complex64 `[C]`, its largest entry positive."""
    samples = calibration.reshape(calibration.shape[0], -1)
    component = np.linalg.eigh(samples @ samples.conj().T)[1][:, -1]
    largest = component[np.argmax(np.abs(component))]
    return (component * (np.conj(largest) / np.abs(largest))).astype(np.complex64)


def align_phase(maps: np.ndarray, component: np.ndarray) -> np.ndarray:
    """Turns maps `[..., C, H, W]` so that their combination with `component` `[C]` is real and positive."""
    reference = np.einsum("c,...chw->...hw", component.conj(), maps)
    magnitude = np.abs(reference)
    phase = np.where(magnitude > 0, reference / np.where(magnitude > 0, magnitude, 1), 1)
    return (maps * phase.conj()[..., None, :, :]).astype(np.complex64)


def _check(
    calibration: np.ndarray, shape: Sequence[int], kernel_size: int, threshold: float, crop: float, map_sets: int
) -> None:
    if calibration.ndim < 3:
        raise InputError(f"calibration data have shape {calibration.shape}", fix="give [..., coils, height, width]")
    coils, height, width = calibration.shape[-3:]
    if not 1 <= map_sets <= min(2, coils):
        raise InputError(f"map_sets is {map_sets} for {coils} coils", fix="use 1, or 2 with at least two coils")
    if not (0 < threshold < 1 and 0 <= crop < 1 and kernel_size >= 2):
        raise InputError(
            f"kernel_size {kernel_size}, threshold {threshold}, crop {crop}",
            fix="kernel_size is at least 2, threshold lies in (0, 1), crop in [0, 1)",
        )
    if height > shape[0] or width > shape[1]:
        raise InputError(f"calibration region {height}×{width} is larger than the image {tuple(shape)}")
    needed = 2 * kernel_size
    if min(height, width) < needed:
        raise InputError(
            f"the calibration region is {height}×{width} samples; ESPIRiT with kernel_size {kernel_size} needs "
            f"{needed}×{needed}",
            fix="measure more central lines, choose a smaller kernel_size, or use --maps=walsh",
        )
    energy = np.abs(calibration).max(axis=(-3, -2, -1))
    if not np.isfinite(energy).all():
        raise InputError("the calibration region holds NaN or Inf samples", fix="repair or leave out this slice")
    if (energy == 0).any():
        raise InputError("the calibration region is zero everywhere", fix="an empty slice: leave it out")


def _espirit_item(
    calibration: np.ndarray, shape: Sequence[int], kernel_size: int, threshold: float, crop: float, map_sets: int
) -> tuple[np.ndarray, np.ndarray]:
    calibration = calibration / np.abs(calibration).max()
    basis = _signal_space(calibration, kernel_size, threshold)
    coefficients = _autocorrelation(basis, calibration.shape[0], kernel_size)
    vectors, values = leading_eigenvectors(coefficients, shape, calibration, floor=0.85 * crop, count=map_sets)
    return align_phase(vectors, principal_coil(calibration)), np.clip(values, 0, 1)


def _signal_space(calibration: np.ndarray, kernel_size: int, threshold: float) -> np.ndarray:
    """Orthonormal basis `[C·k·k, n]` of the k-space windows above the noise threshold."""
    windows = np.lib.stride_tricks.sliding_window_view(calibration, (kernel_size, kernel_size), axis=(-2, -1))
    rows = np.ascontiguousarray(windows.transpose(1, 2, 0, 3, 4)).reshape(-1, calibration.shape[0] * kernel_size**2)
    wide = rows.shape[0] < rows.shape[1]
    gram = multiply(rows.conj(), rows.T) if wide else multiply(rows.T, rows.conj())
    energies, vectors = (ops.convert_to_numpy(part) for part in ops.linalg.eigh(gram))
    kept = energies > threshold**2 * energies[-1]
    if not wide:
        return vectors[:, kept]
    return multiply(rows.T, vectors[:, kept]) / np.sqrt(energies[kept])


def _autocorrelation(basis: np.ndarray, coils: int, kernel_size: int) -> np.ndarray:
    """Fourier coefficients `[C, C, 2k-1, 2k-1]` of the pixelwise matrices.

    Averaging the projected windows over all that cover a sample makes the projection P a convolution
    with `sum over t - t' = τ of P[(c, t), (d, t')] / k²`.
    """
    k = kernel_size
    projection = multiply(basis, basis.conj().T).reshape(coils, k, k, coils, k, k)
    result = np.zeros((coils, coils, 2 * k - 1, 2 * k - 1), np.complex64)
    for row in range(k):
        for column in range(k):
            result[:, :, row : row + k, column : column + k] += projection[:, row, column, :, ::-1, ::-1]
    return result / k**2
