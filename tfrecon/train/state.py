"""All that changes while training: models, their average, the optimizer, the counters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfrecon.methods.base import Method
from tfrecon.train.config import Experiment
from tfrecon.train.optim import make_optimizer
from tfrecon.util.errors import InputError
from tfrecon.util.precision import dtype_policy


@dataclasses.dataclass(frozen=True)
class TrainState:
    """What a checkpoint holds; randomness and the position in the data are functions of `step`.

    Attributes:
        models: the networks that are trained, by name.
        ema: networks of their own whose weights are the moving average of those: what is validated and
            handed over. They compute in float32 whatever the training's precision, as they will
            wherever they are loaded.
        optimizer: built, with its moments and its number of updates `iterations`.
        step: int64, steps attempted.
        skipped: int64, those whose loss or gradients were not finite.
        consecutive: int64, how many of them the latest steps were, in a row.
    """

    models: Mapping[str, keras.Model]
    ema: Mapping[str, keras.Model]
    optimizer: keras.optimizers.Optimizer
    step: tf.Variable
    skipped: tf.Variable
    consecutive: tf.Variable

    @property
    def trainable(self) -> list[keras.Variable]:
        """The variables that are trained, in the order of the gradients."""
        return [variable for model in self.models.values() for variable in model.trainable_variables]

    @property
    def variable_names(self) -> list[str]:
        """Their names, as "model/layer/weight"."""
        return [f"{name}/{v.path}" for name, model in self.models.items() for v in model.trainable_variables]

    @property
    def averaged(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """(variable of `ema`, variable of `models`) of all that is trained."""
        return [pair for pair in _pairs(self.ema, self.models) if pair[1].trainable]

    @property
    def copied(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Likewise of what is not trained: `ema` has it as it is."""
        return [pair for pair in _pairs(self.ema, self.models) if not pair[1].trainable]

    def checkpoint(self) -> tf.train.Checkpoint:
        """A checkpoint of all of it, for `tf.train.CheckpointManager`.

        After `restore(path)`, `assert_consumed()` tells a file that does not hold just this.
        """
        return tf.train.Checkpoint(
            models=dict(self.models),
            ema=dict(self.ema),
            optimizer=self.optimizer,
            step=self.step,
            skipped=self.skipped,
            consecutive=self.consecutive,
        )


def create_state(experiment: Experiment, method: Method, strategy: tf.distribute.Strategy | None = None) -> TrainState:
    """The state before the first step.

    Args:
        experiment: its seed gives the weights, its settings the optimizer and the networks' precision.
        method: `experiment.make_method()`.
        strategy: of `tf.distribute`, under whose scope everything is made; None for one device.

    Raises:
        InputError: the method has nothing to train, or an optimizer setting is out of range.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        with dtype_policy(experiment.train.precision):
            models = method.build(experiment.seed)
        with dtype_policy("float32"):
            ema = method.build(experiment.seed)
        for average, variable in _pairs(ema, models):
            average.assign(variable)
        trainable = [variable for model in models.values() for variable in model.trainable_variables]
        if not trainable:
            raise InputError(f"method {method.name!r} has nothing to train", fix="reconstruct with it directly")
        optimizer = make_optimizer(experiment.optimizer, experiment.train.steps)
        # Built now, or a checkpoint would be restored before there are moments to restore.
        optimizer.build(trainable)
        counters = [_counter(name) for name in ("step", "skipped", "consecutive")]
    return TrainState(models, ema, optimizer, *counters)


def _counter(name: str) -> tf.Variable:
    return tf.Variable(
        0, trainable=False, name=name, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )


def _pairs(ema: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[tuple[keras.Variable, keras.Variable]]:
    for name, model in models.items():
        yield from zip(ema[name].variables, model.variables, strict=True)
