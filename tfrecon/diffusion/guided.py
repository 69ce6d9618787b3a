"""Posterior samplers with guidance of their own: DPS and DiffPIR. Both are biased by design; see docs/samplers.md.

What denoiser, times, seed and start are is said in `steps`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path, along, posterior
from tfrecon.diffusion.samplers import ddim
from tfrecon.diffusion.steps import Carried, Denoiser, Loop, Steps, all_steps, count_of, levels_of
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.gradients import gradient_with_extra

Distance = Callable[[Tensor], Tensor]
"""`x0_hat -> |y - A x0_hat|`, float32 `[B]`, one for each image, with a finite gradient where it is zero."""

Proximal = Callable[[Tensor, Tensor], Tensor]
"""`(x0_hat, rho) -> argmin |A x - y|² + rho |x - x0_hat|²`, rho a float32 scalar."""


def dps(
    denoiser: Denoiser,
    path: Path,
    distance: Distance,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    strength: float = 0.4,
    variance: Literal["small", "large"] = "small",
    loop: Loop = all_steps,
) -> Tensor:
    """Ancestral sampling, pulled to the data through the denoiser (Chung et al., ICLR 2023, algorithm 1).

    `x_s` is the ancestral step without data, less `strength · d|y - A x0_hat(x_t)| / d x_t`. The denoiser is called
    and differentiated `len(times)` times.

    Args:
        denoiser: see `steps`; differentiated with respect to the state.
        path: any path; published for chains.
        distance: see `Distance`.
        times: `[K]`, falling; published are 1000.
        seed: see `steps`.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        strength: step along the gradient of the norm that is not squared; published 0.3 to 0.5.
        variance: of the ancestral step.
        loop: see `steps`.

    Returns:
        The last x0_hat, pulled once more, like `start`.
    """
    levels = levels_of(path, times)
    law = posterior(*levels)
    std = law.std if variance == "small" else ops.where(levels.sigma_s > 0, law.step_std, 0.0)
    tables = Steps(law.of_image, law.of_state, std)
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def body(index: Tensor, carried: Carried) -> Carried:
        state = carried.state
        t = ops.take(times, index, axis=0)

        def judged(x_t: Tensor) -> tuple[Tensor, Tensor]:
            x0_hat = denoiser(x_t, t)
            return distance(x0_hat), x0_hat

        x0_hat, uphill = gradient_with_extra(judged, state)
        noise = path.noise(rng.fold_in(seed, index), ops.shape(state))
        earlier = along(ops.take(tables.of_image, index), state) * x0_hat
        earlier = earlier + along(ops.take(tables.of_state, index), state) * state
        earlier = earlier + along(ops.take(tables.of_noise, index), state) * noise
        return Carried(path.join(earlier - strength * uphill, x0_hat), path.join(x0_hat - strength * uphill, x0_hat))

    return loop(count_of(times), body, start)


def diffpir(
    denoiser: Denoiser,
    path: Path,
    proximal: Proximal,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    noise_std: float,
    strength: float = 1.0,
    xi: float = 0.3,
    loop: Loop = all_steps,
) -> Tensor:
    """Plug-and-play with a diffusion prior (Zhu et al., CVPR workshops 2023, algorithm 1).

    Each estimate is replaced by the proximal solution for the data, which also says what noise is left:
    `x_s = alpha_s x0 + sigma_s (sqrt(1 - xi) eps + sqrt(xi) n)` with `eps = (x_t - alpha_t x0) / sigma_t`.

    Args:
        denoiser: see `steps`.
        path: any path.
        proximal: see `Proximal`; called with `diffpir_weight`.
        times: `[K]`, falling.
        seed: see `steps`.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        noise_std: of the data, sqrt(E|n|²) of a complex sample.
        strength: lambda, how much the prior counts.
        xi: part of the noise variance that is new, 0 to 1.
        loop: see `steps`.

    Returns:
        The last proximal solution, like `start`.

    Raises:
        InputError: xi outside [0, 1].
    """
    if not 0 <= xi <= 1:
        raise InputError(f"xi is {xi:g}", fix="give a number from 0 to 1")

    def data_step(x0_hat: Tensor, t: Tensor) -> Tensor:
        return proximal(x0_hat, diffpir_weight(path, t, noise_std, strength))

    return ddim(denoiser, path, data_step, times, seed, start, eta=xi**0.5, eta_of="level", loop=loop)


def diffpir_weight(path: Path, t: Tensor, noise_std: Tensor | float, strength: float = 1.0) -> Tensor:
    """`rho = strength · noise_std² alpha² / (sigma² v)`, v the variance of one unit of noise, float32 of t's shape."""
    state_noise = ops.square(path.sigma(t) / path.alpha(t)) * path.noise_variance
    return strength * noise_std**2 / state_noise
