"""Settings that belong together: network, objective and, as an autoencoder has none, no options of reconstruction."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from tfrecon.methods.autoencoder.model import AutoencoderModel
from tfrecon.methods.autoencoder.objective import AutoencoderObjective
from tfrecon.methods.base import NoSettings
from tfrecon.nets.autoencoder import AutoencoderSettings
from tfrecon.nets.autoencoder import small as small_network


class Preset(NamedTuple):
    """Settings of an experiment with an autoencoder: `config.model`, `config.objective`, `config.reconstruct`."""

    model: AutoencoderModel
    objective: AutoencoderObjective
    reconstruct: NoSettings


def small(factor: Literal[2, 4] = 4) -> Preset:
    """An autoencoder for a CPU; the defaults of the method with a factor of 4.

    Args:
        factor: by how much the latents are smaller than images along each axis. With 2 they are half as many numbers as
            an image, with 4 a fourth: what is lost, and what latent diffusion costs, both fall with the first.
    """
    return _preset(small_network(factor))


def large(width: int = 64) -> Preset:
    """The published size for images of about 320 × 320 pixels, a factor of 4: 13.3 million parameters.

    Args:
        width: channels of the first level; 128 for 53.2 million.
    """
    return _preset(AutoencoderSettings(width=width))


def _preset(network: AutoencoderSettings) -> Preset:
    values = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
    return Preset(AutoencoderModel(**values), AutoencoderObjective(), NoSettings())
