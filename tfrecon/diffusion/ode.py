"""Samplers that follow the probability flow, without noise: Euler, Heun, DPM-Solver++(2M).

What denoiser, data step, times, seed and start are is said in `steps`; nothing here draws noise, so there is no seed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path, along
from tfrecon.diffusion.steps import (
    Carried,
    DataStep,
    Denoiser,
    Levels,
    Loop,
    all_steps,
    count_of,
    estimate_image,
    levels_of,
)
from tfrecon.typing import Tensor


def probability_flow(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    start: Tensor,
    *,
    order: Literal[1, 2] = 2,
    loop: Loop = all_steps,
) -> Tensor:
    """Follows the flow by Euler's or Heun's method (Karras et al., NeurIPS 2022, algorithm 1).

    In u = x / alpha and r = sigma / alpha the flow of every path is `du/dr = (u - x0_hat) / r`. Euler's steps in it
    are those of `samplers.ddim` without noise. Heun's have an error of second order, at two calls of the
    denoiser each, but one for the last: `2 len(times) - 1` calls.

    Args:
        denoiser: see `steps`.
        path: any path.
        data_step: see `steps`.
        times: `[K]`, falling.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        order: 1 for Euler, 2 for Heun.
        loop: see `steps`.

    Returns:
        The image, like `start`.
    """
    levels = levels_of(path, times)
    kept = levels.sigma_s / levels.sigma_t
    of_image = levels.alpha_s - kept * levels.alpha_t
    bend, count = _bend(levels), count_of(times)
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def estimate(state: Tensor, index: Tensor) -> Tensor:
        return estimate_image(denoiser, data_step, state, ops.take(times, index, axis=0))[1]

    def straight(state: Tensor, x0: Tensor, index: Tensor) -> Tensor:
        moved = along(ops.take(kept, index), state) * state + along(ops.take(of_image, index), state) * x0
        return path.join(moved, x0)

    def body(index: Tensor, carried: Carried) -> Carried:
        x0 = estimate(carried.state, index)
        moved = straight(carried.state, x0, index)

        def bent() -> tuple[Tensor, Tensor]:
            corrected = estimate(moved, index + 1)
            return path.join(moved + along(ops.take(bend, index), moved) * (x0 - corrected), corrected), corrected

        if order == 1:
            return Carried(moved, x0)
        return Carried(*ops.cond(index < count - 1, bent, lambda: (moved, x0)))

    return loop(count, body, start)


def _bend(levels: Levels) -> Tensor:
    """How much of the difference of both estimates Heun's step adds to Euler's, float32 `[K]`; 0 for the last.

    It is Heun's mean of two slopes `(u - x0_hat) / r`, worked out. Slopes themselves would carry the rounding errors
    of u, which are large next to a small r.
    """
    before_last = levels.sigma_s > 0
    ratio = levels.sigma_t * levels.alpha_s / (levels.alpha_t * ops.where(before_last, levels.sigma_s, 1.0))
    return ops.where(before_last, 0.5 * levels.alpha_s * (1.0 - ratio), 0.0)


def dpm_solver(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    start: Tensor,
    *,
    loop: Loop = all_steps,
) -> Tensor:
    """DPM-Solver++(2M): second order at one call of the denoiser a step (Lu et al., 2022, algorithm 2).

    With l = ln(alpha / sigma) and h the step in it,
    `x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) D`, where `D = x0 + w (x0 - before)`
    extrapolates from the estimate before by `w = h / (2 h_before)`. The first and the last step do not extrapolate.

    Args:
        denoiser: see `steps`.
        path: any path.
        data_step: see `steps`.
        times: `[K]`, falling; best evenly spaced in log-SNR.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        loop: see `steps`.

    Returns:
        The last estimate, like `start`.
    """
    levels = levels_of(path, times)
    kept = levels.sigma_s / levels.sigma_t
    of_image = levels.alpha_s - kept * levels.alpha_t
    weights = _extrapolation(path, times)
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def body(index: Tensor, carried: Carried) -> Carried:
        state, before = carried
        _, x0 = estimate_image(denoiser, data_step, state, ops.take(times, index, axis=0))
        ahead = x0 + along(ops.take(weights, index), state) * (x0 - before)
        moved = along(ops.take(kept, index), state) * state + along(ops.take(of_image, index), state) * ahead
        return Carried(path.join(moved, x0), x0)

    return loop(count_of(times), body, start)


def _extrapolation(path: Path, times: Tensor | np.ndarray) -> Tensor:
    """The weight w of each step, float32 `[K]`."""
    heights = 0.5 * path.log_snr(times)
    steps = heights[1:] - heights[:-1]
    inner = 0.5 * steps[1:] / steps[:-1]
    return ops.concatenate([ops.zeros(1), inner, ops.zeros(1)])[: count_of(times)]
