"""Images of half and of twice the size: smoothed by [1, 3, 3, 1], in boxes of 2×2, by convolutions of stride 2.

Smoothed: Karras et al., CVPR 2020 (StyleGAN2), and Song et al., ICLR 2021 (NCSN++). The filter is separable, its sum
is 1 in going down and 2 along each axis in going up, where every second sample is zero. Halving an odd
size n gives (n - 1)/2. All of it is of `[B, H, W, C]`, with zeros outside the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfrecon.nets.variance_scaled import convolution
from tfrecon.typing import Tensor

FIR_TAPS = np.array([1.0, 3.0, 3.0, 1.0], np.float32) / 8
"""Of one axis."""

_UP_PHASES = np.array([[1.0, 3.0, 0.0], [0.0, 3.0, 1.0]], np.float32) / 4
"""What even and odd samples of the doubled axis take from the sample before, the same and the next one."""


def fir_filter(x: Tensor, padding: int, stride: int = 1) -> Tensor:
    """The filter in both axes with `padding` zeros on all four sides: size n gives ⌊(n + 2·padding - 4)/stride⌋ + 1."""
    x = ops.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return _depthwise(x, np.outer(FIR_TAPS, FIR_TAPS)[..., None], stride)


def fir_downsample(x: Tensor) -> Tensor:
    """Half the size, filtered: `y[i] = Σ_k w[k] x[2i + k - 1]` along each axis."""
    return fir_filter(x, padding=1, stride=2)


def fir_upsample(x: Tensor) -> Tensor:
    """Twice the size, filtered: `y[2i] = (x[i-1] + 3 x[i])/4`, `y[2i+1] = (3 x[i] + x[i+1])/4` along each axis.

    This is zero samples in between, two more before and one after, and the filter with a sum of 2;
    written as the four images of even and odd rows and columns, so that no product is with one of those zeros.
    """
    batch, height, width = ops.shape(x)[:3]
    channels = x.shape[-1]
    kernel = np.einsum("ai,bj->ijab", _UP_PHASES, _UP_PHASES).reshape(3, 3, 4)
    phases = _depthwise(ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel)
    phases = ops.reshape(phases, (batch, height, width, channels, 2, 2))
    return ops.reshape(ops.transpose(phases, (0, 1, 4, 2, 5, 3)), (batch, 2 * height, 2 * width, channels))


def box_downsample(x: Tensor) -> Tensor:
    """Half the size: the mean of 2×2 pixels; the last row and column of an odd size are left out."""
    return ops.average_pool(x, 2, 2, "valid", data_format="channels_last")


def nearest_upsample(x: Tensor) -> Tensor:
    """Twice the size: each pixel four times."""
    batch, height, width = ops.shape(x)[:3]
    channels = x.shape[-1]
    x = ops.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return ops.reshape(x, (batch, 2 * height, 2 * width, channels))


def resampler(direction: str, smooth: bool) -> Callable[[Tensor], Tensor]:
    """The function that changes the size "down" or "up": smoothed, or else by boxes and nearest pixels."""
    if direction == "down":
        return fir_downsample if smooth else box_downsample
    return fir_upsample if smooth else nearest_upsample


def _depthwise(x: Tensor, kernel: np.ndarray, stride: int = 1) -> Tensor:
    """Every channel with the same kernels `[h, w, n]`; n outputs for each channel, next to each other."""
    kernel = np.broadcast_to(kernel[:, :, None], (*kernel.shape[:2], x.shape[-1], kernel.shape[2]))
    kernel = ops.cast(ops.convert_to_tensor(kernel), x.dtype)
    return ops.depthwise_conv(x, kernel, strides=stride, padding="valid", data_format="channels_last")


@keras.saving.register_keras_serializable(package="tfrecon")
class StridedConv2D(keras.layers.Layer):
    """Half the size by a 3×3 convolution of stride 2.

    Args:
        filters: channels of the output.
        smooth: filters first, with two zeros on all sides; else one zero is added below and on the right.
        seed: of the initial weights.
        **kwargs: of the Keras layer.
    """

    def __init__(self, filters: int, *, smooth: bool = False, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters, self.smooth, self.seed = filters, smooth, seed

    def build(self, x_shape: Sequence[int | None]) -> None:
        self.convolution = convolution(self, "convolution", self.filters, strides=2, padding="valid")
        self.convolution.build(x_shape)
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        x = ops.cast(x, self.compute_dtype)
        x = fir_filter(x, padding=2) if self.smooth else ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return self.convolution(x)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        size = (None if n is None else n // 2 for n in x.shape[1:3])
        return keras.KerasTensor((x.shape[0], *size, self.filters), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "smooth": self.smooth, "seed": self.seed}
