"""What has to be known before a graph is traced, worked out while one is being traced."""

from __future__ import annotations

import contextlib

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def outside_graph() -> contextlib.AbstractContextManager[None]:
        """A context in which `keras.ops` give values, not symbols, whatever is being traced around it."""
        return tf.init_scope()

else:
    import jax

    def outside_graph() -> contextlib.AbstractContextManager[None]:
        """A context in which `keras.ops` give values, not symbols, whatever is being traced around it."""
        return jax.ensure_compile_time_eval()
