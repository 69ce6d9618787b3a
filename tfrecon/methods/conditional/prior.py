"""A network as a function of the states of measured images, and the loss that teaches it."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from keras import ops

from tfrecon.diffusion.parameterization import make_denoiser, network_output, target_of
from tfrecon.diffusion.path import along
from tfrecon.diffusion.steps import Denoiser
from tfrecon.methods.conditional.model import ConditionalModel
from tfrecon.methods.conditional.unsampled import UnsampledPath
from tfrecon.physics.fourier import fft2c
from tfrecon.typing import Tensor
from tfrecon.util.complex import to_channels, to_complex


@dataclasses.dataclass(frozen=True)
class ConditionalPrior:
    """A network with its chain, for images of one batch, which are in units of their noise.

    Attributes:
        network: the Keras model.
        model: what it was built from.
        mask: what was sampled, float 0/1 `[N, H or 1, W]`.
        level: one unit of noise in units of the measurement's scale, float32 `[N]`.
        dropout_seeds: `[N, 2]` in training, else None.
    """

    network: Any
    model: ConditionalModel
    mask: Tensor
    level: Tensor
    dropout_seeds: Tensor | None = None

    @property
    def path(self) -> UnsampledPath:
        """The chain on what was not sampled."""
        chain = self.model.chain
        return UnsampledPath(chain.betas, self.mask, chain.noise_variance)

    def denoiser(self) -> Denoiser:
        """`(x_t, t) -> x0_hat`, whose sampled part is that of x_t."""
        return make_denoiser(self._call, self.model.parameterization, self.path)

    def losses(self, x0: Tensor, t: Tensor, noise: Tensor, loss: Literal["l2", "l1"]) -> Tensor:
        """The error of the network's output in unsampled k-space, float32 `[N]`; the network is called once.

        It is the mean over real and imaginary parts of what was not sampled.

        Args:
            x0: complex64 `[N, H, W]`.
            t: int32 `[N]`.
            noise: from the path, like x0.
            loss: see `ConditionalObjective`.
        """
        path, parameterization = self.path, self.model.parameterization
        output = network_output(self._call, parameterization, path, path.perturb(x0, t, noise), t)
        error = to_channels(fft2c(output - target_of(parameterization, path, x0, noise, t)))
        unsampled = ops.broadcast_to((1.0 - ops.cast(self.mask, "float32"))[..., None], ops.shape(error))
        error = ops.abs(error) if loss == "l1" else ops.square(error)
        return ops.sum(unsampled * error, axis=(1, 2, 3)) / ops.maximum(ops.sum(unsampled, axis=(1, 2, 3)), 1.0)

    def _call(self, image: Tensor, label: Tensor) -> Tensor:
        parts = [image * along(self.level, image)]
        if self.model.sees == "parts":
            unsampled = self.path.project(image)
            parts = [unsampled, (image - unsampled) * along(self.level, image)]
        mask = ops.broadcast_to(ops.cast(self.mask, "float32"), ops.shape(image))[..., None]
        inputs = {"image": ops.concatenate([*map(to_channels, parts), mask], axis=-1), "time": label}
        training = self.dropout_seeds is not None
        if training and self.model.network.dropout > 0:
            inputs["dropout_seed"] = self.dropout_seeds
        return to_complex(self.network(inputs, training=training))
