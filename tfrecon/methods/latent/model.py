"""The prior as settings: the autoencoder of the first stage, and chain and network of its latents."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath, Schedule
from tfrecon.diffusion.parameterization import Parameterization
from tfrecon.methods.priors.autoencoder import AutoencoderModel
from tfrecon.nets.improved_unet import ImprovedUNet, ImprovedUNetSettings, build_improved_unet
from tfrecon.util.errors import InputError

NOISE_VARIANCE = 2.0
"""Of one unit of noise: one in each channel, as large as latents are there."""


@dataclasses.dataclass(frozen=True)
class LatentChain(ChainSettings):
    """`diffusion.discrete.ChainSettings` with the cosine schedule and noise of variance one in each channel."""

    schedule: Schedule = "cosine"
    noise_variance: float = NOISE_VARIANCE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_variance != NOISE_VARIANCE:
            raise InputError(
                f"'noise_variance' is {self.noise_variance:g}, but latents have variance one in each channel",
                fix=f"give {NOISE_VARIANCE:g}",
            )


@dataclasses.dataclass(frozen=True)
class LatentUNet(ImprovedUNetSettings):
    """`nets.improved_unet.ImprovedUNetSettings` with the defaults of a network for a CPU.

    It sees images that are smaller by the autoencoder's factor, so it is wide and has few levels. There is no
    attention, so that what was trained on crops suits whole images.
    """

    width: int = 48
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention_levels: tuple[int, ...] = ()
    bottleneck_attention: bool = False
    resampling: Literal["convolution", "fir", "box"] = "fir"
    learned_variance: bool = False


@dataclasses.dataclass(frozen=True)
class LatentPrediction(Parameterization):
    """`diffusion.parameterization.Parameterization` with "v" as output, for latents of variance one."""

    output: Literal["eps", "x0", "v", "score", "scaled_score", "edm"] = "v"
    data_std: float = 1.0


@dataclasses.dataclass(frozen=True)
class LatentModel:
    """What is built and what it works on. The defaults are a prior for a CPU.

    Attributes:
        autoencoder: of the first stage, as it was trained: its settings, phase included, have to be the same here. It
            is not trained any more.
        chain: how latents become noise.
        network: the U-Net of latents. `channels`, `extra_channels`, `extra_outputs` and `learned_variance` follow
            from what is said here: no variance is learned.
        parameterization: what the network predicts.
    """

    autoencoder: AutoencoderModel = dataclasses.field(default_factory=AutoencoderModel)
    chain: LatentChain = dataclasses.field(default_factory=LatentChain)
    network: LatentUNet = dataclasses.field(default_factory=LatentUNet)
    parameterization: LatentPrediction = dataclasses.field(default_factory=LatentPrediction)

    @property
    def path(self) -> DiscretePath:
        """The chain."""
        return DiscretePath.from_settings(self.chain)

    @property
    def phase(self) -> Literal["normalised", "random"]:
        """Of the images, as the autoencoder has them."""
        return self.autoencoder.phase

    @property
    def pairs(self) -> int:
        """Complex images that a latent is of."""
        return self.autoencoder.latent_channels // 2

    @property
    def network_settings(self) -> ImprovedUNetSettings:
        """Settings of the network with the channels that it has here."""
        own = {field.name: getattr(self.network, field.name) for field in dataclasses.fields(ImprovedUNetSettings)}
        channels = {"channels": self.autoencoder.latent_channels, "extra_channels": 0, "extra_outputs": 0}
        return ImprovedUNetSettings(**{**own, **channels, "learned_variance": False})

    def build(self, seed: int = 0) -> ImprovedUNet:
        """The network of latents with its initial weights."""
        return build_improved_unet(self.network_settings, seed)
