"""Ordinary convolutions and dense layers, initialised as in the published score networks.

Weights are uniform with the variance `scale / fan`, fan being the mean of fan-in and fan-out; layers whose
output is added to something start near zero. Initial values are drawn by NumPy from the layer's seed:
the same on every backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfrecon.nets.equalized import Initializer, child_seed
from tfrecon.util.rng import numpy_generator

NEAR_ZERO = 1e-10
"""Scale of weights that start next to zero (Ho, Jain & Abbeel, 2020): exact zeros would do as well."""


def fan_average_initializer(seed: int, scale: float = 1.0) -> Initializer:
    """Uniform numbers of variance `scale / ((fan_in + fan_out) / 2)` that depend on `seed`, drawn by NumPy.

    The last two axes of a weight are its inputs and outputs, those before them taps of a convolution.
    """

    def draw(shape: Sequence[int], dtype: str | None = None) -> np.ndarray:
        fan = math.prod(shape[:-2]) * (shape[-2] + shape[-1]) / 2
        numbers = numpy_generator(seed, "kernel").random(shape, np.float32)
        return ((2 * numbers - 1) * math.sqrt(3 * scale / fan)).astype(dtype or "float32")

    return draw


def convolution(
    layer: Any, name: str, filters: int, kernel_size: int = 3, *, scale: float = 1.0, **kwargs: Any
) -> keras.layers.Conv2D:
    """A channels-last convolution that is part of `layer`: its seed and its precision come from there.

    Args:
        layer: a Keras layer or model with the attribute `seed`.
        name: of the part.
        filters: channels of the output.
        kernel_size: side of the kernel.
        scale: of the initial weights; see `fan_average_initializer`. Biases start at zero.
        **kwargs: of `keras.layers.Conv2D`; padding is "same" if nothing else is said.
    """
    options = {"padding": "same", "dtype": layer.dtype_policy, **kwargs}
    initializer = fan_average_initializer(child_seed(layer.seed, name), scale)
    return keras.layers.Conv2D(
        filters, kernel_size, kernel_initializer=initializer, data_format="channels_last", name=name, **options
    )


def dense(layer: Any, name: str, units: int) -> keras.layers.Dense:
    """A dense layer of vectors that is part of `layer`, in float32 whatever its precision: it costs nothing."""
    initializer = fan_average_initializer(child_seed(layer.seed, name))
    return keras.layers.Dense(units, kernel_initializer=initializer, dtype="float32", name=name)
