"""SavedModels that `serve.export` wrote, run without any Python of their method."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrecon.methods.base import require_finite_result
from tfrecon.serve.batches import Engine
from tfrecon.serve.learned import LearnedModel
from tfrecon.serve.pace import Pace
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

FACTS_FILE = "tfrecon.json"
"""Says of a SavedModel which method it is, its options and its functions."""


class SavedModel(LearnedModel):
    """An exported model; see `serve.export` for what its folder holds.

    Args:
        folder: the SavedModel.
        source: JSON-able, where it is from.

    Attributes:
        functions: TensorFlow's own, by name ("reconstruct", "scale", and the method's), on tensors.

    Raises:
        InputError: it was not exported by tfrecon, or is damaged.
    """

    def __init__(self, folder: pathlib.Path, source: Mapping[str, Any]) -> None:
        if not (folder / FACTS_FILE).is_file():
            raise InputError(
                f"is a SavedModel without {FACTS_FILE}", str(folder), "give one that `tfrecon export` wrote"
            )
        facts = read_json(folder / FACTS_FILE)
        super().__init__({"method": facts["method"], "options": facts["options"], "model": dict(source)})
        try:
            # Kept: the functions live no longer than the object they were loaded with.
            self._loaded = tf.saved_model.load(str(folder))
            self.functions = {name: getattr(self._loaded, name) for name in facts["functions"]}
            self._arguments = list(facts["functions"]["reconstruct"])
            self._label_width = int(facts["label_width"])
            self._needed, self._budget = facts["fields"], facts.get("budget")
        except (OSError, tf.errors.OpError, AttributeError, KeyError, ValueError) as error:
            raise InputError(f"is a damaged SavedModel ({error})", str(folder), "export it again") from error

    @property
    def nfe_option(self) -> str | None:
        return None if self._budget is None else self._budget["option"]

    def resolve(self, options: Mapping[str, Any]) -> dict[str, Any]:
        known = self.settings["options"]
        if self._budget is not None and set(options) == {self.nfe_option}:
            return known | {self.nfe_option: self._calls(options[self.nfe_option])}
        if options:
            given, fixed = ", ".join(options), ", ".join(f"{k}={v}" for k, v in known.items())
            raise InputError(
                f"options of a SavedModel are fixed, {given} cannot be given",
                fix=f"it has {fixed or 'none'}: export it again with others",
            )
        return known

    def _calls(self, given: Any) -> int:
        """A budget that the model can keep."""
        least, most = self._budget["least"], self._budget["most"]
        try:
            calls = int(given)
        except ValueError:
            calls = 0
        if not least <= calls <= most:
            raise InputError(f"{self.nfe_option} is {given}", fix=f"give a whole number from {least} to {most}")
        return calls

    def _make_engine(self, options: Any) -> Engine:
        givers = {
            "kspace": lambda measurement: measurement.kspace,
            "mask": lambda measurement: measurement.mask,
            "maps": _maps_of,
            "noise_std": lambda measurement: _noise_of(measurement, needed="noise_std" in self._needed),
            "label": lambda measurement: _label_of(measurement, self._label_width),
            "nfe": lambda measurement: np.int32(options[self.nfe_option]),
        }

        def engine(measurement: Measurement, seed: Tensor, pace: Pace) -> Reconstruction:
            del pace
            tensors = [seed if name == "seed" else tf.constant(givers[name](measurement)) for name in self._arguments]
            if "reconstruct_with_std" in self.functions:
                found = {
                    name: array.numpy() for name, array in self.functions["reconstruct_with_std"](*tensors).items()
                }
                result = Reconstruction(found["image"], found["std"], found.get("samples"))
            else:
                result = Reconstruction(self.functions["reconstruct"](*tensors).numpy())
            require_finite_result(result)
            return result

        return engine


def _maps_of(measurement: Measurement) -> np.ndarray:
    if measurement.maps is not None:
        return measurement.maps
    if measurement.kspace.shape[-3] != 1:
        raise InputError(
            f"k-space has {measurement.kspace.shape[-3]} coils but no sensitivity maps were given",
            fix="give maps, or estimate them (--maps=espirit or --maps=walsh)",
        )
    return np.ones_like(measurement.kspace)


def _label_of(measurement: Measurement, width: int) -> np.ndarray:
    if measurement.label is None:
        return np.zeros((len(measurement.kspace), width), np.float32)
    if np.shape(measurement.label)[-1] != width:
        raise InputError(
            f"labels have {np.shape(measurement.label)[-1]} numbers, but the model takes {width}",
            fix=f"give labels of {width} numbers",
        )
    return np.asarray(measurement.label, np.float32)


def _noise_of(measurement: Measurement, needed: bool) -> np.ndarray:
    """The noise; -1 where it is not known."""
    if measurement.noise_std is not None:
        return measurement.noise_std
    if needed:
        raise InputError("this model has to know the noise", fix="give noise_std, or records that have it")
    return np.full(len(measurement.kspace), -1.0, np.float32)
