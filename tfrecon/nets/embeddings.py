"""Sinusoidal features of time and of place."""

from __future__ import annotations

import numpy as np
from keras import ops

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
