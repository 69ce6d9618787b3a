"""How a conditional prior reconstructs, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.respacing import count_named
from tfrecon.methods.priors.options import SamplingOptions


@dataclasses.dataclass(frozen=True)
class ConditionalOptions(SamplingOptions):
    """`methods.priors.options.SamplingOptions` for conditional priors.

    Attributes:
        sampler: as there; "ancestral" is published.
        timestep_respacing: which times of the chain are taken, in the published notations (`diffusion.respacing`);
            empty for `nfe`, evenly spaced; else it goes before `nfe`.
        data_step: as there. "auto" is "projection" for one coil, which puts back what was sampled, and "cg" for
            several.
    """

    sampler: Literal["ancestral", "ddim", "dds", "dpm_solver", "dps", "diffpir"] = "ancestral"
    timestep_respacing: str = ""
    data_step: Literal["auto", "cg", "proximal", "projection", "gradient", "none"] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timestep_respacing:
            count_named(self.timestep_respacing)

    @property
    def notation(self) -> str:
        """Of the times."""
        return self.timestep_respacing or str(self.nfe)

    @property
    def steps(self) -> int:
        """Times of the sampler, each a call of the network."""
        return count_named(self.notation)
