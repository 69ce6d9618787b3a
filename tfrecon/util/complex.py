"""Complex tensors beside networks that know only real channels.

The only place that turns complex tensors into channels and back, and where magnitudes are taken
with gradients that stay finite at zero: background pixels of masked MRI are exactly zero, and
`sqrt(re² + im²)` has no gradient there.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from tfrecon.typing import Tensor


def to_channels(image: Tensor) -> Tensor:
    """Complex `[..., H, W]` to real `[..., H, W, 2]` (real part, imaginary part)."""
    return ops.stack([ops.real(image), ops.imag(image)], axis=-1)


def to_complex(channels: Tensor) -> Tensor:
    """Real `[..., H, W, 2]` to complex64 `[..., H, W]`, whatever the float dtype it came in."""
    channels = ops.cast(channels, "float32")
    return make_complex(channels[..., 0], channels[..., 1])


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    # Keras makes a complex tensor of two by casts and a product: more than twice the time, and the
    # gradient of its casts warns of lost imaginary parts.
    def make_complex(real: Tensor, imag: Tensor) -> Tensor:
        """Two float32 tensors of one shape to one complex64 tensor."""
        return tf.complex(tf.cast(real, tf.float32), tf.cast(imag, tf.float32))

else:

    def make_complex(real: Tensor, imag: Tensor) -> Tensor:
        """Two float32 tensors of one shape to one complex64 tensor."""
        return ops.view_as_complex(ops.stack([real, imag], axis=-1))


def energy(x: Tensor) -> Tensor:
    """`|x|²` as float32, differentiable everywhere."""
    return ops.square(ops.real(x)) + ops.square(ops.imag(x))


def safe_abs(x: Tensor) -> Tensor:
    """`|x|` as float32 with gradient zero, not NaN, where x is exactly zero."""
    squared = energy(x)
    positive = squared > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def vdot(a: Tensor, b: Tensor, axes: Sequence[int] = (-2, -1), keepdims: bool = False) -> Tensor:
    """Hermitian inner product `sum(conj(a) * b)` over `axes`, complex64.

    Every Krylov solver needs the conjugate: without it conjugate gradients diverge on complex data.
    """
    return ops.sum(ops.conj(a) * b, axis=tuple(axes), keepdims=keepdims)


def real_vdot(a: Tensor, b: Tensor, axes: Sequence[int] = (-2, -1), keepdims: bool = False) -> Tensor:
    """Real part of `vdot(a, b)` as float32, without forming the complex product."""
    products = ops.real(a) * ops.real(b) + ops.imag(a) * ops.imag(b)
    return ops.sum(products, axis=tuple(axes), keepdims=keepdims)


def stack_pairs(channels: Tensor) -> Tensor:
    """Real `[B, H, W, 2n]` to complex64 `[B, n·H, W]`: each pair of channels as an image, one below the other.

    What is known of complex images `[B, H, W]` alone, such as diffusion paths and samplers, so works on any even
    number of channels.
    """
    batch, height, width = ops.shape(channels)[:3]
    pairs = channels.shape[-1] // 2
    channels = ops.reshape(channels, (batch, height, width, pairs, 2))
    channels = ops.reshape(ops.transpose(channels, (0, 3, 1, 2, 4)), (batch, pairs * height, width, 2))
    return to_complex(channels)


def unstack_pairs(image: Tensor, pairs: int) -> Tensor:
    """The inverse of `stack_pairs`: complex64 `[B, n·H, W]` to float32 `[B, H, W, 2n]` with n = `pairs`."""
    batch, height, width = ops.shape(image)
    height = height // pairs
    channels = ops.reshape(to_channels(image), (batch, pairs, height, width, 2))
    return ops.reshape(ops.transpose(channels, (0, 2, 3, 1, 4)), (batch, height, width, 2 * pairs))
