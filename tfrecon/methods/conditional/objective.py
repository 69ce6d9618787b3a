"""What a conditional prior is trained on and by which loss, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class ConditionalObjective:
    """What is minimised: the error of what the network predicts, in unsampled k-space alone.

    Attributes:
        loss: "l2", the mean square of real and imaginary parts, or "l1", their mean magnitude, as published.
        images: what the prior is of. "reference" takes the records' references, complex images on the grid of k-space,
            and the masks that `data.undersample` draws. The others take fully sampled records, which must not be
            undersampled, and draw masks of lines themselves: "measured", the coils combined by their maps;
            "magnitude", their root sum of squares, a real image whose k-space is Hermitian: the published
            "single coil".
        accelerations: of masks drawn here: every so many lines, from a random first one; each as likely.
        center_fractions: of the width that is sampled in full around the centre, one for each acceleration.
        scale_jitter: images are multiplied by a random factor between 1 - this and 1 + this.
    """

    loss: Literal["l2", "l1"] = "l2"
    images: Literal["reference", "measured", "magnitude"] = "reference"
    accelerations: tuple[int, ...] = (4, 8)
    center_fractions: tuple[float, ...] = (0.08, 0.04)
    scale_jitter: float = 0.2

    def __post_init__(self) -> None:
        if not self.accelerations or min(self.accelerations) < 2:
            raise InputError(f"'accelerations' is {self.accelerations}", fix="give whole numbers of at least 2")
        if len(self.center_fractions) != len(self.accelerations):
            raise InputError(
                f"{len(self.center_fractions)} center_fractions for {len(self.accelerations)} accelerations",
                fix="give one for each",
            )
        if not all(0 < fraction < 1 for fraction in self.center_fractions):
            raise InputError(f"'center_fractions' is {self.center_fractions}", fix="give parts between 0 and 1")
        if not 0 <= self.scale_jitter < 1:
            raise InputError(f"'scale_jitter' is {self.scale_jitter:g}", fix="give a part from 0 to below 1")
