"""Reconstruction in steps as compiled functions: traced once for each shape, whatever steps are made at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tfrecon.methods.base import Method, Stepwise
from tfrecon.serve.compile import as_tensors, shapes_of
from tfrecon.serve.pace import Pace
from tfrecon.typing import Measurement, Reconstruction, Tensor


class _Functions(NamedTuple):
    """The compiled functions of one shape."""

    begin: Callable[..., tuple[Tensor, ...]]
    advance: Callable[..., tuple[Tensor, ...]]


class SteppedReconstruct:
    """A reconstruction in steps, `(measurement, seed, pace) -> Reconstruction`.

    Args:
        method: whose `stepwise` it is.
        options: an instance of its `options_type`; constants of the graph.
        models: what `method.build` returned.
        stepwise: of the method and options.
    """

    def __init__(self, method: Method, options: Any, models: Mapping[str, Any], stepwise: Stepwise) -> None:
        self._method, self._options, self._models, self._stepwise = method, options, models, stepwise
        self._by_shape: dict[tuple[Any, ...], _Functions] = {}

    def __call__(self, measurement: Measurement, seed: Tensor, pace: Pace) -> Reconstruction:
        """Makes as many steps as the pace allows.

        Args:
            measurement: normalised, NumPy arrays or tensors.
            seed: from `util.rng.make_seed`.
            pace: says how many; it knows afterwards how many were made.

        Returns:
            Tensors; the best images there are, where not all steps were made.

        Raises:
            InputError: an image is no longer finite; the message says which, and in which step.
            OutOfTime: not one step fits.
        """
        measurement = as_tensors(measurement)
        functions = self._compiled(measurement, seed)
        carried = functions.begin(measurement, seed)
        pace.begin(self._stepwise.count)
        done = 0
        while count := pace.next():
            *carried, finite = functions.advance(
                measurement, seed, tuple(carried), tf.constant(done), tf.constant(done + count)
            )
            done += count
            if not bool(finite):  # waits for the steps
                result = self._stepwise.result(measurement, tuple(carried))
                self._method.require_finite(self._models, measurement, seed, self._options, result)
            pace.made_steps(count)
        return self._stepwise.result(measurement, tuple(carried))

    def _compiled(self, measurement: Measurement, seed: Tensor) -> _Functions:
        key = shapes_of(measurement)
        if key not in self._by_shape:
            self._by_shape[key] = self._trace(measurement, seed)
        return self._by_shape[key]

    def _trace(self, measurement: Measurement, seed: Tensor) -> _Functions:
        stepwise, models = self._stepwise, self._models

        def begin(measurement: Measurement, seed: Tensor) -> tuple[Tensor, ...]:
            return stepwise.begin(models, measurement, seed)

        def advance(
            measurement: Measurement, seed: Tensor, carried: tuple[Tensor, ...], first: Tensor, last: Tensor
        ) -> tuple[Tensor, ...]:
            carried = stepwise.advance(models, measurement, seed, carried, first, last)
            parts = [part for tensor in carried for part in (tf.math.real(tensor), tf.math.imag(tensor))]
            finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in parts])
            return (*carried, finite)

        # Loops are keras.ops', so autograph has nothing to translate.
        whole = {"jit_compile": self._method.xla, "autograph": False}
        first = tf.function(begin, **whole).get_concrete_function(measurement, seed)
        carried = tuple(tf.TensorSpec(spec.shape, spec.dtype) for spec in first.structured_outputs)
        number = tf.TensorSpec((), tf.int32)
        step = tf.function(advance, **whole).get_concrete_function(measurement, seed, carried, number, number)
        return _Functions(first, step)
