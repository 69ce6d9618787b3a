"""PSNR, SSIM, NMSE and NRMSE with everything that usually hides in a default made an argument.

Plain NumPy in float64 (complex128). Which data range goes in, and over what the numbers are taken,
is a convention (`metrics.conventions`); these functions only compute. Complex arrays are compared
as complex numbers by the error measures; SSIM is defined on magnitudes alone.
"""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity

from tfrecon.util.errors import InputError

SSIM_WINDOW = 7
"""Side of the uniform SSIM window in pixels; smaller images have no SSIM."""

GAUSSIAN_SSIM_WINDOW = 11
"""Side of the Gaussian SSIM window in pixels: 3.5 σ to either side of the centre, σ = 1.5."""


def error_energy(recon: np.ndarray, reference: np.ndarray) -> float:
    """`sum |recon - reference|²`, for real and complex arrays of any shape."""
    return _energy(as_float64(recon) - as_float64(reference))


def psnr(recon: np.ndarray, reference: np.ndarray, data_range: float) -> float:
    """Peak signal-to-noise ratio, `10 log10(range² / mean |recon - reference|²)`.

    Args:
        recon: real or complex, any shape.
        reference: of the same shape.
        data_range: the peak, in the images' units. There is no default: it moves the score more
            than most methods do.

    Returns:
        Decibels; inf for identical images, NaN where `data_range` is not positive.

    Raises:
        InputError: the shapes differ.
    """
    _check_alike(recon, reference)
    if not data_range > 0:
        return math.nan
    mean_squared_error = error_energy(recon, reference) / np.size(reference)
    if mean_squared_error == 0:
        return math.inf
    return 10 * math.log10(data_range**2 / mean_squared_error)


def nmse(recon: np.ndarray, reference: np.ndarray, floor: float = 0.0) -> float:
    """Normalised squared error, `‖recon - reference‖² / ‖reference‖²`.

    Args:
        recon: real or complex, any shape.
        reference: of the same shape.
        floor: the denominator is at least `floor` times the number of pixels.

    Returns:
        A number ≥ 0; NaN for an all-zero reference without a floor.

    Raises:
        InputError: the shapes differ.
    """
    _check_alike(recon, reference)
    denominator = max(_energy(np.asarray(reference)), floor * np.size(reference))
    if denominator == 0:
        return math.nan
    return error_energy(recon, reference) / denominator


def nrmse(recon: np.ndarray, reference: np.ndarray, floor: float = 0.0) -> float:
    """Normalised root error, `‖recon - reference‖ / ‖reference‖ = sqrt(nmse)`.

    Args:
        recon: real or complex, any shape.
        reference: of the same shape.
        floor: as in `nmse`.

    Returns:
        A number ≥ 0; NaN for an all-zero reference without a floor.

    Raises:
        InputError: the shapes differ.
    """
    return math.sqrt(nmse(recon, reference, floor))


def ssim(recon: np.ndarray, reference: np.ndarray, data_range: float) -> float:
    """Structural similarity (Wang et al., IEEE TIP 13:600, 2004) as scikit-image computes it.

    Uniform 7×7 window, K1 = 0.01, K2 = 0.03, sample covariance, mean over the pixels whose window
    lies inside the image. Leading axes are slices: each has its own SSIM, the mean is returned.

    Args:
        recon: `[..., H, W]`; complex images are compared by magnitude.
        reference: of the same shape.
        data_range: in the images' units, the same for all slices.

    Returns:
        A number ≤ 1; NaN where `data_range` is not positive.

    Raises:
        InputError: the shapes differ or the image is smaller than the window.
    """
    return _mean_similarity(recon, reference, data_range, SSIM_WINDOW)


def gaussian_ssim(recon: np.ndarray, reference: np.ndarray, data_range: float) -> float:
    """Structural similarity with the Gaussian window of Wang et al. (IEEE TIP 13:600, 2004).

    σ = 1.5 cut to 11×11, K1 = 0.01, K2 = 0.03, population covariance, mean over the pixels whose window lies inside
    the image. torchmetrics' default: its reflected border is cut off again before it averages.

    Args:
        recon: `[..., H, W]`; complex images are compared by magnitude.
        reference: of the same shape.
        data_range: in the images' units, the same for all slices.

    Returns:
        A number ≤ 1; NaN where `data_range` is not positive.

    Raises:
        InputError: the shapes differ or the image is smaller than the window.
    """
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return _mean_similarity(recon, reference, data_range, GAUSSIAN_SSIM_WINDOW, **options)


def as_float64(image: np.ndarray) -> np.ndarray:
    """The image in double precision: complex128 if complex, float64 if not."""
    image = np.asarray(image)
    return image.astype(np.complex128 if np.iscomplexobj(image) else np.float64, copy=False)


def magnitude(image: np.ndarray) -> np.ndarray:
    """float64 magnitude of a complex image; a real image keeps its sign, it is a magnitude already."""
    image = as_float64(image)
    return np.abs(image) if np.iscomplexobj(image) else image


def _slices(image: np.ndarray) -> np.ndarray:
    image = magnitude(image)
    return image.reshape(-1, *image.shape[-2:])


def _energy(array: np.ndarray) -> float:
    array = as_float64(array)
    return float(np.sum(np.square(array.real)) + (np.sum(np.square(array.imag)) if np.iscomplexobj(array) else 0.0))


def _mean_similarity(
    recon: np.ndarray, reference: np.ndarray, data_range: float, window: int, **options: bool | float
) -> float:
    """The mean over slices of scikit-image's SSIM with these options."""
    _check_alike(recon, reference)
    height, width = np.shape(reference)[-2:]
    if min(height, width) < window:
        raise InputError(
            f"images of {height}×{width} are smaller than SSIM's {window}×{window} window", fix="score larger images"
        )
    if not data_range > 0:
        return math.nan
    slices = zip(_slices(recon), _slices(reference), strict=True)
    options |= {"win_size": window, "data_range": data_range}
    return float(np.mean([structural_similarity(r, x, **options) for x, r in slices]))


def _check_alike(recon: np.ndarray, reference: np.ndarray) -> None:
    if np.shape(recon) != np.shape(reference):
        raise InputError(
            f"images {np.shape(recon)} and reference {np.shape(reference)} differ in shape",
            fix="crop the larger one around its centre",
        )
