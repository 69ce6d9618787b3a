"""Samplers: from a state on a path back to the image, in a loop inside the graph.

All are functions over `(denoiser, path, data_step, times, seed)`:

- denoiser: `(x_t, t) -> x0_hat`, complex64 `[..., H, W]` and a scalar time; whatever it is conditioned on
  it holds itself.
- data_step: `(x0_hat, t) -> x0_hat`; the one door through which physics (consistency with the data, a
  bound on the magnitude) enters a sampler. None leaves the estimate as it is.
- times: the times at which the denoiser is called, falling; the last step ends in the image itself, so
  there are as many calls as times.
- seed: of the noise; of an image batch `[B, H, W]` it may be `[B, 2]`, one for each image, which then does
  not depend on the others of its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path, along, posterior
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError

Denoiser = Callable[[Tensor, Tensor], Tensor]
DataStep = Callable[[Tensor, Tensor], Tensor]


def ancestral(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    variance: Literal["small", "large"] = "small",
) -> Tensor:
    """Samples each earlier state from its posterior with x0_hat for x_0 (DDPM).

    Args:
        denoiser: see the module.
        path: any path.
        data_step: see the module.
        times: `[K]`, falling.
        seed: see the module.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        variance: "small", the posterior's own, right where x0_hat is nearly certain; "large", that of
            the forward step, as SSDiffRecon has it. They agree for many small steps; with few, the large
            one leaves far more noise in the last states than the path has there.

    Returns:
        The last x0_hat, like `start`.
    """
    levels = _levels(path, times)
    law = posterior(*levels)
    std = law.std if variance == "small" else ops.where(levels.sigma_s > 0, law.step_std, 0.0)
    return _run(_Steps(law.of_image, law.of_state, std), denoiser, path, data_step, times, seed, start)


def ddim(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    eta: float = 0.0,
) -> Tensor:
    """Goes to each earlier state along the noise that x0_hat implies (Song, Meng & Ermon, ICLR 2021).

    Args:
        denoiser: see the module.
        path: any path.
        data_step: see the module.
        times: `[K]`, falling.
        seed: see the module.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        eta: 0 draws no noise at all; 1 is `ancestral` with the small variance.

    Returns:
        The last x0_hat, like `start`.
    """
    levels = _levels(path, times)
    std = eta * posterior(*levels).std
    kept = ops.sqrt(ops.maximum(levels.sigma_s**2 - std**2, 0.0)) / levels.sigma_t
    steps = _Steps(levels.alpha_s - kept * levels.alpha_t, kept, std if eta else None)
    return _run(steps, denoiser, path, data_step, times, seed, start)


class _Steps(NamedTuple):
    """A sampler as numbers: `x_s = of_image · x0_hat + of_state · x_t + of_noise · n`, float32 `[K]` each.

    Attributes:
        of_image: weights of the estimate.
        of_state: weights of the state.
        of_noise: weights of new noise; None where none is drawn.
    """

    of_image: Tensor
    of_state: Tensor
    of_noise: Tensor | None


class _Levels(NamedTuple):
    """Alpha and sigma at each time t and at the s that follows, float32 `[K]`; what follows the last is the image."""

    alpha_t: Tensor
    sigma_t: Tensor
    alpha_s: Tensor
    sigma_s: Tensor


def _levels(path: Path, times: Tensor | np.ndarray) -> _Levels:
    if len(times) < 1:
        raise InputError("a sampler without a single step", fix="give at least one time")
    alpha, sigma = path.alpha(times), path.sigma(times)
    return _Levels(alpha, sigma, ops.pad(alpha[1:], [[0, 1]], constant_values=1.0), ops.pad(sigma[1:], [[0, 1]]))


def _run(
    steps: _Steps,
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
) -> Tensor:
    """All steps in one loop of the graph, whose body is traced once."""
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def body(index: Tensor, state: Tensor) -> Tensor:
        t = ops.take(times, index, axis=0)
        x0_hat = denoiser(state, t)
        x0_hat = x0_hat if data_step is None else data_step(x0_hat, t)
        of_image, of_state, of_noise = (None if of is None else ops.take(of, index, axis=0) for of in steps)
        earlier = along(of_image, state) * x0_hat + along(of_state, state) * state
        if of_noise is not None:
            earlier = earlier + along(of_noise, state) * path.noise(rng.fold_in(seed, index), ops.shape(state))
        return earlier

    return ops.fori_loop(0, times.shape[0], body, start)
