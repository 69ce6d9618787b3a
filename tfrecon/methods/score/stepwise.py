"""Reconstruction with a prior in parts: some steps at a time, or as many network calls as the graph is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from tfrecon.diffusion.steps import Carried, SomeSteps
from tfrecon.methods.base import Budgeted, Stepwise
from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.sampling import Sampling, sampling_times
from tfrecon.methods.score.score_mri import CoilSampling
from tfrecon.typing import Measurement, Reconstruction, Tensor

MOST_STEPS = 200
"""Of an exported model, unless its options have more."""

Prepare = Callable[..., Sampling | CoilSampling]
"""`(models, measurement, seed, options, times=None)`."""

Summarise = Callable[[Measurement, Tensor, ScoreOptions], Reconstruction]


def make_stepwise(prepare: Prepare, summarise: Summarise, options: ScoreOptions) -> Stepwise:
    """See `Method.stepwise`.

    Args:
        prepare: all before the first call of the network.
        summarise: images `[N, H, W]` as a reconstruction.
        options: of the reconstruction.
    """

    def begin(models: Mapping[str, Any], measurement: Measurement, seed: Tensor) -> tuple[Tensor, ...]:
        start = ops.cast(prepare(models, measurement, seed, options).start, "complex64")
        return tuple(Carried(start, start))

    def advance(
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor,
        carried: tuple[Tensor, ...],
        first: Tensor,
        last: Tensor,
    ) -> tuple[Tensor, ...]:
        part = SomeSteps(first, last, Carried(*carried))
        return tuple(dataclasses.replace(prepare(models, measurement, seed, options), loop=part).run())

    def result(measurement: Measurement, carried: tuple[Tensor, ...]) -> Reconstruction:
        return summarise(measurement, Carried(*carried).image, options)

    return Stepwise(options.steps, begin, advance, result)


def make_budgeted(prepare: Prepare, summarise: Summarise, model: ScoreModel, options: ScoreOptions) -> Budgeted | None:
    """See `Method.budgeted`. The graph holds the times of all budgets: they are those of the options, bit for bit."""
    if options.sampling.N is not None:
        return None
    per_step, most = options.calls_per_step, max(MOST_STEPS, options.steps)
    spared = int(options.algorithm == "none" and options.sampler == "ode")  # Heun's last step takes one call of two

    def reconstruct(models: Mapping[str, Any], measurement: Measurement, seed: Tensor, nfe: Tensor) -> Reconstruction:
        table = np.concatenate([sampling_times(model, options, steps) for steps in range(1, most + 1)])
        steps = (nfe + spared) // per_step
        first = steps * (steps - 1) // 2
        times = ops.convert_to_tensor(table)[first : first + steps]
        return summarise(measurement, prepare(models, measurement, seed, options, times).run(), options)

    return Budgeted(per_step - spared, most * per_step - spared, reconstruct)
