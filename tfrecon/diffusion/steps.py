"""What samplers of estimates are made of: levels along the times, steps as numbers, and the one loop.

Samplers are functions over `(denoiser, path, data_step, times, seed, start)`:

- denoiser: `(x_t, t) -> x0_hat`, complex64 `[..., H, W]` and a scalar time; whatever it is conditioned on
  it holds itself.
- data_step: `(x0_hat, t) -> x0_hat`; the one door through which physics (consistency with the data, a
  bound on the magnitude) enters a sampler. None leaves the estimate as it is.
- times: the times at which the denoiser is called, falling; the last step ends in the image itself, so
  there are as many calls as times unless a sampler says otherwise.
- seed: of the noise; of an image batch `[B, H, W]` it may be `[B, 2]`, one for each image, which then does
  not depend on the others of its batch.
- start: the state at `times[0]`.

What a path does not diffuse (`Path.join`) is in every state that of the newest estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path, along
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError

Denoiser = Callable[[Tensor, Tensor], Tensor]
DataStep = Callable[[Tensor, Tensor], Tensor]


class Levels(NamedTuple):
    """Alpha and sigma at each time t and at the s that follows, float32 `[K]`; what follows the last is the image."""

    alpha_t: Tensor
    sigma_t: Tensor
    alpha_s: Tensor
    sigma_s: Tensor


class Steps(NamedTuple):
    """A sampler as numbers, float32 `[K]` each.

    `x_s = of_image · x0 + of_estimate · x0_hat + of_state · x_t + of_noise · n`, where x0_hat is what the denoiser
    said and x0 what the data step made of it.

    Attributes:
        of_image: weights of x0.
        of_state: weights of the state.
        of_noise: weights of new noise; None where none is drawn.
        of_estimate: weights of x0_hat; None where it does not matter any more.
    """

    of_image: Tensor
    of_state: Tensor
    of_noise: Tensor | None = None
    of_estimate: Tensor | None = None


def levels_of(path: Path, times: Tensor | np.ndarray) -> Levels:
    """The levels of a path along falling times.

    Raises:
        InputError: no times.
    """
    if len(times) < 1:
        raise InputError("a sampler without a single step", fix="give at least one time")
    alpha, sigma = path.alpha(times), path.sigma(times)
    return Levels(alpha, sigma, ops.pad(alpha[1:], [[0, 1]], constant_values=1.0), ops.pad(sigma[1:], [[0, 1]]))


def estimate_image(denoiser: Denoiser, data_step: DataStep | None, state: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The denoiser's estimate, and what the data step makes of it."""
    x0_hat = denoiser(state, t)
    return x0_hat, x0_hat if data_step is None else data_step(x0_hat, t)


def run_steps(
    steps: Steps,
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
) -> Tensor:
    """All steps in one loop of the graph, whose body is traced once; arguments as in the module."""
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def body(index: Tensor, state: Tensor) -> Tensor:
        t = ops.take(times, index, axis=0)
        x0_hat, x0 = estimate_image(denoiser, data_step, state, t)
        now = Steps(*(None if of is None else ops.take(of, index, axis=0) for of in steps))
        earlier = along(now.of_image, state) * x0 + along(now.of_state, state) * state
        if now.of_estimate is not None:
            earlier = earlier + along(now.of_estimate, state) * x0_hat
        if now.of_noise is not None:
            earlier = earlier + along(now.of_noise, state) * path.noise(rng.fold_in(seed, index), ops.shape(state))
        return path.join(earlier, x0)

    return ops.fori_loop(0, times.shape[0], body, start)
