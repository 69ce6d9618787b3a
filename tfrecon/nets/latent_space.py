"""The latents of an autoencoder as complex images, on which diffusion paths and samplers work as on any others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from keras import ops

from tfrecon.nets.autoencoder import KLAutoencoder, Moments
from tfrecon.typing import Tensor
from tfrecon.util.complex import stack_pairs, to_channels, to_complex, unstack_pairs
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class LatentSpace:
    """Complex images `[B, H, W]` to complex latents `[B, n·⌈H/f⌉, ⌈W/f⌉]` and back.

    n is the number of pairs of latent channels; each pair is a complex image, one below the other
    (`util.complex.stack_pairs`). One unit of a path's noise should have variance 2: one for each channel.

    Attributes:
        autoencoder: of images as they are given here: with a phase that it was trained on, see `physics.phase`.
        size: H and W.
        std: standard deviation of the autoencoder's latents in a channel (`latent_std`), by which they are divided; a
            number, or a tensor where it is known when the graph runs.
    """

    autoencoder: KLAutoencoder
    size: Sequence[int | Tensor]
    std: float | Tensor = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.std, int | float) and not self.std > 0:
            raise InputError(f"the standard deviation of latents is {self.std:g}", fix="give a positive number")

    @property
    def pairs(self) -> int:
        """Complex images that a latent is of."""
        return self.autoencoder.settings.latent_channels // 2

    def moments(self, image: Tensor) -> Moments:
        """Mean and logarithm of the variance of latents, as the autoencoder says them, not divided."""
        return self.autoencoder.encode(to_channels(image))

    def encode(self, image: Tensor) -> Tensor:
        """The means of the latents of images, complex64."""
        return self.from_channels(self.moments(image).mean)

    def draw(self, image: Tensor, seeds: Tensor) -> Tensor:
        """Latents of images by seeds `[B, 2]`, complex64: what a prior of latents is trained on."""
        return self.from_channels(self.moments(image).draw(seeds))

    def decode(self, latent: Tensor) -> Tensor:
        """Images of latents, complex64 `[B, H, W]`."""
        return to_complex(self.autoencoder.decode(self.to_channels(latent), self.size))

    def from_channels(self, latent: Tensor) -> Tensor:
        """The autoencoder's latents, float32 `[B, h, w, 2n]`, as complex ones."""
        return stack_pairs(latent / self.std)

    def to_channels(self, latent: Tensor) -> Tensor:
        """The inverse of `from_channels`; what a network of latents sees, times `std`."""
        return unstack_pairs(latent, self.pairs) * self.std


def latent_std(autoencoder: KLAutoencoder, batches: Iterable[Tensor]) -> float:
    """The root mean square of latents drawn as a prior sees them: their means, and their own variance.

    Args:
        autoencoder: trained.
        batches: complex64 images `[B, H, W]`.

    Raises:
        InputError: no images.
    """
    total, count = 0.0, 0
    for batch in batches:
        mean, log_variance = (ops.convert_to_numpy(part) for part in autoencoder.encode(to_channels(batch)))
        total += float(np.sum(mean.astype(np.float64) ** 2 + np.exp(log_variance.astype(np.float64))))
        count += mean.size
    if not count:
        raise InputError("no images to measure latents on", fix="give a dataset that is not empty")
    return float(np.sqrt(total / count))
