"""Samplers whose steps are posteriors of the path with an estimate for the image: ancestral (DDPM), DDIM and DDS.

Others are in `stochastic` (score-based steps and correctors), `ode` (probability flow) and `guided` (DPS, DiffPIR).
What the arguments of all of them are is said in `steps`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path, posterior
from tfrecon.diffusion.steps import DataStep, Denoiser, Loop, Steps, all_steps, levels_of, run_steps
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


def ancestral(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    variance: Literal["small", "large"] = "small",
    loop: Loop = all_steps,
) -> Tensor:
    """Samples each earlier state from its posterior with x0_hat for x_0 (DDPM).

    Args:
        denoiser: see `steps`.
        path: any path.
        data_step: see `steps`.
        times: `[K]`, falling.
        seed: see `steps`.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        variance: "small", the posterior's own, right where x0_hat is nearly certain; "large", that of
            the forward step, as SSDiffRecon has it. They agree for many small steps; with few, the large
            one leaves far more noise in the last states than the path has there.
        loop: see `steps`.

    Returns:
        The last x0_hat, like `start`.
    """
    levels = levels_of(path, times)
    law = posterior(*levels)
    std = law.std if variance == "small" else ops.where(levels.sigma_s > 0, law.step_std, 0.0)
    return run_steps(Steps(law.of_image, law.of_state, std), denoiser, path, data_step, times, seed, start, loop)


def ddim(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    eta: float = 0.0,
    eta_of: Literal["posterior", "level"] = "posterior",
    direction: Literal["after_data", "before_data"] = "after_data",
    loop: Loop = all_steps,
) -> Tensor:
    """Goes to each earlier state along the noise that x0_hat implies (Song, Meng & Ermon, ICLR 2021).

    `x_s = alpha_s x0 + sqrt(sigma_s² - c²) eps + c n`, where x0 is the estimate after the data step, eps the
    noise that an estimate implies in x_t, and c the share of new noise.

    The decomposed diffusion sampler (DDS; Chung, Lee & Ye, ICLR 2024) is `eta_of="level"` and
    `direction="before_data"` with a few conjugate gradient steps as its data step:
    `x_s = alpha_s x0 + sigma_s (sqrt(1 - eta²) eps + eta n)`.

    Args:
        denoiser: see `steps`.
        path: any path.
        data_step: see `steps`.
        times: `[K]`, falling.
        seed: see `steps`.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        eta: 0 draws no noise at all; 1 is `ancestral` with the small variance, or with `eta_of="level"` all new
            noise.
        eta_of: what eta is a part of: "posterior", the standard deviation of the path's posterior, as in DDIM;
            "level", sigma_s, as in DDS.
        direction: which estimate implies eps: "after_data", the one that agrees with the data; "before_data",
            what the denoiser said, as in DDS. The first is right if the data step gives E[x_0 | x_t, y].
        loop: see `steps`.

    Returns:
        The last x0_hat, like `start`.

    Raises:
        InputError: eta outside [0, 1].
    """
    if not 0 <= eta <= 1:
        raise InputError(f"eta is {eta:g}", fix="give a number from 0 to 1")
    levels = levels_of(path, times)
    std = eta * (posterior(*levels).std if eta_of == "posterior" else levels.sigma_s)
    kept = ops.sqrt(ops.maximum(levels.sigma_s**2 - std**2, 0.0)) / levels.sigma_t
    noise = std if eta else None
    if direction == "after_data":
        steps = Steps(levels.alpha_s - kept * levels.alpha_t, kept, noise)
    else:
        steps = Steps(levels.alpha_s, kept, noise, of_estimate=-kept * levels.alpha_t)
    return run_steps(steps, denoiser, path, data_step, times, seed, start, loop)
