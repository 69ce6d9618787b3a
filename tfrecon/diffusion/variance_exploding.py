"""The variance-exploding path: the image stays as it is, and noise grows geometrically.

Song et al., "Score-based generative modeling through stochastic differential equations", ICLR 2021,
section 3.4; with the noise levels of score-MRI (Chung & Ye, Medical Image Analysis, 2022).
"""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


class VarianceExploding(ContinuousPath):
    """`alpha = 1`, `sigma(t) = sigma_min (sigma_max / sigma_min)^t`.

    The equation is `dx = sigma(t) sqrt(2 ln(sigma_max / sigma_min)) dw`.

    Args:
        sigma_min: units of noise at t = 0.
        sigma_max: at t = 1. The defaults are score-MRI's; HFS-SDE's baseline has 348.
        t_min: see `ContinuousPath`; the published value by default.
        noise_variance: E|n|² of one unit of noise.
        real: whether noise is real.

    Raises:
        InputError: levels that are not 0 < sigma_min < sigma_max.
    """

    def __init__(
        self,
        sigma_min: float = 0.01,
        sigma_max: float = 378.0,
        *,
        t_min: float = 1e-5,
        noise_variance: float = 2.0,
        real: bool = False,
    ) -> None:
        super().__init__(t_min, noise_variance, real)
        if not 0 < sigma_min < sigma_max:
            raise InputError(f"noise from {sigma_min:g} to {sigma_max:g}", fix="give 0 < sigma_min < sigma_max")
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        self._lowest, self._range = math.log(sigma_min), math.log(sigma_max / sigma_min)

    def alpha(self, t: Tensor) -> Tensor:
        return ops.ones_like(ops.cast(t, "float32"))

    def sigma(self, t: Tensor) -> Tensor:
        return ops.exp(self._lowest + self._range * ops.cast(t, "float32"))

    def f(self, t: Tensor) -> Tensor:
        return ops.zeros_like(ops.cast(t, "float32"))

    def g(self, t: Tensor) -> Tensor:
        return self.sigma(t) * math.sqrt(2 * self._range)

    def log_snr(self, t: Tensor) -> Tensor:
        return -2.0 * (self._lowest + self._range * ops.cast(t, "float32"))

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        return (-0.5 * ops.cast(log_snr, "float32") - self._lowest) / self._range

    def prior(self, noise: Tensor) -> Tensor:
        return self.sigma_max * noise

    def chain_sigmas(self, count: int) -> np.ndarray:
        """The noise levels of the chain of `count` steps that discretises the path (SMLD), float64 `[count]`, rising.

        Step i of the chain adds the variance `sigma_i² - sigma_{i-1}²` with `sigma_{-1} = 0`. The predictor
        `reverse_diffusion` takes these steps backwards on the times `grids.make_times(path, count)`.
        """
        return np.geomspace(self.sigma_min, self.sigma_max, count)
