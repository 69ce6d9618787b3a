"""The U-Net of DDPM (Ho, Jain & Abbeel, 2020), the prior of HFS-SDE (Cao et al., IEEE TMI 43:1853, 2024).

`small` is one of them for a CPU.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras

from tfrecon.nets.equalized import child_seed
from tfrecon.nets.resampling import StridedConv2D, nearest_upsample, resampler
from tfrecon.nets.residual import PROJECTION_SCALE
from tfrecon.nets.score_unet import Condition, ScoreUNet, ScoreUNetSettings
from tfrecon.nets.variance_scaled import convolution
from tfrecon.typing import Tensor


@dataclasses.dataclass(frozen=True)
class DDPMSettings(ScoreUNetSettings):
    """What is built; the defaults are HFS-SDE's network: 34,425,602 parameters for two channels.

    Its list of resolutions with attention names none that occurs, so that the bottleneck alone has it. Dropout,
    published as 0.1, is off unless asked for.

    Attributes:
        resampling: how sizes change between levels. "convolution", as published: 3×3 of stride 2, and 3×3 behind
            doubled pixels. "fir" and "box" have no weights: a filter [1, 3, 3, 1], or means of 2×2
            pixels and nearest ones.
    """

    resampling: Literal["convolution", "fir", "box"] = "convolution"


def small(extra_channels: int = 0) -> DDPMSettings:
    """A prior of complex images for a CPU: 1.4 million parameters, one block for each of four levels.

    The time is meant to be a logarithm of the noise level, of a few units. There is no attention, whose sums
    are over as many pixels as an image has, so that what was trained on crops or patches suits whole images.

    Args:
        extra_channels: of the input beyond the image: 2 for the pixels' positions, 1 for a mask of low frequencies.
    """
    return DDPMSettings(
        extra_channels=extra_channels,
        width=32,
        blocks=1,
        bottleneck_attention=False,
        embedding="fourier",
        fourier_scale=1.0,
        scale_shift=True,
        shift_input=False,
        resampling="fir",
    )


def build_ddpm(settings: DDPMSettings, seed: int = 0) -> DDPM:
    """The network with its initial weights; see `ScoreUNet` for what goes in and out.

    Args:
        settings: the architecture.
        seed: of the initial weights; the same on every backend.
    """
    return DDPM(settings, seed, name="ddpm")


@keras.saving.register_keras_serializable(package="tfrecon")
class DDPM(ScoreUNet):
    """DDPM's U-Net; inputs, output and arguments as `ScoreUNet`."""

    settings_type = DDPMSettings
    shortcut_scale = PROJECTION_SCALE

    @property
    def _smooth(self) -> bool:
        return self.settings.resampling == "fir"

    @property
    def _convolves(self) -> bool:
        return self.settings.resampling == "convolution"

    def _add_down(self, level: int, channels: int) -> None:
        if self._convolves:
            name = f"down_{level}"
            layer = StridedConv2D(channels, seed=child_seed(self.seed, name), dtype=self.dtype_policy, name=name)
            layer.build((None, None, None, channels))
            setattr(self, name, layer)

    def _add_up(self, level: int, channels: int) -> None:
        if self._convolves:
            layer = convolution(self, f"up_{level}", channels)
            layer.build((None, None, None, channels))
            setattr(self, f"up_{level}", layer)

    def _down(self, level: int, x: Tensor, pyramid: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        change_size = getattr(self, f"down_{level}") if self._convolves else resampler("down", self._smooth)
        return change_size(x), pyramid

    def _up(self, level: int, x: Tensor, condition: Condition) -> Tensor:
        if self._convolves:
            return getattr(self, f"up_{level}")(nearest_upsample(x))
        return resampler("up", self._smooth)(x)
