"""What a prior of latents is trained on and by which loss, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.objectives import ScoreMatching
from tfrecon.metrics.ceiling import MARGIN_DB
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class LatentObjective:
    """What is minimised, and what the autoencoder has to be able to do first.

    Attributes:
        wanted_psnr: of the magnitudes of reconstructions, in decibels under the convention "slice". Training does not
            begin with an autoencoder whose own PSNR is not 3 dB above it (`metrics.ceiling`).
        weighting: of the error at different times; see `diffusion.objectives.ScoreMatching`.
        gamma: of "min_snr".
        images: what the prior is of, "reference" or "measured"; see `methods.autoencoder.objective`.
        scale_jitter: images are multiplied by a random factor between 1 - this and 1 + this.
    """

    wanted_psnr: float = 30.0
    weighting: Literal["noise", "likelihood", "edm", "min_snr"] = "edm"
    gamma: float = 5.0
    images: Literal["reference", "measured"] = "reference"
    scale_jitter: float = 0.2

    def __post_init__(self) -> None:
        if not self.wanted_psnr > 0:
            fix = f"give decibels; the autoencoder has to reach {MARGIN_DB:g} more"
            raise InputError(f"'wanted_psnr' is {self.wanted_psnr:g}", fix=fix)
        if not 0 <= self.scale_jitter < 1:
            raise InputError(f"'scale_jitter' is {self.scale_jitter:g}", fix="give a part from 0 to below 1")

    @property
    def matching(self) -> ScoreMatching:
        """Of the loss."""
        return ScoreMatching(weighting=self.weighting, gamma=self.gamma)
