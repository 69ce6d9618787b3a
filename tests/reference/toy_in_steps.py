"""A learned method that reconstructs in steps, cheap enough to run whole folders; importing it makes it known.

Each step draws the image towards the zero-filled one and adds noise; a sample is the last image before noise.
"""

from __future__ import annotations

import dataclasses

from keras import ops
from toy_method import Toy, apply_networks, zero_filled

from tfrecon.diffusion.steps import Carried, SomeSteps, all_steps
from tfrecon.methods.base import Budgeted, Stepwise, register_method
from tfrecon.physics.batches import summarise_samples
from tfrecon.typing import Reconstruction
from tfrecon.util import rng


@dataclasses.dataclass(frozen=True)
class ToyStepOptions:
    """`passes` of the network; `noise` of a step; `samples`; `bad`, the pass (from 0) whose image is not finite."""

    passes: int = 2
    noise: float = 0.0
    samples: int = 1
    bad: int = -1


@register_method
class ToyInSteps(Toy):
    """See the module."""

    name = "toy_in_steps"
    options_type = ToyStepOptions
    nfe_option = "passes"

    def reconstruct(self, models, measurement, seed, options):
        image = self._run(models, measurement, seed, options, options.passes, all_steps)
        return self._summary(measurement, image, options)

    def stepwise(self, options):
        def begin(models, measurement, seed):
            start = self._start(measurement, options)
            return start, start

        def advance(models, measurement, seed, carried, first, last):
            part = SomeSteps(first, last, Carried(*carried))
            return tuple(self._run(models, measurement, seed, options, options.passes, part))

        def result(measurement, carried):
            return self._summary(measurement, carried[1], options)

        return Stepwise(options.passes, begin, advance, result)

    def budgeted(self, options):
        def reconstruct(models, measurement, seed, nfe):
            image = self._run(models, measurement, seed, options, nfe, all_steps)
            return self._summary(measurement, image, options)

        return Budgeted(1, 20, reconstruct)

    def serving_fields(self, options):
        return ("noise_std",)

    def _start(self, measurement, options):
        image = zero_filled(measurement)
        flat = ops.reshape(image, (-1, *ops.shape(image)[-2:]))
        return ops.tile(flat, (options.samples, 1, 1))

    def _run(self, models, measurement, seed, options, count, loop):
        start = self._start(measurement, options)

        def body(index, carried):
            zeros = ops.zeros(ops.shape(start)[:1])
            image = 0.5 * apply_networks(models, carried.state, zeros, training=False) + 0.5 * start
            image = ops.where(ops.equal(index, options.bad), image * float("nan"), image)
            noise = rng.complex_normal(rng.fold_in(seed, index), ops.shape(start))
            last = ops.equal(index, count - 1)
            return Carried(ops.where(last, image + noise * 0, image + options.noise * noise), image)

        return loop(count, body, start)

    def _summary(self, measurement, image, options) -> Reconstruction:
        lead = ops.shape(measurement.kspace)[:-3]
        return summarise_samples(ops.reshape(image, (options.samples, *lead, *ops.shape(image)[-2:])))
