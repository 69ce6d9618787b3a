"""The gradient of a real function of a complex image, on either backend.

TensorFlow and JAX follow conjugate conventions for complex tensors, so this differentiates with respect to
the real and the imaginary part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.complex import make_complex

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def _differentiate(
        function: Callable[[Tensor, Tensor], tuple[Tensor, Any]], real: Tensor, imag: Tensor
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch((real, imag))
            total, extra = function(real, imag)
        return extra, tape.gradient(total, (real, imag), unconnected_gradients=tf.UnconnectedGradients.ZERO)

else:
    import jax

    def _differentiate(
        function: Callable[[Tensor, Tensor], tuple[Tensor, Any]], real: Tensor, imag: Tensor
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        (_, extra), gradient = jax.value_and_grad(function, (0, 1), has_aux=True)(real, imag)
        return extra, gradient


def gradient_with_extra(function: Callable[[Tensor], tuple[Tensor, Any]], x: Tensor) -> tuple[Any, Tensor]:
    """The direction in which the sum of real values rises fastest, `d/d Re x + i d/d Im x`.

    Args:
        function: `x -> (values, extra)`; float32 values of any shape, for instance one for each image of a
            batch, whose gradients then are those of its own image alone; extra is what else of the
            computation is wanted.
        x: complex64.

    Returns:
        The extra, and the gradient, complex64 like x.
    """

    def summed(real: Tensor, imag: Tensor) -> tuple[Tensor, Any]:
        values, extra = function(make_complex(real, imag))
        return ops.sum(values), extra

    extra, (real, imag) = _differentiate(summed, ops.real(x), ops.imag(x))
    return extra, make_complex(real, imag)
