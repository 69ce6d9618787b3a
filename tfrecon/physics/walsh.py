"""Adaptive coil sensitivities: dominant eigenvectors of the coils' local covariance.

Walsh et al., MRM 43:682 (2000). The covariance of low-resolution images is band-limited, so it is
kept as Fourier coefficients and averaged by multiplying them with the window's spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.eigenfield import leading_eigenvectors
from tfrecon.physics.espirit import align_phase, principal_coil
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_pad

WINDOW = 5.0


def walsh(calibration: Tensor, shape: Sequence[int], *, window: float = WINDOW) -> np.ndarray:
    """Sensitivities as the dominant eigenvectors of the coils' local covariance.

    Walsh et al., MRM 43:682 (2000), on low-resolution images: the calibration data are tapered by a
    Hann window against ringing, and covariances averaged under a Gaussian. Coarser than ESPIRiT and
    blind to the object's edge, but content with a few lines.

    Args:
        calibration: complex64 `[..., C, h, w]`, the fully sampled centre of k-space.
        shape: (H, W) of the maps.
        window: full width at half maximum of the Gaussian, in pixels.

    Returns:
        complex64 `[..., C, H, W]` of unit norm everywhere, phase relative to the first principal
        component over coils as in `espirit`.

    Raises:
        InputError: all-zero calibration data or `window` not positive.
    """
    calibration = np.asarray(ops.convert_to_numpy(calibration), np.complex64)
    if not window > 0:
        raise InputError(f"walsh window is {window} pixels", fix="give a positive width")
    if not np.abs(calibration).max(axis=(-3, -2, -1)).all():
        raise InputError("the calibration region is zero everywhere", fix="an empty slice: leave it out")
    items = calibration.reshape(-1, *calibration.shape[-3:])
    maps = np.stack([_walsh_item(item, shape, window) for item in items])
    return maps.reshape(*calibration.shape[:-3], *maps.shape[1:])


def _walsh_item(calibration: np.ndarray, shape: Sequence[int], window: float) -> np.ndarray:
    low = calibration * hann_taper(calibration.shape[-2:])
    low = low / np.abs(low).max()
    coefficients = _covariance_spectrum(low) * _gaussian_spectrum(low.shape[-2:], shape, window)
    # The trace bounds the eigenvalues; dividing by it makes dark pixels as good as bright ones.
    vectors, _ = leading_eigenvectors(coefficients, shape, low, floor=0.3, unit_trace=True)
    return align_phase(vectors[0], principal_coil(low))


def hann_taper(size: Sequence[int]) -> np.ndarray:
    """A separable Hann window `[h, w]`, one at the origin (h//2, w//2) and above zero everywhere."""
    tapers = [0.5 + 0.5 * np.cos(2 * np.pi * (np.arange(n) - n // 2) / (n + 1)) for n in size]
    return np.outer(*tapers).astype(np.float32)


def _covariance_spectrum(low: np.ndarray) -> np.ndarray:
    """Fourier coefficients `[C, C, 2h-1, 2w-1]` of `x_c conj(x_d)` from the coils' `[C, h, w]`."""
    size = [2 * n - 1 for n in low.shape[-2:]]
    images = ops.convert_to_numpy(fourier.ifft2c(ops.convert_to_tensor(centre_pad(low, size))))
    products = images[:, None] * images[None].conj()
    scale = np.float32(np.sqrt(np.prod(size)))
    return ops.convert_to_numpy(fourier.fft2c(ops.convert_to_tensor(products))) * scale


def _gaussian_spectrum(size: Sequence[int], shape: Sequence[int], window: float) -> np.ndarray:
    sigma = window / (2 * np.sqrt(2 * np.log(2)))
    decays = [
        np.exp(-2 * (np.pi * sigma * np.arange(1 - n, n) / total) ** 2) for n, total in zip(size, shape, strict=True)
    ]
    return np.outer(*decays).astype(np.float32)
