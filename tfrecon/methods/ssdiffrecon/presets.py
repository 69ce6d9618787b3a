"""Settings that belong together: architecture, objective and reconstruction."""

from __future__ import annotations

from typing import NamedTuple

from tfrecon.diffusion.discrete import ChainSettings
from tfrecon.methods.ssdiffrecon import model as architectures
from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel
from tfrecon.methods.ssdiffrecon.objective import HoldOut, SSDiffReconObjective
from tfrecon.methods.ssdiffrecon.options import SSDiffReconOptions


class Preset(NamedTuple):
    """Settings of an experiment with SSDiffRecon: `config.model`, `config.objective`, `config.reconstruct`."""

    model: SSDiffReconModel
    objective: SSDiffReconObjective
    reconstruct: SSDiffReconOptions


def faithful(coils: int = 1) -> Preset:
    """The method as it was published, defects included; for comparison, not for use.

    5 % of the samples are held out anywhere, DC included; noise has unit variance in each channel; the loss
    is averaged over all of k-space; the sampler walks a rebuilt chain from the zero-filled image.

    Args:
        coils: 1 for the single-coil network with its shifted values; more for the multi-coil network
            with its data re-projected from the combined image.
    """
    several = coils > 1
    objective = SSDiffReconObjective(
        loss="ssdu",
        average="all",
        partition=HoldOut(acs=0),
        chain=ChainSettings(noise_variance=2.0),
        data="reprojected" if several else "measured",
        values="plain" if several else "shifted",
    )
    options = SSDiffReconOptions(sampler="legacy5", start="zero_filled", clip="box", limit=1.0)
    model = architectures.faithful_multi() if several else architectures.faithful_single()
    return Preset(model, objective, options)


def fixed(channels: int = 128, label_width: int = 0) -> Preset:
    """The published network with its defects cured and the best of the losses; the defaults of the method.

    Args:
        channels: of the denoiser; 64 is the published number for many coils.
        label_width: of the label vector.
    """
    return Preset(architectures.fixed(channels, label_width), SSDiffReconObjective(), SSDiffReconOptions())


def small(label_width: int = 0) -> Preset:
    """For training on a CPU.

    Args:
        label_width: of the label vector.
    """
    return Preset(architectures.small(label_width), SSDiffReconObjective(), SSDiffReconOptions())
