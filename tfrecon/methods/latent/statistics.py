"""What is measured of an autoencoder before a prior of its latents is trained, and kept beside the prior.

It is a model with variables that nothing trains, so that the numbers are where the weights are: in checkpoints and
model folders, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tfrecon.metrics.aggregate import Summary
from tfrecon.metrics.ceiling import reproduction_ceiling
from tfrecon.nets.autoencoder import KLAutoencoder
from tfrecon.nets.latent_space import latent_std
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


class Found(NamedTuple):
    """Numbers of an autoencoder on some images.

    Attributes:
        latent_std: root mean square of its latents in a channel, by which they are divided.
        image_variance: E|x|² of a pixel.
        reproduction_variance: E|x - D(E(x))|² of a pixel.
    """

    latent_std: Any = 1.0
    image_variance: Any = 1.0
    reproduction_variance: Any = 0.0


@keras.saving.register_keras_serializable(package="tfrecon")
class LatentStatistics(keras.Model):
    """`Found` as variables, which are those of its defaults until something is measured; called, it gives them.

    Args:
        **kwargs: name and the like.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trainable=False, autocast=False, **kwargs)
        self.values = self.add_weight(
            name="values", shape=(len(Found._fields),), dtype="float32", initializer="zeros", trainable=False
        )
        self.keep(Found())
        self.built = True

    @property
    def found(self) -> Found:
        """What they are now, float32 scalars."""
        values = ops.convert_to_tensor(self.values)
        return Found(*(values[number] for number in range(len(Found._fields))))

    def keep(self, found: Found) -> None:
        """Replaces them."""
        self.values.assign(np.asarray(found, np.float32))

    def call(self, inputs: Tensor) -> Tensor:
        del inputs
        return ops.convert_to_tensor(self.values)


def measure(
    autoencoder: KLAutoencoder, reproduce: Callable[[Tensor], Tensor], batches: Iterable[Tensor]
) -> tuple[Found, Summary]:
    """What an autoencoder makes of images.

    Args:
        autoencoder: trained.
        reproduce: what it makes of images, complex64 `[B, H, W]` both.
        batches: of images, as the autoencoder takes them: with their phase, or without it.

    Returns:
        The numbers, and its PSNR on the images, in decibels.

    Raises:
        InputError: no images, or latents that are all zero or not finite.
    """
    images: Sequence[np.ndarray] = [ops.convert_to_numpy(batch) for batch in batches]
    reproduced = [ops.convert_to_numpy(reproduce(batch)) for batch in images]
    again = iter(reproduced)
    ceiling = reproduction_ceiling(lambda batch: next(again), images)
    std = latent_std(autoencoder, images)
    if not 0 < std < np.inf:
        raise InputError(f"the latents have a standard deviation of {std:g}", fix="train the autoencoder anew")
    count = sum(batch.size for batch in images)
    lost = sum(_energy(mine - batch) for mine, batch in zip(reproduced, images, strict=True))
    return Found(std, sum(map(_energy, images)) / count, lost / count), ceiling


def _energy(image: np.ndarray) -> float:
    return float(np.sum(np.abs(image.astype(np.complex128)) ** 2))
