"""A complex Gaussian prior over a few pixels, whose estimates, posteriors and flows are known, in NumPy.

Images are `[B, H, W]`; laws are over their pixels in a row. Estimates and data steps are tabulated at the times of a
sampler, so that one class serves paths that diffuse everything and paths that do not.
"""

import keras
import numpy as np
from keras import ops

from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.high_frequency import high_frequency_projector
from tfrecon.physics.fourier import fft2c, ifft2c
from tfrecon.util import rng

SHAPE = (1, 4)
PIXELS = 4
LOW = np.array([[0, 0, 1, 0]], np.float32)
"""The low frequencies of the paths "hfs": the origin alone, at index n//2."""


def compiled(function, *arguments):
    """The result of a function of tensors, run as one graph."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)(*arguments)
    import tensorflow as tf

    return tf.function(function, autograph=False)(*arguments)


class Gaussian:
    """A law N(mean, covariance) of complex vectors, circular about its mean."""

    def __init__(self, mean, covariance):
        self.mean, self.covariance = np.asarray(mean, complex), np.asarray(covariance, complex)

    def draw(self, count, seed=0):
        generator = np.random.default_rng(seed)
        white = generator.normal(size=(count, len(self.mean), 2)) @ np.array([1, 1j]) / np.sqrt(2)
        return (self.mean + white @ np.linalg.cholesky(self.covariance).T).reshape(count, *SHAPE).astype("complex64")

    def given(self, matrix, data, noise_std):
        """The law after measuring `data = matrix x + noise`, E|noise|² = noise_std² each."""
        gain = self._gain(matrix, noise_std**2 * np.eye(len(matrix)))
        return Gaussian(
            self.mean + gain @ (data - matrix @ self.mean), self.covariance - gain @ matrix @ self.covariance
        )

    def estimate(self, matrix, noise_covariance):
        """(gain, offset) of E[x | matrix x + noise] = gain (…) + offset."""
        gain = self._gain(matrix, noise_covariance)
        return gain, self.mean - gain @ matrix @ self.mean

    def _gain(self, matrix, noise_covariance):
        cross = self.covariance @ matrix.conj().T
        return cross @ np.linalg.pinv(matrix @ cross + noise_covariance, hermitian=True)


_generator = np.random.default_rng(7)
_factor = _generator.normal(size=(PIXELS, PIXELS, 2)) @ np.array([1, 1j])
PRIOR = Gaussian(
    _generator.normal(size=(PIXELS, 2)) @ np.array([0.4, 0.4j]),
    0.05 * _factor @ _factor.conj().T + 0.1 * np.eye(PIXELS),
)
"""Pixels are correlated; standard deviations are about 0.8, means about 0.5."""

MATRIX = (np.fft.fft(np.eye(PIXELS), norm="ortho") @ np.diag(np.exp(1j * np.arange(PIXELS))))[[0, 1]]
NOISE_STD = 0.15
DATA = MATRIX @ PRIOR.draw(1, seed=11).ravel() + np.array([0.1 - 0.05j, 0.02 + 0.1j])
"""Two of four samples of k-space, seen through a coil map of modulus one, with noise."""
POSTERIOR = PRIOR.given(MATRIX, DATA, NOISE_STD)


def projector_matrix(kind):
    """What a path of this kind diffuses, as a matrix on pixels."""
    if kind != "hfs":
        return np.eye(PIXELS)
    transform = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(np.eye(PIXELS), axes=0), axis=0, norm="ortho"), axes=0)
    return transform.conj().T @ np.diag(1 - LOW[0]) @ transform


def make(kind, noise_variance=1.0):
    """A path; VE no wider than its prior needs."""
    settings = PathSettings(kind=kind, sigma_max=30.0, noise_variance=noise_variance)
    return make_path(settings, high_frequency_projector(LOW, fft2c, ifft2c))


def _laws(law, path, times, kind):
    """(D, noise covariance) of x_t = D x_0 + noise at each time."""
    projector, rest = projector_matrix(kind), np.eye(PIXELS) - projector_matrix(kind)
    alphas, sigmas = (ops.convert_to_numpy(level(times)).astype(float) for level in (path.alpha, path.sigma))
    return [
        (rest + alpha * projector, sigma**2 * path.noise_variance * projector)
        for alpha, sigma in zip(alphas, sigmas, strict=True)
    ]


class Affine:
    """`x -> gain_k x + offset_k` on the pixels of images, with k the time of a table that is nearest to t."""

    def __init__(self, times, gains, offsets):
        self.times = np.asarray(times, "float32")
        self.gains = np.stack([gain.T for gain in gains]).astype("complex64")
        self.offsets = np.stack(offsets).astype("complex64")
        self.calls = 0  # counts where loops run in Python

    def __call__(self, image, t):
        self.calls += 1
        index = ops.argmin(ops.abs(ops.convert_to_tensor(self.times) - ops.cast(t, "float32")))
        gain = ops.take(ops.convert_to_tensor(self.gains), index, axis=0)
        offset = ops.take(ops.convert_to_tensor(self.offsets), index, axis=0)
        return ops.reshape(ops.matmul(ops.reshape(image, (-1, PIXELS)), gain) + offset, ops.shape(image))


def estimate(law, path, times, kind):
    """E[x_0 | x_t] of a law at the times of a sampler, as a denoiser."""
    return Affine(times, *zip(*(law.estimate(*of) for of in _laws(law, path, times, kind)), strict=True))


def exact_data_step(law, path, times, kind):
    """What makes E[x_0 | x_t] of a law E[x_0 | x_t, y] of the module's measurement."""
    gains, offsets = [], []
    for matrix, noise in _laws(law, path, times, kind):
        gain, _ = law.estimate(matrix, noise)
        left = Gaussian(law.mean, law.covariance - gain @ matrix @ law.covariance)
        to_data, _ = left.estimate(MATRIX, NOISE_STD**2 * np.eye(len(MATRIX)))
        gains.append(np.eye(PIXELS) - to_data @ MATRIX)
        offsets.append(to_data @ DATA)
    return Affine(times, gains, offsets)


def proximal(image, weight):
    """argmin |A x - y|² + weight |x - image|² of the module's measurement."""
    matrix = ops.convert_to_tensor(MATRIX.T, "complex64")
    image = ops.convert_to_tensor(image)
    flat = ops.reshape(image, (-1, PIXELS))
    residual = DATA.astype("complex64") - ops.matmul(flat, matrix)
    # A A^H = 1, so that A^H r / (1 + w) leads from the image to the minimum.
    moved = flat + ops.matmul(residual, ops.conj(ops.transpose(matrix))) / ops.cast(1 + weight, "complex64")
    return ops.reshape(moved, ops.shape(image))


def starts(path, law, count=4000, seed=3):
    """States at the end of a path; what it does not diffuse is drawn from the law."""
    images = law.draw(count, seed)
    return path.join(path.prior(path.noise(rng.make_seed(seed), images.shape)), images)


def moments(samples):
    """Mean and covariance of images."""
    flat = ops.convert_to_numpy(samples).astype(complex).reshape(-1, PIXELS)
    mean = flat.mean(0)
    return mean, (flat - mean).T @ (flat - mean).conj() / len(flat)


def errors(samples, law):
    """Relative errors of the mean and of the covariance (Frobenius)."""
    mean, covariance = moments(samples)
    return (
        np.linalg.norm(mean - law.mean) / np.linalg.norm(law.mean),
        np.linalg.norm(covariance - law.covariance) / np.linalg.norm(law.covariance),
    )
