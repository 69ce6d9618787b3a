"""Dense and convolution layers with equalised learning rates (Karras et al., ICLR 2018).

A weight is kept as `W ~ N(0, 1/m²)` and used as `W m / sqrt(fan_in)`, so that all weights have the same
size and Adam moves all outputs alike; m, the multiplier, slows a layer's learning down. Initial
values are drawn by NumPy from the layer's seed: the same on every backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.rng import numpy_generator

LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2.0)
"""Of the leaky ReLU, which keeps the variance of its input about the same with this gain."""

Initializer = Callable[..., np.ndarray]


def normal_initializer(seed: int, purpose: str, stddev: float = 1.0) -> Initializer:
    """Normal numbers that depend on (seed, purpose), drawn by NumPy."""

    def draw(shape: Sequence[int], dtype: str | None = None) -> np.ndarray:
        return (stddev * numpy_generator(seed, purpose).standard_normal(shape)).astype(dtype or "float32")

    return draw


def uniform_initializer(seed: int, purpose: str) -> Initializer:
    """Numbers uniform in [0, 1) that depend on (seed, purpose), drawn by NumPy."""

    def draw(shape: Sequence[int], dtype: str | None = None) -> np.ndarray:
        return numpy_generator(seed, purpose).random(shape).astype(dtype or "float32")

    return draw


def child_seed(seed: int, name: str) -> int:
    """The seed of a part of a network, by the part's name."""
    return int(numpy_generator(seed, "part", name).integers(2**31))


class _Equalized(keras.layers.Layer):
    """What dense layers and convolutions share: a kernel of any shape whose last axis are the outputs, a bias."""

    def __init__(
        self,
        units: int,
        *,
        multiplier: float = 1.0,
        use_bias: bool = True,
        leaky: bool = False,
        zero_init: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.units, self.multiplier, self.use_bias = units, multiplier, use_bias
        self.leaky, self.zero_init, self.seed = leaky, zero_init, seed

    def _build(self, kernel_shape: tuple[int, ...]) -> None:
        kernel = "zeros" if self.zero_init else normal_initializer(self.seed, "kernel", 1 / self.multiplier)
        self.kernel = self.add_weight(shape=kernel_shape, initializer=kernel, name="kernel", autocast=False)
        self.bias = (
            self.add_weight(shape=(self.units,), initializer="zeros", name="bias", autocast=False)
            if self.use_bias
            else None
        )
        self._kernel_scale = self.multiplier / math.sqrt(math.prod(kernel_shape[:-1]))
        self.built = True

    def scaled_kernel(self, scale: float = 1.0) -> Tensor:
        """The kernel as it is applied, times `scale`; float32 under a mixed policy."""
        return ops.convert_to_tensor(self.kernel) * (self._kernel_scale * scale)

    def scaled_bias(self, scale: float = 1.0) -> Tensor:
        """The bias as it is applied, times `scale`."""
        return ops.convert_to_tensor(self.bias) * (self.multiplier * scale)

    def call(self, x: Tensor, input_scale: float = 1.0, output_scale: float = 1.0) -> Tensor:
        """`output_scale` times the layer of `input_scale·x`; both are positive and cost nothing."""
        x = ops.cast(x, self.compute_dtype)
        # A leaky ReLU commutes with positive factors, so that they can all be in the weights.
        gain = output_scale * (LEAKY_GAIN if self.leaky else 1.0)
        y = self._apply(x, self.scaled_kernel(input_scale * gain))
        if self.use_bias:
            y = y + ops.cast(self.scaled_bias(gain), y.dtype)
        return ops.leaky_relu(y, LEAKY_SLOPE) if self.leaky else y

    def _apply(self, x: Tensor, kernel: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_output_spec(self, x: Tensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*x.shape[:-1], self.units), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = ("units", "multiplier", "use_bias", "leaky", "zero_init", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="tfrecon")
class EqualizedDense(_Equalized):
    """`g φ(x W m/sqrt(fan_in) + m b)` over the last axis.

    Args:
        units: width of the output.
        multiplier: m.
        use_bias: whether there is a bias b, 0 at first.
        leaky: φ is the leaky ReLU with g = sqrt(2); else the identity with g = 1.
        zero_init: whether W is 0 at first.
        seed: of the initial W.
        **kwargs: of the Keras layer.
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        self._build((input_shape[-1], self.units))

    def _apply(self, x: Tensor, kernel: Tensor) -> Tensor:
        return ops.tensordot(x, ops.cast(kernel, x.dtype), 1)


@keras.saving.register_keras_serializable(package="tfrecon")
class EqualizedConv2D(_Equalized):
    """The same with a square kernel over `[B, H, W, channels]`, size kept ("same" padding by zeros).

    Args:
        units: channels of the output.
        kernel_size: side of the kernel.
        **kwargs: as `EqualizedDense`.
    """

    def __init__(self, units: int, kernel_size: int = 1, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.kernel_size = kernel_size

    def build(self, input_shape: Sequence[int | None]) -> None:
        self._build((self.kernel_size, self.kernel_size, input_shape[-1], self.units))

    def _apply(self, x: Tensor, kernel: Tensor) -> Tensor:
        return convolve(x, kernel)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size}


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """Channels-last convolution that keeps the size; the kernel is cast to the dtype of `x`."""
    return ops.conv(x, ops.cast(kernel, x.dtype), padding="same", data_format="channels_last")
