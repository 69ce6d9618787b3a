"""The prior as settings: which network, on which path, what it predicts and on what it works.

Numbers are in units of images whose measurement was divided by its scale: bright tissue is about 1.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.factory import PathSettings
from tfrecon.diffusion.parameterization import Parameterization
from tfrecon.nets.ddpm_unet import DDPM, DDPMSettings, build_ddpm
from tfrecon.nets.ncsnpp import NCSNpp, NCSNppSettings, build_ncsnpp
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class SmallSettings(DDPMSettings):
    """`DDPMSettings` with the defaults of `nets.ddpm_unet.small`, a prior for a CPU."""

    width: int = 32
    blocks: int = 1
    bottleneck_attention: bool = False
    embedding: Literal["fourier", "positional"] = "fourier"
    fourier_scale: float = 1.0
    scale_shift: bool = True
    shift_input: bool = False
    resampling: Literal["convolution", "fir", "box"] = "fir"


@dataclasses.dataclass(frozen=True)
class PriorPath(PathSettings):
    """`diffusion.factory.PathSettings` with noise levels for images of brightness one.

    The published range of "ve", 0.01 to 378, reaches far beyond what images of brightness one need; from 0.005,
    below the noise of measurements, to 50 nothing is lost.
    """

    sigma_min: float = 0.005
    sigma_max: float = 50.0


@dataclasses.dataclass(frozen=True)
class Preconditioning(Parameterization):
    """`diffusion.parameterization.Parameterization` with EDM's preconditioning and label.

    Normalised brain images have a root mean square of 0.28 (T2) to 0.43 (T1), over both channels.
    """

    output: Literal["eps", "x0", "v", "score", "scaled_score", "edm"] = "edm"
    label: Literal["ln_sigma", "999t", "log_snr", "std", "c_noise"] = "c_noise"
    data_std: float = 0.25


@dataclasses.dataclass(frozen=True)
class ScoreModel:
    """What is built and what it works on. The defaults are a prior of complex images for a CPU.

    Attributes:
        network: "small", "ddpm" (HFS-SDE's) or "ncsnpp" (score-MRI's), each with the settings of its name. Their
            `channels` and `extra_channels` follow from what is said here.
        small: settings of "small".
        ddpm: settings of "ddpm".
        ncsnpp: settings of "ncsnpp".
        path: how images become noise. `noise_variance` is that of complex noise; whether noise is real
            follows from `channels`.
        parameterization: what the network predicts.
        channels: "complex" for a prior of complex images, two channels; "magnitude" for one of magnitudes,
            applied to real and imaginary part apart, as score-MRI does.
        patch: 0 for a prior of whole images; P for one of patches of P × P pixels that know where they are
            (PaDIS; Hu et al., NeurIPS 2024, arXiv 2406.02462).
        tell_width: with the path "hfs", shows the network in two channels which part of the height and width of
            k-space is not diffused, so that one network serves calibration regions of many widths.
    """

    network: Literal["small", "ddpm", "ncsnpp"] = "small"
    small: SmallSettings = dataclasses.field(default_factory=SmallSettings)
    ddpm: DDPMSettings = dataclasses.field(default_factory=DDPMSettings)
    ncsnpp: NCSNppSettings = dataclasses.field(default_factory=NCSNppSettings)
    path: PriorPath = dataclasses.field(default_factory=PriorPath)
    parameterization: Preconditioning = dataclasses.field(default_factory=Preconditioning)
    channels: Literal["complex", "magnitude"] = "complex"
    patch: int = 0
    tell_width: bool = True

    def __post_init__(self) -> None:
        if self.path.real:
            raise InputError("path.real is set, but 'channels' decides it", fix="set channels='magnitude'")
        if self.patch < 0:
            raise InputError(f"'patch' is {self.patch}", fix="give a side in pixels, or 0 for whole images")
        if self.high_frequency and self.channels != "complex":
            raise InputError("the path 'hfs' needs complex images", fix="set channels='complex'")

    @property
    def high_frequency(self) -> bool:
        """Whether only high frequencies are diffused."""
        return self.path.kind == "hfs"

    @property
    def told_width(self) -> bool:
        """Whether the network has channels for what is not diffused."""
        return self.high_frequency and self.tell_width

    @property
    def image_channels(self) -> int:
        """Of the network's output."""
        return 2 if self.channels == "complex" else 1

    @property
    def extra_channels(self) -> int:
        """Of the network's input beyond the image: two for the place of pixels, two for what is not diffused."""
        return 2 * bool(self.patch) + 2 * self.told_width

    @property
    def data_variance(self) -> float:
        """E|x_0|² of a pixel of a complex image, as `parameterization.data_std` says."""
        return 2.0 * self.parameterization.data_std**2

    @property
    def network_settings(self) -> DDPMSettings | NCSNppSettings:
        """Settings of the network with the channels that it has here."""
        own = {"small": self.small, "ddpm": self.ddpm, "ncsnpp": self.ncsnpp}[self.network]
        kind = NCSNppSettings if self.network == "ncsnpp" else DDPMSettings
        values = {field.name: getattr(own, field.name) for field in dataclasses.fields(kind)}
        return kind(**{**values, "channels": self.image_channels, "extra_channels": self.extra_channels})

    def training_path(self) -> PathSettings:
        """The path of the images in training: real ones, with half the noise variance, for "magnitude"."""
        if self.channels == "complex":
            return self.path
        return dataclasses.replace(self.path, real=True, noise_variance=self.path.noise_variance / 2)

    def build(self, seed: int = 0) -> DDPM | NCSNpp:
        """The network with its initial weights."""
        settings = self.network_settings
        return build_ncsnpp(settings, seed) if self.network == "ncsnpp" else build_ddpm(settings, seed)
