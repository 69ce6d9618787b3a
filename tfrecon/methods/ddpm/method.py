"""Improved DDPM as a method: a prior of complex images on a discrete chain, and reconstruction by sampling.

After Nichol & Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021 (arXiv 2102.09672), and DDS
(Chung, Lee & Ye, ICLR 2024). What is diffused is the one complex image that all coils see, `y_c = M F S_c x`, whose
physics comes in at sampling alone: one prior serves every mask, rate and number of coils.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from keras import ops

from tfrecon.diffusion.importance import draw_weighted_times, remember
from tfrecon.diffusion.objectives import draw_times
from tfrecon.methods.base import (
    Budgeted,
    ServingFunction,
    TrainingImages,
    register_method,
)
from tfrecon.methods.ddpm.history import SeenLosses
from tfrecon.methods.ddpm.losses import prior_losses
from tfrecon.methods.ddpm.model import DDPMModel
from tfrecon.methods.ddpm.objective import DDPMObjective
from tfrecon.methods.ddpm.options import DDPMOptions
from tfrecon.methods.ddpm.prior import DDPMPrior
from tfrecon.methods.ddpm.sampling import (
    DDPMSampling,
    error_variance,
    image_count,
    in_measured_phase,
    most_steps,
    prepare,
    sampling_times,
)
from tfrecon.methods.priors.checks import check_calibration
from tfrecon.methods.priors.images import images_of, rescaled, turned, without_phase
from tfrecon.methods.priors.method import PriorMethod
from tfrecon.methods.priors.reconstruction import MOST_STEPS, PriorReconstruction, item_seeds
from tfrecon.methods.priors.sampling import measured_batch
from tfrecon.physics.batches import summarise_samples
from tfrecon.physics.operators import combine_sets
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng

HISTORY = "history"
"""The model that remembers losses for importance sampling; there is none without it."""


@register_method
class DDPM(PriorMethod):
    """See the module. The models are "network" and, with importance sampling, "history"."""

    name: ClassVar[str] = "ddpm"
    model_type: ClassVar[type] = DDPMModel
    objective_type: ClassVar[type] = DDPMObjective
    options_type: ClassVar[type] = DDPMOptions

    def __init__(self, model: DDPMModel | None = None, objective: DDPMObjective | None = None) -> None:
        super().__init__(model, objective)
        self.objective.check(self.model)

    def fields(self) -> tuple[str, ...]:
        return ("reference",) if self.objective.images == "reference" else ()

    def training_images(self) -> TrainingImages:
        def make(batch: Mapping[str, Tensor]) -> Tensor:
            image = images_of(batch, self.objective.images, self.name)
            return image if self.model.phase == "random" else without_phase(image, batch)

        return TrainingImages("reference" if self.objective.images == "reference" else "kspace", make)

    def build(self, seed: int = 0) -> dict[str, Any]:
        models: dict[str, Any] = {"network": self.model.build(seed)}
        if self.objective.draws_by_loss:
            importance = self.objective.importance
            models[HISTORY] = SeenLosses(
                self.model.chain.steps, importance.history, importance.uniform, name="seen_losses"
            )
        return models

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seeds: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        image, valid = self.training_images().of(batch)
        image = rescaled(image, rng.for_purpose(seeds, "scale"), self.objective.scale_jitter)
        if self.model.phase == "random":
            image = turned(image, rng.for_purpose(seeds, "phase"))
        dropout = rng.for_purpose(seeds, "dropout") if training else None
        prior = DDPMPrior(models["network"], self.model, self.model.path, dropout_seeds=dropout)
        t, weights = self._draw_times(models, prior, rng.for_purpose(seeds, "time"))
        noise = prior.path.noise(rng.for_purpose(seeds, "noise"), ops.shape(image))
        losses, parts = prior_losses(prior, self.objective, image, t, noise, valid)
        return weights * losses, {"t": t, "unweighted": losses, **parts}

    def _draw_times(self, models: Mapping[str, Any], prior: DDPMPrior, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """A time for each image, and the weight of its loss."""
        if self.objective.draws_by_loss:
            return draw_weighted_times(self.objective.importance, models[HISTORY].state, seeds)
        t = draw_times(self.objective.matching, prior.path, seeds)
        return t, ops.ones_like(ops.cast(t, "float32"))

    def updates(self, models: Mapping[str, Any], logs: Mapping[str, Tensor]) -> list[tuple[Any, Tensor]]:
        if HISTORY not in models:
            return []
        history = models[HISTORY]
        return history.changed_to(remember(history.state, logs["t"], logs["unweighted"]))

    def complete(self, options: DDPMOptions) -> DDPMOptions:
        sampling_times(self.model, options)  # says at once what the chain cannot give
        return options

    def check(self, measurement: Measurement, options: DDPMOptions, *, series: bool = False) -> None:
        super().check(measurement, options, series=series)
        if self.model.phase == "normalised":
            check_calibration(measurement)

    def network_calls(self, options: DDPMOptions) -> int:
        return (options.steps + self.model.heteroscedastic) * options.samples

    def budgeted(self, options: DDPMOptions) -> Budgeted | None:
        if options.timestep_respacing:
            return None
        most = min(MOST_STEPS, most_steps(self.model, options))
        return self._reconstruction.budgeted(options, functools.partial(sampling_times, self.model, options), most=most)

    def serving_functions(self, models: Mapping[str, Any], options: DDPMOptions) -> dict[str, ServingFunction]:
        """`denoise(x_t, t) -> x0_hat`, complex64 `[B, H, W]` at times t int32 `[B]`."""
        prior = DDPMPrior(models["network"], self.model, self.model.path, options.clip)
        inputs = {"x_t": ((None, None, None), "complex64"), "t": ((None,), "int32")}
        return {"denoise": ServingFunction(prior.denoiser(), inputs)}

    @property
    def _reconstruction(self) -> PriorReconstruction:
        variance = error_variance if self.model.heteroscedastic else None
        return PriorReconstruction(self._sampling, self._summary, variance)

    def _sampling(
        self,
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor | None,
        options: DDPMOptions,
        times: Tensor | None = None,
    ) -> DDPMSampling:
        """All that is known before the first call of the network."""
        flat = measured_batch(measurement, self.name, map_sets=True)
        seeds = item_seeds(seed, image_count(flat), options.samples)
        return prepare(models["network"], self.model, flat, seeds, options, times)

    def _summary(
        self, measurement: Measurement, image: Tensor, options: DDPMOptions, variance: Tensor | None = None
    ) -> Reconstruction:
        """Images `[N, H, W]` as those of the measurement, with their standard deviation where it is known."""
        flat = measured_batch(measurement, self.name, map_sets=True)
        sets = flat.maps is not None and len(flat.maps.shape) == 5
        lead = (*ops.shape(measurement.kspace)[:-3], *([ops.shape(flat.maps)[1]] if sets else []))
        shape = (options.samples, *lead, *ops.shape(image)[-2:])
        image = combine_sets(ops.reshape(in_measured_phase(image, flat, self.model), shape), sets)
        if variance is not None:
            variance = ops.reshape(variance, shape)
            variance = ops.sum(variance, axis=-3) if sets else variance
        return summarise_samples(image, variance)
