"""Coils: sensitivities from calibration data, combination, compression, prewhitening.

Sensitivities come from the fully sampled centre of the *measured* k-space and from nothing else.
Estimation runs on the host in NumPy; `rss`, `adaptive_combine` and `apply_coil_matrix` work on tensors
of the backend and are differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from tfrecon.physics.espirit import espirit
from tfrecon.physics.masks import acs_size
from tfrecon.physics.walsh import walsh
from tfrecon.typing import Tensor
from tfrecon.util.complex import energy
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_crop, check_mask_fits, check_rank

CALIBRATION_SIZE = 24
"""Sensitivities are smooth: more central samples than this cost time and add mostly noise."""

MAP_METHODS = ("espirit", "walsh")


def rss(coil_images: Tensor) -> Tensor:
    """Root sum of squares over coils: complex `[..., C, H, W]` to float32 `[..., H, W]`.

    The gradient is zero, not NaN, where all coils are exactly zero.
    """
    total = ops.sum(energy(coil_images), axis=-3)
    positive = total > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, total, 1.0)), 0.0)


def adaptive_combine(coil_images: Tensor, maps: Tensor) -> Tensor:
    """The image that explains the coil images best: `sum(conj(S) x) / sum(|S|²)` over coils.

    Args:
        coil_images: complex64 `[..., C, H, W]`.
        maps: complex64, one set, of the same layout.

    Returns:
        complex64 `[..., H, W]`, zero where all maps are zero.
    """
    maps = ops.convert_to_tensor(maps, "complex64")
    weight = ops.sum(energy(maps), axis=-3)
    image = ops.sum(ops.conj(maps) * ops.convert_to_tensor(coil_images, "complex64"), axis=-3)
    return image * ops.cast(ops.where(weight > 0, 1.0 / ops.where(weight > 0, weight, 1.0), 0.0), "complex64")


def calibration_region(
    kspace: Tensor, mask: Tensor, size: int | Sequence[int] | None = None, where: str = ""
) -> np.ndarray:
    """Cuts the fully sampled centre out of k-space.

    Args:
        kspace: complex64 `[..., C, H, W]`, one mask for all leading axes.
        mask: 0/1 `[1, H or 1, W]` (or `[H or 1, W]`): what was sampled.
        size: at most so many samples along each axis, an int or (h, w); None keeps all.
        where: file or record, for the message.

    Returns:
        complex64 `[..., C, h, w]`, the origin of k-space at (h//2, w//2).

    Raises:
        InputError: the centre was not sampled, the mask does not fit, `size` is not positive.
    """
    kspace = ops.convert_to_numpy(kspace).astype(np.complex64, copy=False)
    mask = ops.convert_to_numpy(mask)
    check_rank("kspace", kspace, range(3, 9), "[..., coils, height, width]")
    check_mask_fits(mask, kspace, where)
    sampled = acs_size(mask, kspace.shape[-2:])
    if 0 in sampled:
        raise InputError(
            "the centre of k-space was not sampled, so there is nothing to calibrate coils from",
            where,
            "give sensitivity maps (--maps=FILE)",
        )
    limits = (size, size) if size is None or isinstance(size, int) else tuple(size)
    if any(limit is not None and limit < 1 for limit in limits):
        raise InputError(f"calibration size {size} is not positive", where)
    wanted = [have if limit is None else min(have, limit) for have, limit in zip(sampled, limits, strict=True)]
    return centre_crop(kspace, wanted)


def time_average(kspace: Tensor, mask: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Averages a series over time, every k-space sample over the frames that measured it.

    Args:
        kspace: complex64 `[..., T, C, H, W]`.
        mask: 0/1 `[..., T or 1, 1, H or 1, W]`.

    Returns:
        k-space `[..., C, H, W]`, zero where no frame sampled, and the union of the masks as uint8
        `[..., 1, H or 1, W]`.
    """
    kspace = ops.convert_to_numpy(kspace)
    mask = ops.convert_to_numpy(mask).astype(np.float32)
    weights = np.broadcast_to(mask, np.broadcast_shapes(mask.shape, (kspace.shape[-4], 1, 1, 1)))
    counts = weights.sum(axis=-4)
    total = (kspace * mask).sum(axis=-4)
    return (total / np.maximum(counts, 1)).astype(np.complex64), (counts > 0).astype(np.uint8)


def estimate_maps(
    kspace: Tensor,
    mask: Tensor,
    method: str = "espirit",
    *,
    map_sets: int = 1,
    calibration_size: int | Sequence[int] | None = CALIBRATION_SIZE,
    where: str = "",
    **options: Any,
) -> np.ndarray:
    """Coil sensitivities of a slice or a series, from its own calibration region.

    Args:
        kspace: complex64 `[C, H, W]`, or `[T, C, H, W]` for a series, which is averaged over time.
        mask: 0/1, what was sampled: `[1, H or 1, W]`, series `[T or 1, 1, H or 1, W]`.
        method: "espirit", or "walsh", which works with fewer calibration lines.
        map_sets: 2 gives a second set for objects that fold over themselves; ESPIRiT only.
        calibration_size: at most so many central samples per axis; None takes all there are.
        where: file or record, for messages.
        **options: of `espirit` (kernel_size, threshold, crop, soft_crop) or `walsh` (window).

    Returns:
        complex64 `[C, H, W]`, several sets `[S, C, H, W]`; for a series with a time axis of 1 in
        front. Unit norm over coils or zero.

    Raises:
        InputError: unknown method or option, too small a calibration region, all-zero data.
    """
    check_rank("kspace", kspace, (3, 4), "[C, H, W], or [T, C, H, W] for a series")
    series = len(kspace.shape) == 4
    check_mask_fits(mask, kspace, where)
    if series:
        kspace, mask = time_average(kspace, mask)
    if method not in MAP_METHODS:
        raise InputError(f"no way {method!r} to estimate maps", where, f"choose one of {', '.join(MAP_METHODS)}")
    if method == "walsh" and map_sets != 1:
        raise InputError("walsh estimates one set of maps", where, "use --maps=espirit for two")
    calibration = calibration_region(kspace, mask, calibration_size, where)
    shape = tuple(kspace.shape[-2:])
    try:
        if method == "walsh":
            maps = walsh(calibration, shape, **options)
        else:
            maps = espirit(calibration, shape, map_sets=map_sets, **options).maps
            maps = maps[0] if map_sets == 1 else maps
    except InputError as error:
        raise InputError(error.what, where or error.where, error.fix) from error
    except TypeError as error:
        raise InputError(f"{method} does not know one of the options {sorted(options)}", where) from error
    return maps[None] if series else maps


class CompressedCoils(NamedTuple):
    """K-space on virtual coils.

    Attributes:
        kspace: complex64 `[..., n, H, W]`.
        matrix: complex64 `[n, C]` with orthonormal rows; `apply_coil_matrix` puts maps and noise
            onto the same virtual coils.
        energy: fraction of the energy kept, in (0, 1].
    """

    kspace: np.ndarray
    matrix: np.ndarray
    energy: float


def compress_coils(kspace: Tensor, n: int) -> CompressedCoils:
    """Combines coils into fewer virtual ones that keep the most energy (SVD coil compression).

    Huang et al., Magn Reson Imaging 26:133 (2008). White noise stays white: the rows of the matrix
    are orthonormal. Prewhiten first where coils differ in noise.

    Args:
        kspace: complex64 `[..., C, H, W]`, zero where not sampled; one matrix serves all leading axes.
        n: number of virtual coils, 1 to C.

    Raises:
        InputError: `n` out of range or all-zero k-space.
    """
    kspace = ops.convert_to_numpy(kspace).astype(np.complex64, copy=False)
    coils = kspace.shape[-3]
    if not 1 <= n <= coils:
        raise InputError(f"cannot compress {coils} coils to {n}", fix=f"choose 1 to {coils}")
    samples = np.moveaxis(kspace, -3, 0).reshape(coils, -1)
    energies, vectors = np.linalg.eigh(np.matmul(samples, samples.conj().T, dtype=np.complex128))
    if not energies[-1] > 0:
        raise InputError("k-space is zero everywhere", fix="an empty slice: leave it out")
    matrix = vectors[:, : -n - 1 : -1].conj().T.astype(np.complex64)
    kept = float(np.clip(energies[::-1][:n].sum() / energies.sum(), 0, 1))
    return CompressedCoils(ops.convert_to_numpy(apply_coil_matrix(kspace, matrix)), matrix, kept)


def noise_covariance(noise: Tensor) -> np.ndarray:
    """Covariance of the noise between coils, `Ψ[c, d] = E[n_c conj(n_d)]`.

    Args:
        noise: complex `[C, ...]`, samples of noise alone: a noise scan, or
            `noise.peripheral_samples`. Their mean over samples is removed.

    Returns:
        complex128 `[C, C]`, Hermitian; its diagonal holds each coil's E|n|².

    Raises:
        InputError: fewer samples than coils + 1.
    """
    noise = ops.convert_to_numpy(noise)
    samples = noise.reshape(noise.shape[0], -1).astype(np.complex128)
    if samples.shape[1] <= samples.shape[0]:
        raise InputError(f"{samples.shape[1]} noise samples for {samples.shape[0]} coils", fix="give more samples")
    samples = samples - samples.mean(axis=1, keepdims=True)
    return samples @ samples.conj().T / (samples.shape[1] - 1)


def prewhitening_matrix(covariance: Tensor) -> np.ndarray:
    """The inverse Cholesky factor of a noise covariance: `W Ψ W^H = 1`.

    Args:
        covariance: complex `[C, C]`.

    Returns:
        complex64 `[C, C]`, lower triangular. Applied to k-space *and* maps it leaves the image as it
        is and noise of unit variance, E|n|² = 1, uncorrelated between coils.

    Raises:
        InputError: the covariance is not positive definite.
    """
    covariance = np.asarray(ops.convert_to_numpy(covariance), np.complex128)
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the noise covariance is not positive definite", fix="give more noise samples, or drop dead coils"
        ) from error
    return np.linalg.inv(factor).astype(np.complex64)


def apply_coil_matrix(kspace: Tensor, matrix: Tensor) -> Tensor:
    """Mixes coils, `sum_c matrix[v, c] kspace[..., c, :, :]`, for k-space, coil images, noise and maps.

    Args:
        kspace: complex64 `[..., C, H, W]`.
        matrix: complex64 `[V, C]`.

    Returns:
        complex64 `[..., V, H, W]`.
    """
    matrix = ops.convert_to_tensor(matrix, "complex64")
    return ops.einsum("vc,...chw->...vhw", matrix, ops.convert_to_tensor(kspace, "complex64"))
