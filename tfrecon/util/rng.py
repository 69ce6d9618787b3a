"""Stateless randomness: every number is a function of (seed, step, replica, purpose).

Keras' SeedGenerator is saved neither in `.keras` files nor in checkpoints and gives every replica
the same noise, so nothing here keeps a state. TensorFlow and JAX draw from different generators, and
TensorFlow differs between plain and XLA-compiled graphs: a stream is reproducible on one backend
compiled one way. What must be the same everywhere is drawn by `numpy_generator`.

Where one seed is taken, a batch of them `[B, 2]` is too: each of the B leading items then has a
stream of its own, which does not depend on how the items are grouped into batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

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

    def _fold_in(seed: Tensor, value: Tensor | int) -> Tensor:
        return tf.random.experimental.stateless_fold_in(seed, tf.cast(value, tf.int32), alg=_ALGORITHM)

    def _normal(seed: Tensor, shape: Sequence[int]) -> Tensor:
        return tf.random.stateless_normal(shape, seed, alg=_ALGORITHM)

    def _uniform(seed: Tensor, shape: Sequence[int]) -> Tensor:
        return tf.random.stateless_uniform(shape, seed, alg=_ALGORITHM)

    def _for_each(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
        dtype = tf.int32 if function is _fold_in else tf.float32
        return tf.map_fn(lambda items: function(*items), batches, fn_output_signature=dtype)

elif keras.backend.backend() == "jax":
    import jax

    def _key(seed: int) -> Tensor:
        return jax.numpy.asarray([(seed >> 32) & 0xFFFFFFFF, seed & 0xFFFFFFFF], "uint32")

    def _fold_in(seed: Tensor, value: Tensor | int) -> Tensor:
        return jax.random.fold_in(seed, value)

    def _normal(seed: Tensor, shape: Sequence[int]) -> Tensor:
        return jax.random.normal(seed, tuple(shape), "float32")

    def _uniform(seed: Tensor, shape: Sequence[int]) -> Tensor:
        return jax.random.uniform(seed, tuple(shape), "float32")

    def _for_each(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
        return jax.vmap(function)(*batches)

else:
    raise ImportError(f"tfrecon runs on the TensorFlow or JAX backend of Keras, not {keras.backend.backend()!r}")


def fold_in(seed: Tensor, value: Tensor | int) -> Tensor:
    """A new seed that depends on both arguments; of a batch of seeds `[B, 2]`, with a value or `[B]` values."""
    if len(seed.shape) == 1:
        return _fold_in(seed, value)
    values = ops.broadcast_to(ops.cast(value, "int32"), ops.shape(seed)[:1])
    return _for_each(_fold_in, seed, values)


def for_purpose(seed: Tensor, purpose: str) -> Tensor:
    """Of a seed, or a batch of seeds, those of one purpose; different purposes get independent streams."""
    return fold_in(seed, purpose_code(purpose))


def normal(seed: Tensor, shape: Sequence[int]) -> Tensor:
    """float32 standard normal numbers of `shape`; with a batch of seeds `[B, 2]`, `shape[0]` is B."""
    if len(seed.shape) == 1:
        return _normal(seed, shape)
    return _for_each(lambda one: _normal(one, shape[1:]), seed)


def uniform(seed: Tensor, shape: Sequence[int]) -> Tensor:
    """float32 numbers uniform in [0, 1) of `shape`; with a batch of seeds `[B, 2]`, `shape[0]` is B."""
    if len(seed.shape) == 1:
        return _uniform(seed, shape)
    return _for_each(lambda one: _uniform(one, shape[1:]), seed)


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
    key = for_purpose(_key(seed), purpose)
    return fold_in(fold_in(key, step), replica)


def make_seeds(seed: int, step: Tensor | int, count: int, first: Tensor | int = 0, purpose: str = "") -> Tensor:
    """One seed for each example of a batch, `[count, 2]`.

    An example's seed is a function of (seed, step, place in the global batch), so that a batch draws
    the same numbers whether one device works on it or several, at once or in parts.

    Args:
        seed: the run's seed.
        step: training step, may be a tensor.
        count: number of examples.
        first: place of the first example in the global batch, may be a tensor.
        purpose: what the numbers are for.
    """
    base = make_seed(seed, step, purpose=purpose)
    return fold_in(ops.tile(base[None], (count, 1)), ops.arange(count, dtype="int32") + ops.cast(first, "int32"))


def complex_normal(seed: Tensor, shape: Sequence[int]) -> Tensor:
    """complex64 circular Gaussian numbers with E|n|² = 1; seeds as in `normal`."""
    if len(seed.shape) == 1:
        parts = normal(seed, (2, *shape)) * float(np.sqrt(0.5))
        return make_complex(parts[0], parts[1])
    parts = normal(seed, (shape[0], 2, *shape[1:])) * float(np.sqrt(0.5))
    return make_complex(parts[:, 0], parts[:, 1])
