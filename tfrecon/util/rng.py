"""Stateless randomness: every number is a function of (seed, step, replica, purpose).

Keras' SeedGenerator is saved neither in `.keras` files nor in checkpoints and gives every replica
the same noise, so nothing here keeps a state. TensorFlow and JAX draw from different generators, and
TensorFlow differs between plain and XLA-compiled graphs: a stream is reproducible on one backend
compiled one way. What must be the same everywhere is drawn by `numpy_generator`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import keras
import numpy as np

from tfrecon.typing import Tensor
from tfrecon.util.complex import make_complex


def numpy_generator(seed: int, *keys: int | str) -> np.random.Generator:
    """A NumPy generator that depends on `seed` and on every key, for instance a record id."""
    text = "\x1f".join([str(int(seed)), *(f"{type(key).__name__}:{key}" for key in keys)])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))


def purpose_code(purpose: str) -> int:
    """A fixed 31-bit number for the name of a purpose ("noise", "partition", ...)."""
    return int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big") & 0x7FFFFFFF


if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    _ALGORITHM = "philox"  # the automatic choice differs between devices

    def _key(seed: int) -> Tensor:
        return tf.constant([seed & 0x7FFFFFFF, (seed >> 31) & 0x7FFFFFFF], tf.int32)

    def fold_in(seed: Tensor, value: Tensor | int) -> Tensor:
        """A new seed that depends on both arguments."""
        return tf.random.experimental.stateless_fold_in(seed, tf.cast(value, tf.int32), alg=_ALGORITHM)

    def normal(seed: Tensor, shape: Sequence[int]) -> Tensor:
        """float32 standard normal numbers."""
        return tf.random.stateless_normal(shape, seed, alg=_ALGORITHM)

    def uniform(seed: Tensor, shape: Sequence[int]) -> Tensor:
        """float32 numbers uniform in [0, 1)."""
        return tf.random.stateless_uniform(shape, seed, alg=_ALGORITHM)

elif keras.backend.backend() == "jax":
    import jax

    def _key(seed: int) -> Tensor:
        return jax.numpy.asarray([(seed >> 32) & 0xFFFFFFFF, seed & 0xFFFFFFFF], "uint32")

    def fold_in(seed: Tensor, value: Tensor | int) -> Tensor:
        """A new seed that depends on both arguments."""
        return jax.random.fold_in(seed, value)

    def normal(seed: Tensor, shape: Sequence[int]) -> Tensor:
        """float32 standard normal numbers."""
        return jax.random.normal(seed, tuple(shape), "float32")

    def uniform(seed: Tensor, shape: Sequence[int]) -> Tensor:
        """float32 numbers uniform in [0, 1)."""
        return jax.random.uniform(seed, tuple(shape), "float32")

else:
    raise ImportError(f"tfrecon runs on the TensorFlow or JAX backend of Keras, not {keras.backend.backend()!r}")


def make_seed(seed: int, step: Tensor | int = 0, replica: Tensor | int = 0, purpose: str = "") -> Tensor:
    """The seed of one purpose in one step on one replica.

    Args:
        seed: the run's seed, a Python int of any size ≥ 0.
        step: training or sampling step, may be a tensor.
        replica: replica id, may be a tensor.
        purpose: what the numbers are for; different purposes get independent streams.

    Returns:
        A tensor that the functions of this module take; int32 [2] on TensorFlow, a raw key on JAX.
    """
    key = fold_in(_key(seed), purpose_code(purpose))
    return fold_in(fold_in(key, step), replica)


def complex_normal(seed: Tensor, shape: Sequence[int]) -> Tensor:
    """complex64 circular Gaussian numbers with E|n|² = 1."""
    parts = normal(seed, (2, *shape)) * float(np.sqrt(0.5))
    return make_complex(parts[0], parts[1])
