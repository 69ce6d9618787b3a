"""Attention of one head: tokens to each other, and pixels to tokens.

Both modulate: what was attended to becomes a gain on the normalised features, `RMS(x)·(1 + out(p v))`
(Hudson & Zitnick, ICML 2021, "multiplicative integration").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfrecon.nets.equalized import EqualizedDense, child_seed
from tfrecon.typing import Tensor
from tfrecon.util import rng


def rms_normalize(x: Tensor, epsilon: float) -> Tensor:
    """`x / sqrt(mean(x²) + epsilon)` over the last axis, in float32 whatever comes in."""
    x = ops.cast(x, "float32")
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + epsilon)


def drop_probabilities(probabilities: Tensor, rate: float, seeds: Tensor) -> Tensor:
    """Dropout of attention probabilities: each with `rate`, then whole keys with `rate`, for all queries alike.

    Args:
        probabilities: float32 `[B, queries, keys]`.
        rate: of either.
        seeds: `[B, 2]`, one for each item (`util.rng`).
    """
    shape = ops.shape(probabilities)
    each = rng.uniform(rng.fold_in(seeds, 0), shape) >= rate
    key = rng.uniform(rng.fold_in(seeds, 1), (shape[0], 1, shape[2])) >= rate
    kept = ops.cast(ops.logical_and(each, key), probabilities.dtype)
    return probabilities * kept * (1.0 / (1.0 - rate) ** 2)


@keras.saving.register_keras_serializable(package="tfrecon")
class TokenAttention(keras.layers.Layer):
    """Self-attention of tokens: `x ← RMS(x)·(1 + out(softmax(q k^T/sqrt(width) + offset) v))`.

    Positions enter queries and keys, not values. Computes in float32.

    Args:
        width: of queries, keys and values.
        epsilon: of the normalisation.
        logit_offset: added to every logit; nothing but rounding in exact arithmetic.
        dropout: of the probabilities; see `drop_probabilities`.
        seed: of the initial weights.
        **kwargs: of the Keras layer; a dtype is ignored.
    """

    def __init__(
        self,
        width: int,
        *,
        epsilon: float = 1e-6,
        logit_offset: float = 0.0,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("dtype", None)
        super().__init__(dtype="float32", **kwargs)
        self.width, self.epsilon, self.logit_offset = width, epsilon, logit_offset
        self.dropout, self.seed = dropout, seed

    def build(self, x_shape: Sequence[int | None], positions_shape: Sequence[int | None]) -> None:
        inputs = {"query": x_shape, "key": x_shape, "value": x_shape}
        inputs |= {"query_position": positions_shape, "key_position": positions_shape}
        for name, shape in inputs.items():
            setattr(self, name, _dense(self, self.width, name, shape))
        self.out = _dense(self, x_shape[-1], "out", (None, self.width))
        self.built = True

    def call(self, x: Tensor, positions: Tensor, dropout_seeds: Tensor | None = None) -> Tensor:
        """Tokens `[B, T, n]`, positions `[T, m]`, and seeds `[B, 2]` where dropout is active."""
        query = self.query(x) + self.query_position(positions)
        key = self.key(x) + self.key_position(positions)
        logits = ops.einsum("bqc,bkc->bqk", query, key) / math.sqrt(self.width)
        probabilities = ops.softmax(logits + self.logit_offset)
        if dropout_seeds is not None:
            probabilities = drop_probabilities(probabilities, self.dropout, dropout_seeds)
        attended = ops.einsum("bqk,bkc->bqc", probabilities, self.value(x))
        return rms_normalize(x, self.epsilon) * (1.0 + self.out(attended))

    def compute_output_spec(
        self, x: Tensor, positions: Tensor, dropout_seeds: Tensor | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        own = ("width", "epsilon", "logit_offset", "dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="tfrecon")
class CrossAttention(keras.layers.Layer):
    """Attention of pixels to tokens: `x ← RMS(x)·(1 + out(softmax(q k^T/sqrt(C)) v))`.

    q = dense(x) + dense(place of the pixel), k = dense(token) + dense(place of the token),
    v = dense(token). Evaluated without ever forming q or out(p v) by dense layers on pixels: the
    dense layers are applied to the few tokens instead, `q·k = x·(W_q k) + …` and
    `out(p v) = p (v W_out) + b`, which is the same and costs T multiplications for each of the C
    channels of a pixel instead of C.

    Args:
        epsilon: of the normalisation.
        dropout: of the probabilities; see `drop_probabilities`.
        seed: of the initial weights.
        **kwargs: of the Keras layer.
    """

    def __init__(self, *, epsilon: float = 1e-6, dropout: float = 0.0, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.epsilon, self.dropout, self.seed = epsilon, dropout, seed

    def build(
        self,
        x_shape: Sequence[int | None],
        tokens_shape: Sequence[int | None],
        token_positions_shape: Sequence[int | None],
        rows_shape: Sequence[int | None],
        columns_shape: Sequence[int | None],
    ) -> None:
        channels = x_shape[-1]
        inputs = {"query": x_shape, "query_position": (None, rows_shape[-1] + columns_shape[-1])}
        inputs |= {"key": tokens_shape, "key_position": token_positions_shape, "value": tokens_shape}
        for name, shape in {**inputs, "out": x_shape}.items():
            setattr(self, name, _dense(self, channels, name, shape))
        self.channels = channels
        self.built = True

    def call(
        self,
        x: Tensor,
        tokens: Tensor,
        token_positions: Tensor,
        rows: Tensor,
        columns: Tensor,
        dropout_seeds: Tensor | None = None,
        scale: Tensor | None = None,
        gain: float = 1.0,
    ) -> Tensor:
        """Modulates features.

        Args:
            x: `[B, H, W, C]`.
            tokens: `[B, T, n]`.
            token_positions: `[T, m]`.
            rows: features of the rows' places, float32 `[H, f]` (`embeddings.axis_features`).
            columns: of the columns' places, `[W, f]`.
            dropout_seeds: `[B, 2]` where dropout is active.
            scale: `[B, C]`: attends from `scale·x` instead of `x`, at no cost.
            gain: factor on the output, at no cost.

        Returns:
            Like `x`.
        """
        x = ops.cast(x, self.compute_dtype)
        batch, height, width = ops.shape(x)[:3]
        scale = ops.ones((1, self.channels)) if scale is None else ops.cast(scale, "float32")
        flat = ops.reshape(x, (batch, height * width, self.channels))
        probabilities = self._probabilities(flat, scale, self._keys(tokens, token_positions), rows, columns)
        # out(p v) = p·(v W + b) + … as the probabilities sum to one, unless some were dropped.
        values = self._to_outputs(self.value(tokens))
        if dropout_seeds is None:
            values = values + 1.0 + self.out.scaled_bias()
        else:
            probabilities = drop_probabilities(probabilities, self.dropout, dropout_seeds)
            constant = ops.broadcast_to(1.0 + self.out.scaled_bias(), (batch, 1, self.channels))
            values = ops.concatenate([values, constant], axis=1)
            probabilities = ops.concatenate([probabilities, ops.ones_like(probabilities[..., :1])], axis=-1)
        weights = ops.cast(probabilities * self._inverse_rms(flat, scale), x.dtype)
        gains = ops.matmul(weights, ops.cast(values * (gain * scale[:, None]), x.dtype))
        return x * ops.reshape(gains, (batch, height, width, self.channels))

    def _keys(self, tokens: Tensor, token_positions: Tensor) -> Tensor:
        keys = self.key(tokens) + self.key_position(token_positions)
        return keys / math.sqrt(self.channels)

    def _probabilities(self, flat: Tensor, scale: Tensor, keys: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Softmax over tokens in float32: `[B, H·W, T]`."""
        projected = ops.einsum("btc,ic->bit", keys, self.query.scaled_kernel()) * scale[..., None]
        from_features = ops.matmul(flat, ops.cast(projected, flat.dtype))
        placed = ops.einsum("btc,pc->bpt", keys, self.query_position.scaled_kernel())
        bias = ops.einsum("btc,c->bt", keys, self.query.scaled_bias() + self.query_position.scaled_bias())
        split = columns.shape[-1]
        from_columns = ops.einsum("wp,bpt->bwt", columns, placed[:, :split])
        from_rows = ops.einsum("hp,bpt->bht", rows, placed[:, split:]) + bias[:, None]
        from_place = from_rows[:, :, None] + from_columns[:, None]
        logits = ops.cast(from_features, "float32") + ops.reshape(from_place, ops.shape(from_features))
        return ops.softmax(logits)

    def _to_outputs(self, values: Tensor) -> Tensor:
        return ops.einsum("btc,co->bto", values, self.out.scaled_kernel())

    def _inverse_rms(self, flat: Tensor, scale: Tensor) -> Tensor:
        """`1/sqrt(mean((scale·x)²) + epsilon)` of each pixel, float32 `[B, H·W, 1]`."""
        weights = ops.broadcast_to(ops.square(scale)[..., None] / self.channels, (ops.shape(flat)[0], self.channels, 1))
        mean_square = ops.matmul(ops.square(ops.cast(flat, "float32")), weights)
        return ops.rsqrt(mean_square + self.epsilon)

    def compute_output_spec(self, x: Tensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "dropout": self.dropout, "seed": self.seed}


def _dense(layer: Any, units: int, name: str, input_shape: Sequence[int | None]) -> EqualizedDense:
    """A built float32 dense layer, seeded by the layer that it is part of."""
    dense = EqualizedDense(units, seed=child_seed(layer.seed, name), dtype="float32", name=name)
    dense.build(input_shape)
    return dense
