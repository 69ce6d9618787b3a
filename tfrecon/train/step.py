"""One training step as one compiled function.

    step = make_train_step(experiment, method, state, strategy)
    for batch in distribute_dataset(strategy, make):
        result = step(batch)

On each replica: seeds of its examples, losses and gradients, in parts if wanted; their sum over the
replicas. Then, once for all: the test for NaN and Inf, and, behind real control flow, clipping, the
optimizer and the moving average. A batch gives the same update on any number of devices and in any
number of parts, up to the rounding of sums.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from tfrecon.methods.base import Method
from tfrecon.train import guard
from tfrecon.train.config import Experiment
from tfrecon.train.optim import average_decay, clip_factor, squared_norms
from tfrecon.train.result import StepResult
from tfrecon.train.state import TrainState
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.rng import make_seeds

Batch = Mapping[str, Any]


class _Totals(NamedTuple):
    """Sums over all replicas, the same on each of them.

    Attributes:
        gradients: of the mean loss over the global batch.
        squares: `[K]`, the sum of squares of each; with "zero" before that was done.
        norm: their global norm; with "zero" afterwards.
        losses: float32 `[B]`.
        logs: the method's.
    """

    gradients: list[Tensor]
    squares: Tensor
    norm: Tensor
    losses: Tensor
    logs: dict[str, Tensor]


class _Work(NamedTuple):
    """Of one replica, or of one part of its examples."""

    gradients: list[Tensor]
    losses: Tensor
    logs: dict[str, Tensor]


def make_train_step(
    experiment: Experiment,
    method: Method,
    state: TrainState,
    strategy: tf.distribute.Strategy | None = None,
) -> Callable[[Batch], StepResult]:
    """The training step.

    Args:
        experiment: seed, and how to train.
        method: whose loss is minimised.
        state: from `create_state` under the same strategy; the step changes it.
        strategy: None for one device.

    Returns:
        A function of a batch (a distributed one under a strategy), traced once for each shape of batch.
        Strings stay outside what is compiled.

    Raises:
        InputError: a setting out of range, or a batch that cannot be cut into equal parts.
    """
    strategy = strategy or tf.distribute.get_strategy()
    _check(experiment, strategy)
    step = _Step(experiment, method, state, strategy)
    traced: dict[tuple[Any, ...], Callable[[Batch], StepResult]] = {}

    def call(batch: Batch) -> StepResult:
        local = {key: strategy.experimental_local_results(value) for key, value in batch.items()}
        numbers = {key: value for key, value in batch.items() if local[key][0].dtype != tf.string}
        shapes = tuple((key, tuple(local[key][0].shape)) for key in sorted(numbers))
        if shapes not in traced:
            # Made for each shape by hand: TensorFlow takes new shapes of one function for a mistake and warns.
            function = tf.function(step, jit_compile=step.jit_whole or None, autograph=False)
            traced[shapes] = function.get_concrete_function(numbers)
        return traced[shapes](numbers)

    return call


def _check(experiment: Experiment, strategy: tf.distribute.Strategy) -> None:
    train, replicas = experiment.train, strategy.num_replicas_in_sync
    if not 0 <= train.ema_decay < 1:
        raise InputError(f"ema_decay is {train.ema_decay:g}", fix="give a number at least 0 and below 1")
    for name in ("accumulate", "max_nonfinite"):
        if getattr(train, name) < 1:
            raise InputError(f"{name} is {getattr(train, name)}", fix="give 1 or more")
    if experiment.data.batch_size % (replicas * train.accumulate):
        raise InputError(
            f"batch_size {experiment.data.batch_size} cannot be cut for {replicas} devices and "
            f"accumulate={train.accumulate}",
            fix=f"give a multiple of {replicas * train.accumulate}",
        )


class _Step:
    """What is compiled: called with a batch without strings, in cross-replica context."""

    def __init__(
        self, experiment: Experiment, method: Method, state: TrainState, strategy: tf.distribute.Strategy
    ) -> None:
        self._experiment, self._method, self._state, self._strategy = experiment, method, state, strategy
        self._trainable = state.trainable
        self._replicas = strategy.num_replicas_in_sync
        with strategy.scope():
            alone = not tf.distribute.has_strategy()
        # XLA cannot hold the communication between replicas: with several, it compiles what each does alone.
        self.jit_whole = experiment.train.jit and alone
        self._jit_replica = experiment.train.jit and not alone

    def __call__(self, batch: Batch) -> StepResult:
        totals = self._strategy.run(self._on_replica, args=(dict(batch),))
        squares, norm, losses, logs = tf.nest.map_structure(self._any_replica, totals[1:])
        found = guard.inspect(losses, squares)
        rate = tf.convert_to_tensor(self._state.optimizer.learning_rate)

        def update() -> Tensor:
            self._update(totals.gradients, norm, rate, logs)
            return tf.constant(True)

        if self._experiment.train.nonfinite == "zero":
            update()
        else:
            tf.cond(found.finite, update, lambda: tf.constant(False))
        self._count(found.finite)
        return StepResult(tf.reduce_mean(losses), logs, norm, rate, *found)

    def _any_replica(self, value: Any) -> Tensor:
        return self._strategy.experimental_local_results(value)[0]

    def _on_replica(self, batch: dict[str, Tensor]) -> _Totals:
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
        work = self._work_on
        if self._jit_replica:
            work = tf.function(work, jit_compile=True, autograph=False)
        own = work(batch, replica)
        if self._replicas > 1:
            own = _Work(own.gradients, *tf.nest.map_structure(lambda x: self._place(x, replica), own[1:]))
            own = tf.nest.pack_sequence_as(own, context.all_reduce(tf.distribute.ReduceOp.SUM, tf.nest.flatten(own)))
        squares = norm_squares = squared_norms(own.gradients)
        gradients = own.gradients
        if self._experiment.train.nonfinite == "zero":
            gradients = guard.zero_nonfinite(gradients)
            norm_squares = squared_norms(gradients)
        return _Totals(gradients, squares, tf.sqrt(tf.reduce_sum(norm_squares)), own.losses, own.logs)

    def _place(self, values: Tensor, replica: Tensor) -> Tensor:
        """What replicas add up: values `[b]` at their places in the global batch; a share of a mean."""
        if values.shape.rank == 0:
            return values / self._replicas
        count = values.shape[0]
        padded = tf.pad(values, [[replica * count, (self._replicas - 1 - replica) * count]])
        return tf.ensure_shape(padded, [self._replicas * count])

    def _work_on(self, batch: dict[str, Tensor], replica: Tensor) -> _Work:
        """The work of one replica, all at once or in parts one after the other."""
        count, parts = _batch_size(batch), self._experiment.train.accumulate
        if parts == 1:
            return self._work_on_part(batch, replica * count)
        size, rest = divmod(count, parts)
        if rest:
            raise InputError(f"{count} examples cannot be cut into {parts} equal parts", fix="change batch_size")
        pieces = {key: tf.reshape(value, [parts, size, *value.shape[1:]]) for key, value in batch.items()}

        def work_on(part: Tensor) -> _Work:
            own = {key: tf.gather(value, part) for key, value in pieces.items()}
            return self._work_on_part(own, replica * count + part * size)

        return _add_up(work_on, parts)

    def _work_on_part(self, batch: dict[str, Tensor], first: Tensor) -> _Work:
        """Losses and gradients of examples whose places in the global batch begin with `first`."""
        count, parts = _batch_size(batch), self._experiment.train.accumulate
        seeds = make_seeds(self._experiment.seed, self._state.step, count, first, "training")
        variables = [variable.value for variable in self._trainable]
        with tf.GradientTape() as tape:
            losses, logs = self._method.loss(self._state.models, batch, seeds, True)
            losses = tf.ensure_shape(tf.cast(losses, tf.float32), [count])
            share = tf.reduce_sum(losses) / (count * parts * self._replicas)
        gradients = tape.gradient(share, variables)
        self._report_unconnected(gradients)
        dense = [
            tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        return _Work(dense, losses, {key: tf.cast(value, tf.float32) for key, value in logs.items()})

    def _report_unconnected(self, gradients: list[Tensor | None]) -> None:
        names = [name for name, g in zip(self._state.variable_names, gradients, strict=True) if g is None]
        if names:
            logging.warning("the loss does not depend on %s", ", ".join(names))

    def _update(self, gradients: list[Any], norm: Tensor, rate: Tensor, logs: dict[str, Tensor]) -> None:
        """Clipping, optimizer, the method's own updates and average; in cross-replica context, behind the guard."""
        state, extended = self._state, self._strategy.extended
        factor = clip_factor(norm, self._experiment.optimizer.clip_norm)
        decay = average_decay(self._experiment.train.ema_decay, state.optimizer.iterations)
        # `optimizer.apply` wants a replica's context and would sum the gradients over replicas again.
        for variable, gradient in zip(self._trainable, gradients, strict=True):
            update = functools.partial(_update_variable, state.optimizer, variable.constraint)
            extended.update(variable.value, update, args=(gradient, factor, rate), group=False)
        state.optimizer.iterations.assign_add(1)
        for variable, value in self._method.updates(state.models, logs):
            extended.update(variable.value, _assign, args=(value,), group=False)
        for average, variable in state.averaged:
            extended.update(average.value, _move_average, args=(variable.value, decay), group=False)
        for average, variable in state.copied:
            extended.update(average.value, _assign, args=(variable.value,), group=False)

    def _count(self, finite: Tensor) -> None:
        state, one = self._state, tf.constant(1, tf.int64)
        bad = one - tf.cast(finite, tf.int64)
        state.step.assign_add(one)
        state.skipped.assign_add(bad)
        state.consecutive.assign((state.consecutive + one) * bad)


