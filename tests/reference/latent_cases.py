"""A linear autoencoder that loses nothing, and priors of its latents, for the tests of the method "latent"."""

import numpy as np
from keras import ops
from score_cases import Network

from tfrecon.methods.base import get_method
from tfrecon.methods.latent.model import LatentChain, LatentModel, LatentPrediction, LatentUNet
from tfrecon.methods.latent.objective import LatentObjective
from tfrecon.methods.latent.options import LatentOptions
from tfrecon.methods.latent.statistics import Found, LatentStatistics
from tfrecon.methods.priors.autoencoder import AutoencoderModel
from tfrecon.nets.autoencoder import Moments
from tfrecon.nets.patches import from_patches, to_patches
from tfrecon.util.settings import make_settings

STEPS, FACTOR, PAIRS = 60, 2, 4


class Shuffling:
    """A stand-in for an autoencoder: the pixels of each 2 × 2 block as channels, decoded times a factor."""

    def __init__(self, factor=1.0, log_variance=-30.0):
        self.settings = autoencoder_settings().network_settings
        self.factor, self.log_variance, self.trainable_variables = factor, log_variance, []

    def encode(self, image):
        mean = to_patches(ops.cast(image, "float32"), FACTOR)
        return Moments(mean, ops.zeros_like(mean) + self.log_variance)

    def decode(self, latent, size=None):
        return self.factor * from_patches(latent, FACTOR, tuple(size))

    def __call__(self, inputs):
        return self.decode(self.encode(inputs["image"]).mean, ops.shape(inputs["image"])[1:3])


def autoencoder_settings(phase="normalised"):
    return AutoencoderModel(latent_channels=2 * PAIRS, width=4, multipliers=(1, 2), blocks=1, phase=phase)


def make_method(phase="normalised", output="x0", **objective):
    """The method with a tiny prior."""
    model = LatentModel(
        autoencoder=autoencoder_settings(phase),
        chain=LatentChain(steps=STEPS),
        network=LatentUNet(width=8, multipliers=(1, 2), blocks=1),
        parameterization=LatentPrediction(output),
    )
    return get_method("latent", model, make_settings(LatentObjective, objective, "objective"))


def models_of(network, found=None, autoencoder=None):
    """Stand-ins, with statistics."""
    statistics = LatentStatistics()
    statistics.keep(found or Found(0.5, 0.2, 0.001))
    return {"autoencoder": autoencoder or Shuffling(), "network": network, "statistics": statistics}


def options_of(**options):
    """Few steps."""
    return LatentOptions(**{"nfe": 6, "every": 2, "cg_iterations": 4, "finish_iterations": 8, **options})


def encoded(image, std=1.0):
    """The latents of `Shuffling` in NumPy: complex `[B, 4·h, w]` of images of even size."""
    parts = [image[:, row::FACTOR, column::FACTOR] for row in range(FACTOR) for column in range(FACTOR)]
    return np.concatenate(parts, axis=1) / std


def decoded(latent, std=1.0):
    """The inverse of `encoded`."""
    height = latent.shape[1] // PAIRS
    image = np.zeros((len(latent), FACTOR * height, FACTOR * latent.shape[2]), complex)
    for number in range(PAIRS):
        part = latent[:, number * height : (number + 1) * height]
        image[:, number // FACTOR :: FACTOR, number % FACTOR :: FACTOR] = part * std
    return image


def knowing(image, std):
    """A stand-in that predicts the latents of images, and is always right."""
    pixels = ops.convert_to_tensor(np.stack([image.real, image.imag], axis=-1).astype("float32"))
    truth = to_patches(pixels, FACTOR) / std
    return Network(lambda inputs: ops.tile(truth, (inputs["image"].shape[0] // len(image), 1, 1, 1)))
