"""The conditional prior as settings: which chain, which noise, which network and what it sees.

Images have their own phase: one that is taken off would mix sampled with unsampled k-space.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from tfrecon.diffusion.discrete import ChainSettings, Schedule, make_betas
from tfrecon.diffusion.parameterization import Parameterization
from tfrecon.methods.conditional.unsampled import NoiseLevel
from tfrecon.nets.improved_unet import ImprovedUNet, ImprovedUNetSettings, build_improved_unet
from tfrecon.util.errors import InputError

PUBLISHED_LARGEST_BETA = 5e-4
"""Above which the published "cosine" has no beta: its chain ends with most of the image's energy."""


@dataclasses.dataclass(frozen=True)
class ConditionalChain(ChainSettings):
    """`diffusion.discrete.ChainSettings` with a cosine schedule.

    Attributes:
        largest_beta: no beta is larger; 1 for no bound, 5e-4 for the published "cosine".
    """

    schedule: Schedule = "cosine"
    largest_beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.largest_beta <= 1:
            raise InputError(f"the largest beta is {self.largest_beta:g}", fix="give a number above 0 and up to 1")

    @property
    def betas(self) -> np.ndarray:
        """Of the chain, float64 `[T]`."""
        return np.minimum(make_betas(self), self.largest_beta)


@dataclasses.dataclass(frozen=True)
class ConditionalUNet(ImprovedUNetSettings):
    """`nets.improved_unet.ImprovedUNetSettings` with the defaults of a network for a CPU, without attention."""

    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 1
    attention_levels: tuple[int, ...] = ()
    bottleneck_attention: bool = False
    resampling: Literal["convolution", "fir", "box"] = "fir"
    learned_variance: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.learned_variance:
            raise InputError("a conditional prior learns no variance", fix="set network.learned_variance=False")


@dataclasses.dataclass(frozen=True)
class ConditionalPrediction(Parameterization):
    """`diffusion.parameterization.Parameterization` with "v" as output, of the unsampled part.

    "eps" is published. At the end of a chain that reaches noise the estimate from it is divided by next to nothing.
    """

    output: Literal["eps", "x0", "v"] = "v"


@dataclasses.dataclass(frozen=True)
class ConditionalModel:
    """What is built and what it works on. The defaults are a prior for a CPU.

    Attributes:
        chain: how unsampled k-space becomes noise.
        network: the U-Net; `channels`, `extra_channels` and `extra_outputs` follow from what is said here.
        parameterization: what the network predicts.
        noise: how large the noise is. "unsampled": as the unsampled data are, told from samples outside of the
            calibration block, so that states have signal in them along the chain. "sampled", as
            published: as all sampled entries are, the centre of k-space included. The published mean of the noise,
            which the published steps back do not know of, is left away.
        sees: "parts": the image of the unsampled part in units of the noise, beside it the image of the sampled part
            in units of the measurement's scale, and the mask; "state", as published: one image of both, and
            the mask (the published network has none).
    """

    chain: ConditionalChain = dataclasses.field(default_factory=ConditionalChain)
    network: ConditionalUNet = dataclasses.field(default_factory=ConditionalUNet)
    parameterization: ConditionalPrediction = dataclasses.field(default_factory=ConditionalPrediction)
    noise: NoiseLevel = "unsampled"
    sees: Literal["parts", "state"] = "parts"

    @property
    def network_settings(self) -> ImprovedUNetSettings:
        """Settings of the network with the channels that it has here."""
        own = {field.name: getattr(self.network, field.name) for field in dataclasses.fields(ImprovedUNetSettings)}
        extra = 3 if self.sees == "parts" else 1
        return ImprovedUNetSettings(**{**own, "channels": 2, "extra_channels": extra, "extra_outputs": 0})

    def build(self, seed: int = 0) -> ImprovedUNet:
        """The network with its initial weights."""
        return build_improved_unet(self.network_settings, seed)
