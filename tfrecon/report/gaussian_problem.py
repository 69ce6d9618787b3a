"""A reconstruction problem whose posterior is known: a Gaussian prior, several coils, masked Fourier samples, noise.

Images are small, so that laws are dense matrices over their pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from keras import ops

from tfrecon.data.coil_simulation import birdcage_maps
from tfrecon.diffusion.path import Path
from tfrecon.physics.fourier import fft2c
from tfrecon.physics.masks import make_mask
from tfrecon.physics.operators import SenseOperator
from tfrecon.typing import Tensor
from tfrecon.util.rng import numpy_generator

RMS, SPECTRUM_WIDTH, OUTSIDE = 0.5, 1.5, 0.3
"""Of the prior: root mean square of a pixel, width of the spectrum in samples, amplitude outside the object."""


@dataclasses.dataclass(frozen=True)
class Law:
    """A circular complex Gaussian over pixels: mean complex128 `[n]`, covariance `[n, n]`."""

    mean: np.ndarray
    covariance: np.ndarray

    def seen_through(self, matrix: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(gain, offset) of `E[x | matrix x + n] = gain (matrix x + n) + offset`, n of covariance `noise`."""
        cross = self.covariance @ matrix.conj().T
        gain = cross @ np.linalg.pinv(matrix @ cross + noise, hermitian=True)
        return gain, self.mean - gain @ matrix @ self.mean

    def given(self, matrix: np.ndarray, data: np.ndarray, noise_std: float) -> Law:
        """The law once `data = matrix x + n` is known, E|n|² = noise_std²."""
        gain, offset = self.seen_through(matrix, noise_std**2 * np.eye(len(matrix)))
        return Law(gain @ data + offset, self.covariance - gain @ matrix @ self.covariance)


@dataclasses.dataclass(frozen=True)
class GaussianProblem:
    """What is measured, and what is known of the image before and after.

    Attributes:
        size: H = W.
        matrix: A, complex128 `[samples, H·W]`: coil maps of unit energy, orthonormal Fourier transform, mask.
        data: y, complex128 `[samples]`.
        noise_std: sqrt(E|n|²) of a sample.
        low_frequencies: the calibration lines, float32 `[1, W]`.
        prior: zero mean; neighbouring pixels are alike, and pixels differ in their variance.
        posterior: exact.
    """

    size: int
    matrix: np.ndarray
    data: np.ndarray
    noise_std: float
    low_frequencies: np.ndarray
    prior: Law
    posterior: Law


