"""Still images set in motion: 2D+t without a measured cine."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from tfrecon.data.phantoms import Ellipse, ellipses_image
from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator


def deform_cine(
    image: np.ndarray,
    frames: int,
    *,
    amplitude: float = 0.03,
    breathing: float = 0.0,
    centre: tuple[float, float] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Moves a still image by a smooth deformation that is periodic in time, like one heartbeat.

    The displacement is a contraction towards `centre`, under a Gaussian window, and a random smooth
    swirl; both vanish in frame 0, which is the image itself, and frame `frames` would be frame 0
    again. Motion stays so small that no tissue folds over (the Jacobian is checked).

    Args:
        image: real or complex `[H, W]`.
        frames: how many, over one period.
        amplitude: the largest displacement, as a fraction of the smaller side.
        breathing: drift along the rows at the end of the series, as a fraction of the height; the
            series is then no longer periodic.
        centre: (row, column) the contraction runs to, in fractions of the sides; None is the middle.
        seed: of the swirl.

    Returns:
        `[T, H, W]`, float32 for a real image, complex64 for a complex one; cubic interpolation,
        the edge repeated outside.

    Raises:
        InputError: no frames, an image that is not 2-D, or motion that would fold the image.
    """
    image = np.asarray(image)
    if image.ndim != 2 or frames < 1:
        raise InputError(f"{frames} frames of an image {image.shape} cannot be made", fix="give [H, W] and frames > 0")
    height, width = image.shape
    fractions = (0.5, 0.5) if centre is None else centre
    contraction, swirl = _contraction(image.shape, fractions), _swirl(image.shape, seed)
    size = amplitude * min(height, width)
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")).astype(np.float64)
    series = []
    for frame in range(frames):
        angle = 2 * np.pi * frame / frames
        displacement = size * (0.8 * (1 - math.cos(angle)) / 2 * contraction + 0.2 * math.sin(angle) * swirl)
        _check_no_folding(displacement, amplitude)
        displacement[0] += breathing * height * frame / max(frames - 1, 1)
        series.append(_warp(image, grid + displacement))
    return np.stack(series)


def beating_heart_ellipses(phase: float) -> tuple[Ellipse, ...]:
    """A short-axis slice through chest and heart as ellipses at one moment of the beat.

    Args:
        phase: 0 to 1; 0 and 1 are end-diastole, about 0.5 end-systole.

    Returns:
        Ellipses for `phantoms.ellipses_image` and `phantoms.ellipses_kspace`.
    """
    squeeze = (1 - math.cos(2 * np.pi * phase)) / 2
    heart = (0.05 - 0.02 * squeeze, 0.12)
    inner = 0.17 - 0.055 * squeeze
    # Muscle keeps its area while the chamber shrinks, so the wall thickens.
    outer = math.sqrt(inner**2 + 0.24**2 - 0.17**2)
    right = (heart[0] - 0.06, heart[1] - 0.36 + 0.03 * squeeze)
    papillary = 0.6 * inner
    return (
        Ellipse(0.35, (0.0, 0.0), (0.72, 0.92)),  # chest wall and fat
        Ellipse(0.05, (0.0, 0.0), (0.64, 0.84)),
        Ellipse(-0.3, (-0.02, -0.47), (0.5, 0.3)),  # lungs
        Ellipse(-0.3, (-0.1, 0.55), (0.44, 0.24)),
        Ellipse(0.15, heart, (outer, outer)),  # left ventricle: muscle, then blood
        Ellipse(0.45, heart, (inner, inner)),
        Ellipse(-0.4, (heart[0] - papillary, heart[1] + 0.2 * inner), (0.025, 0.03)),
        Ellipse(-0.4, (heart[0] + papillary, heart[1] + 0.2 * inner), (0.03, 0.025)),
        Ellipse(0.5, right, (0.19 - 0.04 * squeeze, 0.1 - 0.035 * squeeze), 0.2),  # right ventricle
        Ellipse(0.3, (0.55, 0.02), (0.1, 0.1)),  # spine
    )


def beating_heart(shape: tuple[int, int], frames: int, *, start: float = 0.0) -> np.ndarray:
    """A series of `beating_heart_ellipses` over one beat.

    Args:
        shape: (H, W).
        frames: how many, evenly over the beat.
        start: phase of frame 0.

    Returns:
        float32 `[T, H, W]`, non-negative.

    Raises:
        InputError: no frames.
    """
    if frames < 1:
        raise InputError(f"{frames} frames cannot be made", fix="give at least one")
    phases = [start + frame / frames for frame in range(frames)]
    return np.stack([ellipses_image(beating_heart_ellipses(phase), shape) for phase in phases])


def _contraction(shape: tuple[int, int], fractions: tuple[float, float]) -> np.ndarray:
    """Where to look for each pixel's tissue: away from the centre; `[2, H, W]`, at most 1 long."""
    rows = np.arange(shape[0])[:, None] - fractions[0] * (shape[0] - 1)
    columns = np.arange(shape[1])[None, :] - fractions[1] * (shape[1] - 1)
    width = 0.2 * min(shape)
    window = np.exp(-(rows**2 + columns**2) / (2 * width**2))
    return _unit_length(np.stack([rows * window, columns * window]))


def _swirl(shape: tuple[int, int], seed: int) -> np.ndarray:
    """A random divergence-free displacement that ends before the border; `[2, H, W]`, at most 1 long."""
    stream = numpy_generator(seed, "swirl").standard_normal(shape)
    stream = ndimage.gaussian_filter(stream, [0.15 * size for size in shape], mode="wrap")
    stream /= max(np.abs(stream).max(), np.finfo(float).tiny)
    window = np.outer(*(np.hanning(size + 2)[1:-1] for size in shape))
    along_rows, along_columns = _derivatives(stream * window)
    return _unit_length(np.stack([along_columns, -along_rows]))


def _unit_length(field: np.ndarray) -> np.ndarray:
    largest = np.sqrt((field**2).sum(axis=0)).max()
    return field / largest if largest > 0 else field


def _derivatives(values: np.ndarray) -> list[np.ndarray]:
    """Along rows and along columns; zero along an axis of one pixel."""
    return [np.gradient(values, axis=axis) if values.shape[axis] > 1 else 0 * values for axis in (0, 1)]


def _check_no_folding(displacement: np.ndarray, amplitude: float) -> None:
    (rr, rc), (cr, cc) = (_derivatives(component) for component in displacement)
    if np.min((1 + rr) * (1 + cc) - rc * cr) <= 0:
        raise InputError(f"amplitude {amplitude} folds the image over itself", fix="give a smaller one, such as 0.03")


def _warp(image: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(image):
        return (_warp(image.real, coordinates) + 1j * _warp(image.imag, coordinates)).astype(np.complex64)
    moved = ndimage.map_coordinates(image.astype(np.float64), coordinates, order=3, mode="nearest")
    return moved.astype(np.float32)
