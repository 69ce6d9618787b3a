"""A learned method that remembers something of each step; importing this module makes "toy_with_memory" known."""

from __future__ import annotations

import keras
from keras import ops
from toy_method import Toy

from tfrecon.methods.base import register_method

EXAMPLES = 4
"""Of the batches that it trains on."""


@keras.saving.register_keras_serializable(package="tests")
class Memory(keras.Model):
    """Two variables that are not trained: the times of the examples, faded, and the number of updates."""

    def __init__(self, **kwargs):
        super().__init__(trainable=False, autocast=False, **kwargs)
        fixed = {"initializer": "zeros", "trainable": False}
        self.times = self.add_weight(name="times", shape=(EXAMPLES,), dtype="float32", **fixed)
        self.updates = self.add_weight(name="updates", shape=(), dtype="int", **fixed)
        self.built = True

    def call(self, inputs):
        return inputs + self.times


@register_method
class ToyWithMemory(Toy):
    """The toy method, with a "memory" of the times in the order of the global batch."""

    name = "toy_with_memory"

    def build(self, seed=0):
        return {**super().build(seed), "memory": Memory(name="memory")}

    def updates(self, models, logs):
        memory = models["memory"]
        times = 0.5 * ops.convert_to_tensor(memory.times) + logs["t"]
        return [(memory.times, times), (memory.updates, ops.convert_to_tensor(memory.updates) + 1)]
