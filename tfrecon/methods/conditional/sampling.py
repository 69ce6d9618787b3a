"""Reconstruction with a conditional prior: what it works on, and where its chain begins.

With one coil `y = U F (S x)`, and the k-space of `S x` is what was sampled: all is exact, and the map is taken off at
the end. With several coils the k-space of the combined image was not sampled anywhere. Its "sampled part" is at first
that of a regularised least-squares image, and from then on that of the newest estimate, after conjugate gradients on
what the coils did measure.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from tfrecon.diffusion.respacing import respaced_times
from tfrecon.diffusion.steps import DataStep
from tfrecon.methods.conditional.model import ConditionalModel
from tfrecon.methods.conditional.options import ConditionalOptions
from tfrecon.methods.conditional.prior import ConditionalPrior
from tfrecon.methods.conditional.unsampled import UnsampledPath, unsampled_level
from tfrecon.methods.priors.data_steps import make_data_step
from tfrecon.methods.priors.sampling import (
    START_ITERATIONS,
    START_REGULARISATION,
    Sampling,
    first_state,
    noise_of,
)
from tfrecon.physics.batches import repeat_batch
from tfrecon.physics.data_term import DataTerm
from tfrecon.physics.operators import combination_weight
from tfrecon.physics.scale import expand_to
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng


class Own(NamedTuple):
    """A measurement as a conditional prior sees it.

    Attributes:
        measurement: `[B, C, H, W]` in units of the noise; the map of a single coil is one of ones.
        factor: what its images are to be multiplied with, complex64 `[B, H, W]`.
        level: the units, float32 `[B]`.
    """

    measurement: Measurement
    factor: Tensor
    level: Tensor


def in_own_units(measurement: Measurement, model: ConditionalModel) -> Own:
    """The measurement `[B, C, H, W]` in units of the noise that the model's chain ends in.

    Works in graphs where the number of coils is not known.
    """
    kspace, maps = ops.cast(measurement.kspace, "complex64"), measurement.maps
    level = unsampled_level(kspace, measurement.mask, model.noise)
    factor = ops.cast(expand_to(level, kspace[:, 0]), "complex64") * ops.ones_like(kspace[:, 0])
    own = measurement._replace(kspace=kspace / ops.cast(expand_to(level, kspace), "complex64"))
    if maps is None:
        return Own(own, factor, level)
    maps = ops.cast(maps, "complex64")
    alone = ops.equal(ops.shape(maps)[1], 1)
    inverse = ops.conj(maps[:, 0]) * ops.cast(combination_weight(maps), "complex64")
    factor = factor * ops.where(alone, inverse, ops.ones_like(inverse))
    return Own(own._replace(maps=ops.where(alone, ops.ones_like(maps), maps)), factor, level)


def in_measured_units(image: Tensor, measurement: Measurement, model: ConditionalModel) -> Tensor:
    """Images `[N, H, W]` of the prior as those of the measurement `[B, C, H, W]`."""
    factor = in_own_units(measurement, model).factor
    return repeat_batch(factor, ops.shape(image)[0] // ops.shape(factor)[0]) * image


def prepare(
    network: Any,
    model: ConditionalModel,
    measurement: Measurement,
    seeds: Tensor,
    options: ConditionalOptions,
    times: Tensor | None = None,
) -> Sampling:
    """Everything before the first call of the network.

    Args:
        network: the Keras model.
        model: what it was built from.
        measurement: normalised, `[B, C, H, W]`.
        seeds: one for each image, `[N, 2]` with N a multiple of B.
        options: see there.
        times: those of `sampling_times`; None for those of the options.

    Raises:
        InputError: coils without maps, or the chain has not the times that are asked for.
    """
    times = sampling_times(model, options) if times is None else times
    own, _, level = in_own_units(measurement, model)
    term, noise_std = DataTerm(own), noise_of(measurement, options) / level
    batch, coils, *size = ops.shape(own.kspace)
    count = ops.shape(seeds)[0]
    prior = ConditionalPrior(
        network, model, repeat_batch(own.mask[:, 0], count // batch), repeat_batch(level, count // batch)
    )
    path = prior.path
    noise = path.noise(rng.for_purpose(seeds, "start"), (count, *size))
    # Of one coil the projection makes it what was sampled, without a trace of the regularisation.
    known = repeat_batch(term.projected(term.least_squares(START_REGULARISATION, START_ITERATIONS)), count // batch)
    start = path.join(first_state(term, path, times, noise, count // batch, options), known)
    data_step = _data_step(options, term, path, noise_std, coils)
    return Sampling(prior, term, data_step, times, start, rng.for_purpose(seeds, "steps"), noise_std, None, options)


def _data_step(
    options: ConditionalOptions, term: DataTerm, path: UnsampledPath, noise_std: Tensor, coils: int | Tensor
) -> DataStep | None:
    """That of the options; "auto" is chosen when the graph runs, if the number of coils is not known before."""

    def step(name: str) -> DataStep | None:
        # What was not sampled has variance one in these units.
        return make_data_step(dataclasses.replace(options, data_step=name), term, path, noise_std, 1.0)

    if options.data_step != "auto":
        return step(options.data_step)
    if isinstance(coils, int):
        return step("projection" if coils == 1 else "cg")
    return lambda x, t: ops.cond(coils == 1, lambda: step("projection")(x, t), lambda: step("cg")(x, t))


def sampling_times(model: ConditionalModel, options: ConditionalOptions, steps: int | None = None) -> np.ndarray:
    """The times of the sampler, int32 `[K]`, falling.

    Args:
        model: of the chain.
        options: say where it begins, and which times it takes.
        steps: so many of them, evenly spaced; None for those of the options.

    Raises:
        InputError: a notation that cannot be read, or more times than the part of the chain has.
    """
    return respaced_times(options.notation if steps is None else str(steps), most_steps(model, options))


def most_steps(model: ConditionalModel, options: ConditionalOptions) -> int:
    """How many times a sampler can have."""
    return max(round(options.start * model.chain.steps), 1)
