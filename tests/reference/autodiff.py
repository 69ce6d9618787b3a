"""The gradient of a real function on whichever backend the tests run."""

import keras
import numpy as np


def gradients(function, *arguments):
    """Gradients of the scalar `function(*arguments)` with respect to each real array, as NumPy arrays."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(argument, tf.float32) for argument in arguments]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        result = tape.gradient(value, tensors)
    else:
        import jax

        floats = [np.asarray(argument, np.float32) for argument in arguments]
        result = jax.grad(function, tuple(range(len(floats))))(*floats)
    return [np.asarray(gradient) for gradient in result]
