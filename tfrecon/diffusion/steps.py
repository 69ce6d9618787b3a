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
- loop: how the steps are made: `all_steps` from the start to the image, or `SomeSteps` a part of them.

What a path does not diffuse (`Path.join`) is in every state that of the newest estimate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path, along
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError

Denoiser = Callable[[Tensor, Tensor], Tensor]
DataStep = Callable[[Tensor, Tensor], Tensor]


class Carried(NamedTuple):
    """What a sampler carries from step to step.

    Attributes:
        state: complex64 `[..., H, W]`.
        image: the best image so far, likewise: the newest estimate after its data step.
    """

    state: Tensor
    image: Tensor


Body = Callable[[Tensor, Carried], Carried]
"""One step: `(its number, what the step before left) -> what is carried on`."""

Loop = Callable[..., Any]
"""`(count, body, start, polish=None)`: as `all_steps` and `SomeSteps`."""


def all_steps(
    count: int | Tensor, body: Body, start: Tensor, polish: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """All steps in one loop of the graph, whose body is traced once; returns the last state, the image.

    Args:
        count: how many, an integer or an int32 scalar.
        body: see `Body`.
        start: the first state.
        polish: not needed here; see `SomeSteps`.
    """
    del polish
    return _repeat(0, count, body, Carried(start, start)).state


@dataclasses.dataclass(frozen=True)
class SomeSteps:
    """The steps `first` to `last` - 1 of a sampler; parts one after the other give what `all_steps` gives.

    Called as `all_steps`, it returns `Carried`. Its image is that of `all_steps` after the last step, before it the
    best there is, through `polish`, which makes an estimate that has not met the data agree with them.

    Attributes:
        first: int32 scalar.
        last: int32 scalar.
        carried: what the part before left; None at the start.
    """

    first: Tensor
    last: Tensor
    carried: Carried | None = None

    def __call__(
        self, count: int | Tensor, body: Body, start: Tensor, polish: Callable[[Tensor], Tensor] | None = None
    ) -> Carried:
        state, image = _repeat(self.first, self.last, body, self.carried or Carried(start, start))
        image = image if polish is None else polish(image)
        return Carried(state, ops.where(ops.equal(self.last, count), state, image))


def _repeat(first: int | Tensor, last: int | Tensor, body: Body, carried: Carried) -> Carried:
    def step(index: Tensor, values: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return tuple(body(index, Carried(*values)))

    return Carried(*ops.fori_loop(first, last, step, tuple(carried)))


def count_of(times: Tensor | np.ndarray) -> int | Tensor:
    """How many times there are: an integer, or an int32 scalar where that is known when the graph runs alone.

    Raises:
        InputError: there is not one.
    """
    count = ops.shape(times)[0]
    if isinstance(count, int) and count < 1:
        raise InputError("a sampler without a single step", fix="give at least one time")
    return count


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
    count_of(times)
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
    loop: Loop = all_steps,
) -> Tensor:
    """A sampler from the numbers of its steps; arguments as in the module."""
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def body(index: Tensor, carried: Carried) -> Carried:
        state = carried.state
        t = ops.take(times, index, axis=0)
        x0_hat, x0 = estimate_image(denoiser, data_step, state, t)
        now = Steps(*(None if of is None else ops.take(of, index, axis=0) for of in steps))
        earlier = along(now.of_image, state) * x0 + along(now.of_state, state) * state
        if now.of_estimate is not None:
            earlier = earlier + along(now.of_estimate, state) * x0_hat
        if now.of_noise is not None:
            earlier = earlier + along(now.of_noise, state) * path.noise(rng.fold_in(seed, index), ops.shape(state))
        return Carried(path.join(earlier, x0), x0)

    return loop(count_of(times), body, start)
