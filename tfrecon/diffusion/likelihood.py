"""The density of images under a prior: the probability flow as a differential equation, and how it changes volumes.

In `u = x / alpha` and `l = ln(sigma / alpha)` the probability flow of every path is `du/dl = P (u - x0_hat)`, and the
logarithm of the density that it carries changes by minus its divergence (Song et al., ICLR 2021, equations 13 and
39). From l at `path.t_min` to l at `path.t_max` the flow takes images to noise of a known law, so that

    ln p(u_first) = ln p(u_last) + integral of trace(P (1 - d x0_hat / du)) dl.

u_first is an image with the noise of `t_min` in it: that is what has the density. The solver is not here: it is
TensorFlow Probability's (`methods.score.likelihood`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from keras import ops

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.path import along
from tfrecon.diffusion.steps import Denoiser
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy, make_complex, real_vdot, to_channels, to_complex
from tfrecon.util.gradients import gradient_with_extra


@dataclasses.dataclass(frozen=True)
class ScaledFlow:
    """The flow in units in which white images do not move, so that solvers take long steps.

    A state is `w = P u / s(l)` with `s² = data_std² + (c sigma / alpha)²`, c the standard deviation of a unit of noise
    in one channel: s is what u has in one channel if the pixels of images are independent. For such images w is
    constant along the flow, and so is its density.

    Attributes:
        denoiser: see `steps`; differentiable with respect to the state. It must be one function of state and time: a
            network of patches needs a fixed partition.
        path: in continuous time.
        data_std: standard deviation of images in one channel; it sets the units alone, not the result.
        still: complex64 `[B, H, W]`, images whose undiffused part states have; any of that shape where the path
            diffuses everything.
        dimensions: how many real numbers of an image are diffused, a number or float32 `[B]`.
    """

    denoiser: Denoiser
    path: ContinuousPath
    data_std: float
    still: Tensor
    dimensions: Tensor | float

    def ends(self) -> tuple[Tensor, Tensor]:
        """The level l at `path.t_min`, next to the image, and the larger one at `path.t_max`; float32 scalars."""
        return tuple(-0.5 * self.path.log_snr(time) for time in (self.path.t_min, self.path.t_max))

    def state_of(self, image: Tensor, level: Tensor) -> Tensor:
        """The state of images u at a level l.

        Args:
            image: complex64 `[B, H, W]`.
            level: l, a float32 scalar.

        Returns:
            float32 `[B, H, W, 2]`; the second channel is zero where noise is real.
        """
        return to_channels(self.path.project(image)) / self._unit(level)

    def image_of(self, state: Tensor, level: Tensor) -> Tensor:
        """Images u of a state; the other way of `state_of`."""
        return self.path.join(along(self._unit(level), self.still) * to_complex(state), self.still)

    def velocity(self, level: Tensor, state: Tensor) -> Tensor:
        """dw/dl, float32 like the state.

        Args:
            level: l, a float32 scalar.
            state: from `state_of`.
        """
        x_t, t, _ = self._noisy(level, state)
        return self._velocity(level, state, self.denoiser(x_t, t))

    def velocity_and_divergence(self, level: Tensor, state: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
        """dw/dl, and its divergence for each dimension as a probe sees it.

        Hutchinson's estimate (1990): with z of independent elements of variance one, `z · J z` is the trace of J on
        average. It takes one gradient through the denoiser; what the denoiser has no part in is exact.

        Args:
            level: l, a float32 scalar.
            state: from `state_of`.
            probe: z, from `draw_probe`.

        Returns:
            The velocity, and the divergence over `dimensions`, float32 `[B]`.
        """
        x_t, t, alpha = self._noisy(level, state)

        def along_probe(x: Tensor) -> tuple[Tensor, Tensor]:
            x0_hat = self.denoiser(x, t)
            return real_vdot(probe, x0_hat), x0_hat

        x0_hat, gradient = gradient_with_extra(along_probe, x_t)
        of_estimate = alpha * real_vdot(probe, gradient) / self.dimensions
        return self._velocity(level, state, x0_hat), 1.0 - of_estimate - self._growth(level)

    def draw_probe(self, seed: Tensor, shape: Sequence[int | Tensor]) -> Tensor:
        """P of random signs in each channel, complex64 of `shape`; the imaginary part is zero where noise is real.

        Args:
            seed: from `util.rng`, or a batch of them `[B, 2]`.
            shape: `[B, H, W]`.
        """
        numbers = rng.uniform(seed, (*shape, 2))
        signs = ops.where(numbers < 0.5, -1.0, 1.0)
        imag = ops.zeros_like(signs[..., 1]) if self.path.real else signs[..., 1]
        return self.path.project(make_complex(signs[..., 0], imag))

    def noise_of(self, state: Tensor) -> Tensor:
        """The unit noise n whose `path.prior(n)` a state at the last level is, complex64 `[B, H, W]`."""
        scale = self._unit(self.ends()[1]) / self._last_scale()
        return along(scale, self.still) * to_complex(state)

    def state_of_noise(self, noise: Tensor) -> Tensor:
        """The state at the last level of unit noise; the other way of `noise_of`."""
        return to_channels(self.path.project(noise)) * (self._last_scale() / self._unit(self.ends()[1]))

    def log_density(self, last_state: Tensor, integral: Tensor) -> Tensor:
        """The logarithm of the density of u_first in nats, for each dimension, float32 `[B]`.

        Args:
            last_state: where the flow took the image.
            integral: of the divergence of `velocity_and_divergence` over l, `[B]`.
        """
        first, last = self.ends()
        # Of the last state, whose noise is normal; then back to the first one, and from w to u there.
        std = self.path.channel_std * self._last_scale() / self._unit(last)
        distance = ops.sum(energy(self.noise_of(last_state)), axis=(-2, -1)) / self.path.channel_std**2
        of_last = -0.5 * distance / self.dimensions - ops.log(std) - 0.5 * math.log(math.tau)
        return of_last + integral - ops.log(self._unit(first))

    def _velocity(self, level: Tensor, state: Tensor, x0_hat: Tensor) -> Tensor:
        unit = self._unit(level)
        moved = to_channels(self.path.project(self.image_of(state, level) - x0_hat))
        return moved / unit - self._growth(level) * state

    def _noisy(self, level: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x_t, t and alpha of a state."""
        t = self.path.time_of_log_snr(-2.0 * level)
        alpha = self.path.alpha(t)
        faded = along(alpha * self._unit(level), self.still) * to_complex(state)
        return self.path.join(faded, self.still), t, alpha

    def _noise_std(self, level: Tensor) -> Tensor:
        """Standard deviation of the noise in u, in one channel."""
        return ops.exp(ops.cast(level, "float32")) * self.path.channel_std

    def _growth(self, level: Tensor) -> Tensor:
        """The slope of ln s."""
        return ops.square(self._noise_std(level) / self._unit(level))

    def _unit(self, level: Tensor) -> Tensor:
        """The unit s(l)."""
        return ops.sqrt(self.data_std**2 + ops.square(self._noise_std(level)))

    def _last_scale(self) -> Tensor:
        """By how much the unit noise that a path ends in is larger in u, float32."""
        end = ops.real(self.path.prior(ops.ones((), "complex64")))
        return end / self.path.alpha(self.path.t_max)


def bits_per_dimension(nats: Tensor, step: float) -> Tensor:
    """What a real number of an image costs in bits if it is told to the nearest multiple of a step.

    `-log2(p step)` for each dimension. It is the length of a code where the density hardly changes within a step; with
    a step of one it is the density itself in bits.

    Args:
        nats: ln p for each dimension, p in the units of images.
        step: in the units of images.
    """
    return -nats / math.log(2.0) - math.log2(step)
