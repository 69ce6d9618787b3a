"""Reconstruction with a prior: at once, some steps at a time, or with as many network calls as the graph is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from tfrecon.diffusion.steps import Carried, SomeSteps, count_of
from tfrecon.methods.base import Budgeted, Stepwise
from tfrecon.methods.priors.options import SamplingOptions
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy

MOST_STEPS = 200
"""Of an exported model, unless its options have more."""

Prepare = Callable[..., Any]
"""`(models, measurement, seed, options, times=None) -> run`: all before the first call of the network.

A run is a dataclass with the attributes `start`, `times` and `loop` and the method `run`; see `sampling.Sampling`.
"""

Summarise = Callable[..., Reconstruction]
"""`(measurement, images, options, variances=None)`: images `[N, H, W]` as those of the measurement."""

Variance = Callable[[Any, Tensor, Tensor], Tensor]
"""`(run, images, index) -> float32 [N, H, W]`: what a prior says of the images' own variance after a step."""


@dataclasses.dataclass(frozen=True)
class PriorReconstruction:
    """How a method reconstructs; each way gives the same bits.

    Attributes:
        prepare: see `Prepare`.
        summarise: see `Summarise`.
        variance: see `Variance`; None where a prior does not say.
    """

    prepare: Prepare
    summarise: Summarise
    variance: Variance | None = None

    def at_once(
        self,
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor | None,
        options: SamplingOptions,
        times: Tensor | None = None,
    ) -> Reconstruction:
        """See `Method.reconstruct`.

        Args:
            models: see there; so are the following.
            measurement: see `models`.
            seed: see `models`.
            options: see `models`.
            times: of the sampler; None for those of the options.
        """
        run = self.prepare(models, measurement, seed, options, times)
        images = run.run()
        return self.summarise(measurement, images, options, *self._variances(run, images, count_of(run.times) - 1))

    def stepwise(self, options: SamplingOptions) -> Stepwise:
        """See `Method.stepwise`. What is carried: state, image, and the image's variance where the prior says it."""

        def begin(models: Mapping[str, Any], measurement: Measurement, seed: Tensor) -> tuple[Tensor, ...]:
            start = ops.cast(self.prepare(models, measurement, seed, options).start, "complex64")
            nothing = () if self.variance is None else (ops.zeros_like(energy(start)),)
            return (*Carried(start, start), *nothing)

        def advance(
            models: Mapping[str, Any],
            measurement: Measurement,
            seed: Tensor,
            carried: tuple[Tensor, ...],
            first: Tensor,
            last: Tensor,
        ) -> tuple[Tensor, ...]:
            run = self.prepare(models, measurement, seed, options)
            found = dataclasses.replace(run, loop=SomeSteps(first, last, Carried(*carried[:2]))).run()
            return (*found, *self._variances(run, found.image, last - 1))

        def result(measurement: Measurement, carried: tuple[Tensor, ...]) -> Reconstruction:
            _, image, *variances = carried
            return self.summarise(measurement, image, options, *variances)

        return Stepwise(options.steps, begin, advance, result)

    def budgeted(
        self,
        options: SamplingOptions,
        times_of: Callable[[int], np.ndarray],
        *,
        most: int = MOST_STEPS,
        spared: int = 0,
    ) -> Budgeted:
        """See `Method.budgeted`. The graph holds the times of all budgets: those of the options, bit for bit.

        Args:
            options: of the reconstruction.
            times_of: the times of a sampler of so many steps.
            most: steps, if the options do not have more.
            spared: network calls that the last step takes less than the others.
        """
        per_step, most = options.calls_per_step, max(most, options.steps)

        def reconstruct(
            models: Mapping[str, Any], measurement: Measurement, seed: Tensor, nfe: Tensor
        ) -> Reconstruction:
            table = np.concatenate([times_of(steps) for steps in range(1, most + 1)])
            steps = (nfe + spared) // per_step
            first = steps * (steps - 1) // 2
            times = ops.convert_to_tensor(table)[first : first + steps]
            return self.at_once(models, measurement, seed, options, times)

        return Budgeted(per_step - spared, most * per_step - spared, reconstruct)

    def _variances(self, run: Any, images: Tensor, index: int | Tensor) -> tuple[Tensor, ...]:
        return () if self.variance is None else (self.variance(run, images, index),)


def item_seeds(seed: Tensor | None, count: int | Tensor, samples: int) -> Tensor:
    """A seed for each image of a batch and each of its samples, `[samples · count, 2]`, sample by sample.

    It is a function of the image's number in the batch and the sample's: more samples or a larger batch change
    nothing in those that are there.

    Args:
        seed: from `util.rng.make_seed`; None for that of 0.
        count: images of the batch.
        samples: of each.
    """
    seed = rng.make_seed(0) if seed is None else seed
    images = rng.fold_in(ops.tile(seed[None], (count, 1)), ops.arange(count, dtype="int32"))
    number = ops.repeat(ops.arange(samples, dtype="int32"), count)
    return rng.fold_in(ops.tile(images, (samples, 1)), number)
