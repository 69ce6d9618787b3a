"""A method that learns from images alone: importing this module makes "toy_images" known.

It takes noise off images that are either references or the combination of the coils; padded ones count where they
are valid.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import toy_method
from keras import ops

from tfrecon.diffusion.objectives import pixel_mean
from tfrecon.methods.base import TrainingImages, register_method
from tfrecon.physics.operators import least_squares_image, measurement_operator
from tfrecon.typing import Measurement
from tfrecon.util import rng
from tfrecon.util.complex import energy


@dataclasses.dataclass(frozen=True)
class ToyImagesObjective:
    """`images` says of what; `noise` is added."""

    images: Literal["reference", "measured"] = "reference"
    noise: float = 0.1


@register_method
class ToyImages(toy_method.Toy):
    """See the module. `losses_made` counts the calls of `loss`: one for each graph that is traced."""

    name = "toy_images"
    objective_type = ToyImagesObjective

    def __init__(self, model=None, objective=None):
        super().__init__(model, objective)
        self.losses_made = 0

    def fields(self):
        return ("reference",) if self.objective.images == "reference" else ()

    def training_images(self):
        if self.objective.images == "reference":
            return TrainingImages("reference", lambda batch: ops.cast(batch["reference"], "complex64"))
        return TrainingImages("kspace", combined)

    def loss(self, models, batch, seeds, training):
        self.losses_made += 1
        image, valid = self.training_images().of(batch)
        noise = self.objective.noise * rng.complex_normal(seeds, ops.shape(image))
        output = toy_method.apply_networks(models, image + noise, ops.zeros(ops.shape(image)[:1]), training)
        return pixel_mean(energy(output - image), valid), {}


def combined(batch):
    """Coils combined by least squares."""
    measurement = Measurement(batch["kspace"], batch["mask"], batch.get("maps"))
    return least_squares_image(measurement_operator(measurement), batch["kspace"])
