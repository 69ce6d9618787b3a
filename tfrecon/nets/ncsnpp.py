"""NCSN++ (Song et al., ICLR 2021), the prior of score-MRI (Chung & Ye, Medical Image Analysis 2022).

Residual blocks change sizes, filtered by [1, 3, 3, 1]; smaller and smaller versions of the input join the features
on the way down ("residual" progressive input); sums are divided by sqrt(2). The published network divides its
output by the noise level: that is the parameterisation's work here, so the network's output is the plain one.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import keras

from tfrecon.nets.equalized import child_seed
from tfrecon.nets.resampling import StridedConv2D
from tfrecon.nets.residual import HALF_POWER
from tfrecon.nets.score_unet import Condition, ScoreUNet, ScoreUNetSettings
from tfrecon.typing import Tensor


@dataclasses.dataclass(frozen=True)
class NCSNppSettings(ScoreUNetSettings):
    """What is built; the defaults are score-MRI's network: 61,433,473 trainable parameters for one channel.

    Its list of resolutions with attention names none that occurs, so that the bottleneck alone has it. The time
    is the logarithm of the noise level.

    Attributes:
        progressive_input: "residual": smaller versions of the input join the features at each level; or "none".
        resampling: "fir" filters by [1, 3, 3, 1]; "box" averages 2×2 pixels and repeats nearest ones.
    """

    channels: int = 1
    blocks: int = 4
    embedding: Literal["fourier", "positional"] = "fourier"
    progressive_input: Literal["residual", "none"] = "residual"
    resampling: Literal["fir", "box"] = "fir"


def build_ncsnpp(settings: NCSNppSettings, seed: int = 0) -> NCSNpp:
    """The network with its initial weights; see `ScoreUNet` for what goes in and out.

    Args:
        settings: the architecture.
        seed: of the initial weights; the same on every backend.
    """
    return NCSNpp(settings, seed, name="ncsnpp")


@keras.saving.register_keras_serializable(package="tfrecon")
class NCSNpp(ScoreUNet):
    """NCSN++; inputs, output and arguments as `ScoreUNet`."""

    settings_type = NCSNppSettings
    rescale = True

    @property
    def _smooth(self) -> bool:
        return self.settings.resampling == "fir"

    def _add_down(self, level: int, channels: int) -> None:
        self._add_block(f"down_{level}", channels, channels, "down")
        if self.settings.progressive_input == "residual":
            name = f"pyramid_{level}"
            seed = child_seed(self.seed, name)
            layer = StridedConv2D(channels, smooth=self._smooth, seed=seed, dtype=self.dtype_policy, name=name)
            above = self.settings.width * self.settings.multipliers[level - 1] if level else self.input_channels
            layer.build((None, None, None, above))
            setattr(self, name, layer)

    def _add_up(self, level: int, channels: int) -> None:
        self._add_block(f"up_{level}", channels, channels, "up")

    def _down(self, level: int, x: Tensor, pyramid: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        x = self._step(f"down_{level}", x, condition)
        if self.settings.progressive_input == "residual":
            x = pyramid = (getattr(self, f"pyramid_{level}")(pyramid) + x) * HALF_POWER
        return x, pyramid

    def _up(self, level: int, x: Tensor, condition: Condition) -> Tensor:
        return self._step(f"up_{level}", x, condition)
