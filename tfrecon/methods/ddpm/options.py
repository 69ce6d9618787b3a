"""How a prior reconstructs, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.methods.priors.chain_options import ChainOptions
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class DDPMOptions(ChainOptions):
    """`methods.priors.chain_options.ChainOptions` for this prior.

    Attributes:
        sampler: as there; "ancestral" takes the variance that the network has learned.
        end: on the chain, where to end: 0 next to the image. Above 0 the image is the mean of what is still
            possible there, which has less noise and less detail than a sample.
        variance: of "ancestral": "learned", "small" (the posterior's own) or "large" (the forward step's). "learned"
            is "small" for networks that learned none.
        clip: largest magnitude of an estimate, in units of the measurement's scale; None for any.
    """

    sampler: Literal["dds", "ancestral", "ddim", "dpm_solver", "dps", "diffpir"] = "dds"
    end: float = 0.0
    variance: Literal["learned", "small", "large"] = "learned"
    clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.end < self.start:
            raise InputError(f"option 'end' is {self.end:g}", fix=f"give a number from 0 to below {self.start:g}")
        self._check_positive("clip")
