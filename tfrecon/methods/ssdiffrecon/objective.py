"""What SSDiffRecon minimises, as settings: the diffusion chain, the split of the samples and the loss."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.discrete import ChainSettings
from tfrecon.physics.partition import PartitionRule
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class HoldOut(PartitionRule):
    """`physics.partition.PartitionRule` with the published share: 5 % of the samples are held out."""

    ratio: float = 0.05


@dataclasses.dataclass(frozen=True)
class SSDiffReconObjective:
    """What is minimised.

    The input of the network is made from the samples Θ of each example, its loss is taken on others (Λ):

    - "ssdu": one split in each step (Yaman et al., MRM 84:3172, 2020), as published.
    - "k_weighted": the same, each held-out sample weighted by how rarely its place is held out
      (Millard & Chiew, IEEE Trans. Comput. Imaging 9:707, 2023); see `losses.weights`, also for what
      that assumes.
    - "multi_mask": the mean over `partition.splits` splits in each step (Yaman et al., NMR Biomed. 35:e4798,
      2022), at as many times the cost.
    - "robust": noise α σ n is added to the input, σ being the noise of the measurement, and the loss also
      asks for the samples as they were measured (Millard & Chiew, Bioengineering 11:1305, 2024). From
      ỹ = y + α σ n follows E[y_0 | ỹ] = ((1 + α²) E[y | ỹ] - ỹ) / α² for the noiseless y_0, and this is how a
      reconstruction corrects the samples that it has. Needs `noise_std`, and a network
      that may deviate from its input, so no hard data consistency. Strictly it holds for "l2".
    - "supervised": the input is everything measured, the loss is taken against the reference image.

    Attributes:
        loss: see above.
        distance: "l1" or "l2" of the complex residual, or "l1_l2"; see `losses.kspace.sample_loss`.
        average: over the held-out "samples", or "all" of k-space as published, which makes the loss
            smaller where less is sampled.
        partition: how Λ is split from the samples.
        chain: the diffusion that the networks are trained on.
        alpha: α of "robust".
        magnitude: whether "supervised" compares magnitudes; for references that have no phase, or another one
            than the image of the coils: maps that are estimated know phases but for one that all coils share.
        data: "measured" k-space for input, consistency and loss; or "reprojected" from the combined
            image as published, which agrees only if one coil measured.
        values: "plain" hands images to the networks in the units of the normalised measurement; "shifted"
            2 u - 1 - i of them, as published for one coil.
    """

    loss: Literal["ssdu", "k_weighted", "multi_mask", "robust", "supervised"] = "k_weighted"
    distance: Literal["l1", "l2", "l1_l2"] = "l1"
    average: Literal["samples", "all"] = "samples"
    partition: HoldOut = dataclasses.field(default_factory=HoldOut)
    chain: ChainSettings = dataclasses.field(default_factory=ChainSettings)
    alpha: float = 1.0
    magnitude: bool = False
    data: Literal["measured", "reprojected"] = "measured"
    values: Literal["plain", "shifted"] = "plain"

    def __post_init__(self) -> None:
        if self.loss == "multi_mask" and self.partition.splits is None:
            raise InputError("loss 'multi_mask' needs several splits", fix="set partition.splits, for instance to 4")
        if self.loss != "multi_mask" and self.partition.splits is not None:
            raise InputError(
                f"loss {self.loss!r} takes one split, not partition.splits={self.partition.splits}",
                fix="set loss='multi_mask', or no partition.splits",
            )
        if not self.alpha > 0:
            raise InputError(f"alpha is {self.alpha:g}", fix="give a positive number, for instance 1")

    @property
    def weighted(self) -> bool:
        """Whether held-out samples are weighted by how rarely their place is held out."""
        return self.loss in ("k_weighted", "robust")

    @property
    def fields(self) -> tuple[str, ...]:
        """The optional fields that a batch must have."""
        return {"supervised": ("reference",), "robust": ("noise_std",)}.get(self.loss, ())