def _update_variable(
    optimizer: Any, constraint: Any, variable: Any, gradient: Tensor, factor: Tensor, rate: Tensor
) -> None:
    """What `keras.optimizers.Optimizer.apply` does for one variable."""
    if optimizer.weight_decay:
        variable.assign_sub(variable * optimizer.weight_decay * rate)
    optimizer.update_step(gradient * factor, variable, rate)
    if constraint is not None:
        variable.assign(constraint(variable))


def _move_average(average: Any, variable: Tensor, decay: Tensor) -> None:
    average.assign_sub((1.0 - decay) * (average - variable))


def _assign(variable: Any, value: Tensor) -> None:
    variable.assign(tf.cast(value, variable.dtype))


def _batch_size(batch: Mapping[str, Tensor]) -> int:
    return next(iter(batch.values())).shape[0]


def _add_up(work_on: Callable[[Tensor], _Work], parts: int) -> _Work:
    """`work_on(part)` for each part, one after the other: gradients added, losses joined, logs joined or averaged."""
    # As a function, its outputs are known before the loop is made; it is traced once all the same.
    traced = tf.function(work_on, autograph=False).get_concrete_function(tf.TensorSpec([], tf.int32))
    gradients, *told = traced.structured_outputs
    told_flat = tf.nest.flatten(told)
    sums = [tf.zeros(spec.shape, spec.dtype) for spec in gradients]
    arrays = [tf.TensorArray(spec.dtype, parts, element_shape=spec.shape) for spec in told_flat]

    def add(part: Tensor, sums: list[Tensor], arrays: list[tf.TensorArray]) -> tuple[Any, ...]:
        own = traced(part)
        new = [total + gradient for total, gradient in zip(sums, own.gradients, strict=True)]
        values = tf.nest.flatten(list(own[1:]))
        return part + 1, new, [array.write(part, value) for array, value in zip(arrays, values, strict=True)]

    loop = (tf.constant(0), sums, arrays)
    _, sums, arrays = tf.while_loop(lambda part, *_: part < parts, add, loop, parallel_iterations=1)
    stacked = [array.stack() for array in arrays]
    joined = [tf.reduce_mean(x) if x.shape.rank == 1 else tf.reshape(x, [-1]) for x in stacked]
    return _Work(sums, *tf.nest.pack_sequence_as(told, joined))
