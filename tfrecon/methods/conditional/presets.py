"""Settings that belong together: prior, objective and reconstruction."""

from __future__ import annotations

from typing import NamedTuple

from tfrecon.methods.conditional.model import (
    PUBLISHED_LARGEST_BETA,
    ConditionalChain,
    ConditionalModel,
    ConditionalPrediction,
    ConditionalUNet,
)
from tfrecon.methods.conditional.objective import ConditionalObjective
from tfrecon.methods.conditional.options import ConditionalOptions


class Preset(NamedTuple):
    """Settings of an experiment: `config.model`, `config.objective`, `config.reconstruct`."""

    model: ConditionalModel
    objective: ConditionalObjective
    reconstruct: ConditionalOptions


def small() -> Preset:
    """A prior for a CPU; the defaults of the method."""
    return Preset(ConditionalModel(), ConditionalObjective(), ConditionalOptions())


def published(schedule: str = "linear") -> Preset:
    """As ddpm4MRI has it, where that is no mistake: noise, loss, prediction, sampler, chain and size of the network.

    The network has normalisations and knows the mask, k-space is not padded and the images are not scaled by their
    largest sample: the published code does otherwise, to no purpose.

    Args:
        schedule: "linear", or "cosine" with its bound on betas.
    """
    chain = ConditionalChain(schedule=schedule, largest_beta=PUBLISHED_LARGEST_BETA if schedule == "cosine" else 1.0)
    network = ConditionalUNet(
        width=128, multipliers=(1, 1, 2, 2, 2, 2), blocks=2, bottleneck_attention=True, resampling="convolution"
    )
    model = ConditionalModel(chain, network, ConditionalPrediction("eps"), noise="sampled", sees="state")
    objective = ConditionalObjective("l1", "magnitude", scale_jitter=0.0)
    return Preset(model, objective, ConditionalOptions("ancestral", nfe=chain.steps))
