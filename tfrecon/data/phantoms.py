"""Objects made of ellipses, whose image and whose k-space are both known in closed form.

The field of view is [-1, 1) along rows and along columns whatever the size, with the origin at index
n//2, so a phantom fills every shape. An ellipse's Fourier transform is a Bessel function (Van de Walle
et al., IEEE Trans. Med. Imaging 19:258, 2000), so k-space needs no FFT of a pixel grid: what such
data shows at its edges is the truth of a scanner, not the agreement of a method with its own
discretisation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator


@dataclasses.dataclass(frozen=True)
class Ellipse:
    """One uniform ellipse; overlapping ellipses add up.

    Attributes:
        intensity: what it adds to the image inside.
        centre: (row, column) in the field of view [-1, 1); rows grow downwards.
        semi_axes: along its own first axis (rows when the angle is zero) and second (columns).
        angle: rotation in radians, from the row axis towards the column axis.
    """

    intensity: float
    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float = 0.0


def _from_table(intensity: float, half_width: float, half_height: float, x: float, y: float, degrees: float) -> Ellipse:
    # Tables are printed with y upwards and counter-clockwise angles from x: in rows and columns
    # (y downwards) the centre's row is -y, and the angle keeps its sign.
    return Ellipse(intensity, (-y, x), (half_height, half_width), math.radians(degrees))


SHEPP_LOGAN = tuple(
    _from_table(*row)
    for row in (
        (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
        (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
        (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
        (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
        (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
        (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
        (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
        (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
        (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
        (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
    )
)
"""Shepp and Logan's head (IEEE Trans. Nucl. Sci. 21:21, 1974) with Toft's higher contrast (1996)."""


def ellipses_kspace(ellipses: Sequence[Ellipse], shape: tuple[int, int]) -> np.ndarray:
    """The exact Fourier transform of a sum of ellipses on the centred grid of `fourier.fft2c`.

    Scaled as `fft2c` of the image sampled on the same grid would be, up to that image's aliasing.

    Args:
        ellipses: the object.
        shape: (H, W), odd or even.

    Returns:
        complex64 `[H, W]`.
    """
    height, width = _check_shape(shape)
    # The field of view is 2 wide, so neighbouring samples of k-space lie 1/2 apart.
    rows = (np.arange(height) - height // 2)[:, None] / 2
    columns = (np.arange(width) - width // 2)[None, :] / 2
    total = np.zeros((height, width), np.complex128)
    for ellipse in ellipses:
        cos, sin = math.cos(ellipse.angle), math.sin(ellipse.angle)
        first, second = ellipse.semi_axes
        radius = np.hypot(first * (cos * rows + sin * columns), second * (cos * columns - sin * rows))
        safe = np.where(radius > 0, radius, 1.0)
        disc = np.where(radius > 0, special.j1(2 * np.pi * safe) / safe, np.pi)  # the limit at 0 is π
        shift = np.exp(-2j * np.pi * (rows * ellipse.centre[0] + columns * ellipse.centre[1]))
        total += ellipse.intensity * first * second * disc * shift
    # A pixel covers 4/(H·W) of the field of view, and the transform is orthonormal.
    return (total * math.sqrt(height * width) / 4).astype(np.complex64)


def ellipses_image(ellipses: Sequence[Ellipse], shape: tuple[int, int], oversampling: int = 4) -> np.ndarray:
    """A sum of ellipses on a pixel grid, each pixel the mean over its area.

    Args:
        ellipses: the object.
        shape: (H, W), odd or even.
        oversampling: points per pixel and axis from which the mean is taken.

    Returns:
        float32 `[H, W]`.
    """
    height, width = _check_shape(shape)
    rows = _sample_points(height, oversampling)[:, None]
    columns = _sample_points(width, oversampling)[None, :]
    total = np.zeros((height * oversampling, width * oversampling), np.float32)
    for ellipse in ellipses:
        cos, sin = math.cos(ellipse.angle), math.sin(ellipse.angle)
        row, column = rows - ellipse.centre[0], columns - ellipse.centre[1]
        first = (cos * row + sin * column) / ellipse.semi_axes[0]
        second = (cos * column - sin * row) / ellipse.semi_axes[1]
        total[first**2 + second**2 <= 1] += ellipse.intensity
    return total.reshape(height, oversampling, width, oversampling).mean(axis=(1, 3))


def shepp_logan_kspace(shape: tuple[int, int]) -> np.ndarray:
    """Exact k-space of the modified Shepp-Logan phantom, complex64 `[H, W]`, at any size."""
    return ellipses_kspace(SHEPP_LOGAN, shape)


def shepp_logan_image(shape: tuple[int, int]) -> np.ndarray:
    """The modified Shepp-Logan phantom on a pixel grid, float32 `[H, W]`, values in [0, 1]."""
    return ellipses_image(SHEPP_LOGAN, shape)


def random_ellipses(seed: int = 0, count: int = 12) -> tuple[Ellipse, ...]:
    """A random body with `count` random ellipses inside; nowhere negative.

    Args:
        seed: the object is a function of it and of `count`.
        count: ellipses inside the body, at least 0.

    Returns:
        `count + 1` ellipses, the body first. Their image is also the band-limited truth of their
        k-space, so an object is described once and sampled at any size.
    """
    rng = numpy_generator(seed, "random_ellipses", count)
    body_axes = rng.uniform(0.72, 0.92), rng.uniform(0.6, 0.85)
    body_angle = rng.uniform(-0.2, 0.2)
    brightness = rng.uniform(0.4, 0.7)
    intensities = rng.uniform(-1.0, 1.0, count)
    # Even where all darker ellipses overlap, a tenth of the body's brightness is left.
    darkness = -intensities[intensities < 0].sum()
    intensities[intensities < 0] *= 0.9 * brightness / max(darkness, 1.0)
    intensities[intensities > 0] *= 0.5
    ellipses = [Ellipse(brightness, (0.0, 0.0), body_axes, body_angle)]
    cos, sin = math.cos(body_angle), math.sin(body_angle)
    for intensity in intensities:
        semi_axes = tuple(np.exp(rng.uniform(math.log(0.03), math.log(0.3), 2)))
        # Uniform in the disc that keeps the ellipse inside, stretched with the body.
        reach = math.sqrt(rng.uniform()) * (0.95 - max(semi_axes) / min(body_axes))
        direction = rng.uniform(0, 2 * np.pi)
        first = reach * math.cos(direction) * body_axes[0]
        second = reach * math.sin(direction) * body_axes[1]
        centre = (cos * first - sin * second, sin * first + cos * second)
        ellipses.append(Ellipse(float(intensity), centre, semi_axes, rng.uniform(0, np.pi)))
    return tuple(ellipses)


def ellipse_phantom(shape: tuple[int, int], seed: int = 0, count: int = 12) -> np.ndarray:
    """The image of `random_ellipses`, float32 `[H, W]`, non-negative."""
    return ellipses_image(random_ellipses(seed, count), shape)


def _sample_points(size: int, oversampling: int) -> np.ndarray:
    """Coordinates in [-1, 1) of `oversampling` points spread over each of `size` pixels."""
    within = (np.arange(oversampling) + 0.5) / oversampling - 0.5
    pixels = np.arange(size) - size // 2
    return (pixels[:, None] + within[None, :]).reshape(-1) * 2 / size


def _check_shape(shape: tuple[int, int]) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"a phantom cannot have shape {tuple(shape)}", fix="give (height, width), both positive")
    return int(shape[0]), int(shape[1])