def make_problem(
    size: int = 8, coils: int = 4, acceleration: float = 8 / 3, noise_std: float = 0.05, seed: int = 0
) -> GaussianProblem:
    """A problem of equispaced lines around two calibration lines.

    Args:
        size: H = W, even.
        coils: of a birdcage.
        acceleration: W over lines.
        noise_std: see `GaussianProblem`; the prior's root mean square is 0.5.
        seed: of the image and the noise.
    """
    mask = make_mask("equispaced", (size, size), acceleration, acs_lines=2, seed=seed).array
    basis = np.eye(size * size, dtype=np.complex64).reshape(-1, size, size)
    kspace = ops.convert_to_numpy(SenseOperator(birdcage_maps(coils, (size, size)), mask).forward(basis))
    sampled = np.broadcast_to(mask.astype(bool), kspace.shape[1:]).ravel()
    matrix = kspace.reshape(len(basis), -1).T[sampled].astype(complex)
    prior = Law(np.zeros(size * size, complex), _prior_covariance(size, basis))
    generator = numpy_generator(seed, "gaussian problem")
    image = np.linalg.cholesky(prior.covariance) @ _white(generator, size * size)
    data = matrix @ image + noise_std * _white(generator, len(matrix))
    low = np.zeros((1, size), np.float32)
    low[0, size // 2 - 1 : size // 2 + 1] = 1
    return GaussianProblem(size, matrix, data, noise_std, low, prior, prior.given(matrix, data, noise_std))


class TabulatedEstimate:
    """E[x_0 | x_t] of a law at the times of a sampler: a denoiser for states `[B, H, W]`.

    Args:
        law: of x_0.
        path: any path; what it does not diffuse is known exactly.
        times: at which it may be called; others are answered for the nearest.
        size: H = W.
    """

    def __init__(self, law: Law, path: Path, times: np.ndarray, size: int) -> None:
        basis = np.eye(size * size, dtype=np.complex64).reshape(-1, size, size)
        diffused = ops.convert_to_numpy(path.project(basis)).reshape(size * size, -1).T.astype(complex)
        rest = np.eye(size * size) - diffused
        gains, offsets = [], []
        for alpha, sigma in zip(
            *(ops.convert_to_numpy(level(times)) for level in (path.alpha, path.sigma)), strict=True
        ):
            noise = float(sigma) ** 2 * path.noise_variance * diffused
            gain, offset = law.seen_through(rest + float(alpha) * diffused, noise)
            gains.append(gain.T.astype(np.complex64))
            offsets.append(offset.astype(np.complex64))
        self._times = ops.convert_to_tensor(np.asarray(times, np.float32))
        self._gains, self._offsets = (ops.convert_to_tensor(np.stack(parts)) for parts in (gains, offsets))

    def __call__(self, state: Tensor, t: Tensor) -> Tensor:
        index = ops.argmin(ops.abs(self._times - ops.cast(t, "float32")))
        gain, offset = ops.take(self._gains, index, axis=0), ops.take(self._offsets, index, axis=0)
        return on_pixels(state, lambda flat: ops.matmul(flat, gain) + offset)


def on_pixels(images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies a function of `[B, H·W]` to images `[B, H, W]`."""
    images = ops.convert_to_tensor(images, "complex64")
    flat = ops.reshape(images, (-1, images.shape[-2] * images.shape[-1]))
    return ops.reshape(function(flat), ops.shape(images))


def relative_errors(samples: np.ndarray, law: Law) -> tuple[float, float]:
    """Relative errors of the mean (2-norm) and of the covariance (Frobenius norm) of a sampler, not of its samples.

    The squared error of an estimate from B samples contains what B samples miss. The inner product of the
    deviations of two halves does not, on average; where it is negative, the error is below what B samples show.

    Args:
        samples: complex64 `[B, H, W]`.
        law: the right one.
    """
    flat = samples.reshape(len(samples), -1).astype(complex)
    deviations = []
    for half in (flat[::2], flat[1::2]):
        mean = half.mean(axis=0)
        covariance = (half - mean).T @ (half - mean).conj() / (len(half) - 1)
        deviations.append((mean - law.mean, covariance - law.covariance))
    (mean, covariance), (other_mean, other_covariance) = deviations
    return _root(mean, other_mean, law.mean), _root(covariance, other_covariance, law.covariance)


def _root(first: np.ndarray, second: np.ndarray, whole: np.ndarray) -> float:
    return float(np.sqrt(max(np.vdot(first, second).real, 0.0)) / np.linalg.norm(whole))


def _prior_covariance(size: int, basis: np.ndarray) -> np.ndarray:
    transform = ops.convert_to_numpy(fft2c(basis)).reshape(size * size, -1).T.astype(complex)
    axis = np.arange(size) - size // 2
    radius = np.hypot(axis[:, None], axis)
    spectrum = (1 + (radius / SPECTRUM_WIDTH) ** 2) ** -1.5
    amplitude = np.where(radius < 0.4 * size, 1.0, OUTSIDE).ravel()
    smooth = transform.conj().T @ np.diag(spectrum.ravel()) @ transform
    covariance = amplitude[:, None] * smooth * amplitude
    return covariance * (RMS**2 * size**2 / np.trace(covariance).real)


def _white(generator: np.random.Generator, count: int) -> np.ndarray:
    parts = generator.normal(size=(2, count))
    return (parts[0] + 1j * parts[1]) * np.sqrt(0.5)
