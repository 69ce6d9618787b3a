"""A network of latents as a function of complex images, which paths and samplers know."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.diffusion.parameterization import make_denoiser
from tfrecon.diffusion.steps import Denoiser
from tfrecon.methods.latent.model import LatentModel
from tfrecon.typing import Tensor
from tfrecon.util.complex import stack_pairs, unstack_pairs


@dataclasses.dataclass(frozen=True)
class LatentPrior:
    """A network with its chain, for latents of one batch, complex64 `[B, n·h, w]` (`nets.latent_space`).

    Attributes:
        network: the Keras model.
        model: what it was built from.
        dropout_seeds: `[B, 2]` in training, else None.
    """

    network: Any
    model: LatentModel
    dropout_seeds: Tensor | None = None

    @property
    def path(self) -> DiscretePath:
        """The chain of the model."""
        return self.model.path

    def call(self, latent: Tensor, label: Tensor) -> Tensor:
        """What the network says of noisy latents and what it is told of the time, complex64 like the latents."""
        inputs = {"image": unstack_pairs(latent, self.model.pairs), "time": label}
        training = self.dropout_seeds is not None
        if training and self.model.network.dropout > 0:
            inputs["dropout_seed"] = self.dropout_seeds
        said = ops.cast(self.network(inputs, training=training), "float32")
        return ops.reshape(stack_pairs(said), ops.shape(latent))

    def denoiser(self) -> Denoiser:
        """`(z_t, t) -> z0_hat`."""
        return make_denoiser(self.call, self.model.parameterization, self.path)
