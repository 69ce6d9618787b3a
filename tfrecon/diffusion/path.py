"""What every diffusion path is: how an image becomes noise, and the Gaussian step back.

A path is Gaussian, `x_t = alpha(t) x_0 + sigma(t) n`; discrete chains, variance-exploding and
variance-preserving processes differ in alpha and sigma alone. Samplers and objectives know nothing
else of a path and never ask for its type. A process that diffuses only a part of k-space changes
`perturb`, `project` and `join`.

Images are complex. One unit of noise is circular complex Gaussian; a path says what its variance
E|n|² is (`Path.noise_variance`), and everything that draws noise for a path asks the path for it.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex


class Path(abc.ABC):
    """A Gaussian path `x_t = alpha(t) x_0 + sigma(t) n`, from the image (alpha 1, sigma 0) to noise.

    Attributes:
        noise_variance: E|n|² of one unit of noise: 1, or 2 for variance one in the real and in the
            imaginary channel each, as published priors have it.
        real: whether noise is real, for priors of magnitude images; E n² is then `noise_variance`.
        t_min: the time next to the image, where samplers end.
        t_max: the time of pure noise.
    """

    noise_variance: float = 1.0
    real: bool = False
    t_min: float = 0.0
    t_max: float = 1.0

    @abc.abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """How much of the image is left at times t: float32 of t's shape."""

    @abc.abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """How many units of noise are in at times t: float32 of t's shape."""

    @abc.abstractmethod
    def f(self, t: Tensor) -> Tensor:
        """Drift of the forward process, `f(t) x`: per unit of time, or per step of a chain."""

    @abc.abstractmethod
    def g(self, t: Tensor) -> Tensor:
        """Noise of the forward process, `g(t) n`: per root of time, or per step of a chain."""

    @property
    def channel_std(self) -> float:
        """Standard deviation of one unit of noise in each channel that it has."""
        return float(np.sqrt(self.noise_variance / (1 if self.real else 2)))

    def log_snr(self, t: Tensor) -> Tensor:
        """`2 ln(alpha / sigma)` at times t, float32; it falls from the image to noise."""
        return 2.0 * (ops.log(self.alpha(t)) - ops.log(self.sigma(t)))

    def fraction(self, t: Tensor) -> Tensor:
        """How far along the path times t are, float32 in [0, 1]."""
        return ops.cast(t, "float32")

    def as_times(self, times: np.ndarray) -> np.ndarray:
        """Falling numbers as times that the path has, NumPy: here float32 as they are."""
        return np.asarray(times, np.float32)

    def noise(self, seed: Tensor, shape: Sequence[int]) -> Tensor:
        """One unit of noise, complex64 of `shape`, in what the path diffuses.

        Args:
            seed: from `util.rng`, or a batch of them `[B, 2]` for the leading axis.
            shape: of the images.
        """
        return self.project(self.white_noise(seed, shape))

    def white_noise(self, seed: Tensor, shape: Sequence[int]) -> Tensor:
        """The noise that `noise` takes its part of, independent in all pixels; arguments as there."""
        if self.real:
            noise = rng.normal(seed, shape)
            noise = make_complex(noise, ops.zeros_like(noise))
        else:
            noise = rng.complex_normal(seed, shape)
        return noise if self.noise_variance == 1 else noise * float(np.sqrt(self.noise_variance))

    def project(self, x: Tensor) -> Tensor:
        """The part of an image that the path diffuses; here all of it."""
        return x

    def join(self, moved: Tensor, image: Tensor) -> Tensor:
        """The diffused part of `moved` and the rest of `image`; here `moved`.

        Every sampler puts its new state together with this: what a path does not diffuse is that of
        the newest estimate of the image.
        """
        return moved

    def perturb(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t of an image.

        Args:
            x0: complex64 `[..., H, W]`.
            t: times, a scalar or `[B]` for the leading axis of x0.
            noise: from `noise`, like x0.
        """
        return along(self.alpha(t), x0) * x0 + along(self.sigma(t), x0) * noise

    def prior(self, noise: Tensor) -> Tensor:
        """A sample of what the path ends in, where nothing is left of the image; here the noise itself."""
        return noise


class Posterior(NamedTuple):
    """The Gaussian q(x_s | x_t, x_0) of an earlier time s < t; all float32 of one shape.

    Its mean is `of_image · x_0 + of_state · x_t`.

    Attributes:
        of_image: weight of x_0 in the mean.
        of_state: weight of x_t in the mean.
        std: its standard deviation in units of noise, exact if x_0 is known ("fixedsmall").
        step_std: that of the forward step from s to t ("fixedlarge"), exact if x_0 is noise.
    """

    of_image: Tensor
    of_state: Tensor
    std: Tensor
    step_std: Tensor


def posterior(alpha_t: Tensor, sigma_t: Tensor, alpha_s: Tensor, sigma_s: Tensor) -> Posterior:
    """q(x_s | x_t, x_0) for any two times of a Gaussian path, neighbours of a chain or not.

    With a = alpha_t / alpha_s the step from s to t adds the variance v = sigma_t² - a² sigma_s², and by
    Bayes' rule the mean is `(alpha_s v x_0 + a sigma_s² x_t) / sigma_t²`, the variance `v sigma_s² / sigma_t²`
    (Ho, Jain & Abbeel, 2020, equations 6 and 7, for a chain's neighbours).

    Args:
        alpha_t: at the later time; any float dtype, tensors or NumPy arrays.
        sigma_t: at the later time, positive.
        alpha_s: at the earlier time, positive; 1 for the image itself.
        sigma_s: at the earlier time; 0 for the image itself, whose posterior is x_0 with no noise.
    """
    ratio = alpha_t / alpha_s
    step_variance = ops.maximum(sigma_t**2 - (ratio * sigma_s) ** 2, 0.0)
    of_image = alpha_s * step_variance / sigma_t**2
    of_state = ratio * sigma_s**2 / sigma_t**2
    step_std = ops.sqrt(step_variance)
    return Posterior(of_image, of_state, step_std * sigma_s / sigma_t, step_std)


def residual_variance(path: Path, t: Tensor, data_variance: float) -> Tensor:
    """E|x_0 - x0_hat|² of a pixel at times t if pixels are independent and Gaussian, float32.

    `sigma² v d / (alpha² d + sigma² v)` with v the variance of one unit of noise. It is how much a
    proximal data step should trust x0_hat: with `mu = noise_std² / residual_variance`, solving
    `(A^H A + mu) x = A^H y + mu x0_hat` gives E[x_0 | x_t, y] exactly for such pixels.

    Args:
        path: any path.
        t: times.
        data_variance: d, E|x_0|² of a pixel about its mean.
    """
    noise = ops.square(path.sigma(t)) * path.noise_variance
    return noise * data_variance / (ops.square(path.alpha(t)) * data_variance + noise)


def along(value: Tensor, image: Tensor) -> Tensor:
    """A float scalar, or `[B]` for the leading axis of an image, as complex64 that multiplies it."""
    value = ops.cast(value, "complex64")
    for _ in range(len(image.shape) - len(value.shape) if len(value.shape) else 0):
        value = ops.expand_dims(value, -1)
    return value
