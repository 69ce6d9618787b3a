"""A factor on intervals, fitted where the truth is known and used where it is not."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json, write_json

FILE = "interval_scale.json"
"""In the folder of a trained model: the scale that was fitted to its samples."""


@dataclasses.dataclass(frozen=True)
class IntervalScale:
    """By how much intervals have to be widened, or narrowed, for reality to lie in them as often as they say.

    Attributes:
        factor: on the standard deviation, and on how far quantiles are from the image.
        fitted_on: JSON-able, on what it was fitted; empty for a number somebody gave.
    """

    factor: float = 1.0
    fitted_on: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.factor > 0 and math.isfinite(self.factor)):
            raise InputError(f"an interval scale of {self.factor:g}", fix="give a positive number")

    @classmethod
    def parse(cls, given: str | float) -> IntervalScale:
        """A number, or the file that `write` wrote, or a model folder with such a file, `FILE`.

        Raises:
            InputError: none of them.
        """
        try:
            return cls(float(given))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
        path = pathlib.Path(given) / FILE if pathlib.Path(given).is_dir() else pathlib.Path(given)
        content = read_json(path)
        try:
            return cls(float(content["factor"]), dict(content["fitted_on"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "is no interval scale", str(path), "give one that tfrecon evaluate --fit_interval_scale wrote"
            ) from error

    @classmethod
    def of_model(cls, folder: PathLike) -> IntervalScale:
        """What a model folder says of its samples' intervals; a factor of one where it says nothing.

        Raises:
            InputError: its `FILE` is no interval scale.
        """
        path = pathlib.Path(folder) / FILE
        return cls.parse(str(path)) if path.is_file() else cls()

    def write(self, path: PathLike) -> None:
        """Writes it as JSON."""
        write_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The content of the file, which is also what `index.json` says of scaled intervals."""
        return {"factor": self.factor, "fitted_on": dict(self.fitted_on)}

    def differences(self, settings: Mapping[str, Any]) -> list[str]:
        """What is otherwise with a reconstruction than where the factor was fitted: "method", "options", "model"."""
        model = settings.get("model") or {}
        own = {"method": settings["method"], "options": settings["options"], "model": model.get("sha256")}
        return [key for key, value in own.items() if key in self.fitted_on and self.fitted_on[key] != value]
