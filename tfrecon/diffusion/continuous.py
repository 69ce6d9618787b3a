"""What paths in continuous time share: times in [0, 1], and the way from a noise level back to its time."""

from __future__ import annotations

import abc

from keras import ops

from tfrecon.diffusion.path import Path
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


class ContinuousPath(Path):
    """A path over t in [0, 1], the marginals of `dx = f(t) x dt + g(t) dw` with E|dw|² of a unit of noise times dt.

    Args:
        t_min: the time next to the image, where samplers end.
        noise_variance: E|n|² of one unit of noise.
        real: whether noise is real.

    Raises:
        InputError: a time outside (0, 1), or a variance that is not positive.
    """

    def __init__(self, t_min: float, noise_variance: float, real: bool) -> None:
        if not 0 < t_min < 1:
            raise InputError(f"t_min is {t_min:g}", fix="give a time between 0 and 1, for instance 1e-3")
        if not noise_variance > 0:
            raise InputError(f"the noise variance is {noise_variance:g}", fix="give a positive number, 1 or 2")
        self.t_min, self.noise_variance, self.real = t_min, noise_variance, real

    @abc.abstractmethod
    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        """The time at which `log_snr(t)` has a value, float32 of its shape; not limited to [0, 1]."""

    def time_at(self, fraction: Tensor, first: float = 0.0) -> Tensor:
        """Times of numbers in [0, 1), spread evenly from `first` to 1, float32."""
        return first + (self.t_max - first) * ops.cast(fraction, "float32")
