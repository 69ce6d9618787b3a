"""Where a reconstruction ceased to be finite.

A sampler runs in one graph, which cannot stop and speak. An image that became NaN or Inf stays so until the end, and no
other image of its batch is touched: the result says which images they are. Noise is a function of the seed, so a
second run outside of any graph finds the call of the network that came first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from tfrecon.methods.base import Method, require_finite_result
from tfrecon.typing import Measurement, Reconstruction, Tensor


def require_finite_images(
    method: Method,
    models: Mapping[str, Any],
    measurement: Measurement,
    seed: Tensor,
    options: Any,
    result: Reconstruction,
) -> None:
    """Raises InputError, naming images and step, if a reconstruction is not finite.

    Args:
        method: with one model, "network".
        models: what it was run with.
        measurement: likewise.
        seed: likewise.
        options: likewise.
        result: what it gave.

    Raises:
        InputError: some pixels are NaN or Inf.
    """
    if _is_finite(result.image):
        return
    call = first_bad_call(method, models, measurement, seed, options)
    place = "after the last call of the network"
    if call is not None:
        step = (call - 1) // options.calls_per_step + 1
        place = f"in step {step} of {options.steps}, at call {call} of the network"
    require_finite_result(result, f", first {place}", "take a smaller snr, strength or step_size")


def first_bad_call(
    method: Method, models: Mapping[str, Any], measurement: Measurement, seed: Tensor, options: Any
) -> int | None:
    """The number (from 1) of the first call of the network that was given or gave what is not finite, or None.

    Runs the method again, in TensorFlow's eager mode.
    """
    watched = _Watched(models["network"])
    try:
        method.reconstruct({**models, "network": watched}, measurement, seed, options)
    except _Found as found:
        return found.call
    return None


class _Found(Exception):
    """The call of the network that is looked for."""

    def __init__(self, call: int) -> None:
        super().__init__(call)
        self.call = call


class _Watched:
    """A network that counts its calls and stops at the first that is not finite."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._calls = 0

    def __call__(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        output = self._network(inputs, training=training)
        self._calls += 1
        if not (_is_finite(inputs["image"]) and _is_finite(output)):
            raise _Found(self._calls)
        return output


def _is_finite(tensor: Tensor) -> bool:
    return bool(np.isfinite(ops.convert_to_numpy(tensor)).all())
