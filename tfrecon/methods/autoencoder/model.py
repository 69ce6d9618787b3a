"""The autoencoder as settings: the network, and which phase its images have."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.nets.autoencoder import AutoencoderSettings, KLAutoencoder, build_autoencoder


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
