"""Times of a chain drawn as often as their losses are large (Nichol & Dhariwal, ICML 2021, section 3.3).

Terms of the variational bound differ by orders of magnitude between times. The variance of their random sum is least if
time t is drawn with a probability p_t ∝ sqrt(E[L_t²]), its loss weighted with 1/(T p_t); the expectation does not
change. E[L_t²] is the mean over the last few losses that were seen at t, published under the name
"loss-second-moment".

The losses seen are a state of two arrays that goes in and comes out; nothing here keeps it. A trainer draws
from it in one step, and brings it up to date with the (unweighted) losses of all examples of that step.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class ImportanceSettings:
    """How times are drawn.

    Attributes:
        history: how many losses are kept for each time. As long as one time has fewer, all are drawn alike.
        uniform: the share of the draws that are uniform always, so that no time is forgotten.
    """

    history: int = 10
    uniform: float = 1e-3

    def __post_init__(self) -> None:
        if self.history < 1:
            raise InputError(f"'history' is {self.history}", fix="give at least 1, usually 10")
        if not 0 < self.uniform <= 1:
            raise InputError(f"'uniform' is {self.uniform:g}", fix="give a share above 0 and up to 1, usually 0.001")


class LossHistory(NamedTuple):
    """The losses seen.

    Attributes:
        losses: float32 `[T, history]`, the last ones at each time, in no particular order.
        counts: int32 `[T]`, how many were seen at each time in all.
    """

    losses: Tensor
    counts: Tensor


def empty_history(settings: ImportanceSettings, steps: int) -> LossHistory:
    """The state before the first step, NumPy; `steps` is T of the chain."""
    return LossHistory(np.zeros((steps, settings.history), np.float32), np.zeros(steps, np.int32))


def time_probabilities(settings: ImportanceSettings, history: LossHistory) -> Tensor:
    """p_t, float32 `[T]`."""
    moments = _loss_probabilities(history)
    return (1.0 - settings.uniform) * moments + settings.uniform / history.losses.shape[0]


def draw_weighted_times(settings: ImportanceSettings, history: LossHistory, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """A random time for each seed, and what its loss is to be weighted with.

    Args:
        settings: see there.
        history: the losses seen so far.
        seeds: `[B, 2]`.

    Returns:
        int32 `[B]`, and float32 `[B]`: 1/(T p_t).
    """
    last = history.losses.shape[0] - 1
    numbers = rng.uniform(seeds, (ops.shape(seeds)[0], 2))
    which, place = numbers[:, 0], numbers[:, 1]
    # Apart, because shares as small as the uniform one of a single time would be lost in sums of float32.
    totals = ops.cumsum(_loss_probabilities(history))
    by_loss = ops.searchsorted(totals / totals[-1], place, side="right")
    evenly = ops.cast(place * float(last + 1), "int32")
    t = ops.minimum(ops.where(which < settings.uniform, evenly, ops.cast(by_loss, "int32")), last)
    return t, 1.0 / (float(last + 1) * ops.take(time_probabilities(settings, history), t, axis=0))


def remember(history: LossHistory, t: Tensor, losses: Tensor) -> LossHistory:
    """The state with new losses, in which they push out the oldest ones at their times.

    Args:
        history: the state before.
        t: int32 `[B]`, the times; several may be the same.
        losses: float32 `[B]`, unweighted. Those that are not finite are left out.
    """
    steps, kept = history.losses.shape
    t, losses = ops.cast(t, "int32"), ops.cast(losses, "float32")
    finite = ops.isfinite(losses)
    # alike[i, j]: the losses i and j belong to the same time. Losses count in the order of the batch.
    alike = ops.cast(ops.logical_and(ops.equal(t[:, None], t[None, :]), finite[None, :]), "int32")
    earlier = ops.sum(ops.tril(alike, -1), axis=1)
    later = ops.sum(ops.triu(alike, 1), axis=1)
    # Of more losses at one time than are kept only the last are written, so that no place is written twice.
    written = ops.logical_and(finite, later < kept)
    place = (ops.take(history.counts, t, axis=0) + earlier) % kept
    places = ops.stack([t, place], axis=1)
    values = ops.scatter(places, ops.where(written, losses, 0.0), (steps, kept))
    new = ops.scatter(places, ops.cast(written, "int32"), (steps, kept)) > 0
    seen = ops.scatter(t[:, None], ops.cast(finite, "int32"), (steps,))
    return LossHistory(ops.where(new, values, history.losses), ops.add(history.counts, seen))


def _loss_probabilities(history: LossHistory) -> Tensor:
    """p_t without its uniform share, float32 `[T]`; uniform where the losses do not say anything."""
    steps, kept = history.losses.shape
    roots = ops.sqrt(ops.mean(ops.square(history.losses), axis=1))
    total = ops.sum(roots)
    full = ops.all(ops.convert_to_tensor(history.counts) >= kept)
    informed = ops.logical_and(full, total > 0)
    return ops.where(informed, roots / ops.where(informed, total, 1.0), 1.0 / steps)
