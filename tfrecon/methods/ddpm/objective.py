"""What a prior is trained on and by which loss, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.hybrid import VarianceLearning
from tfrecon.diffusion.importance import ImportanceSettings
from tfrecon.diffusion.objectives import ScoreMatching
from tfrecon.methods.ddpm.model import DDPMModel
from tfrecon.util.errors import InputError

IMPORTANCE = "loss-second-moment"


@dataclasses.dataclass(frozen=True)
class DDPMObjective:
    """What is minimised.

    Attributes:
        loss: "hybrid", the simple loss for the mean and a little of the variational bound for the variance; "vlb", the
            bound for both; "simple", for networks that learn no variance.
        vlb_weight: of the bound in "hybrid"; see `diffusion.hybrid.VarianceLearning`.
        weighting: of the simple loss: "noise", `|eps - n|²` as published; "edm", that of a network whose targets have
            variance one at all times, which does not neglect the noisy ones; "min_snr"; see
            `diffusion.objectives.ScoreMatching`.
        gamma: of "min_snr".
        schedule_sampler: how times are drawn: "uniform", or "loss-second-moment", as often as their losses were large
            (`diffusion.importance`), which is meant for "vlb".
        importance: of "loss-second-moment".
        spread_weight: with `model.heteroscedastic`, of the loss that teaches the network how far off its estimate is.
            It teaches the estimate nothing, but shares the network's features with it.
        images: what the prior is of. "reference" takes the records' references, which have to be complex images;
            acquisitions simulated by `data.undersample` then matter for their scale and, with a normalised phase,
            for their calibration samples, which both so vary as they will in use. "measured" combines the coils of
            fully sampled records, which must not be undersampled.
        scale_jitter: images are multiplied by a random factor between 1 - this and 1 + this.
    """

    loss: Literal["hybrid", "vlb", "simple"] = "hybrid"
    vlb_weight: float = 1e-3
    weighting: Literal["noise", "likelihood", "edm", "min_snr"] = "edm"
    gamma: float = 5.0
    schedule_sampler: Literal["uniform", "loss-second-moment"] = "uniform"
    importance: ImportanceSettings = dataclasses.field(default_factory=ImportanceSettings)
    spread_weight: float = 0.01
    images: Literal["reference", "measured"] = "reference"
    scale_jitter: float = 0.2

    def __post_init__(self) -> None:
        VarianceLearning(vlb_weight=self.vlb_weight)
        if not self.spread_weight > 0:
            raise InputError(f"'spread_weight' is {self.spread_weight:g}", fix="give a positive number, usually 0.01")
        if not 0 <= self.scale_jitter < 1:
            raise InputError(f"'scale_jitter' is {self.scale_jitter:g}", fix="give a part from 0 to below 1")

    @property
    def matching(self) -> ScoreMatching:
        """Of the simple loss."""
        return ScoreMatching(weighting=self.weighting, gamma=self.gamma)

    @property
    def draws_by_loss(self) -> bool:
        """Whether times are drawn as often as their losses were large."""
        return self.schedule_sampler == IMPORTANCE

    def check(self, model: DDPMModel) -> None:
        """Raises InputError where the loss and the network's output do not go together."""
        if model.network.learned_variance and self.loss == "simple":
            raise InputError(
                "the loss 'simple' teaches no variance, but the network has one to learn",
                fix="set model.network.learned_variance=False, or objective.loss=hybrid",
            )
        if not model.network.learned_variance and self.loss != "simple":
            raise InputError(
                f"the loss {self.loss!r} teaches a variance, but the network has none",
                fix="set model.network.learned_variance=True, or objective.loss=simple",
            )
