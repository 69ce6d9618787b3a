"""Options of methods whose path is a discrete chain."""

from __future__ import annotations

import dataclasses

from tfrecon.diffusion.respacing import count_named
from tfrecon.methods.priors.options import SamplingOptions


@dataclasses.dataclass(frozen=True)
class ChainOptions(SamplingOptions):
    """`SamplingOptions` with the published notations for which times of a chain are taken.

    Attributes:
        timestep_respacing: "50", so many times, evenly spaced; "10,10,30", so many of each of three sections, the one
            next to the image first; "ddim50", one every so many steps. Empty for `nfe`, evenly spaced; else it goes
            before `nfe`. See `diffusion.respacing`.
    """

    timestep_respacing: str = ""

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
