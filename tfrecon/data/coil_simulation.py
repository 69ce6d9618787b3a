"""What stands between an object and its k-space: receive coils, a smooth phase, thermal noise.

Every function depends on its arguments alone; `seed` is an int, or a NumPy generator to go on from.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre

from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator

Seed = int | np.random.Generator


def birdcage_maps(coils: int, shape: tuple[int, int], radius: float = 1.6, normalise: bool = True) -> np.ndarray:
    """Sensitivities of straight legs evenly around the field of view (a degenerate birdcage).

    A leg at z_c (complex plane, field of view [-1, 1)²) has the two-dimensional Biot-Savart field
    1/(z - z_c), here scaled to 1 at the centre and turned by the leg's own angle, as the quadrature
    of a birdcage turns it.

    Args:
        coils: how many legs.
        shape: (H, W).
        radius: distance of the legs from the centre in half fields of view; more than √2, so that
            no leg stands inside.
        normalise: whether the root sum of squares over the coils is one everywhere.

    Returns:
        complex64 `[C, H, W]`.

    Raises:
        InputError: no coils, or a leg inside the field of view.
    """
    _check_coils(coils)
    if radius <= np.sqrt(2):
        raise InputError(f"birdcage radius {radius} puts legs inside the image", fix="give more than 1.42")
    turn = np.exp(2j * np.pi * np.arange(coils) / coils)[:, None, None]
    maps = turn / (1 - _plane(shape)[None] / (radius * turn))
    return _finish(maps, normalise)


def random_maps(
    coils: int, shape: tuple[int, int], seed: Seed = 0, *, variation: float = 0.3, normalise: bool = True
) -> np.ndarray:
    """Random smooth complex sensitivities of surface loops around the object.

    A rectangular loop crosses the image plane in two legs of finite length with opposite currents;
    their Biot-Savart field falls off steeply near the loop, as a surface coil's does. Places,
    sizes, gains and phases are random, and a random smooth complex factor stands for loading and
    wiring.

    Args:
        coils: how many loops.
        shape: (H, W).
        seed: int, or a generator.
        variation: standard deviation of the smooth factor's logarithm (amplitude; phase in radians).
        normalise: whether the root sum of squares over the coils is one everywhere; SENSE images
            are then in the units of the object, and noise keeps its standard deviation.

    Returns:
        complex64 `[C, H, W]`.

    Raises:
        InputError: no coils.
    """
    _check_coils(coils)
    rng = _generator(seed, "random_maps")
    plane = _plane(shape)
    angles = 2 * np.pi * (np.arange(coils) + rng.uniform(-0.25, 0.25, coils) + rng.uniform()) / coils
    radii = rng.uniform(1.45, 1.65, coils)  # the corners are at 1.42
    # Neighbouring loops about touch; few coils are not made wider than the object.
    half_widths = np.minimum(np.pi / coils, 0.5) * rng.uniform(0.8, 1.2, coils)
    gains = rng.uniform(0.7, 1.3, coils) * np.exp(2j * np.pi * rng.uniform(size=coils))
    maps = np.empty((coils, *shape), np.complex128)
    for index, (angle, radius, half_width, gain) in enumerate(zip(angles, radii, half_widths, gains, strict=True)):
        legs = radius * np.exp(1j * (angle + np.array([-half_width, half_width])))
        factor = variation * (_smooth_field(shape, rng, 2) + 1j * _smooth_field(shape, rng, 2))
        maps[index] = gain * (_leg_field(plane, legs[0]) - _leg_field(plane, legs[1])) * np.exp(factor) / half_width
    return _finish(maps, normalise)


def smooth_phase(shape: tuple[int, int], seed: Seed = 0, *, strength: float = 1.0, order: int = 3) -> np.ndarray:
    """A random smooth phase as field inhomogeneity leaves it.

    Args:
        shape: (H, W).
        seed: int, or a generator.
        strength: standard deviation over the image in radians, a random constant apart.
        order: highest degree of the polynomial along each axis.

    Returns:
        float32 `[H, W]`, radians, not wrapped.
    """
    rng = _generator(seed, "smooth_phase")
    constant = rng.uniform(-np.pi, np.pi)
    return (constant + strength * _smooth_field(shape, rng, order)).astype(np.float32)


def random_covariance(coils: int, seed: Seed = 0, *, correlation: float = 0.2, spread: float = 0.2) -> np.ndarray:
    """A random noise covariance of receive coils; the further apart two coils, the less they share.

    Args:
        coils: how many.
        seed: int, or a generator.
        correlation: absolute correlation coefficient of neighbouring coils, in [0, 1); it falls
            off as a power of the distance in coils. Its phases are random.
        spread: how far the coils' standard deviations scatter around one, in [0, 1).

    Returns:
        complex64 `[C, C]`, Hermitian, positive definite, with a mean diagonal of one.
    """
    _check_coils(coils)
    for name, value in (("correlation", correlation), ("spread", spread)):
        if not 0 <= value < 1:
            raise InputError(f"{name} of coil noise is {value}", fix="give a number from 0 up to, not including, 1")
    rng = _generator(seed, "random_covariance")
    phases = np.exp(2j * np.pi * rng.uniform(size=coils))
    distance = np.abs(np.subtract.outer(np.arange(coils), np.arange(coils)))
    coefficients = correlation**distance * np.outer(phases, phases.conj())
    stds = rng.uniform(1 - spread, 1 + spread, coils)
    stds /= np.sqrt(np.mean(stds**2))
    return (coefficients * np.outer(stds, stds)).astype(np.complex64)


def complex_noise(
    shape: tuple[int, ...], std: float = 1.0, seed: Seed = 0, *, covariance: np.ndarray | None = None
) -> np.ndarray:
    """Circular complex Gaussian noise, white or correlated between coils.

    Args:
        shape: `[..., C, H, W]`.
        std: sqrt(E|n|²) of a sample; with a covariance, a factor on its square root.
        seed: int, or a generator.
        covariance: Hermitian positive definite `[C, C]`: the noise vector n over the coils has
            E[n n^H] = std² · covariance. None for independent coils.

    Returns:
        complex64 of `shape`.

    Raises:
        InputError: the covariance does not fit the coils or is not positive definite.
    """
    rng = _generator(seed, "complex_noise")
    noise = (rng.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]) * np.float32(np.sqrt(0.5))
    if covariance is not None:
        noise = np.einsum("ij,...jhw->...ihw", _square_root(covariance, shape), noise)
    return (noise * np.float32(std)).astype(np.complex64)


def _square_root(covariance: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    covariance = np.asarray(covariance, np.complex128)
    if len(shape) < 3 or covariance.shape != (shape[-3], shape[-3]):
        raise InputError(
            f"noise covariance {covariance.shape} does not fit noise of shape {tuple(shape)}",
            fix="give [C, C] for noise [..., C, H, W]",
        )
    if not np.allclose(covariance, covariance.conj().T, rtol=1e-5, atol=1e-6 * np.abs(covariance).max()):
        raise InputError("noise covariance is not Hermitian", fix="give E[n n^H] over the coils")
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise InputError("noise covariance is not positive definite", fix="estimate it from more samples") from error


def _smooth_field(shape: tuple[int, int], rng: np.random.Generator, order: int) -> np.ndarray:
    """A random Legendre polynomial of mean zero and standard deviation one over the image."""
    coefficients = rng.standard_normal((order + 1, order + 1))
    degrees = np.arange(order + 1)
    coefficients /= 1 + degrees[:, None] + degrees[None, :]  # lower degrees dominate
    coefficients[0, 0] = 0
    rows, columns = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in shape)
    field = legendre.leggrid2d(rows, columns, coefficients)
    field -= field.mean()
    std = field.std()
    return field / std if std > 0 else field


def _plane(shape: tuple[int, int]) -> np.ndarray:
    """Coordinates column - i·row of every pixel in the field of view [-1, 1), origin at index n//2."""
    rows, columns = ((np.arange(size) - size // 2) * 2 / size for size in shape)
    return columns[None, :] - 1j * rows[:, None]


def _leg_field(plane: np.ndarray, leg: complex) -> np.ndarray:
    """Biot-Savart field of a straight wire across the plane, up to a constant."""
    half_length = 0.4
    offset = plane - leg
    return half_length / (offset * np.sqrt(np.abs(offset) ** 2 + half_length**2))


def _finish(maps: np.ndarray, normalise: bool) -> np.ndarray:
    if normalise:
        maps = maps / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0, keepdims=True))
    return maps.astype(np.complex64)


def _generator(seed: Seed, purpose: str) -> np.random.Generator:
    return seed if isinstance(seed, np.random.Generator) else numpy_generator(seed, purpose)


def _check_coils(coils: int) -> None:
    if coils < 1:
        raise InputError(f"{coils} coils cannot be simulated", fix="give at least one")
