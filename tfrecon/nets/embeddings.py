"""Sinusoidal features of time and of place, and the embedding of time that score networks use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from tfrecon.nets.equalized import normal_initializer
from tfrecon.nets.variance_scaled import dense
from tfrecon.typing import Tensor

LONGEST_PERIOD = 10000.0


def time_features(time: Tensor, width: int) -> Tensor:
    """`[sin(t f), cos(t f)]` with `f_i = 10000^(-i/(n-1))`, i = 0 … n-1, n = width/2.

    Args:
        time: float32 `[B]`, diffusion times as they are counted, not normalised.
        width: an even number.

    Returns:
        float32 `[B, width]`.
    """
    half = width // 2
    frequencies = np.power(LONGEST_PERIOD, -np.arange(half) / (half - 1)).astype("float32")
    angles = ops.cast(time, "float32")[:, None] * frequencies
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def axis_features(size: int | Tensor, width: int, lowest_angle: float, highest_angle: float) -> Tensor:
    """`[sin a, cos a]` of `a = c θ_i` for coordinates c from -1 to 1 along one axis of an image.

    Args:
        size: pixels along the axis, known or a scalar tensor.
        width: an even number; width/2 angles θ_i.
        lowest_angle: θ at the edge of the image, radians.
        highest_angle: likewise; the angles between are spaced geometrically, the highest first.

    Returns:
        float32 `[size, width]`.
    """
    angles = np.geomspace(highest_angle, lowest_angle, width // 2).astype("float32")
    last = ops.maximum(ops.cast(size, "float32") - 1.0, 1.0)
    coordinates = ops.arange(size, dtype="float32") * (2.0 / last) - 1.0
    arguments = coordinates[:, None] * angles
    return ops.concatenate([ops.sin(arguments), ops.cos(arguments)], axis=-1)


@keras.saving.register_keras_serializable(package="tfrecon")
class FourierFeatures(keras.layers.Layer):
    """`[sin(2π t w), cos(2π t w)]` with fixed random frequencies w ~ N(0, scale²) (Tancik et al., NeurIPS 2020).

    The frequencies are weights that are not trained: they are saved, because what was learned depends on them.
    Computes in float32.

    Args:
        count: of the frequencies; there are twice as many features.
        scale: their standard deviation, per unit of t.
        seed: of the frequencies.
        **kwargs: of the Keras layer; a dtype is ignored.
    """

    def __init__(self, count: int, *, scale: float = 16.0, seed: int = 0, **kwargs: Any) -> None:
        kwargs.pop("dtype", None)
        super().__init__(dtype="float32", autocast=False, **kwargs)
        self.count, self.scale, self.seed = count, scale, seed

    def build(self, time_shape: Sequence[int | None]) -> None:
        initializer = normal_initializer(self.seed, "frequencies", self.scale)
        self.frequencies = self.add_weight(
            shape=(self.count,), initializer=initializer, trainable=False, name="frequencies"
        )
        self.built = True

    def call(self, time: Tensor) -> Tensor:
        """Times `[B]` to features `[B, 2·count]`."""
        angles = ops.cast(time, "float32")[:, None] * ops.convert_to_tensor(self.frequencies) * (2 * math.pi)
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count, "scale": self.scale, "seed": self.seed}


@keras.saving.register_keras_serializable(package="tfrecon")
class TimeEmbedding(keras.layers.Layer):
    """`dense(φ(dense(features(t))))` with φ = swish: times `[B]` to float32 `[B, 4·width]`.

    Args:
        width: of the network. There are `width` frequencies of "fourier", half as many of "positional".
        kind: of the features: "fourier" (`FourierFeatures`) suits the logarithm of a noise level, "positional"
            (`time_features`) a time that counts up to about 1000.
        fourier_scale: of the random frequencies.
        seed: of weights and frequencies.
        **kwargs: of the Keras layer; a dtype is ignored.
    """

    def __init__(
        self,
        width: int,
        *,
        kind: Literal["fourier", "positional"] = "fourier",
        fourier_scale: float = 16.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("dtype", None)
        super().__init__(dtype="float32", autocast=False, **kwargs)
        self.width, self.kind, self.fourier_scale, self.seed = width, kind, fourier_scale, seed

    def build(self, time_shape: Sequence[int | None]) -> None:
        fourier = self.kind == "fourier"
        self.features = None
        if fourier:
            options = {"scale": self.fourier_scale, "seed": self.seed, "name": "features"}
            self.features = FourierFeatures(self.width, **options)
            self.features.build(time_shape)
        self.dense_in = dense(self, "dense_in", 4 * self.width)
        self.dense_in.build((None, self.width * (2 if fourier else 1)))
        self.dense_out = dense(self, "dense_out", 4 * self.width)
        self.dense_out.build((None, 4 * self.width))
        self.built = True

    def call(self, time: Tensor) -> Tensor:
        features = time_features(time, self.width) if self.features is None else self.features(time)
        return self.dense_out(ops.silu(self.dense_in(features)))

    def compute_output_spec(self, time: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor((*time.shape, 4 * self.width), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        own = ("width", "kind", "fourier_scale", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
