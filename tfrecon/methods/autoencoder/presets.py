"""Settings that belong together: network, objective and, as an autoencoder has none, no options of reconstruction."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tfrecon.methods.autoencoder.objective import AutoencoderObjective
from tfrecon.methods.base import NoSettings
from tfrecon.methods.priors.autoencoder import AutoencoderModel, large_autoencoder, small_autoencoder


class Preset(NamedTuple):
    """Settings of an experiment with an autoencoder: `config.model`, `config.objective`, `config.reconstruct`."""

    model: AutoencoderModel
    objective: AutoencoderObjective
    reconstruct: NoSettings


def small(factor: Literal[2, 4] = 4) -> Preset:
    """`methods.priors.autoencoder.small_autoencoder` as an experiment."""
    return Preset(small_autoencoder(factor), AutoencoderObjective(), NoSettings())


def large(width: int = 64) -> Preset:
    """`methods.priors.autoencoder.large_autoencoder` as an experiment."""
    return Preset(large_autoencoder(width), AutoencoderObjective(), NoSettings())
