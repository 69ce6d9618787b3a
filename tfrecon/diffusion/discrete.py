"""The discrete diffusion chain: T steps with variances beta (Ho, Jain & Abbeel, NeurIPS 2020).

`x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) n` for t = 0 … T-1, where x_{-1} is the image: t = 0 is one
step of noise. Hence `alpha(t)² = prod_{i ≤ t} (1 - beta_i)` and `sigma(t)² = 1 - alpha(t)²`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

Schedule = Literal["linear", "linear_scaled", "quad", "warmup10", "warmup50", "const", "jsd", "cosine"]

SCALED_FOR = 1000
"""The number of steps for which the ends of "linear_scaled" are meant."""

COSINE_OFFSET, LARGEST_COSINE_BETA = 0.008, 0.999
"""What keeps the first steps of "cosine" from being too small, and its last one from leaving nothing of the image."""


@dataclasses.dataclass(frozen=True)
class ChainSettings:
    """A chain and its noise.

    Attributes:
        steps: T.
        schedule: how beta rises; see `make_betas`.
        beta_start: the smallest beta; of "linear_scaled" that of 1000 steps.
        beta_end: the largest beta, likewise.
        noise_variance: E|n|² of one unit of complex noise: 1, or 2 for unit variance in the real and
            in the imaginary channel each, as published.
    """

    steps: int = 1000
    schedule: Schedule = "linear"
    beta_start: float = 1e-4
    beta_end: float = 0.02
    noise_variance: float = 1.0

    def __post_init__(self) -> None:
        if not self.noise_variance > 0:
            raise InputError(f"the noise variance is {self.noise_variance:g}", fix="give a positive number, usually 1")
        make_betas(self)


def make_betas(settings: ChainSettings) -> np.ndarray:
    """The variances of a chain, float64 `[T]`.

    "linear" rises linearly; "linear_scaled" too, between the ends times 1000/T, so that chains of any length end
    in about the same noise; "quad" linearly in sqrt(beta); "warmup10" and "warmup50" linearly over the first
    10 or 50 % and are constant then; "const" is `beta_end`. Whatever the ends, "jsd" is 1/T, 1/(T-1), … 1, and
    "cosine" makes alpha(t)² fall as cos² from the image to noise, with no beta above 0.999 (Nichol & Dhariwal,
    ICML 2021, equation 17).

    Raises:
        InputError: no steps, ends that are not 0 < start ≤ end ≤ 1, or too few steps for "linear_scaled".
    """
    steps, start, end = settings.steps, settings.beta_start, settings.beta_end
    if steps < 1:
        raise InputError(f"a diffusion chain of {steps} steps", fix="give at least 1, for instance 1000")
    if not 0 < start <= end <= 1:
        raise InputError(f"betas from {start:g} to {end:g}", fix="give 0 < beta_start ≤ beta_end ≤ 1")
    if settings.schedule == "linear":
        return np.linspace(start, end, steps)
    if settings.schedule == "linear_scaled":
        return _scaled_betas(settings)
    if settings.schedule == "cosine":
        return _cosine_betas(steps)
    if settings.schedule == "quad":
        return np.linspace(start**0.5, end**0.5, steps) ** 2
    if settings.schedule == "jsd":
        return 1.0 / np.linspace(steps, 1, steps)
    rising = {"warmup10": int(steps * 0.1), "warmup50": int(steps * 0.5), "const": 0}
    if settings.schedule not in rising:
        fix = f"choose linear, linear_scaled, cosine, quad, jsd or {', '.join(rising)}"
        raise InputError(f"no schedule {settings.schedule!r}", fix=fix)
    betas = np.full(steps, end)
    betas[: rising[settings.schedule]] = np.linspace(start, end, rising[settings.schedule])
    return betas


def _scaled_betas(settings: ChainSettings) -> np.ndarray:
    scale = SCALED_FOR / settings.steps
    if settings.beta_end * scale > 1:
        least = math.ceil(settings.beta_end * SCALED_FOR)
        what = f"the schedule 'linear_scaled' reaches beta {settings.beta_end * scale:g} in {settings.steps} steps"
        raise InputError(what, fix=f"give at least {least} steps")
    return np.linspace(scale * settings.beta_start, scale * settings.beta_end, settings.steps)


def _cosine_betas(steps: int) -> np.ndarray:
    parts = np.arange(steps + 1) / steps
    kept = np.cos(0.5 * np.pi * (parts + COSINE_OFFSET) / (1 + COSINE_OFFSET)) ** 2
    return np.minimum(1.0 - kept[1:] / kept[:-1], LARGEST_COSINE_BETA)


class DiscretePath(Path):
    """A chain of given betas; its times are the integers 0 … T-1.

    Args:
        betas: variances of the steps, each in (0, 1].
        noise_variance: E|n|² of one unit of noise.

    Attributes:
        betas: float64 `[T]`.
        alphas: sqrt of the cumulative products of 1 - beta, float64 `[T]`; what `alpha` looks up.
        sigmas: sqrt(1 - alphas²), float64 `[T]`.
    """

    def __init__(self, betas: Sequence[float] | np.ndarray, noise_variance: float = 1.0) -> None:
        self.betas = np.asarray(betas, np.float64)
        kept = np.cumprod(1.0 - self.betas)
        self.alphas, self.sigmas = np.sqrt(kept), np.sqrt(1.0 - kept)
        self.noise_variance = noise_variance

    @classmethod
    def from_settings(cls, settings: ChainSettings) -> DiscretePath:
        """The chain that settings describe."""
        return cls(make_betas(settings), settings.noise_variance)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.betas)

    def alpha(self, t: Tensor) -> Tensor:
        return _look_up(self.alphas, t)

    def sigma(self, t: Tensor) -> Tensor:
        return _look_up(self.sigmas, t)

    def f(self, t: Tensor) -> Tensor:
        return _look_up(np.sqrt(1.0 - self.betas) - 1.0, t)

    def g(self, t: Tensor) -> Tensor:
        return _look_up(np.sqrt(self.betas), t)

    @property
    def t_max(self) -> int:
        """T - 1."""
        return self.steps - 1

    def fraction(self, t: Tensor) -> Tensor:
        return ops.cast(t, "float32") / max(self.steps - 1, 1)

    def as_times(self, times: np.ndarray) -> np.ndarray:
        """The nearest times of the chain, each once: int32, perhaps fewer than were given."""
        return np.unique(np.round(times).astype(np.int32))[::-1].copy()

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        """The time at which `log_snr` is nearest to a value, int32 of its shape."""
        with np.errstate(divide="ignore"):  # a chain may end in noise alone
            own = 2.0 * np.log(self.alphas / self.sigmas)
        borders = ops.convert_to_tensor(0.5 * (own[1:] + own[:-1]), "float32")
        above = borders > ops.expand_dims(ops.cast(log_snr, "float32"), -1)
        return ops.sum(ops.cast(above, "int32"), axis=-1)

    def time_at(self, fraction: Tensor, first: float = 0.0) -> Tensor:
        """The times of numbers in [0, 1): each of 0 … T-1 has an equal share, int32."""
        return ops.minimum(ops.cast(fraction * self.steps, "int32"), self.steps - 1)

    def all_times(self) -> np.ndarray:
        """T-1, T-2, … 0: int32 `[T]`."""
        return np.arange(self.steps, dtype=np.int32)[::-1].copy()

    def respaced(self, count: int, depth: float = 1.0) -> np.ndarray:
        """`count` of the chain's own times, evenly spaced, for a sampler with few steps.

        The times stay those that a network was trained with, and `path.posterior` gives the exact step
        between any two of them, so neither the network nor the chain has to be changed.

        Args:
            count: number of times, from 1 to T.
            depth: where to begin: 1 at T-1, where the image is drowned, less where some of it is left.

        Returns:
            int32 `[count]`, falling to 0, the time next to the image. A single one is 0 itself: with one
            call, the state that is nearest to the image is the most informative.

        Raises:
            InputError: fewer times than asked for, or a depth outside (0, 1].
        """
        if not 0 < depth <= 1:
            raise InputError(f"depth is {depth:g}", fix="give a fraction of the chain in (0, 1]")
        last = round(depth * (self.steps - 1))
        if not 1 <= count <= last + 1:
            raise InputError(f"{count} steps of a chain of {last + 1}", fix=f"give 1 to {last + 1} steps")
        return np.round(np.linspace(0, last if count > 1 else 0, count)).astype(np.int32)[::-1].copy()


def rebuilt_path(settings: ChainSettings, steps: int) -> DiscretePath:
    """A short chain between the same betas: `linspace(beta_start, beta_end, steps)`.

    This is what SSDiffRecon's published code samples with, whatever chain was trained: its noise levels
    are not those of the trained times of the same number (`sigma` 0.22 instead of 0.026 at the fourth of five).
    """
    return DiscretePath(np.linspace(settings.beta_start, settings.beta_end, steps), settings.noise_variance)


def _look_up(table: np.ndarray, t: Tensor) -> Tensor:
    return ops.take(ops.convert_to_tensor(table, "float32"), ops.cast(t, "int32"), axis=0)
