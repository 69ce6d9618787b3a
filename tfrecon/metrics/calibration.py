"""Whether a reconstruction is as sure as it should be: how often the truth lies in the intervals it gives.

An interval of level p about an image is `image ± factor · z_p · std`, with z_p the quantile of a Gaussian; of each
pixel only the standardised error |image - truth| / std counts, so one array of them says all about all levels and
factors.
Plain NumPy in float64.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, stats

from tfrecon.metrics.measures import as_float64, magnitude
from tfrecon.util.errors import InputError

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99)
LEVEL = 0.9
"""At which the factor is fitted, and whose intervals say how sharp a reconstruction is."""

OBJECT_THRESHOLD, OBJECT_QUANTILE, LEAST_PART = 0.1, 0.99, 0.05
"""See `object_mask`."""


def object_mask(reference: np.ndarray) -> np.ndarray:
    """The pixels of the object: those above 10 % of the 99 % quantile, and what they enclose.

    Islands of less than 5 % of the largest are left out: they are noise or aliasing.

    Args:
        reference: `[H, W]`; complex images count by magnitude.

    Returns:
        bool `[H, W]`; all False for an image of zeros.
    """
    image = np.abs(magnitude(reference))
    bright = image > OBJECT_THRESHOLD * np.quantile(image, OBJECT_QUANTILE)
    labels, count = ndimage.label(ndimage.binary_fill_holes(bright))
    if not count:
        return np.zeros(image.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= LEAST_PART * sizes.max())[labels] & (labels > 0)


def standardised_errors(image: np.ndarray, std: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`|image - reference| / std`, of magnitudes.

    Args:
        image: `[...]`, complex ones by magnitude.
        std: of the same shape, at least 0.
        reference: of the same shape.

    Returns:
        float64; 0 where there is neither error nor deviation, inf where there is an error alone.

    Raises:
        InputError: shapes differ, or a deviation is negative.
    """
    image, reference, std = magnitude(image), magnitude(reference), as_float64(std)
    if not image.shape == std.shape == reference.shape:
        raise InputError(f"image {image.shape}, deviation {std.shape} and reference {reference.shape} differ in shape")
    if std.size and std.min() < 0:
        raise InputError("a standard deviation is negative", fix="give the folder std/ of tfrecon reconstruct")
    error = np.abs(image - reference)
    ratio = np.full(error.shape, np.inf)
    np.divide(error, std, out=ratio, where=std > 0)
    ratio[error == 0] = 0.0
    return ratio


def half_width(level: float) -> float:
    """z_p: the interval of a Gaussian reaches so many standard deviations to each side.

    Raises:
        InputError: a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"a level of {level:g}", fix="give a number between 0 and 1")
    return float(stats.norm.ppf((1 + level) / 2))


def coverage(errors: np.ndarray, level: float, factor: float = 1.0) -> float:
    """The part of the pixels whose truth lies in the interval.

    Args:
        errors: from `standardised_errors`.
        level: nominal, what it should be.
        factor: on the standard deviation.

    Returns:
        0 to 1; NaN without pixels.
    """
    errors = np.asarray(errors)
    return float(np.mean(errors <= factor * half_width(level))) if errors.size else float("nan")


def fit_factor(errors: np.ndarray, level: float = LEVEL) -> float:
    """The smallest factor on the standard deviation with which at least `level` of the pixels are covered.

    Raises:
        InputError: no pixels, or so many without a standard deviation that none does.
    """
    errors = np.asarray(errors)
    if not errors.size:
        raise InputError("no pixels to fit an interval scale to", fix="give images with a reference that is not empty")
    # Through ranks: an interpolation with infinite values would not be a number.
    worst = float(np.quantile(errors, level, method="inverted_cdf"))
    if not (np.isfinite(worst) and worst > 0):
        what = "no standard deviation" if worst else "no error"
        raise InputError(f"too many pixels have {what} to fit an interval scale", fix="draw more --samples")
    return worst / half_width(level)
