"""What a training step tells, on whatever backend it was made."""

from __future__ import annotations

from typing import NamedTuple

from tfrecon.typing import Tensor


class StepResult(NamedTuple):
    """What a step tells.

    Attributes:
        loss: float32 scalar, mean over the global batch of B examples.
        logs: the method's logs, float32 `[B]` over the global batch or scalar means.
        gradient_norm: float32 scalar, the global norm before clipping (after "zero").
        learning_rate: float32 scalar, of this update.
        finite: bool scalar, whether all losses and gradients were.
        example_finite: bool `[B]`, whether each example's loss was.
        bad_variable: int32 scalar, the first of `TrainState.variable_names` whose gradient was not, or -1.
    """

    loss: Tensor
    logs: dict[str, Tensor]
    gradient_norm: Tensor
    learning_rate: Tensor
    finite: Tensor
    example_finite: Tensor
    bad_variable: Tensor
