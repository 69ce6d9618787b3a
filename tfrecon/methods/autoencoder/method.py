"""An autoencoder of complex images as a method: trained as any other, and measured by what it reproduces.

It is the first stage of latent diffusion (Rombach et al., CVPR 2022, arXiv 2112.10752): a prior of its latents is the
second. By itself it reconstructs nothing. What it makes of an undersampled image says nothing of use, and is
refused; what it makes of a fully sampled one is the best that any reconstruction through it can be, its ceiling, which
`tfrecon reconstruct` and `tfrecon evaluate` so measure like any other score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from keras import ops

from tfrecon.losses.gaussian import kl_to_standard_normal
from tfrecon.losses.image import image_loss
from tfrecon.losses.spectrum import radial_spectrum_loss
from tfrecon.methods.autoencoder.objective import AutoencoderObjective
from tfrecon.methods.base import Method, NoSettings, ServingFunction, register_method
from tfrecon.methods.priors.autoencoder import AutoencoderModel
from tfrecon.methods.priors.images import combined_image, images_of, phase_of, rescaled, turned, without_phase
from tfrecon.physics.batches import as_batch
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import to_channels, to_complex
from tfrecon.util.errors import InputError


@register_method
class Autoencoder(Method):
    """See the module. The one model is "autoencoder"."""

    name: ClassVar[str] = "autoencoder"
    model_type: ClassVar[type] = AutoencoderModel
    objective_type: ClassVar[type] = AutoencoderObjective
    options_type: ClassVar[type] = NoSettings
    fully_sampled: ClassVar[bool] = True

    def fields(self) -> tuple[str, ...]:
        return ("reference",) if self.objective.images == "reference" else ()

    def build(self, seed: int = 0) -> dict[str, Any]:
        return {"autoencoder": self.model.build(seed)}

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seeds: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        network, objective = models["autoencoder"], self.objective
        image = self._training_images(batch, seeds)
        size = ops.shape(image)[1:]
        moments = network.encode(to_channels(image))
        latent = moments.draw(rng.for_purpose(seeds, "latent")) if training else moments.mean
        decoded = to_complex(network.decode(latent, size))
        terms = {
            "image": image_loss(decoded, image),
            "magnitude": image_loss(decoded, image, magnitude=True),
            "kspace": radial_spectrum_loss(decoded, image),
            "kl": kl_to_standard_normal(*moments) / ops.cast(2 * size[0] * size[1], "float32"),
        }
        loss = terms["image"] + objective.magnitude_weight * terms["magnitude"]
        return loss + objective.kspace_weight * terms["kspace"] + objective.kl_weight * terms["kl"], terms

    def _training_images(self, batch: Mapping[str, Tensor], seeds: Tensor) -> Tensor:
        """The images to learn from, complex64 `[B, H, W]`."""
        image = images_of(batch, self.objective.images, "an autoencoder")
        image = rescaled(image, rng.for_purpose(seeds, "scale"), self.objective.scale_jitter)
        if self.model.phase == "random":
            return turned(image, rng.for_purpose(seeds, "phase"))
        return without_phase(image, batch)

    def reproduce(self, models: Mapping[str, Any], image: Tensor) -> Tensor:
        """What is decoded from the means of the latents of images, complex64 `[B, H, W]` like they are.

        Args:
            models: what `build` returned.
            image: with a normalised phase if the model has one.
        """
        return to_complex(models["autoencoder"]({"image": to_channels(image)}))

    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: NoSettings
    ) -> Reconstruction:
        del seed, options
        flat, lead = as_batch(measurement, self.name)
        image = combined_image(flat)
        if self.model.phase == "normalised":
            phase = phase_of(flat)
            image = phase * self.reproduce(models, ops.conj(phase) * image)
        else:
            image = self.reproduce(models, image)
        return Reconstruction(ops.reshape(image, (*lead, *ops.shape(image)[1:])))

    def check(self, measurement: Measurement, options: NoSettings, *, series: bool = False) -> None:
        del options, series
        masks = np.asarray(measurement.mask) != 0
        if any(map(_has_gaps, masks.reshape(-1, *masks.shape[-2:]))):
            raise InputError(
                "an autoencoder reproduces images and does not reconstruct them, but k-space has gaps",
                fix="give fully sampled data to see what it reproduces; to reconstruct, train a prior of its latents",
            )

    def serving_functions(self, models: Mapping[str, Any], options: NoSettings) -> dict[str, ServingFunction]:
        """`encode(image)`, mean and logarithm of the variance of its latents; `decode(latent, size)`, an image.

        Images are complex64 `[B, H, W]`, latents float32 `[B, ⌈H/f⌉, ⌈W/f⌉, n]`, size int32 `[H, W]`.
        """
        del options
        network = models["autoencoder"]

        def encode(image: Tensor) -> dict[str, Tensor]:
            return network.encode(to_channels(image))._asdict()

        def decode(latent: Tensor, size: Tensor) -> Tensor:
            return to_complex(network.decode(latent, (size[0], size[1])))

        latent = (None, None, None, self.model.latent_channels)
        return {
            "encode": ServingFunction(encode, {"image": ((None, None, None), "complex64")}),
            "decode": ServingFunction(decode, {"latent": (latent, "float32"), "size": ((2,), "int32")}),
        }


def _has_gaps(mask: np.ndarray) -> bool:
    """Whether samples `[H or 1, W]` do not fill a rectangle; edges that were not sampled are no gaps."""
    sides = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
    return np.count_nonzero(mask) != math.prod(np.ptp(side) + 1 for side in sides if side.size)
