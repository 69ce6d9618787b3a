"""A prior that knows the measurement: a diffusion of unsampled k-space alone, in which what was sampled stays clean.

After ddpm4MRI, whose defects are not in it, for single-coil and coil-combined images: see `sampling` for the
difference. The network is trained with masks, so it serves those that it has seen, not any.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from keras import ops

from tfrecon.diffusion.objectives import ScoreMatching, draw_times
from tfrecon.methods.base import Budgeted, register_method
from tfrecon.methods.conditional.model import ConditionalModel
from tfrecon.methods.conditional.objective import ConditionalObjective
from tfrecon.methods.conditional.options import ConditionalOptions
from tfrecon.methods.conditional.prior import ConditionalPrior
from tfrecon.methods.conditional.sampling import in_measured_units, most_steps, prepare, sampling_times
from tfrecon.methods.conditional.training import training_pair
from tfrecon.methods.conditional.unsampled import unsampled_level
from tfrecon.methods.priors.images import rescaled, turned
from tfrecon.methods.priors.method import PriorMethod
from tfrecon.methods.priors.reconstruction import MOST_STEPS
from tfrecon.methods.priors.sampling import Sampling, measured_batch
from tfrecon.physics.batches import summarise_samples
from tfrecon.physics.fourier import fft2c
from tfrecon.physics.scale import expand_to
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError


@register_method
class Conditional(PriorMethod):
    """See the module. The one model is "network"."""

    name: ClassVar[str] = "conditional"
    model_type: ClassVar[type] = ConditionalModel
    objective_type: ClassVar[type] = ConditionalObjective
    options_type: ClassVar[type] = ConditionalOptions

    def fields(self) -> tuple[str, ...]:
        return ("reference",) if self.objective.images == "reference" else ()

    def build(self, seed: int = 0) -> dict[str, Any]:
        return {"network": self.model.build(seed)}

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seeds: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        image, mask = training_pair(batch, self.objective, rng.for_purpose(seeds, "mask"), self.name)
        image = rescaled(image, rng.for_purpose(seeds, "scale"), self.objective.scale_jitter)
        if self.objective.images != "magnitude":
            image = turned(image, rng.for_purpose(seeds, "phase"))
        level = unsampled_level(fft2c(image)[:, None], mask, self.model.noise)
        dropout = rng.for_purpose(seeds, "dropout") if training else None
        prior = ConditionalPrior(models["network"], self.model, mask[:, 0], level, dropout)
        path = prior.path
        t = draw_times(ScoreMatching(), path, rng.for_purpose(seeds, "time"))
        noise = path.noise(rng.for_purpose(seeds, "noise"), ops.shape(image))
        in_units = image / ops.cast(expand_to(level, image), "complex64")
        losses = prior.losses(in_units, t, noise, self.objective.loss)
        return losses, {"t": t, "level": level}

    def complete(self, options: ConditionalOptions) -> ConditionalOptions:
        sampling_times(self.model, options)  # says at once what the chain cannot give
        return options

    def check(self, measurement: Measurement, options: ConditionalOptions, *, series: bool = False) -> None:
        super().check(measurement, options, series=series)
        coils = np.shape(measurement.kspace)[-3]
        if self.objective.images == "magnitude" and coils > 1:
            raise InputError(
                f"this prior is of real images of one coil, not of {coils} coils",
                fix="give single-coil data, or train one with objective.images=measured",
            )

    def budgeted(self, options: ConditionalOptions) -> Budgeted | None:
        if options.timestep_respacing:
            return None
        most = min(MOST_STEPS, most_steps(self.model, options))
        return self._reconstruction.budgeted(options, functools.partial(sampling_times, self.model, options), most=most)

    def _sampling(
        self,
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor | None,
        options: ConditionalOptions,
        times: Tensor | None = None,
    ) -> Sampling:
        """All that is known before the first call of the network."""
        flat, seeds = self._batch_and_seeds(measurement, seed, options)
        return prepare(models["network"], self.model, flat, seeds, options, times)

    def _summary(self, measurement: Measurement, image: Tensor, options: ConditionalOptions) -> Reconstruction:
        """Images `[N, H, W]` as those of the measurement."""
        image = in_measured_units(image, measured_batch(measurement, self.name), self.model)
        shape = (options.samples, *ops.shape(measurement.kspace)[:-3], *ops.shape(image)[-2:])
        return summarise_samples(ops.reshape(image, shape))
