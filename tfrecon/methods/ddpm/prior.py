"""A network as a function of complex images: its estimate, the variance it learned, and how far off it says it is."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from keras import ops

from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.diffusion.learned_variance import LearnedDenoiser, split_output
from tfrecon.diffusion.parameterization import estimate_of, network_output
from tfrecon.diffusion.path import residual_variance
from tfrecon.diffusion.steps import Denoiser
from tfrecon.methods.ddpm.model import DDPMModel
from tfrecon.physics.scale import expand_to
from tfrecon.typing import Tensor
from tfrecon.util.complex import safe_abs, to_channels, to_complex


class Output(NamedTuple):
    """What a network says of noisy images.

    Attributes:
        mean: what its parameterisation predicts, complex64 `[B, H, W]`.
        share: v of the learned variance, float32 `[B, H, W, 2]`; None where it learns none.
        spread: of the error of its estimate, see `DDPMPrior.log_variance`, float32 `[B, H, W]`; None where it
            does not say.
    """

    mean: Tensor
    share: Tensor | None
    spread: Tensor | None


@dataclasses.dataclass(frozen=True)
class DDPMPrior:
    """A network with its chain, for images of one batch.

    Attributes:
        network: the Keras model.
        model: what it was built from.
        path: the chain of the model.
        clip: largest magnitude of an estimate; None for any.
        dropout_seeds: `[B, 2]` in training, else None.
    """

    network: Any
    model: DDPMModel
    path: DiscretePath
    clip: float | None = None
    dropout_seeds: Tensor | None = None

    def output(self, x_t: Tensor, t: Tensor) -> Output:
        """What the network says.

        Args:
            x_t: complex64 `[B, H, W]`.
            t: times, a scalar or `[B]`.
        """
        return network_output(self._call, self.model.parameterization, self.path, x_t, t)

    def estimate(self, output: Output, x_t: Tensor, t: Tensor) -> Tensor:
        """x0_hat of an output, complex64 `[B, H, W]`, no larger than `clip`."""
        x0_hat = estimate_of(output.mean, self.model.parameterization, self.path, x_t, t)
        if self.clip is None:
            return x0_hat
        return x0_hat * ops.cast(self.clip / ops.maximum(safe_abs(x0_hat), self.clip), "complex64")

    def denoiser(self) -> Denoiser:
        """`(x_t, t) -> x0_hat`."""
        return lambda x_t, t: self.estimate(self.output(x_t, t), x_t, t)

    def learned_denoiser(self) -> LearnedDenoiser:
        """`(x_t, t) -> (x0_hat, v)`, for networks that learn a variance."""

        def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            output = self.output(x_t, t)
            return self.estimate(output, x_t, t), output.share

        return denoise

    def log_variance(self, spread: Tensor, t: Tensor) -> Tensor:
        """`ln E|x_0 - x0_hat|²` of each pixel that a network says, float32 `[B, H, W]`.

        It is told as a factor on the variance that independent Gaussian pixels would have (`residual_variance`), so
        that it need not learn how errors grow with time.

        Args:
            spread: logarithm of the factor.
            t: times, a scalar or `[B]`.
        """
        usual = ops.log(residual_variance(self.path, t, self.model.data_variance))
        return expand_to(usual, spread) + spread

    def _call(self, image: Tensor, label: Tensor) -> Output:
        inputs = {"image": to_channels(image), "time": label}
        training = self.dropout_seeds is not None
        if training and self.model.network.dropout > 0:
            inputs["dropout_seed"] = self.dropout_seeds
        said, spread = ops.cast(self.network(inputs, training=training), "float32"), None
        if self.model.heteroscedastic:
            said, spread = said[..., :-1], said[..., -1]
        if self.model.network.learned_variance:
            return Output(*split_output(said), spread)
        return Output(to_complex(said), None, spread)
