"""Reconstruction with a prior of latents: what ReSample is run with, around prior, autoencoder and data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from tfrecon.diffusion.latent import ImageSpace, finish, image_weight, resample
from tfrecon.diffusion.respacing import respaced_times
from tfrecon.diffusion.steps import Carried, Loop, SomeSteps, all_steps
from tfrecon.methods.base import Stepwise
from tfrecon.methods.latent.model import LatentModel
from tfrecon.methods.latent.options import LatentOptions
from tfrecon.methods.latent.prior import LatentPrior
from tfrecon.methods.priors.reconstruction import Prepare, Summarise
from tfrecon.methods.priors.sampling import noise_of
from tfrecon.nets.latent_space import LatentSpace
from tfrecon.physics.data_term import DataTerm
from tfrecon.physics.operators import measurement_operator
from tfrecon.physics.phase import absorb_phase
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy


@dataclasses.dataclass(frozen=True)
class LatentSampling:
    """All that the sampler is run with; N images of samples, sample by sample.

    Attributes:
        prior: of latents.
        images: the images behind them.
        last: likewise, with the data step of the end.
        times: `[K]`, falling; a tensor where their number is known only when the graph runs.
        start: latents at the first of them, complex64 `[N, n·h, w]`.
        seeds: of the sampler's noise, `[N, 2]`.
        options: see there.
        loop: see `diffusion.steps`.
    """

    prior: LatentPrior
    images: ImageSpace
    last: ImageSpace
    times: np.ndarray | Tensor
    start: Tensor
    seeds: Tensor
    options: LatentOptions
    loop: Loop = all_steps

    def run(self) -> Tensor:
        """The images, complex64 `[N, H, W]`."""
        return finish(self.last, self._latents(), self.times[-1])

    def run_some(self, first: Tensor, last: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The steps `first` to `last` - 1 from the state before them: the state after them, and images.

        The images are those of the newest estimate, with the data step of the end at the time of the last step.
        """
        run = dataclasses.replace(self, loop=SomeSteps(first, last, Carried(state, state)))
        found = run._latents()
        t = ops.take(ops.convert_to_tensor(self.times), last - 1, axis=0)
        return found.state, finish(self.last, found.image, t)

    def _latents(self) -> Any:
        arguments = self.prior.denoiser(), self.prior.path, self.images, self.times, self.seeds, self.start
        return resample(*arguments, rule=self.options.rule, eta=self.options.eta, loop=self.loop)


def prepare(
    models: Mapping[str, Any],
    model: LatentModel,
    measurement: Measurement,
    seeds: Tensor,
    options: LatentOptions,
    times: Tensor | None = None,
) -> LatentSampling:
    """Everything before the first call of the network.

    Args:
        models: see the method.
        model: what they were built from.
        measurement: normalised, `[B, C, H, W]`.
        seeds: one for each image, `[N, 2]` with N a multiple of B.
        options: see there.
        times: those of `sampling_times`; None for those of the options.

    Raises:
        InputError: coils without maps, or the chain has not so many times.
    """
    if model.phase == "normalised":
        maps = measurement_operator(measurement).maps
        measurement = measurement._replace(maps=absorb_phase(maps, measurement.kspace, measurement.mask).maps)
    size, found = ops.shape(measurement.kspace)[-2:], models["statistics"].found
    space, prior = LatentSpace(models["autoencoder"], size, found.latent_std), LatentPrior(models["network"], model)
    term, noise_std = DataTerm(measurement), noise_of(measurement, options)

    def space_with(iterations: int) -> ImageSpace:
        def data_step(image: Tensor, t: Tensor) -> Tensor:
            weight = image_weight(prior.path, t, noise_std, found.image_variance, found.reproduction_variance)
            return term.near(image, options.prior_weight * weight, iterations)

        return ImageSpace(space.encode, space.decode, data_step)

    height, width = (-(-length // model.autoencoder.multiple) for length in size)
    shape = (ops.shape(seeds)[0], model.pairs * height, width)
    return LatentSampling(
        prior=prior,
        images=space_with(options.cg_iterations),
        last=space_with(options.finish_iterations),
        times=sampling_times(model, options.steps) if times is None else times,
        start=prior.path.prior(prior.path.noise(rng.for_purpose(seeds, "start"), shape)),
        seeds=rng.for_purpose(seeds, "steps"),
        options=options,
    )


def sampling_times(model: LatentModel, steps: int) -> np.ndarray:
    """So many times of the chain, evenly spaced, int32 `[K]`, falling.

    Raises:
        InputError: the chain has not so many.
    """
    return respaced_times(str(steps), model.chain.steps)


def stepwise(prepared: Prepare, summarise: Summarise, options: LatentOptions) -> Stepwise:
    """See `Method.stepwise`. What is carried: the state of the latents, and the images of the newest estimate.

    Each part ends with a decoded image and its data step, which the whole has once: many parts cost more.
    """

    def begin(models: Mapping[str, Any], measurement: Measurement, seed: Tensor) -> tuple[Tensor, ...]:
        run = prepared(models, measurement, seed, options)
        size = ops.shape(measurement.kspace)[-2:]
        nothing = ops.zeros((ops.shape(run.start)[0], *size), "float32")
        return run.start, ops.cast(nothing, "complex64")

    def advance(
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor,
        carried: tuple[Tensor, ...],
        first: Tensor,
        last: Tensor,
    ) -> tuple[Tensor, ...]:
        return prepared(models, measurement, seed, options).run_some(first, last, carried[0])

    def result(measurement: Measurement, carried: tuple[Tensor, ...]) -> Any:
        return summarise(measurement, carried[1], options)

    return Stepwise(options.steps, begin, advance, result)


def latent_energy(latent: Tensor) -> Tensor:
    """Mean square of latents in a channel, float32 `[B]`: about one where they are divided rightly."""
    return 0.5 * ops.mean(energy(latent), axis=(-2, -1))
