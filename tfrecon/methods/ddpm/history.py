"""The losses that training has seen at each time of a chain, kept as variables of a model.

So they are where everything is that changes in training: in checkpoints, bit for bit, and on each device alike.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfrecon.diffusion.importance import ImportanceSettings, LossHistory, empty_history, time_probabilities
from tfrecon.typing import Tensor


@keras.saving.register_keras_serializable(package="tfrecon")
class SeenLosses(keras.Model):
    """The state of importance sampling; called with times it gives the probability with which each is drawn.

    Args:
        steps: T of the chain.
        history: see `ImportanceSettings`.
        uniform: see `ImportanceSettings`.
        **kwargs: name and the like.
    """

    def __init__(self, steps: int, history: int, uniform: float, **kwargs: Any) -> None:
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.steps, self.importance = steps, ImportanceSettings(history, uniform)
        losses, counts = empty_history(self.importance, steps)
        fixed = {"initializer": "zeros", "trainable": False}
        self.seen = self.add_weight(name="seen", shape=losses.shape, dtype="float32", **fixed)
        # TensorFlow has no int32 variables on every device; "int" is int64 there and int32 on JAX.
        self.counts = self.add_weight(name="counts", shape=counts.shape, dtype="int", **fixed)
        self.built = True

    @property
    def state(self) -> LossHistory:
        """The losses as they are now."""
        return LossHistory(ops.convert_to_tensor(self.seen), ops.cast(self.counts, "int32"))

    def changed_to(self, state: LossHistory) -> list[tuple[Any, Tensor]]:
        """The variables, each with its value in another state; see `Method.updates`."""
        return list(zip((self.seen, self.counts), state, strict=True))

    def call(self, times: Tensor) -> Tensor:
        return ops.take(time_probabilities(self.importance, self.state), times, axis=0)

    def get_config(self) -> dict[str, Any]:
        own = {"steps": self.steps, "history": self.importance.history, "uniform": self.importance.uniform}
        return {**super().get_config(), **own}
