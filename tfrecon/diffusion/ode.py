"""Samplers that follow the probability flow, without noise: Euler, Heun, DPM-Solver++(2M).

What denoiser, data step, times, seed and start are is said in `steps`; nothing here draws noise, so there is no seed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.parameterization import score_of
from tfrecon.diffusion.path import Path, along
from tfrecon.diffusion.steps import DataStep, Denoiser, estimate_image, levels_of
from tfrecon.typing import Tensor


def flow_velocity(denoiser: Denoiser, path: Path, x_t: Tensor, t: Tensor) -> Tensor:
    """dx/dt of the probability flow, `P (f x - g² score / 2)` (Song et al., ICLR 2021, equation 13).

    For solvers of their own, for instance of the likelihood.

    Args:
        denoiser: see `steps`.
        path: in continuous time.
        x_t: complex64 `[..., H, W]`.
        t: a scalar time.
    """
    score = score_of(path, x_t, denoiser(x_t, t), t)
    drift = path.project(along(path.f(t), x_t) * x_t)
    return drift - along(0.5 * ops.square(path.g(t)), x_t) * score


def probability_flow(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    start: Tensor,
    *,
    order: Literal[1, 2] = 2,
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

    Returns:
        The image, like `start`.
    """
    levels = levels_of(path, times)
    ratio_t, ratio_s = levels.sigma_t / levels.alpha_t, levels.sigma_s / levels.alpha_s
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def slope(state: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        t = ops.take(times, index, axis=0)
        _, x0 = estimate_image(denoiser, data_step, state, t)
        scaled = state / along(ops.take(levels.alpha_t, index), state)
        return x0, (scaled - x0) / along(ops.take(ratio_t, index), state)

    def moved(state: Tensor, slope_of_state: Tensor, index: Tensor) -> Tensor:
        width = ops.take(ratio_s, index) - ops.take(ratio_t, index)
        scaled = state / along(ops.take(levels.alpha_t, index), state) + along(width, state) * slope_of_state
        return along(ops.take(levels.alpha_s, index), state) * scaled

    def euler(index: Tensor, state: Tensor) -> Tensor:
        x0, first = slope(state, index)
        return path.join(moved(state, first, index), x0)

    def heun(index: Tensor, state: Tensor) -> Tensor:
        x0, first = slope(state, index)
        x0, second = slope(path.join(moved(state, first, index), x0), index + 1)
        return path.join(moved(state, 0.5 * (first + second), index), x0)

    if order == 1:
        return ops.fori_loop(0, times.shape[0], euler, start)
    last = times.shape[0] - 1
    return euler(last, ops.fori_loop(0, last, heun, start))


def dpm_solver(
    denoiser: Denoiser, path: Path, data_step: DataStep | None, times: Tensor | np.ndarray, start: Tensor
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

    Returns:
        The last estimate, like `start`.
    """
    levels = levels_of(path, times)
    kept = levels.sigma_s / levels.sigma_t
    of_image = levels.alpha_s - kept * levels.alpha_t
    weights = _extrapolation(path, times)
    times = ops.convert_to_tensor(times)
    start = ops.convert_to_tensor(start, "complex64")

    def body(index: Tensor, carried: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        state, before = carried
        _, x0 = estimate_image(denoiser, data_step, state, ops.take(times, index, axis=0))
        ahead = x0 + along(ops.take(weights, index), state) * (x0 - before)
        moved = along(ops.take(kept, index), state) * state + along(ops.take(of_image, index), state) * ahead
        return path.join(moved, x0), x0

    return ops.fori_loop(0, times.shape[0], body, (start, start))[0]


def _extrapolation(path: Path, times: Tensor | np.ndarray) -> Tensor:
    """The weight w of each step, float32 `[K]`."""
    heights = 0.5 * path.log_snr(times)
    steps = heights[1:] - heights[:-1]
    inner = 0.5 * steps[1:] / steps[:-1]
    return ops.concatenate([ops.zeros(1), inner, ops.zeros(1)])[: len(times)]
