"""Diffusion priors as a method: denoising score matching, and reconstruction by sampling from the posterior.

A prior is trained on images alone and serves every mask, rate and number of coils. After score-MRI (Chung & Ye,
Medical Image Analysis 2022), HFS-SDE (Cao et al., IEEE TMI 43:1853, 2024), DDS (Chung, Lee & Ye, ICLR 2024) and PaDIS
(Hu et al., NeurIPS 2024). An image is the one complex image that all coils see: `y_c = M F S_c x`; one coil has a map
of ones.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

from keras import ops

from tfrecon.diffusion.objectives import denoising_losses, draw_times
from tfrecon.methods.base import Budgeted, ServingFunction, register_method
from tfrecon.methods.priors.images import images_of as training_images
from tfrecon.methods.priors.images import turned
from tfrecon.methods.priors.method import PriorMethod
from tfrecon.methods.priors.reconstruction import item_seeds
from tfrecon.methods.priors.sampling import measured_batch
from tfrecon.methods.score.checks import check_measured
from tfrecon.methods.score.low_frequencies import draw_blocks, limit_blocks
from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.objective import ScoreObjective
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.prior import Prior, make_prior
from tfrecon.methods.score.published import images_of
from tfrecon.methods.score.sampling import ScoreSampling, prepare, sampling_times
from tfrecon.methods.score.score_mri import CoilSampling
from tfrecon.nets.patch_partition import random_patches
from tfrecon.physics.batches import summarise_samples
from tfrecon.physics.calibration_block import calibration_blocks
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex, safe_abs, to_channels, to_complex
from tfrecon.util.errors import InputError


@register_method
class Score(PriorMethod):
    """See the module. The one model is "network"."""

    name: ClassVar[str] = "score"
    model_type: ClassVar[type] = ScoreModel
    objective_type: ClassVar[type] = ScoreObjective
    options_type: ClassVar[type] = ScoreOptions

    def __init__(self, model: ScoreModel | None = None, objective: ScoreObjective | None = None) -> None:
        super().__init__(model, objective)
        if self.model.high_frequency and self.model.patch and self.objective.patches:
            raise InputError(
                "the path 'hfs' compares whole images, not single patches",
                fix="set objective.patches=0 or model.patch=0",
            )

    def fields(self) -> tuple[str, ...]:
        return ("reference",) if self.objective.images == "reference" else ()

    def build(self, seed: int = 0) -> dict[str, Any]:
        return {"network": self.model.build(seed)}

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seeds: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        image = self._training_images(batch, rng.for_purpose(seeds, "phase"))
        size, blocks = ops.shape(image)[1:], None
        if self.model.high_frequency:
            blocks = draw_blocks(self.objective.low_frequencies, rng.for_purpose(seeds, "low frequencies"), size)
        prior = make_prior(
            models["network"],
            self.model,
            self.model.training_path(),
            size,
            rng.for_purpose(seeds, "network"),
            blocks=blocks,
            training=training,
        )
        t = draw_times(self.objective.matching, prior.path, rng.for_purpose(seeds, "time"))
        noise = prior.path.noise(rng.for_purpose(seeds, "noise"), ops.shape(image))
        if self.model.patch and self.objective.patches:
            losses = self._patch_losses(prior, image, t, noise, rng.for_purpose(seeds, "patches"))
        else:
            losses = self._losses(prior, prior.as_network(), image, t, noise)
        return losses, {"t": t}

    def _losses(self, prior: Prior, network: Any, image: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        matching, parameterization = self.objective.matching, self.model.parameterization
        return denoising_losses(network, matching, parameterization, prior.path, image, t, noise)

    def _patch_losses(self, prior: Prior, image: Tensor, t: Tensor, noise: Tensor, seeds: Tensor) -> Tensor:
        """The mean loss over some patches of each image. Noise, too, is zero beyond the image."""
        count = self.objective.patches
        both = ops.concatenate([to_channels(image), to_channels(noise)], axis=-1)
        cut = random_patches(both, seeds, self.model.patch, count)
        parts = to_complex(cut.values[..., :2]), ops.repeat(t, count), to_complex(cut.values[..., 2:])
        losses = self._losses(prior, prior.as_patch_network(cut.positions), *parts)
        return ops.mean(ops.reshape(losses, (-1, count)), axis=-1)

    def _training_images(self, batch: Mapping[str, Tensor], seeds: Tensor) -> Tensor:
        """The images to learn from, complex64 `[B, H, W]`; magnitudes have no imaginary part."""
        image = training_images(batch, self.objective.images, self.name)
        if self.model.channels == "magnitude":
            magnitude = safe_abs(image)
            return make_complex(magnitude, ops.zeros_like(magnitude))
        return turned(image, seeds) if self.objective.random_phase else image

    def complete(self, options: ScoreOptions) -> ScoreOptions:
        return options.for_path(self.model.path.kind)

    def check(self, measurement: Measurement, options: ScoreOptions, *, series: bool = False) -> None:
        check_measured(measurement, self.model, options, series=series)

    def network_calls(self, options: ScoreOptions) -> int | None:
        if options.algorithm in ("complex", "ssos", "hybrid"):
            return None  # real and imaginary parts, and coils, may be images of their own
        return options.calls * options.samples

    def budgeted(self, options: ScoreOptions) -> Budgeted | None:
        if options.sampling.N is not None:
            return None
        # Heun's last step takes one call of two.
        spared = int(options.algorithm == "none" and options.sampler == "ode")
        times_of = functools.partial(sampling_times, self.model, options)
        return self._reconstruction.budgeted(options, times_of, spared=spared)

    def _sampling(
        self,
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor | None,
        options: ScoreOptions,
        times: Tensor | None = None,
    ) -> ScoreSampling | CoilSampling:
        """All that is known before the first call of the network."""
        if self.model.high_frequency and options.data_at == "state":
            raise InputError(
                "data_at 'state' needs a path that diffuses all of an image, not 'hfs'", fix="set data_at='estimate'"
            )
        flat, seeds = self._batch_and_seeds(measurement, seed, options)
        most = self.objective.low_frequencies.most
        return prepare(models["network"], self.model, flat, seeds, options, most=most, times=times)

    def _summary(self, measurement: Measurement, image: Tensor, options: ScoreOptions) -> Reconstruction:
        """Images `[N, H, W]` as those of the measurement, with their standard deviation if there are several."""
        lead = ops.shape(measurement.kspace)[:-3]
        image = images_of(image, self.model, measured_batch(measurement, self.name), options)
        return summarise_samples(ops.reshape(image, (options.samples, *lead, *ops.shape(image)[-2:])))

    def serving_functions(self, models: Mapping[str, Any], options: ScoreOptions) -> dict[str, ServingFunction]:
        """`denoise(x_t, t) -> x0_hat`, at times t `[B]`; with the path "hfs" also the mask, whose centre is known."""
        model = self.model

        def call(x_t: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
            size, blocks = ops.shape(x_t)[1:], None
            if model.high_frequency:
                blocks = limit_blocks(calibration_blocks(mask, size[0]), self.objective.low_frequencies.most, size)
            seeds = item_seeds(None, ops.shape(x_t)[0], 1)
            prior = make_prior(
                models["network"], model, model.path, size, seeds, blocks=blocks, whole=options.whole_images
            )
            return prior.denoiser()(x_t, t)

        inputs = {"x_t": ((None, None, None), "complex64"), "t": ((None,), "float32")}
        if model.high_frequency:
            inputs["mask"] = ((None, 1, None, None), "float32")
        return {"denoise": ServingFunction(call, inputs)}
