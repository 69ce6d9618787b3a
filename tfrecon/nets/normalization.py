"""Group normalisation, and what may ride on it for free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfrecon.typing import Tensor

MOST_GROUPS = 32
LEAST_CHANNELS = 4


def group_count(channels: int) -> int:
    """The largest divisor of `channels` that makes at most 32 groups, of 4 channels or more where there are any.

    It is min(channels/4, 32), the published count, wherever that divides `channels`.
    """
    most = max(1, min(channels // LEAST_CHANNELS, MOST_GROUPS))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


@keras.saving.register_keras_serializable(package="tfrecon")
class GroupNorm(keras.layers.Layer):
    """Group normalisation (Wu & He, ECCV 2018) of `[B, H, W, C]` with a gain and an offset for each channel.

    The same numbers as `keras.layers.GroupNormalization`, which gives groups an axis of their own and so
    makes every pass over the image slow on a CPU. Here the image is touched by sums over pixels and one
    multiply-add; groups are formed of C numbers. Statistics are float32 whatever comes in.

    Args:
        epsilon: added to the variance.
        **kwargs: of the Keras layer.
    """

    def __init__(self, *, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.epsilon = epsilon

    def build(self, x_shape: Sequence[int | None]) -> None:
        self.channels = x_shape[-1]
        self.groups = group_count(self.channels)
        for name, initial in (("gain", "ones"), ("offset", "zeros")):
            weight = self.add_weight(shape=(self.channels,), initializer=initial, name=name, autocast=False)
            setattr(self, name, weight)
        self.built = True

    def call(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Normalises.

        Args:
            x: `[B, H, W, C]`.
            scale: float32 `[B, C]`: the output becomes `(1 + scale)·output + shift` ("FiLM"), at no cost.
            shift: float32 `[B, C]`.

        Returns:
            Like `x`, in the layer's compute dtype.
        """
        x = ops.cast(x, "float32")
        mean = ops.mean(x, axis=(1, 2))
        # The variance of what is left of the channel's mean: E[x²] - E[x]² would cancel on flat images.
        centred = x - mean[:, None, None]
        variance = ops.mean(ops.square(centred), axis=(1, 2))
        beside = mean - self._over_groups(mean)
        gain = ops.rsqrt(self._over_groups(variance + ops.square(beside)) + self.epsilon)
        gain = gain * ops.convert_to_tensor(self.gain)
        offset = beside * gain + ops.convert_to_tensor(self.offset)
        if scale is not None:
            gain, offset = gain * (1.0 + scale), offset * (1.0 + scale) + shift
        return ops.cast(centred * gain[:, None, None] + offset[:, None, None], self.compute_dtype)

    def _over_groups(self, values: Tensor) -> Tensor:
        """The mean of each channel's group, `[B, C]`."""
        grouped = ops.reshape(values, (-1, self.groups, self.channels // self.groups))
        return ops.repeat(ops.mean(grouped, axis=-1), self.channels // self.groups, axis=-1)

    def compute_output_spec(self, x: Tensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
