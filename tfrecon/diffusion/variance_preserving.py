"""Variance-preserving paths: the image fades while noise grows (VP), or noise grows more slowly (subVP).

Song et al., "Score-based generative modeling through stochastic differential equations", ICLR 2021,
section 3.4 and appendix B; beta from 0.1 to 20 as published there and in HFS-SDE (Cao et al., IEEE TMI, 2024).
"""

from __future__ import annotations

import abc

import numpy as np
from keras import ops

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


class FadingPath(ContinuousPath):
    """What VP and subVP share: `alpha = exp(-B/2)` and `dx = -beta x / 2 dt + g dw`.

    B(t) is the integral of `beta(t) = beta_min + t (beta_max - beta_min)`.

    Args:
        beta_min: beta at t = 0.
        beta_max: beta at t = 1.
        t_min: see `ContinuousPath`; the published value by default.
        noise_variance: E|n|² of one unit of noise.
        real: whether noise is real.

    Raises:
        InputError: rates that are not 0 < beta_min < beta_max.
    """

    def __init__(
        self,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        *,
        t_min: float = 1e-3,
        noise_variance: float = 2.0,
        real: bool = False,
    ) -> None:
        super().__init__(t_min, noise_variance, real)
        if not 0 < beta_min < beta_max:
            raise InputError(f"beta from {beta_min:g} to {beta_max:g}", fix="give 0 < beta_min < beta_max")
        self.beta_min, self.beta_max = beta_min, beta_max

    def beta(self, t: Tensor) -> Tensor:
        """The rate at which the image fades, float32."""
        return self.beta_min + (self.beta_max - self.beta_min) * ops.cast(t, "float32")

    def integral(self, t: Tensor) -> Tensor:
        """B(t), float32."""
        t = ops.cast(t, "float32")
        return t * (self.beta_min + 0.5 * (self.beta_max - self.beta_min) * t)

    def alpha(self, t: Tensor) -> Tensor:
        return ops.exp(-0.5 * self.integral(t))

    def f(self, t: Tensor) -> Tensor:
        return -0.5 * self.beta(t)

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        integral = self._integral_of_ratio(ops.exp(-0.5 * ops.cast(log_snr, "float32")))
        slope = self.beta_max - self.beta_min
        # The positive root of B(t) = integral, in the form that does not cancel at small t.
        return 2.0 * integral / (self.beta_min + ops.sqrt(self.beta_min**2 + 2.0 * slope * integral))

    @abc.abstractmethod
    def _integral_of_ratio(self, ratio: Tensor) -> Tensor:
        """B where sigma / alpha has a value."""


class VariancePreserving(FadingPath):
    """`sigma² = 1 - exp(-B)`: alpha² + sigma² is 1 at all times. Arguments as of `FadingPath`."""

    def sigma(self, t: Tensor) -> Tensor:
        return ops.sqrt(-ops.expm1(-self.integral(t)))

    def g(self, t: Tensor) -> Tensor:
        return ops.sqrt(self.beta(t))

    def _integral_of_ratio(self, ratio: Tensor) -> Tensor:
        return ops.log1p(ops.square(ratio))  # its square is exp(B) - 1

    def chain(self, count: int) -> DiscretePath:
        """The chain of `count` steps that discretises the path (DDPM): betas from beta_min/count to beta_max/count.

        Raises:
            InputError: so few steps that a beta would be more than 1.
        """
        if count < self.beta_max:
            raise InputError(f"a chain of {count} steps for beta up to {self.beta_max:g}", fix="take more steps")
        betas = np.linspace(self.beta_min / count, self.beta_max / count, count)
        return DiscretePath(betas, self.noise_variance)


class SubVariancePreserving(FadingPath):
    """`sigma = 1 - exp(-B)`: less noise than VP at every time. Arguments as of `FadingPath`."""

    def sigma(self, t: Tensor) -> Tensor:
        return -ops.expm1(-self.integral(t))

    def g(self, t: Tensor) -> Tensor:
        return ops.sqrt(-self.beta(t) * ops.expm1(-2.0 * self.integral(t)))

    def _integral_of_ratio(self, ratio: Tensor) -> Tensor:
        return 2.0 * ops.arcsinh(0.5 * ratio)  # the ratio is exp(B/2) - exp(-B/2)
