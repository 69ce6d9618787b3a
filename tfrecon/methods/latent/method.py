"""Latent diffusion as a method: a prior of an autoencoder's latents, and reconstruction with the data in image space.

After Rombach et al., CVPR 2022 (arXiv 2112.10752), whose two stages it has, and ReSample (Song et al., arXiv
2307.08123), by which it reconstructs. The autoencoder is trained before, as the method "autoencoder", and not any
more: `train.start_from` names it. What it cannot reproduce no reconstruction through it has, but for measured
samples; so training does not begin where it is not good enough.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from keras import ops

from tfrecon.diffusion.objectives import random_denoising_losses
from tfrecon.methods.base import Budgeted, Stepwise, register_method
from tfrecon.methods.latent.model import LatentModel
from tfrecon.methods.latent.objective import LatentObjective
from tfrecon.methods.latent.options import LatentOptions
from tfrecon.methods.latent.prior import LatentPrior
from tfrecon.methods.latent.sampling import LatentSampling, latent_energy, prepare, sampling_times, stepwise
from tfrecon.methods.latent.statistics import LatentStatistics, measure
from tfrecon.methods.priors.checks import check_calibration
from tfrecon.methods.priors.images import images_of, phase_of, rescaled, turned, without_phase
from tfrecon.methods.priors.method import PriorMethod
from tfrecon.methods.priors.reconstruction import MOST_STEPS
from tfrecon.methods.priors.sampling import measured_batch
from tfrecon.metrics.ceiling import require_ceiling
from tfrecon.nets.latent_space import LatentSpace
from tfrecon.physics.batches import repeat_batch, summarise_samples
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import to_channels, to_complex


@register_method
class Latent(PriorMethod):
    """See the module. The models are "autoencoder", which is not trained, "network" and "statistics"."""

    name: ClassVar[str] = "latent"
    model_type: ClassVar[type] = LatentModel
    objective_type: ClassVar[type] = LatentObjective
    options_type: ClassVar[type] = LatentOptions
    first_stage: ClassVar[tuple[str, ...]] = ("autoencoder",)

    def fields(self) -> tuple[str, ...]:
        return ("reference",) if self.objective.images == "reference" else ()

    def build(self, seed: int = 0) -> dict[str, Any]:
        autoencoder = self.model.autoencoder.build(seed)
        autoencoder.trainable = False
        statistics = LatentStatistics(name="latent_statistics")
        return {"autoencoder": autoencoder, "network": self.model.build(seed), "statistics": statistics}

    def prepare(self, models: Mapping[str, Any], batches: Iterable[Mapping[str, Tensor]]) -> str:
        """Measures the autoencoder, and refuses one that is not good enough (`objective.wanted_psnr`)."""
        autoencoder = models["autoencoder"]

        def reproduce(image: Tensor) -> Tensor:
            return to_complex(autoencoder({"image": to_channels(image)}))

        found, ceiling = measure(autoencoder, reproduce, (self._images(batch) for batch in batches))
        require_ceiling(ceiling.mean, self.objective.wanted_psnr)
        models["statistics"].keep(found)
        return (
            f"the autoencoder reproduces {ceiling.count} images with {ceiling.mean:.1f} dB, which is the ceiling of "
            f"what is not measured; its latents have a standard deviation of {found.latent_std:.3g}"
        )

    def _images(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The images to learn from, with the phase that the autoencoder knows but for a global one, `[B, H, W]`."""
        image = images_of(batch, self.objective.images, "a prior of latents")
        return image if self.model.phase == "random" else without_phase(image, batch)

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seeds: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        image = rescaled(self._images(batch), rng.for_purpose(seeds, "scale"), self.objective.scale_jitter)
        if self.model.phase == "random":
            image = turned(image, rng.for_purpose(seeds, "phase"))
        space = LatentSpace(models["autoencoder"], ops.shape(image)[1:], models["statistics"].found.latent_std)
        latent = ops.stop_gradient(space.draw(image, rng.for_purpose(seeds, "latent")))
        dropout = rng.for_purpose(seeds, "dropout") if training else None
        prior = LatentPrior(models["network"], self.model, dropout)
        losses, t = random_denoising_losses(
            prior.call, self.objective.matching, self.model.parameterization, prior.path, latent, seeds
        )
        return losses, {"t": t, "latent_energy": latent_energy(latent)}

    def complete(self, options: LatentOptions) -> LatentOptions:
        sampling_times(self.model, options.steps)  # says at once what the chain cannot give
        return options

    def check(self, measurement: Measurement, options: LatentOptions, *, series: bool = False) -> None:
        super().check(measurement, options, series=series)
        if self.model.phase == "normalised":
            check_calibration(measurement)

    def network_calls(self, options: LatentOptions) -> int:
        """Those of the network of latents, the encoder's and the decoder's."""
        return sum(options.passes) * options.samples

    def stepwise(self, options: LatentOptions) -> Stepwise:
        return stepwise(self._sampling, self._summary, options)

    def budgeted(self, options: LatentOptions) -> Budgeted:
        times_of = functools.partial(sampling_times, self.model)
        return self._reconstruction.budgeted(options, times_of, most=min(MOST_STEPS, self.model.chain.steps))

    def _sampling(
        self,
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor | None,
        options: LatentOptions,
        times: Tensor | None = None,
    ) -> LatentSampling:
        """All that is known before the first call of the network."""
        flat, seeds = self._batch_and_seeds(measurement, seed, options)
        return prepare(models, self.model, flat, seeds, options, times)

    def _summary(self, measurement: Measurement, image: Tensor, options: LatentOptions) -> Reconstruction:
        """Images `[N, H, W]` as those of the measurement."""
        if self.model.phase == "normalised":
            image = repeat_batch(phase_of(measured_batch(measurement, self.name)), options.samples) * image
        shape = (options.samples, *ops.shape(measurement.kspace)[:-3], *ops.shape(image)[-2:])
        return summarise_samples(ops.reshape(image, shape))
