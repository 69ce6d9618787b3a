"""How a conditional prior reconstructs, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.methods.priors.chain_options import ChainOptions


@dataclasses.dataclass(frozen=True)
class ConditionalOptions(ChainOptions):
    """`methods.priors.chain_options.ChainOptions` for conditional priors.

    Attributes:
        sampler: as there; "ancestral" is published.
        data_step: as there. "auto" is "projection" for one coil, which puts back what was sampled, and "cg" for
            several.
    """

    sampler: Literal["ancestral", "ddim", "dds", "dpm_solver", "dps", "diffpir"] = "ancestral"
    data_step: Literal["auto", "cg", "proximal", "projection", "gradient", "none"] = "auto"
