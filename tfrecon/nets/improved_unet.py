"""The U-Net of improved DDPM (Nichol & Dhariwal, ICML 2021): a mean, and beside it what a variance is learned from.

Beyond DDPM's it has attention of several heads behind every block of its levels, time scales and shifts features, and
its output has twice the channels where the variance is learned.
"""

from __future__ import annotations

import dataclasses

import keras

from tfrecon.nets.ddpm_unet import DDPM, DDPMSettings
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class ImprovedUNetSettings(DDPMSettings):
    """What is built; the defaults are the preset "L".

    Levels with attention are counted, not found by their size in pixels, so that one network suits images of any size;
    the memory that attention needs grows with the square of the pixels that a level has. Normalisations have 32 groups
    as published, but none of fewer than 4 channels.

    Attributes:
        heads: of attention.
        learned_variance: the output has twice the channels: first those of the image, then as many for the variance;
            see `diffusion.learned_variance`.
        extra_outputs: channels of the output behind those.
    """

    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    attention_levels: tuple[int, ...] = (4, 5)
    scale_shift: bool = True
    shift_input: bool = False
    heads: int = 4
    learned_variance: bool = True
    extra_outputs: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extra_outputs < 0:
            raise InputError(f"'extra_outputs' is {self.extra_outputs}", fix="give 0 or more")
        attended = {self.width * self.multipliers[level] for level in self.attention_levels}
        if self.bottleneck_attention:
            attended.add(self.width * self.multipliers[-1])
        if self.heads < 1:
            raise InputError(f"'heads' is {self.heads}", fix="give at least 1")
        if any(channels % self.heads for channels in attended):
            widths = ", ".join(map(str, sorted(attended)))
            raise InputError(f"'heads' is {self.heads}", fix=f"give a divisor of the channels with attention, {widths}")

    @property
    def output_channels(self) -> int:
        return self.channels * (2 if self.learned_variance else 1) + self.extra_outputs


PRESETS = {
    "S": ImprovedUNetSettings(width=64, multipliers=(1, 1, 2, 2, 4), attention_levels=(4,), padded_to=32),
    "M": ImprovedUNetSettings(width=96, multipliers=(1, 1, 2, 3, 4), attention_levels=(4,), padded_to=32),
    "L": ImprovedUNetSettings(padded_to=32),
}
"""Networks for complex images of about 320 × 320 pixels: 19.8, 51.8 and 124.1 million parameters."""


def preset(name: str) -> ImprovedUNetSettings:
    """The settings of that name; `dataclasses.replace` changes them.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"no preset {name!r}", fix=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def build_improved_unet(settings: ImprovedUNetSettings, seed: int = 0) -> ImprovedUNet:
    """The network with its initial weights; see `ScoreUNet` for what goes in and out.

    Args:
        settings: the architecture.
        seed: of the initial weights; the same on every backend.
    """
    return ImprovedUNet(settings, seed, name="improved_unet")


@keras.saving.register_keras_serializable(package="tfrecon")
class ImprovedUNet(DDPM):
    """Improved DDPM's U-Net; inputs, output and arguments as `ScoreUNet`.

    Output channels are those of `output_channels`: the mean's, the variance's, the extra ones.
    """

    settings_type = ImprovedUNetSettings
    shortcut_scale = 1.0
    attends_throughout = True

    @property
    def _heads(self) -> int:
        return self.settings.heads
