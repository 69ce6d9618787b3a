"""Settings that belong together: prior, objective and reconstruction."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from tfrecon.methods.ddpm.model import CosineChain, DDPMModel, Prediction, SmallUNet
from tfrecon.methods.ddpm.objective import DDPMObjective
from tfrecon.methods.ddpm.options import DDPMOptions
from tfrecon.nets.improved_unet import ImprovedUNetSettings, preset


class Preset(NamedTuple):
    """Settings of an experiment with a prior: `config.model`, `config.objective`, `config.reconstruct`."""

    model: DDPMModel
    objective: DDPMObjective
    reconstruct: DDPMOptions


def small() -> Preset:
    """A prior for a CPU; the defaults of the method."""
    return Preset(DDPMModel(), DDPMObjective(), DDPMOptions())


def sized(name: Literal["S", "M", "L"]) -> Preset:
    """A prior for an accelerator, of 19.8, 51.8 or 124.1 million parameters.

    Args:
        name: of the network, see `nets.improved_unet.PRESETS`.

    Raises:
        InputError: there is none.
    """
    return Preset(DDPMModel(network=_network(preset(name))), DDPMObjective(), DDPMOptions())


def published(name: Literal["S", "M", "L"] = "L") -> Preset:
    """Improved DDPM as published: 4000 cosine steps, predicted noise of variance one in each channel, ancestral steps.

    Estimates are kept in bounds, as published, here by their magnitude.

    Args:
        name: of the network.
    """
    model = DDPMModel(
        chain=CosineChain(steps=4000, noise_variance=2.0),
        network=_network(preset(name)),
        parameterization=Prediction("eps"),
        phase="random",
    )
    objective = DDPMObjective(weighting="noise", scale_jitter=0.0)
    return Preset(model, objective, DDPMOptions("ancestral", nfe=250, clip=1.5))


def _network(settings: ImprovedUNetSettings) -> SmallUNet:
    """The same numbers, as the settings of a prior have them."""
    return SmallUNet(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)})
