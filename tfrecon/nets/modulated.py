"""Convolutions whose channels are scaled by a style (Karras et al., CVPR 2020), and a layer made of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfrecon.nets.attention import CrossAttention
from tfrecon.nets.equalized import (
    LEAKY_GAIN,
    LEAKY_SLOPE,
    EqualizedConv2D,
    EqualizedDense,
    child_seed,
    convolve,
    normal_initializer,
)
from tfrecon.typing import Tensor

DEMODULATION_EPSILON = 1e-8


@keras.saving.register_keras_serializable(package="tfrecon")
class ModulatedConv2D(keras.layers.Layer):
    """`y_o = d_o Σ_i W_oi * (s_i x_i)`, s = dense(style) + 1, `d_o = 1/sqrt(Σ (W_oi s_i)² + 1e-8)`.

    The style scales the inputs and the demodulation d the outputs of one ordinary convolution, so
    items of a batch need no kernels of their own.

    Args:
        filters: output channels.
        kernel_size: side of the kernel.
        demodulate: whether there is a d; else d = 1.
        use_bias: adds a bias.
        zero_init: whether W is 0 at first.
        seed: of the initial weights.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        *,
        demodulate: bool = True,
        use_bias: bool = False,
        zero_init: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters, self.kernel_size, self.demodulate = filters, kernel_size, demodulate
        self.use_bias, self.zero_init, self.seed = use_bias, zero_init, seed

    def build(self, x_shape: Sequence[int | None], style_shape: Sequence[int | None]) -> None:
        channels = x_shape[-1]
        # Computes in float32, a few numbers for each example.
        self.style = EqualizedDense(channels, seed=child_seed(self.seed, "style"), dtype="float32", name="style")
        self.style.build(style_shape)
        self.convolution = EqualizedConv2D(
            self.filters,
            self.kernel_size,
            use_bias=self.use_bias,
            zero_init=self.zero_init,
            seed=child_seed(self.seed, "convolution"),
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.convolution.build((*x_shape[:-1], channels))
        self.built = True

    def convolve(self, x: Tensor, style: Tensor, scale: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """The convolution of `scale·x` before demodulation and bias, and d, float32 `[B, filters]`.

        For whoever has a use for d that costs nothing, instead of a pass over all pixels; and `scale`,
        a number or float32 `[B, n]`, costs nothing either.
        """
        x = ops.cast(x, self.compute_dtype)
        modulation = self.style(style) + 1.0
        kernel = self.convolution.scaled_kernel()
        inputs = modulation * scale
        if x.shape[0] == 1:  # one example: its style may as well scale the kernel, which saves a pass
            y = convolve(x, kernel * inputs[0, :, None])
        else:
            y = convolve(x * ops.cast(inputs[:, None, None], x.dtype), kernel)
        if not self.demodulate:
            return y, ops.ones((1, self.filters))
        energies = ops.sum(ops.square(ops.cast(kernel, "float32")), axis=(0, 1))
        demodulation = ops.rsqrt(ops.matmul(ops.square(modulation), energies) + DEMODULATION_EPSILON)
        return y, demodulation

    def call(self, x: Tensor, style: Tensor, input_scale: float = 1.0) -> Tensor:
        """Features `[B, H, W, n]`, times `input_scale`, and styles `[B, m]` to `[B, H, W, filters]`."""
        y, demodulation = self.convolve(x, style, input_scale)
        if self.demodulate:
            y = y * ops.cast(demodulation[:, None, None], y.dtype)
        return y + ops.cast(self.convolution.scaled_bias(), y.dtype) if self.use_bias else y

    def compute_output_spec(self, x: Tensor, style: Tensor, input_scale: float = 1.0) -> keras.KerasTensor:
        return keras.KerasTensor((*x.shape[:-1], self.filters), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = ("filters", "kernel_size", "demodulate", "use_bias", "zero_init", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="tfrecon")
class StyledLayer(keras.layers.Layer):
    """One layer of the denoiser.

    With attention: modulated convolution, cross-attention to tokens, noise, bias, leaky ReLU. Without,
    the bias comes before the demodulation, `d·φ(W * (s x) + b)`, so that the next convolution can
    take care of d (`refine`).

    Args:
        filters: output channels.
        kernel_size: side of the kernel.
        attention: whether there is cross-attention.
        epsilon: of its normalisation.
        dropout: of its probabilities.
        noise_size: height and width of a fixed map of noise that is added, scaled by a learned
            strength that is 0 at first; 0 for none.
        train_noise: whether the map is trained.
        seed: of the initial weights and the noise.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        *,
        attention: bool = True,
        epsilon: float = 1e-6,
        dropout: float = 0.0,
        noise_size: int = 0,
        train_noise: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters, self.kernel_size, self.has_attention = filters, kernel_size, attention
        self.epsilon, self.dropout = epsilon, dropout
        self.noise_size, self.train_noise, self.seed = noise_size, train_noise, seed

    def build(
        self,
        x_shape: Sequence[int | None],
        style_shape: Sequence[int | None],
        tokens_shape: Sequence[int | None] | None = None,
        token_positions_shape: Sequence[int | None] | None = None,
        rows_shape: Sequence[int | None] | None = None,
        columns_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.convolution = ModulatedConv2D(
            self.filters,
            self.kernel_size,
            seed=child_seed(self.seed, "modulated"),
            dtype=self.dtype_policy,
            name="modulated",
        )
        self.convolution.build(x_shape, style_shape)
        if self.has_attention:
            seed, settings = child_seed(self.seed, "attention"), {"epsilon": self.epsilon, "dropout": self.dropout}
            self.attention = CrossAttention(**settings, seed=seed, dtype=self.dtype_policy, name="attention")
            features = (*x_shape[:-1], self.filters)
            self.attention.build(features, tokens_shape, token_positions_shape, rows_shape, columns_shape)
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias", autocast=False)
        if self.noise_size:
            self.noise = self.add_weight(
                shape=(self.noise_size, self.noise_size, 1),
                initializer=normal_initializer(self.seed, "noise"),
                trainable=self.train_noise,
                name="noise",
                autocast=False,
            )
            self.noise_strength = self.add_weight(shape=(), initializer="zeros", name="noise_strength", autocast=False)
        self.built = True

    def call(
        self,
        x: Tensor,
        style: Tensor,
        tokens: Tensor | None = None,
        token_positions: Tensor | None = None,
        rows: Tensor | None = None,
        columns: Tensor | None = None,
        dropout_seeds: Tensor | None = None,
    ) -> Tensor:
        """As `refine`, with the scale applied."""
        return apply_scale(*self.refine(x, style, tokens, token_positions, rows, columns, dropout_seeds))

    def refine(
        self,
        x: Tensor,
        style: Tensor,
        tokens: Tensor | None = None,
        token_positions: Tensor | None = None,
        rows: Tensor | None = None,
        columns: Tensor | None = None,
        dropout_seeds: Tensor | None = None,
        *,
        input_scale: Tensor | float = 1.0,
        output_scale: float = 1.0,
    ) -> tuple[Tensor, Tensor | None]:
        """Features `[B, H, W, n]` and styles `[B, m]` to features `[B, H, W, filters]` and their scale.

        The layer's output is the features times the scale, `[B, filters]` or None for 1. Inputs after
        `style` are those of `CrossAttention`, and not needed without attention. The input is
        `input_scale·x`, with a number or `[B, n]`; the output is times `output_scale` > 0.
        """
        y, scale = self.convolution.convolve(x, style, input_scale)
        # The leaky ReLU commutes with positive factors, its own gain among them.
        gain = LEAKY_GAIN * output_scale
        if not self.has_attention:
            return self._activate(y, 1.0), scale * gain
        attended = (tokens, token_positions, rows, columns, dropout_seeds)
        return self._activate(self.attention(y, *attended, scale=scale, gain=gain), gain), None

    def _activate(self, y: Tensor, gain: float) -> Tensor:
        if self.noise_size:
            y = y + ops.cast(self.noise * (self.noise_strength * gain), y.dtype)
        return ops.leaky_relu(y + ops.cast(self.bias * gain, y.dtype), LEAKY_SLOPE)

    def compute_output_spec(self, x: Tensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*x.shape[:-1], self.filters), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = ("filters", "kernel_size", "epsilon", "dropout", "noise_size", "train_noise", "seed")
        config = {**super().get_config(), **{name: getattr(self, name) for name in own}}
        return {**config, "attention": self.has_attention}


def apply_scale(features: Tensor, scale: Tensor | None) -> Tensor:
    """Features `[B, H, W, n]` times their scale `[B, n]`, None for 1."""
    return features if scale is None else features * ops.cast(scale[:, None, None], features.dtype)
