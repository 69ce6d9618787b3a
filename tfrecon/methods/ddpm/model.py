"""The prior as settings: which chain, which network, what it predicts and what its images are.

Numbers are in units of images whose measurement was divided by its scale: bright tissue is about 1.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath, Schedule
from tfrecon.diffusion.parameterization import Parameterization
from tfrecon.nets.improved_unet import ImprovedUNet, ImprovedUNetSettings, build_improved_unet
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class CosineChain(ChainSettings):
    """`diffusion.discrete.ChainSettings` with the schedule of improved DDPM."""

    schedule: Schedule = "cosine"


@dataclasses.dataclass(frozen=True)
class SmallUNet(ImprovedUNetSettings):
    """`nets.improved_unet.ImprovedUNetSettings` with the defaults of a network for a CPU: 1.4 million parameters.

    There is no attention, whose sums are over as many pixels as an image has, so that what was trained on crops suits
    whole images. Sizes are padded to multiples of 32, as in the buckets of training with several sizes.
    """

    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 1
    attention_levels: tuple[int, ...] = ()
    bottleneck_attention: bool = False
    padded_to: int | None = 32
    resampling: Literal["convolution", "fir", "box"] = "fir"


@dataclasses.dataclass(frozen=True)
class Prediction(Parameterization):
    """`diffusion.parameterization.Parameterization` with "v" as output.

    A cosine chain ends with next to nothing of the image, alpha 5e-5 at the last of 1000 steps: dividing by it, as the
    estimate from predicted noise does, would multiply the network's errors by 20 000. From "v" nothing is divided.
    """

    output: Literal["eps", "x0", "v", "score", "scaled_score", "edm"] = "v"
    data_std: float = 0.25


@dataclasses.dataclass(frozen=True)
class DDPMModel:
    """What is built and what it works on. The defaults are a prior for a CPU.

    Attributes:
        chain: how images become noise.
        network: the U-Net; `learned_variance` says whether it learns the variance of the steps back, too. `channels`,
            `extra_channels` and `extra_outputs` follow from what is said here.
        parameterization: what the network predicts.
        heteroscedastic: the network also says how far off its estimate of the image is, `E|x_0 - x0_hat|²` of each
            pixel. A reconstruction so has a standard deviation even if it is a single one.
        phase: of the images. "normalised": the low-resolution phase that the calibration samples tell is moved into
            the coils' maps before sampling and put back afterwards (`physics.phase`), so that images are nearly
            real. "random": images have their own phase, and in training a random global one on top, for
            measurements whose calibration samples do not tell it.
    """

    chain: CosineChain = dataclasses.field(default_factory=CosineChain)
    network: SmallUNet = dataclasses.field(default_factory=SmallUNet)
    parameterization: Prediction = dataclasses.field(default_factory=Prediction)
    heteroscedastic: bool = False
    phase: Literal["normalised", "random"] = "normalised"

    def __post_init__(self) -> None:
        if self.network.learned_variance and self.chain.steps < 2:
            raise InputError(
                "a variance is learned between those of two steps, but the chain has one",
                fix="set chain.steps to at least 2, or network.learned_variance=False",
            )

    @property
    def path(self) -> DiscretePath:
        """The chain."""
        return DiscretePath.from_settings(self.chain)

    @property
    def data_variance(self) -> float:
        """E|x_0|² of a pixel, as `parameterization.data_std` says."""
        return 2.0 * self.parameterization.data_std**2

    @property
    def network_settings(self) -> ImprovedUNetSettings:
        """Settings of the network with the channels that it has here."""
        own = {field.name: getattr(self.network, field.name) for field in dataclasses.fields(ImprovedUNetSettings)}
        return ImprovedUNetSettings(
            **{**own, "channels": 2, "extra_channels": 0, "extra_outputs": int(self.heteroscedastic)}
        )

    def build(self, seed: int = 0) -> ImprovedUNet:
        """The network with its initial weights."""
        return build_improved_unet(self.network_settings, seed)
