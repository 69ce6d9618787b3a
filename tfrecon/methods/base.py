"""The contract every reconstruction method keeps, and the registry through which they are known.

The trainer and the server know methods only through this module. A method is added by writing a
module with one `Method` subclass and naming it in `_MODULES`; nothing else changes.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.errors import InputError

_MODULES = {
    "zero_filled": "tfrecon.methods.classical.zero_filled",
    "cg_sense": "tfrecon.methods.classical.cg_sense",
    "l1_wavelet": "tfrecon.methods.classical.l1_wavelet",
    "tv": "tfrecon.methods.classical.tv",
}
"""Where each method lives; a module is imported when its method is first asked for."""

_REGISTRY: dict[str, type[Method]] = {}


class Method(abc.ABC):
    """A way from a measurement to an image.

    Measurements arrive normalised: k-space is divided by its own scale (`physics.scale`), and the
    caller multiplies the image back. A method keeps no state besides its configuration; what is
    trained lives in the dictionary of models that `build` returns.

    Attributes:
        name: the name on the command line.
        options_type: a dataclass of the reconstruction's options with defaults and docstring.
        xla: whether `reconstruct` is compiled by XLA. On a CPU it helps where much elementwise work
            lies between Fourier transforms, and hurts convolutions: measure, then choose.
    """

    name: ClassVar[str]
    options_type: ClassVar[type]
    xla: ClassVar[bool] = False

    def build(self, config: Any) -> dict[str, Any]:
        """Makes the Keras models of `config`; a classical method has none.

        Args:
            config: the resolved `ml_collections.ConfigDict` of the experiment.

        Returns:
            Keras models by name.
        """
        del config
        return {}

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seed: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss of one batch.

        Args:
            models: what `build` returned.
            batch: tensors by field name, as `data.pipeline` yields them.
            seed: from `util.rng.make_seed`.
            training: whether dropout and the like are active.

        Returns:
            A scalar float32 loss and scalars to log.

        Raises:
            InputError: the method has nothing to train.
        """
        raise InputError(f"method {self.name!r} has nothing to train", fix="reconstruct with it directly")

    @abc.abstractmethod
    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: Any
    ) -> Reconstruction:
        """Images of a normalised measurement with any leading axes.

        Args:
            models: what `build` returned.
            measurement: k-space `[..., C, H, W]`, mask and maps; see `typing.Measurement`.
            seed: from `util.rng.make_seed`; deterministic methods ignore it.
            options: an `options_type` instance.

        Returns:
            The image in the units of the measurement, `[..., H, W]`.
        """


def register_method(cls: type[Method]) -> type[Method]:
    """Class decorator: makes a method known by its `name`."""
    _REGISTRY[cls.name] = cls
    return cls


def method_names() -> tuple[str, ...]:
    """All methods that `get_method` knows."""
    return tuple(dict.fromkeys([*_MODULES, *_REGISTRY]))


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        InputError: there is none.
    """
    if name not in _REGISTRY and name in _MODULES:
        importlib.import_module(_MODULES[name])
    if name not in _REGISTRY:
        raise InputError(f"no method {name!r}", fix=f"choose one of {', '.join(method_names())}")
    return _REGISTRY[name]()


def resolve_options(method: Method, given: Mapping[str, Any]) -> Any:
    """An `options_type` instance of the defaults with `given` on top.

    Strings, as the command line has them, are converted to the type of the default.

    Raises:
        InputError: an unknown option or a value of the wrong type.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(method.options_type)}
    values = {}
    for key, value in given.items():
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise InputError(f"method {method.name!r} has no option {key!r}", fix=f"its options are: {known}")
        values[key] = _convert(method.name, key, value, defaults[key])
    return method.options_type(**values)


def _convert(method: str, key: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false", "1", "0"):
            return str(value).lower() in ("true", "1")
        raise InputError(f"option {key!r} of {method!r} is true or false, not {value!r}")
    if default is None or value is None:
        return value
    try:
        return type(default)(value)
    except (TypeError, ValueError) as error:
        kind = type(default).__name__
        raise InputError(f"option {key!r} of {method!r} is of type {kind}, not {value!r}") from error
