"""What an autoencoder is trained on and by which loss, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class AutoencoderObjective:
    """What is minimised: distances of the decoded image from the image, and how far latents are from white noise.

    `L1(m) + magnitude_weight · L1(|m|) + kspace_weight · L1(F m, weighted by radius) + kl_weight · KL / numbers`, where
    L1(m) is the mean magnitude of the complex difference, so that no global phase is preferred.

    Attributes:
        images: what is encoded. "reference" takes the records' references, which have to be complex images;
            acquisitions simulated by `data.undersample` then matter for their scale and, with a normalised phase, for
            their calibration samples, which both so vary as they will in use. "measured" combines the coils of
            fully sampled records, which must not be undersampled.
        magnitude_weight: of the difference of magnitudes.
        kspace_weight: of the difference in k-space; see `losses.spectrum`.
        kl_weight: of the Kullback-Leibler divergence of the latents from a standard normal law, summed over the latents
            and divided by the numbers of an image (2·H·W): the published balance of both sums, at any size.
        scale_jitter: images are multiplied by a random factor between 1 - this and 1 + this.
    """

    images: Literal["reference", "measured"] = "reference"
    magnitude_weight: float = 0.1
    kspace_weight: float = 0.1
    kl_weight: float = 1e-6
    scale_jitter: float = 0.2

    def __post_init__(self) -> None:
        for name in ("magnitude_weight", "kspace_weight", "kl_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name!r} is {getattr(self, name):g}", fix="give 0 or more")
        if not 0 <= self.scale_jitter < 1:
            raise InputError(f"'scale_jitter' is {self.scale_jitter:g}", fix="give a part from 0 to below 1")
