"""The guard against NaN and Inf: what is finite, and what is said and done when something is not.

Losses and gradients are tested *before* clipping, because clipping by the global norm spreads one
NaN or Inf over every gradient, the optimizer's moments keep it, and the weights are lost in one step.

The policies (`TrainSettings.nonfinite`):

- "skip": the step changes nothing but its counters: weights, moments, the number of updates and the
  average stay as they are, bit for bit.
- "raise": likewise, and training stops at the first such step.
- "zero": non-finite entries of the gradients become 0 and the update is made with the rest. A loss
  that is not finite does not stop it as long as there are gradients: they decide. The first
  moments then decay towards 0 without the reason being seen; "skip" is the sounder choice.

Under each of them the step is counted, and so many in a row stop the training.
The mathematics is backend-neutral.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from tfrecon.train.config import TrainSettings
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

_NAMED = 4
"""How many record ids a message holds."""


class Finiteness(NamedTuple):
    """What a step's losses and gradients are.

    Attributes:
        finite: bool scalar, whether all of them are finite.
        example_finite: bool `[B]`, whether each example's loss is.
        bad_variable: int32 scalar, the first variable whose gradient is not; -1 if there is none.
    """

    finite: Tensor
    example_finite: Tensor
    bad_variable: Tensor


def inspect(losses: Tensor, squared_norms: Tensor) -> Finiteness:
    """Tests losses and gradients for NaN and Inf.

    A sum of squares is finite only if every entry is, so the test costs nothing beside the norm that
    clipping needs. Finite entries whose squares overflow (above 1e19) count as Inf.

    Args:
        losses: float32 `[B]`, of each example.
        squared_norms: float32 `[K]`, of each variable's gradient (`optim.squared_norms`).
    """
    example_finite = ops.isfinite(losses)
    bad = ops.logical_not(ops.isfinite(squared_norms))
    any_bad = ops.any(bad)
    first = ops.where(any_bad, ops.cast(ops.argmax(ops.cast(bad, "int32")), "int32"), -1)
    finite = ops.logical_and(ops.all(example_finite), ops.logical_not(any_bad))
    return Finiteness(finite, example_finite, first)


def zero_nonfinite(gradients: Sequence[Tensor]) -> list[Tensor]:
    """The gradients with 0 in place of every NaN and Inf."""
    return [ops.where(ops.isfinite(gradient), gradient, ops.zeros_like(gradient)) for gradient in gradients]


def describe_bad_step(step: int, result: Any, record_ids: Mapping[int, str], variables: Sequence[str]) -> str:
    """One line on a step whose loss or gradients were not finite.

    Args:
        step: its number.
        result: its `StepResult`.
        record_ids: id by place in the global batch; places on other workers may be missing.
        variables: names of the trained variables, in the order of the gradients.
    """
    example_finite = np.asarray(ops.convert_to_numpy(result.example_finite))
    number, bad = int(ops.convert_to_numpy(result.bad_variable)), np.flatnonzero(~example_finite)
    times = None
    if "t" in result.logs:
        times = np.broadcast_to(ops.convert_to_numpy(result.logs["t"]), example_finite.shape)
    parts = []
    if bad.size:
        parts.append(f"loss of {_list_examples(bad, times, record_ids)}")
    if number >= 0:
        parts.append(f"gradient of {variables[number]} (the first of those)")
    if not bad.size:  # any of the examples may be the cause
        parts.append(f"batch: {_list_examples(np.arange(example_finite.size), times, record_ids)}")
    return f"step {step}: not finite: {'; '.join(parts)}"


def _list_examples(places: np.ndarray, times: np.ndarray | None, record_ids: Mapping[int, str]) -> str:
    texts = []
    for place in places[:_NAMED].tolist():
        text = f"record {record_ids[place]!r}" if place in record_ids else f"example {place} of the batch"
        texts.append(text if times is None else f"{text} at t = {times[place]:g}")
    if len(places) > _NAMED:
        texts.append(f"{len(places) - _NAMED} more")
    return ", ".join(texts)


def check_consecutive(consecutive: int, settings: TrainSettings, description: str) -> None:
    """Stops a training whose steps are not finite.

    Args:
        consecutive: bad steps in a row, this one included (`TrainState.consecutive`).
        settings: the policy, and how many are borne.
        description: from `describe_bad_step`.

    Raises:
        InputError: the policy is "raise", or there were `max_nonfinite` in a row.
    """
    limit = 1 if settings.nonfinite == "raise" else settings.max_nonfinite
    if consecutive < limit:
        return
    advice = "look at these records, or lower the learning rate"
    if limit > 1:
        description = f"{consecutive} steps in a row were not finite; the last, {description}"
    raise InputError(description, fix=advice)
