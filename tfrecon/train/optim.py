"""How weights are updated: the optimizer, its learning rate, clipping, and the average's decay.

Written in Keras alone, so that training on any backend updates weights in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfrecon.train.config import OptimizerSettings
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

_SCHEDULES = ("constant", "linear", "cosine", "exponential")


@keras.saving.register_keras_serializable(package="tfrecon")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise, then a decay that ends with the last step.

    With t = 1, 2, ... the number of an update, W = `warmup_steps`, p = (t - W) / (steps - W) between 0
    and 1, and f = `final_fraction`, the learning rate is `learning_rate` times

    - t / W while t < W, so that the first update already moves the weights;
    - then, for "constant" 1, "linear" 1 - (1 - f) p, "cosine" f + (1 - f)(1 + cos πp) / 2,
      "exponential" f^p.

    Args:
        learning_rate: the highest.
        steps: updates in all; afterwards the learning rate stays.
        warmup_steps: W.
        schedule: "constant", "linear", "cosine" or "exponential".
        final_fraction: f.

    Raises:
        InputError: a value out of range.
    """

    def __init__(
        self,
        learning_rate: float,
        steps: int,
        warmup_steps: int = 0,
        schedule: str = "constant",
        final_fraction: float = 0.01,
    ) -> None:
        _require(math.isfinite(learning_rate) and learning_rate > 0, "learning_rate", learning_rate, "above 0")
        _require(steps >= 1, "steps", steps, "1 or more")
        _require(warmup_steps >= 0, "warmup_steps", warmup_steps, "0 or more")
        _require(0 <= final_fraction <= 1, "final_fraction", final_fraction, "between 0 and 1")
        if schedule not in _SCHEDULES:
            raise InputError(f"schedule is {schedule!r}", fix=f"choose one of {', '.join(_SCHEDULES)}")
        if schedule == "exponential":
            _require(final_fraction > 0, "final_fraction", final_fraction, "above 0, which exponential decay never is")
        self.learning_rate, self.steps, self.warmup_steps = learning_rate, steps, warmup_steps
        self.schedule, self.final_fraction = schedule, final_fraction

    def __call__(self, step: Tensor | int) -> Tensor:
        """The learning rate of the update before which `step` others were made, float32."""
        number = ops.cast(step, "float32") + 1.0
        rise = ops.minimum(number / max(self.warmup_steps, 1), 1.0)
        decay_steps = max(self.steps - self.warmup_steps, 1)
        progress = ops.clip((number - self.warmup_steps) / decay_steps, 0.0, 1.0)
        return self.learning_rate * rise * self._decay(progress)

    def _decay(self, progress: Tensor) -> Tensor:
        final = self.final_fraction
        if self.schedule == "linear":
            return 1.0 - (1.0 - final) * progress
        if self.schedule == "cosine":
            return final + (1.0 - final) * 0.5 * (1.0 + ops.cos(math.pi * progress))
        if self.schedule == "exponential":
            return ops.exp(math.log(final) * progress)
        return ops.ones_like(progress)

    def get_config(self) -> dict[str, Any]:
        names = ("learning_rate", "steps", "warmup_steps", "schedule", "final_fraction")
        return {name: getattr(self, name) for name in names}


def make_optimizer(settings: OptimizerSettings, steps: int) -> keras.optimizers.Optimizer:
    """The Keras optimizer that the settings describe, not yet built.

    It does not clip: the trainer tests gradients for NaN and Inf first and clips afterwards.

    Args:
        settings: what and how fast.
        steps: updates in all, for the learning rate's schedule.

    Raises:
        InputError: a setting out of range, or weight decay for an optimizer without it.
    """
    _check(settings)
    rate = WarmupSchedule(
        settings.learning_rate, steps, settings.warmup_steps, settings.schedule, settings.final_fraction
    )
    if settings.name in ("adam", "adamw"):
        moments = {"beta_1": settings.beta_1, "beta_2": settings.beta_2, "epsilon": settings.epsilon}
        if settings.name == "adam":
            return keras.optimizers.Adam(rate, **moments)
        return keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay, **moments)
    if settings.name == "rmsprop":
        return keras.optimizers.RMSprop(rate, rho=settings.beta_2, momentum=settings.momentum, epsilon=settings.epsilon)
    return keras.optimizers.SGD(rate, momentum=settings.momentum)


def squared_norms(gradients: Sequence[Tensor]) -> Tensor:
    """The sum of squares of each gradient, float32 `[number of gradients]`."""
    return ops.stack([ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in gradients])


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The root of the sum of squares over all gradients, a float32 scalar."""
    return ops.sqrt(ops.sum(squared_norms(gradients)))


def clip_factor(norm: Tensor, limit: float | None) -> Tensor:
    """What gradients of global norm `norm` are multiplied by so that it is at most `limit`; 1 without a limit."""
    if limit is None:
        return ops.ones_like(norm)
    return limit / ops.maximum(norm, limit)


def clip_by_global_norm(gradients: Sequence[Tensor], limit: float | None) -> tuple[list[Tensor], Tensor]:
    """Gradients scaled down together to a global norm of at most `limit`, and the norm they had.

    One NaN would make all of them NaN (and one Inf, all others 0 and itself NaN): test them first.
    """
    norm = global_norm(gradients)
    factor = clip_factor(norm, limit)
    return [gradient * factor for gradient in gradients], norm


def average_decay(decay: float, updates: Tensor) -> Tensor:
    """The decay of the weights' moving average: `min(decay, (1 + n) / (10 + n))`, a float32 scalar.

    It rises with the number n of updates made before, so that the average forgets the initial weights soon.
    """
    updates = ops.cast(updates, "float32")
    return ops.minimum(decay, (1.0 + updates) / (10.0 + updates))


def _check(settings: OptimizerSettings) -> None:
    for name in ("beta_1", "beta_2", "momentum"):
        value = getattr(settings, name)
        _require(0 <= value < 1, name, value, "at least 0 and below 1")
    _require(settings.epsilon > 0, "epsilon", settings.epsilon, "above 0")
    _require(settings.weight_decay >= 0, "weight_decay", settings.weight_decay, "0 or more")
    if settings.weight_decay and settings.name != "adamw":
        raise InputError(f"{settings.name} has no weight decay", fix="choose adamw, or weight_decay=0")
    if settings.clip_norm is not None:
        _require(settings.clip_norm > 0, "clip_norm", settings.clip_norm, "above 0, or none")


def _require(condition: bool, name: str, value: float, wanted: str) -> None:
    if not condition:
        raise InputError(f"{name} is {value:g}", fix=f"give a number {wanted}")
