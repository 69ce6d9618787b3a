"""How SSDiffRecon reconstructs, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class SSDiffReconOptions:
    """Options of SSDiffRecon.

    Attributes:
        sampler: "respaced" takes `steps` of the trained times and draws each state from its posterior;
            "ddim" follows the same times without new noise (with `eta` 0); "legacy5" is the published one:
            a chain of its own between the same betas, of `steps` times 0, 1, … for which the network
            was trained with other noise, and data that are scaled down and noised in the consistency.
        steps: calls of the network.
        start: "perturbed" begins with the zero-filled image noised to the first time, as in training;
            "zero_filled" with that image as it is, as published; "noise" with noise alone.
        depth: where in the trained chain to begin, in (0, 1]; not for "legacy5".
        variance: of the noise in each step of "respaced": "small" or "large"; see `samplers.ancestral`.
            "legacy5" has the large one.
        eta: noise of "ddim", from 0 to 1.
        samples: how many reconstructions are drawn; of several the mean is the image, and their
            standard deviation is given too.
        consistency: whether each estimate, the last included, is made consistent with all samples.
        consistency_weight: of a network with consistency "proximal" or "gradient", the weight μ or step of all
            its consistencies; None for its own. Beside the samples that training holds out, all samples
            tell more of an image, so a smaller μ may suit them: choose it on validation data.
        clip: bound on each estimate: "magnitude" of its pixels, or a "box" for the real and imaginary part
            (in the network's values; published is a box of 1).
        limit: the bound; images are about 1 where they are bright.
        label: one label for all that is reconstructed, where the model was trained with labels; empty for
            each record's own, and zeros for what has none.
        correct: whether a model trained by the loss "robust" is used as its theory says: on the data with
            noise added, and with the samples corrected for it. Needs `noise_std`. False gives it
            the data as they are.
    """

    sampler: Literal["respaced", "ddim", "legacy5"] = "respaced"
    steps: int = 5
    start: Literal["perturbed", "zero_filled", "noise"] = "perturbed"
    depth: float = 1.0
    variance: Literal["small", "large"] = "small"
    eta: float = 0.0
    samples: int = 1
    consistency: bool = False
    consistency_weight: float | None = None
    clip: Literal["none", "magnitude", "box"] = "none"
    limit: float = 1.0
    label: tuple[float, ...] = ()
    correct: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "samples"):
            if getattr(self, name) < 1:
                raise InputError(f"option {name!r} is {getattr(self, name)}", fix="give at least 1")
        if not 0 <= self.eta <= 1:
            raise InputError(f"option 'eta' is {self.eta:g}", fix="give a number from 0 to 1")
        if not 0 < self.depth <= 1:
            raise InputError(f"option 'depth' is {self.depth:g}", fix="give a number above 0 and up to 1")
        if self.consistency_weight is not None and not self.consistency_weight > 0:
            raise InputError(
                f"option 'consistency_weight' is {self.consistency_weight:g}", fix="give a positive number"
            )
        if not self.limit > 0:
            raise InputError(f"option 'limit' is {self.limit:g}", fix="give a positive number")
