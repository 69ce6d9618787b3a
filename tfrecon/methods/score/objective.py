"""What a prior is trained on and by which loss, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.objectives import ScoreMatching
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class PriorMatching(ScoreMatching):
    """`diffusion.objectives.ScoreMatching` with EDM's weighting and times.

    `ln(sigma / alpha)` of one channel is normal about -1.5, where noise is about as strong as images, and so wide that
    95 % of the noise levels lie between 0.008 and 6.2.
    """

    weighting: Literal["noise", "likelihood", "edm", "min_snr"] = "edm"
    times: Literal["uniform", "log_normal"] = "log_normal"
    log_mean: float = -1.5
    log_std: float = 1.7


@dataclasses.dataclass(frozen=True)
class LowFrequencies:
    """How much of k-space the path "hfs" leaves alone in training: a centred block, drawn for each example.

    Attributes:
        least: smallest side of the block, as a part of k-space's.
        most: largest side. Sampling never leaves more alone than this, however wide the calibration region is.
        lines: share of the examples whose block is of whole lines, as wide as drawn; that of the others is
            as high as it is wide, in parts of k-space.
    """

    least: float = 0.03
    most: float = 0.15
    lines: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.most <= 1:
            raise InputError(f"low frequencies from {self.least:g} to {self.most:g}", fix="give 0 < least ≤ most ≤ 1")
        if not 0 <= self.lines <= 1:
            raise InputError(f"'lines' is {self.lines:g}", fix="give a share from 0 to 1")


@dataclasses.dataclass(frozen=True)
class ScoreObjective:
    """What is minimised: denoising score matching.

    Attributes:
        matching: weights and times of the loss.
        images: what the prior is of. "reference" takes the records' references, which have to be complex
            images if the prior is one of complex images; acquisitions simulated by `data.undersample` then
            matter for their scale alone, which so varies as it will in use. "measured" combines the coils
            of fully sampled records, which must not be undersampled.
        random_phase: turns each complex image by a random global phase, so that all are alike to the prior.
        patches: with a prior of patches, how many of each image are learned from in a step; 0 for all of a
            random partition.
        low_frequencies: of the path "hfs".
    """

    matching: PriorMatching = dataclasses.field(default_factory=PriorMatching)
    images: Literal["reference", "measured"] = "reference"
    random_phase: bool = True
    patches: int = 4
    low_frequencies: LowFrequencies = dataclasses.field(default_factory=LowFrequencies)

    def __post_init__(self) -> None:
        if self.patches < 0:
            raise InputError(f"'patches' is {self.patches}", fix="give a number of patches, or 0 for all")
