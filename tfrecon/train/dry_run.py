"""What a training run will cost, from a few of its steps."""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrecon.train.config import Experiment
from tfrecon.train.loop import training_batches
from tfrecon.train.state import create_state
from tfrecon.train.step import make_train_step

_TIMED_STEPS = 2


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What was found.

    Attributes:
        method: name.
        parameters: (trained, all) weights of each model.
        shapes: of the tensors of a batch on one device.
        loss: of the first step.
        first_seconds: of the first step, which compiles.
        step_seconds: of the steps after it.
        peak_bytes: memory of the device at its highest; of the process where the device is the CPU.
        device: "GPU" or "CPU".
        steps: of the whole run.
    """

    method: str
    parameters: Mapping[str, tuple[int, int]]
    shapes: Mapping[str, tuple[int | None, ...]]
    loss: float
    first_seconds: float
    step_seconds: float
    peak_bytes: int
    device: str
    steps: int

    def describe(self) -> str:
        """All of it in a few lines."""
        total = sum(trained for trained, _ in self.parameters.values())
        hours = self.step_seconds * self.steps / 3600
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in self.shapes.items() if len(shape) > 1)
        lines = [f"{self.method}: {total:,} trained parameters"]
        lines += [f"  {name}: {trained:,} of {count:,}" for name, (trained, count) in self.parameters.items()]
        lines += [
            f"batch on each device: {shapes}",
            f"first step: loss {self.loss:.4g}, {self.first_seconds:.1f} s with compilation",
            f"step: {self.step_seconds:.3f} s; all {self.steps:,} steps: {hours:.2f} h, validations apart",
            f"peak memory of the {'GPU' if self.device == 'GPU' else 'process'}: {self.peak_bytes / 2**20:,.0f} MiB",
            "dry run: nothing was written",
        ]
        return "\n".join(lines)


def dry_run(experiment: Experiment, strategy: tf.distribute.Strategy | None = None) -> DryRun:
    """Builds the models and makes a few training steps, without a workdir.

    Args:
        experiment: what would run.
        strategy: from `distribute.make_strategy`; None for one device.

    Raises:
        InputError: as `loop.train`.
    """
    strategy = strategy or tf.distribute.get_strategy()
    method = experiment.make_method()
    state = create_state(experiment, method, strategy)
    step = make_train_step(experiment, method, state, strategy)
    batches = iter(training_batches(experiment, method, strategy, 0))
    batch = next(batches)
    times, losses = [], []
    for _ in range(1 + _TIMED_STEPS):
        began = time.monotonic()
        losses.append(float(step(batch).loss))
        times.append(time.monotonic() - began)
    peak, device = _peak_memory()
    local = {name: strategy.experimental_local_results(value)[0] for name, value in batch.items()}
    return DryRun(
        method=experiment.method,
        parameters={
            name: (_count(model.trainable_variables), _count(model.variables)) for name, model in state.models.items()
        },
        shapes={name: tuple(value.shape) for name, value in local.items()},
        loss=losses[0],
        first_seconds=times[0],
        step_seconds=float(np.mean(times[1:])),
        peak_bytes=peak,
        device=device,
        steps=experiment.train.steps,
    )


def _count(variables: list) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def _peak_memory() -> tuple[int, str]:
    devices = tf.config.list_logical_devices("GPU")
    if devices:
        return max(tf.config.experimental.get_memory_info(device.name)["peak"] for device in devices), "GPU"
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "CPU"
