"""The training step on JAX: the arithmetic of `train.step`, for accelerators without TensorFlow.

    step = JaxStep(experiment, method)
    state = step.initial_state()
    state, result = step(state, batch)

Losses, optimizer, schedule, clipping, average and guard are those of the TensorFlow trainer, so that
the two make the same update from the same batch. Random numbers are functions of the same (seed, step,
place in the batch), drawn by JAX's generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import keras
from jax import numpy as jnp

from tfrecon.methods.base import Method
from tfrecon.train import guard
from tfrecon.train.config import Experiment
from tfrecon.train.optim import average_decay, clip_factor, make_optimizer, squared_norms
from tfrecon.train.result import StepResult
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.precision import dtype_policy
from tfrecon.util.rng import make_seeds


class JaxState(NamedTuple):
    """All that changes while training, a tree of arrays.

    Attributes:
        trainable: weights, in the order of `JaxStep.trainable`.
        fixed: variables that are not trained, in the order of `JaxStep.fixed`.
        average: the moving average of `trainable`.
        optimizer: the optimizer's variables.
        step: int32, steps attempted.
        skipped: int32, those whose loss or gradients were not finite.
        consecutive: int32, how many of them the latest steps were, in a row.
    """

    trainable: list[Tensor]
    fixed: list[Tensor]
    average: list[Tensor]
    optimizer: list[Tensor]
    step: Tensor
    skipped: Tensor
    consecutive: Tensor


class _Work(NamedTuple):
    """Of a part of a batch: gradients, losses `[b]`, logs, and what became of the fixed variables."""

    gradients: list[Tensor]
    losses: Tensor
    logs: dict[str, Tensor]
    fixed: list[Tensor]


class JaxStep:
    """One compiled training step.

    Args:
        experiment: seed, and how to train.
        method: `experiment.make_method()`.

    Attributes:
        models: the networks; their own weights stay the initial ones.
        trainable: Keras variables that are trained.
        fixed: those that are not.
        names: of the trained ones, as "model/layer/weight".

    Raises:
        InputError: nothing to train, or a setting out of range.
    """

    def __init__(self, experiment: Experiment, method: Method) -> None:
        parts = experiment.train.accumulate
        if parts < 1 or experiment.data.batch_size % parts:
            raise InputError(
                f"batch_size {experiment.data.batch_size} cannot be cut for accumulate={parts}",
                fix=f"give a multiple of {max(parts, 1)}",
            )
        self._experiment, self._method = experiment, method
        with dtype_policy(experiment.train.precision):
            self.models: Mapping[str, Any] = method.build(experiment.seed)
        self.trainable = [v for model in self.models.values() for v in model.trainable_variables]
        self.fixed = [v for model in self.models.values() for v in model.non_trainable_variables]
        self.names = [f"{name}/{v.path}" for name, model in self.models.items() for v in model.trainable_variables]
        if not self.trainable:
            raise InputError(f"method {method.name!r} has nothing to train", fix="reconstruct with it directly")
        self._optimizer = make_optimizer(experiment.optimizer, experiment.train.steps)
        self._optimizer.build(self.trainable)
        variables = self._optimizer.variables
        self._updates = next(k for k, v in enumerate(variables) if v is self._optimizer.iterations)
        self._compiled = jax.jit(self._step, donate_argnums=0)

    def initial_state(self) -> JaxState:
        """The state before the first step."""

        def values(variables: list[keras.Variable]) -> list[Tensor]:
            return [jnp.array(variable.value, copy=True) for variable in variables]

        zero = [jnp.zeros((), jnp.int32) for _ in range(3)]
        trainable = values(self.trainable)
        average = values(self.trainable)
        return JaxState(trainable, values(self.fixed), average, values(self._optimizer.variables), *zero)

    def __call__(self, state: JaxState, batch: Mapping[str, Tensor]) -> tuple[JaxState, StepResult]:
        """Makes a step.

        Args:
            state: is used up: its memory becomes the new state's.
            batch: arrays by field name, without strings.
        """
        return self._compiled(state, dict(batch))

    def averaged_models(self, state: JaxState) -> dict[str, Any]:
        """New models that compute in float32 and have the averaged weights: what is handed over."""
        with dtype_policy("float32"):
            models = self._method.build(self._experiment.seed)
        trainable = [v for model in models.values() for v in model.trainable_variables]
        fixed = [v for model in models.values() for v in model.non_trainable_variables]
        for variable, value in zip([*trainable, *fixed], [*state.average, *state.fixed], strict=True):
            variable.assign(value)
        return models

    def _step(self, state: JaxState, batch: dict[str, Tensor]) -> tuple[JaxState, StepResult]:
        work = self._work_on(state, batch)
        gradients, squares = work.gradients, squared_norms(work.gradients)
        found = guard.inspect(work.losses, squares)
        always = self._experiment.train.nonfinite == "zero"
        if always:
            gradients = guard.zero_nonfinite(gradients)
            squares = squared_norms(gradients)
        norm, rate = jnp.sqrt(jnp.sum(squares)), self._learning_rate(state)

        def update(state: JaxState) -> JaxState:
            return self._update(state, gradients, norm, work)

        state = update(state) if always else jax.lax.cond(found.finite, update, lambda state: state, state)
        bad = 1 - found.finite.astype(jnp.int32)
        counted = state._replace(
            step=state.step + 1, skipped=state.skipped + bad, consecutive=(state.consecutive + 1) * bad
        )
        return counted, StepResult(jnp.mean(work.losses), work.logs, norm, rate, *found)

    def _learning_rate(self, state: JaxState) -> Tensor:
        mapping = list(zip(self._optimizer.variables, state.optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return jnp.asarray(self._optimizer.learning_rate, jnp.float32)

    def _update(self, state: JaxState, gradients: list[Tensor], norm: Tensor, work: _Work) -> JaxState:
        factor = clip_factor(norm, self._experiment.optimizer.clip_norm)
        decay = average_decay(self._experiment.train.ema_decay, state.optimizer[self._updates])
        trainable, optimizer = self._optimizer.stateless_apply(
            state.optimizer, [gradient * factor for gradient in gradients], state.trainable
        )
        average = [a - (1.0 - decay) * (a - v) for a, v in zip(state.average, trainable, strict=True)]
        fixed = self._own_updates(trainable, work)
        return state._replace(trainable=trainable, fixed=fixed, average=average, optimizer=optimizer)

    def _own_updates(self, trainable: list[Tensor], work: _Work) -> list[Tensor]:
        """The variables that are not trained after the method's own updates."""
        variables, values = [*self.trainable, *self.fixed], [*trainable, *work.fixed]
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            changed = self._method.updates(self.models, work.logs)
        new = {id(variable): jnp.asarray(value, variable.dtype) for variable, value in changed}
        return [new.get(id(variable), value) for variable, value in zip(self.fixed, work.fixed, strict=True)]

    def _work_on(self, state: JaxState, batch: dict[str, Tensor]) -> _Work:
        """The whole batch, at once or in equal parts one after the other."""
        count, parts = next(iter(batch.values())).shape[0], self._experiment.train.accumulate
        seeds = make_seeds(self._experiment.seed, state.step, count, 0, "training")
        if parts == 1:
            return self._work_on_part(state, state.fixed, batch, seeds)
        cut = jax.tree.map(lambda x: x.reshape(parts, count // parts, *x.shape[1:]), (batch, seeds))

        def add(carry: tuple[list[Tensor], list[Tensor]], part: Any) -> tuple[Any, tuple[Tensor, dict[str, Tensor]]]:
            sums, fixed = carry
            own = self._work_on_part(state, fixed, *part)
            return ([a + b / parts for a, b in zip(sums, own.gradients, strict=True)], own.fixed), own[1:3]

        zeros = [jnp.zeros_like(weight) for weight in state.trainable]
        (sums, fixed), (losses, logs) = jax.lax.scan(add, (zeros, state.fixed), cut)
        logs = {name: jnp.mean(value) if value.ndim == 1 else value.reshape(-1) for name, value in logs.items()}
        return _Work(sums, losses.reshape(-1), logs, fixed)

    def _work_on_part(self, state: JaxState, fixed: list[Tensor], batch: dict[str, Tensor], seeds: Tensor) -> _Work:
        def mean_loss(trainable: list[Tensor]) -> tuple[Tensor, Any]:
            variables, values = [*self.trainable, *self.fixed], [*trainable, *fixed]
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
                losses, logs = self._method.loss(self.models, batch, seeds, True)
            losses = losses.astype(jnp.float32)
            logs = {name: jnp.asarray(value, jnp.float32) for name, value in logs.items()}
            return jnp.mean(losses), (losses, logs, [scope.get_current_value(v) for v in self.fixed])

        gradients, told = jax.grad(mean_loss, has_aux=True)(state.trainable)
        return _Work(gradients, *told)
