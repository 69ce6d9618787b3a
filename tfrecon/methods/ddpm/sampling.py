"""Reconstruction with a prior: the sampler of the options, around network and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from keras import ops

from tfrecon.diffusion import samplers
from tfrecon.diffusion.learned_variance import learned_ancestral
from tfrecon.diffusion.respacing import respaced_times
from tfrecon.methods.ddpm.model import DDPMModel
from tfrecon.methods.ddpm.options import DDPMOptions
from tfrecon.methods.ddpm.prior import DDPMPrior
from tfrecon.methods.priors.data_steps import make_data_step
from tfrecon.methods.priors.images import phase_of
from tfrecon.methods.priors.sampling import SAMPLERS, Sampler, Sampling, first_state, noise_of
from tfrecon.physics.batches import repeat_batch
from tfrecon.physics.data_term import DataTerm
from tfrecon.physics.operators import measurement_operator
from tfrecon.physics.phase import absorb_phase
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng


def _ancestral(run: Sampling) -> Tensor:
    """With the variance that the options say."""
    path, arguments = run.prior.path, (run.correct, run.times, run.seeds, run.start)
    variance = run.options.variance
    if variance == "learned" and run.prior.model.network.learned_variance:
        return learned_ancestral(run.prior.learned_denoiser(), path, *arguments, loop=run.loop)
    fixed = "large" if variance == "large" else "small"
    return samplers.ancestral(run.denoiser, path, *arguments, variance=fixed, loop=run.loop)


class DDPMSampling(Sampling):
    """`methods.priors.sampling.Sampling` whose prior is a `DDPMPrior`."""

    samplers: ClassVar[Mapping[str, Sampler]] = {**SAMPLERS, "ancestral": _ancestral}


def prepare(
    network: Any,
    model: DDPMModel,
    measurement: Measurement,
    seeds: Tensor,
    options: DDPMOptions,
    times: Tensor | None = None,
) -> DDPMSampling:
    """Everything before the first call of the network.

    Args:
        network: the Keras model.
        model: what it was built from.
        measurement: normalised, `[B, C, H, W]`.
        seeds: one for each image, `[N, 2]` with N a multiple of B, or of B S with S sets of maps, each of which
            has an image drawn from the prior.
        options: see there.
        times: those of `sampling_times`; None for those of the options.

    Raises:
        InputError: coils without maps, or the chain has not the times that are asked for.
    """
    times = sampling_times(model, options) if times is None else times
    measurement, _ = in_own_phase(measurement, model)
    term, prior = DataTerm(measurement), DDPMPrior(network, model, model.path, options.clip)
    size, copies = ops.shape(measurement.kspace)[-2:], ops.shape(seeds)[0] // image_count(measurement)
    noise_std = noise_of(measurement, options)
    data_step = make_data_step(options, term, prior.path, noise_std, model.data_variance)
    noise = prior.path.noise(rng.for_purpose(seeds, "start"), (ops.shape(seeds)[0], *size))
    start = first_state(term, prior.path, times, noise, copies, options)
    own = rng.for_purpose(seeds, "steps")
    return DDPMSampling(prior, term, data_step, times, start, own, noise_std, None, options)


def image_count(measurement: Measurement) -> int | Tensor:
    """Images of a batch: one of each measurement and set of maps."""
    shape = ops.shape(measurement.kspace if measurement.maps is None else measurement.maps)
    return shape[0] * shape[1] if len(shape) == 5 else shape[0]


def sampling_times(model: DDPMModel, options: DDPMOptions, steps: int | None = None) -> np.ndarray:
    """The times of the sampler, int32 `[K]`, falling.

    Args:
        model: of the chain.
        options: say where it begins and ends, and which times it takes.
        steps: so many of them, evenly spaced; None for those of the options.

    Raises:
        InputError: a notation that cannot be read, or more times than the part of the chain has.
    """
    first, last = _ends(model, options)
    return first + respaced_times(options.notation if steps is None else str(steps), last - first)


def most_steps(model: DDPMModel, options: DDPMOptions) -> int:
    """How many times a sampler can have."""
    first, last = _ends(model, options)
    return last - first


def _ends(model: DDPMModel, options: DDPMOptions) -> tuple[int, int]:
    """The times from which and below which a sampler takes its own."""
    steps = model.chain.steps
    last = max(round(options.start * steps), 1)
    return min(round(options.end * steps), last - 1), last


def in_own_phase(measurement: Measurement, model: DDPMModel) -> tuple[Measurement, Tensor | None]:
    """The measurement as one of the images that the prior is of.

    Args:
        measurement: `[B, C, H, W]`.
        model: of the prior.

    Returns:
        The measurement, maybe with other maps, and what its images are to be multiplied with, complex64 `[B, H, W]`
        (`[B, S, H, W]`) or None.
    """
    if model.phase == "random":
        return measurement, None
    maps = measurement_operator(measurement).maps
    absorbed = absorb_phase(maps, measurement.kspace, measurement.mask)
    return measurement._replace(maps=absorbed.maps), absorbed.phase


def in_measured_phase(image: Tensor, measurement: Measurement, model: DDPMModel) -> Tensor:
    """Images `[N, H, W]` of the prior as those of the measurement `[B, C, H, W]`; the inverse of `in_own_phase`."""
    if model.phase == "random":
        return image
    phase = ops.reshape(phase_of(measurement), (-1, *ops.shape(image)[1:]))
    return repeat_batch(phase, ops.shape(image)[0] // ops.shape(phase)[0]) * image


def error_variance(run: DDPMSampling, image: Tensor, index: int | Tensor) -> Tensor:
    """`E|x_0 - x0_hat|²` of images that are estimates, as their network says, float32 `[N, H, W]`.

    The network is shown the image with the noise of the time at which it was estimated.

    Args:
        run: what made them.
        image: complex64 `[N, H, W]`, in the phase of the prior.
        index: number of the step that made them.
    """
    t = ops.take(ops.convert_to_tensor(run.times), index, axis=0)
    noise = run.prior.path.noise(rng.for_purpose(run.seeds, "spread"), ops.shape(image))
    output = run.prior.output(run.prior.path.perturb(image, t, noise), t)
    return ops.exp(run.prior.log_variance(output.spread, t))
