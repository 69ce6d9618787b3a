"""Reconstruction as a compiled function: traced once for each shape, with XLA where it helps.

reconstruct = compiled_reconstruct(get_method("cg_sense"), options)
image = reconstruct(measurement).image
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfrecon.methods.base import Method
from tfrecon.typing import Measurement, Reconstruction, Tensor

CompiledReconstruct = Callable[..., Reconstruction]

_CACHE: dict[tuple[Any, ...], CompiledReconstruct] = {}


def compiled_reconstruct(method: Method, options: Any, models: Mapping[str, Any] | None = None) -> CompiledReconstruct:
    """The method's `reconstruct` as a `tf.function`.

    XLA is used where the method asks for it (`Method.xla`): on a CPU it speeds up much elementwise
    work between transforms, and costs a second or so of compilation for each new shape, so a
    volume's slices should come in one shape.

    Args:
        method: from `methods.base.get_method`.
        options: an instance of its `options_type`; constants of the graph.
        models: what `method.build` returned, for learned methods.

    Returns:
        `(measurement, seed=None) -> Reconstruction`. NumPy arrays in the (normalised) measurement
        become tensors. Without models, equal methods and options share one function, so it
        does not trace again; with models, keep it yourself.
    """
    if models:
        return _compile(method, options, models)
    key = (type(method), dataclasses.astuple(options))
    if key not in _CACHE:
        _CACHE[key] = _compile(method, options, {})
    return _CACHE[key]


def _compile(method: Method, options: Any, models: Mapping[str, Any]) -> CompiledReconstruct:
    by_shape: dict[tuple[Any, ...], CompiledReconstruct] = {}

    def call(measurement: Measurement, seed: Tensor | None) -> Reconstruction:
        return method.reconstruct(models, measurement, seed, options)

    def reconstruct(measurement: Measurement, seed: Tensor | None = None) -> Reconstruction:
        measurement = as_tensors(measurement)
        key = (seed is None, *shapes_of(measurement))
        if key not in by_shape:
            # Made for each shape by hand: TensorFlow takes new shapes of one function for a mistake and warns.
            # Loops are keras.ops', so autograph has nothing to translate.
            traced = tf.function(call, jit_compile=method.xla, autograph=False)
            by_shape[key] = traced.get_concrete_function(measurement, seed)
        return by_shape[key](measurement, seed)

    return reconstruct


def shapes_of(measurement: Measurement) -> tuple[Any, ...]:
    """The shapes of a measurement's fields, for what is kept for each of them."""
    return tuple(None if value is None else tuple(value.shape) for value in measurement)


def as_tensors(measurement: Measurement) -> Measurement:
    """The measurement as TensorFlow tensors of the right types."""
    dtypes = Measurement(tf.complex64, tf.float32, tf.complex64, tf.float32, tf.float32, tf.float32)
    return Measurement(
        *(None if value is None else tf.cast(value, dtype) for value, dtype in zip(measurement, dtypes, strict=True))
    )
