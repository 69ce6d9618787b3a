"""The autoencoder as settings, shared by its own method and priors of its latents: network, and phase of images."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.nets.autoencoder import AutoencoderSettings, KLAutoencoder, build_autoencoder
from tfrecon.nets.autoencoder import small as small_network


@dataclasses.dataclass(frozen=True)
class AutoencoderModel(AutoencoderSettings):
    """`nets.autoencoder.AutoencoderSettings` with the defaults of `nets.autoencoder.small`, for a CPU, and a phase.

    Attributes:
        phase: of the images. "normalised": the low-resolution phase of the measurement is taken off before the
            encoder and put back behind the decoder (`physics.phase`), so that images are nearly real and latents
            need not carry it. "random": images have their own phase, and in training a random global one on top, for
            measurements whose calibration samples do not tell the phase.
    """

    latent_channels: int = 8
    width: int = 24
    blocks: int = 1
    phase: Literal["normalised", "random"] = "normalised"

    @property
    def network_settings(self) -> AutoencoderSettings:
        """Those of the network alone."""
        fields = dataclasses.fields(AutoencoderSettings)
        return AutoencoderSettings(**{field.name: getattr(self, field.name) for field in fields})

    def build(self, seed: int = 0) -> KLAutoencoder:
        """The network with its initial weights."""
        return build_autoencoder(self.network_settings, seed)


def small_autoencoder(factor: Literal[2, 4] = 4) -> AutoencoderModel:
    """An autoencoder for a CPU; the defaults of the method with a factor of 4.

    Args:
        factor: by how much the latents are smaller than images along each axis. With 2 they are half as many numbers as
            an image, with 4 a fourth: what is lost, and what latent diffusion costs, both fall with the first.
    """
    return _with_phase(small_network(factor))


def large_autoencoder(width: int = 64) -> AutoencoderModel:
    """The published size for images of about 320 × 320 pixels, a factor of 4: 13.3 million parameters.

    Args:
        width: channels of the first level; 128 for 53.2 million.
    """
    return _with_phase(AutoencoderSettings(width=width))


def _with_phase(network: AutoencoderSettings) -> AutoencoderModel:
    return AutoencoderModel(**{field.name: getattr(network, field.name) for field in dataclasses.fields(network)})
