"""Settings that belong together: prior, objective and reconstruction."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tfrecon.methods.latent.model import LatentModel, LatentUNet
from tfrecon.methods.latent.objective import LatentObjective
from tfrecon.methods.latent.options import LatentOptions
from tfrecon.methods.priors.autoencoder import large_autoencoder, small_autoencoder


class Preset(NamedTuple):
    """Settings of an experiment with a prior of latents: `config.model`, `config.objective`, `config.reconstruct`."""

    model: LatentModel
    objective: LatentObjective
    reconstruct: LatentOptions


def small(factor: Literal[2, 4] = 4) -> Preset:
    """A prior for a CPU; the defaults of the method with a factor of 4.

    Args:
        factor: of the autoencoder, as in `methods.priors.autoencoder.small_autoencoder`.
    """
    return Preset(LatentModel(autoencoder=small_autoencoder(factor)), LatentObjective(), LatentOptions())


def large(width: int = 96) -> Preset:
    """A prior for an accelerator, with attention at the two coarser levels, for the autoencoder of that size.

    Args:
        width: channels of the first level of the network of latents.
    """
    network = LatentUNet(
        width=width, multipliers=(1, 2, 3), blocks=2, attention_levels=(1, 2), bottleneck_attention=True
    )
    return Preset(LatentModel(autoencoder=large_autoencoder(), network=network), LatentObjective(), LatentOptions())
