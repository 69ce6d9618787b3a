"""Residual blocks of score networks, and self-attention of their pixels.

`ResidualBlock` is that of DDPM (Ho, Jain & Abbeel, 2020) and, with `rescale` and `resample`, that of NCSN++
(Song et al., ICLR 2021, after BigGAN).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from tfrecon.nets.normalization import GroupNorm
from tfrecon.nets.resampling import resampler
from tfrecon.nets.variance_scaled import NEAR_ZERO, convolution, dense
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError

HALF_POWER = math.sqrt(0.5)
"""What keeps the variance of a sum of two."""

PROJECTION_SCALE = 0.1
"""Of the initial weights of attention's and of DDPM's 1×1 convolutions."""


def drop_features(x: Tensor, rate: float, seeds: Tensor) -> Tensor:
    """Dropout of features `[B, H, W, C]`, each with `rate`, by seeds `[B, 2]` of `util.rng`."""
    kept = rng.uniform(seeds, ops.shape(x)) >= rate
    return x * ops.cast(kept, x.dtype) * (1.0 / (1.0 - rate))


@keras.saving.register_keras_serializable(package="tfrecon")
class ResidualBlock(keras.layers.Layer):
    """`x ← P R x + conv(φ(norm(conv(R φ(norm(x))) + dense(φ(e)))))` with φ = swish and the embedding e of time.

    R changes the size, P is a 1×1 convolution where that or the number of channels changes. The last
    convolution starts near zero. A block that is built without the shape of an embedding knows no time.

    Args:
        filters: channels of the output.
        resample: "down" halves and "up" doubles the size.
        smooth: R filters (`resampling.fir_downsample`, `fir_upsample`); else boxes and nearest pixels.
        rescale: the sum is divided by sqrt(2).
        scale_shift: the embedding scales and shifts the second normalisation's output (Dhariwal &
            Nichol, NeurIPS 2021) instead of being added before it.
        shortcut_scale: of the initial weights of P.
        dropout: of the features before the last convolution.
        seed: of the initial weights.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self,
        filters: int,
        *,
        resample: Literal["none", "down", "up"] = "none",
        smooth: bool = True,
        rescale: bool = False,
        scale_shift: bool = False,
        shortcut_scale: float = 1.0,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters, self.resample, self.smooth, self.rescale = filters, resample, smooth, rescale
        self.scale_shift, self.shortcut_scale = scale_shift, shortcut_scale
        self.dropout, self.seed = dropout, seed

    def build(self, x_shape: Sequence[int | None], embedding_shape: Sequence[int | None] | None = None) -> None:
        inner = (None, None, None, self.filters)
        self.norm_in = GroupNorm(dtype=self.dtype_policy, name="norm_in")
        self.norm_in.build(x_shape)
        self.conv_in = convolution(self, "conv_in", self.filters)
        self.conv_in.build(x_shape)
        if embedding_shape is not None:
            self.project_time = dense(self, "project_time", self.filters * (2 if self.scale_shift else 1))
            self.project_time.build(embedding_shape)
        self.norm_out = GroupNorm(dtype=self.dtype_policy, name="norm_out")
        self.norm_out.build(inner)
        self.conv_out = convolution(self, "conv_out", self.filters, scale=NEAR_ZERO)
        self.conv_out.build(inner)
        self.shortcut = None
        if x_shape[-1] != self.filters or self.resample != "none":
            self.shortcut = convolution(self, "shortcut", self.filters, 1, scale=self.shortcut_scale)
            self.shortcut.build(x_shape)
        self.built = True

    def call(self, x: Tensor, embedding: Tensor | None = None, dropout_seeds: Tensor | None = None) -> Tensor:
        """Features `[B, H, W, C]`, the embedding of time `[B, n]`, and seeds `[B, 2]` where dropout is active."""
        x = ops.cast(x, self.compute_dtype)
        h = ops.silu(self.norm_in(x))
        if self.resample != "none":
            change_size = resampler(self.resample, self.smooth)
            x, h = change_size(x), change_size(h)
        h = self.conv_in(h)
        h = self.norm_out(h) if embedding is None else self._with_time(h, self.project_time(ops.silu(embedding)))
        h = ops.silu(h)
        if dropout_seeds is not None:
            h = drop_features(h, self.dropout, dropout_seeds)
        h = self.conv_out(h)
        x = x if self.shortcut is None else self.shortcut(x)
        return (x + h) * HALF_POWER if self.rescale else x + h

    def _with_time(self, h: Tensor, time: Tensor) -> Tensor:
        if self.scale_shift:
            scale, shift = ops.split(time, 2, axis=-1)
            return self.norm_out(h, scale, shift)
        return self.norm_out(h + ops.cast(time, h.dtype)[:, None, None])

    def compute_output_spec(self, x: Tensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        change = {"none": lambda n: n, "down": lambda n: n // 2, "up": lambda n: 2 * n}[self.resample]
        size = (None if n is None else change(n) for n in x.shape[1:3])
        return keras.KerasTensor((x.shape[0], *size, self.filters), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = ("filters", "resample", "smooth", "rescale", "scale_shift", "shortcut_scale", "dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="tfrecon")
class PixelAttention(keras.layers.Layer):
    """Self-attention of the pixels: `x ← x + out(softmax(q k^T/sqrt(C/heads)) v)`, of the normalised x.

    q, k, v and out are 1×1 convolutions, out starts near zero; each head attends in its own C/heads channels of q, k
    and v. The softmax is float32 whatever comes in. It makes (H·W)² numbers for each head and image: meant for the
    coarse levels of a network.

    Args:
        rescale: the sum is divided by sqrt(2).
        heads: they divide the channels.
        seed: of the initial weights.
        **kwargs: of the Keras layer.
    """

    def __init__(self, *, rescale: bool = False, heads: int = 1, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.rescale, self.heads, self.seed = rescale, heads, seed

    def build(self, x_shape: Sequence[int | None]) -> None:
        self.channels = x_shape[-1]
        if self.channels % self.heads:
            raise InputError(f"{self.channels} channels cannot be cut into {self.heads} heads", fix="change 'heads'")
        self.norm = GroupNorm(dtype=self.dtype_policy, name="norm")
        self.norm.build(x_shape)
        for name in ("query", "key", "value", "out"):
            scale = NEAR_ZERO if name == "out" else PROJECTION_SCALE
            projection = convolution(self, name, self.channels, 1, scale=scale)
            projection.build(x_shape)
            setattr(self, name, projection)
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Features `[B, H, W, C]`."""
        x = ops.cast(x, self.compute_dtype)
        normal = self.norm(x)
        query, key, value = (self._tokens(part(normal)) for part in (self.query, self.key, self.value))
        logits = ops.einsum("bqhc,bkhc->bhqk", query, key)
        probabilities = ops.softmax(ops.cast(logits, "float32") / math.sqrt(self.channels // self.heads))
        attended = ops.einsum("bhqk,bkhc->bqhc", ops.cast(probabilities, value.dtype), value)
        x = x + self.out(ops.reshape(attended, ops.shape(x)))
        return x * HALF_POWER if self.rescale else x

    def _tokens(self, x: Tensor) -> Tensor:
        batch, height, width = ops.shape(x)[:3]
        return ops.reshape(x, (batch, height * width, self.heads, self.channels // self.heads))

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rescale": self.rescale, "heads": self.heads, "seed": self.seed}
