"""At which times a sampler calls its denoiser.

All grids fall from a start to an end, both included; a sampler goes from the last time to the image by
itself. They are NumPy arrays, known before a graph is traced.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.util.errors import InputError

Spacing = Literal["linear", "karras", "log_snr"]


def make_times(
    path: ContinuousPath | DiscretePath,
    count: int,
    spacing: Spacing = "linear",
    *,
    start: float = 1.0,
    end: float | None = None,
    rho: float = 7.0,
) -> np.ndarray:
    """The times of a sampler.

    Args:
        path: continuous, or a chain, whose nearest times are taken, each once.
        count: how many, at least 1; a single one is the start.
        spacing: "linear" in time, as score-MRI and HFS-SDE; "karras", linear in `(sigma/alpha)^(1/rho)`
            (Karras et al., NeurIPS 2022, equation 5), which spends more of them near the image; "log_snr",
            linear in the logarithm of the signal-to-noise ratio, for solvers of high order.
        start: part of the path at which to begin: 1 at pure noise, less for a warm start from an image
            that is noised to there (CCDF; Chung, Sim & Ye, CVPR 2022).
        end: the last time, in units of the path; None for its `t_min`.
        rho: of "karras".

    Returns:
        `[count]`, falling: float32, or int32 of a chain, where near times may coincide and leave fewer.

    Raises:
        InputError: no times, a start that is not between the end and 1, or an unknown spacing.
    """
    first, last = start * path.t_max, path.t_min if end is None else end
    if count < 1:
        raise InputError(f"a sampler of {count} steps", fix="give at least 1")
    if not last < first <= path.t_max:
        raise InputError(f"times from {first:g} to {last:g}", fix=f"start in ({last / path.t_max:g}, 1]")
    if spacing not in ("linear", "karras", "log_snr"):
        raise InputError(f"no spacing {spacing!r}", fix="choose linear, karras or log_snr")
    if count == 1:
        return path.as_times(np.array([first]))
    if spacing == "linear":
        return path.as_times(np.linspace(first, last, count))
    ends = path.as_times(np.array([first, last]))
    highest, lowest = ops.convert_to_numpy(path.log_snr(ends)).astype(float) * -0.5  # ln(sigma / alpha)
    if spacing == "log_snr":
        ratios = np.linspace(highest, lowest, count)
    else:
        ratios = rho * np.log(np.linspace(np.exp(highest / rho), np.exp(lowest / rho), count))
    times = ops.convert_to_numpy(path.time_of_log_snr(-2.0 * ratios.astype(np.float32))).astype(float)
    times[0], times[-1] = ends  # as given, not as rounding brings them back
    return path.as_times(times)


def steps_within(calls: int, per_step: int = 1) -> int:
    """How many steps a budget of network calls allows.

    Args:
        calls: the budget.
        per_step: calls of one step: 1 for samplers of estimates, 1 + corrector steps for predictor-corrector,
            2 for the second-order probability flow, whose last step takes one.

    Raises:
        InputError: not enough for a single step.
    """
    if calls < per_step:
        raise InputError(f"{calls} network calls are not one step of {per_step}", fix=f"give at least {per_step}")
    return calls // per_step
