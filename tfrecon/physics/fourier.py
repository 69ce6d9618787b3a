"""The Fourier transform of MRI; the only module that calls an FFT.

`fft2c` and `ifft2c` are centred (index n//2 is the origin on both sides) and orthonormal, right for
odd sizes too: `fftshift(fft2(ifftshift(x)))`. The uncentred transforms beside them keep NumPy's
normalisation, so that `ifft2(fft2(x)) == x` without a scaling pass: iterative solvers run on
pre-shifted arrays with these.

TensorFlow transforms complex tensors natively; other Keras backends go through `keras.ops`.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.complex import make_complex

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def fft2(x: Tensor) -> Tensor:
        """Uncentred 2-D FFT over the last two axes, NumPy's normalisation. complex64 in and out."""
        return tf.signal.fft2d(x)

    def ifft2(x: Tensor) -> Tensor:
        """Inverse of `fft2`."""
        return tf.signal.ifft2d(x)

    def fft1(x: Tensor) -> Tensor:
        """Uncentred FFT over the last axis, NumPy's normalisation. complex64 in and out."""
        return tf.signal.fft(x)

    def ifft1(x: Tensor) -> Tensor:
        """Inverse of `fft1`."""
        return tf.signal.ifft(x)

    def _roll(x: Tensor, halves_up: bool, axes: tuple[int, ...]) -> Tensor:
        shape = tf.shape(x)
        shifts = [-(-shape[axis] // 2) if halves_up else shape[axis] // 2 for axis in axes]
        return tf.roll(x, shifts, axes)

    def _size(x: Tensor) -> Tensor:
        height, width = x.shape[-2], x.shape[-1]
        if height is None or width is None:
            shape = tf.shape(x)
            return tf.cast(shape[-2] * shape[-1], tf.float32)
        return height * width

else:

    def _pair(transform, x: Tensor) -> Tensor:  # noqa: ANN001 - a keras.ops function
        return make_complex(*transform((ops.real(x), ops.imag(x))))

    def fft2(x: Tensor) -> Tensor:
        """Uncentred 2-D FFT over the last two axes, NumPy's normalisation. complex64 in and out."""
        return _pair(ops.fft2, x)

    def ifft2(x: Tensor) -> Tensor:
        """Inverse of `fft2`."""
        return _pair(ops.ifft2, x)

    def fft1(x: Tensor) -> Tensor:
        """Uncentred FFT over the last axis, NumPy's normalisation. complex64 in and out."""
        return _pair(ops.fft, x)

    def ifft1(x: Tensor) -> Tensor:
        """Inverse of `fft1`, by conj(FFT(conj(x)))/n: keras.ops has no 1-D inverse."""
        return ops.conj(fft1(ops.conj(x))) / x.shape[-1]

    def _roll(x: Tensor, halves_up: bool, axes: tuple[int, ...]) -> Tensor:
        for axis in axes:
            n = x.shape[axis]
            x = ops.roll(x, -(-n // 2) if halves_up else n // 2, axis)
        return x

    def _size(x: Tensor) -> int:
        return x.shape[-2] * x.shape[-1]


def fftshift(x: Tensor, axes: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Moves index 0 to the centre n//2."""
    return _roll(x, False, axes)


def ifftshift(x: Tensor, axes: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Moves the centre n//2 to index 0; differs from `fftshift` at odd sizes."""
    return _roll(x, True, axes)


def root_of_size(x: Tensor) -> Tensor:
    """sqrt(H·W) of `[..., H, W]`: a float, or a scalar tensor where a size is not known statically."""
    size = _size(x)
    if isinstance(size, int):
        return math.sqrt(size)
    return ops.sqrt(size)


def fft2c(image: Tensor) -> Tensor:
    """Centred orthonormal 2-D FFT: image to k-space.

    Args:
        image: complex64 `[..., H, W]`, sizes odd or even, known or not.

    Returns:
        complex64 `[..., H, W]` with the origin of k-space at (H//2, W//2).
    """
    kspace = fftshift(fft2(ifftshift(image)))
    return kspace * ops.cast(1.0 / root_of_size(image), "complex64")


def ifft2c(kspace: Tensor) -> Tensor:
    """Centred orthonormal inverse 2-D FFT, inverse and adjoint of `fft2c`."""
    image = fftshift(ifft2(ifftshift(kspace)))
    return image * ops.cast(root_of_size(kspace), "complex64")
