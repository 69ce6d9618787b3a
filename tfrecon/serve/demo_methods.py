"""What the demonstration reconstructs with: methods without training, and the trained models that ship."""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tfrecon.data.sources import RecordSource
from tfrecon.data.transforms import to_measurement
from tfrecon.methods.base import untrained_names
from tfrecon.records import Record
from tfrecon.serve.folder import reconstruct_folder
from tfrecon.serve.interval_scale import IntervalScale
from tfrecon.serve.intervals import Intervals
from tfrecon.serve.learned import LearnedModel, LearnedReconstructor
from tfrecon.serve.load import load
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.serve.shipped import WEIGHTS, shipped_models

SHOWN: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"ssdiffrecon_small": {}, "score_small": {"samples": 8, "nfe": 10}}
)
"""The models of `weights/` that are shown, with their options.

A prior takes samples · nfe network calls for each slice, most of the time of the demonstration; of the two that ship
one is shown. Eight samples are enough for a standard deviation, not for quantiles of 5 and 95 %.
"""


@dataclasses.dataclass(frozen=True)
class DemoMethod:
    """A method without training, or a trained model with options.

    Attributes:
        name: in the table, and of its folder.
        method: a name of the registry, or the model.
        options: of the model.
        intervals: which maps of uncertainty are made; None where it draws no samples.
        series: whether it reconstructs series of frames too.
    """

    name: str
    method: str | LearnedModel
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    intervals: Intervals | None = None
    series: bool = True

    def run(self, source: RecordSource, folder: pathlib.Path) -> pathlib.Path:
        """Reconstructs all records, after it was compiled: their `seconds` are then those of reconstruction.

        Raises:
            InputError: it refuses a record.
        """
        record = next(iter(source))
        self._reconstructor().warm_up(to_measurement(record), series=record.is_series)
        return reconstruct_folder(source, folder, self.method, self.options, intervals=self.intervals, overwrite=True)

    def note(self) -> str:
        """What a reader of the table has to know of it; empty for nothing."""
        if self.intervals is None:
            return ""
        calls = self.method.network_calls(self.options)
        samples = self.options["samples"]
        return f"{self.name}: the mean of {samples} samples of the posterior, {calls} network calls for each slice"

    def _reconstructor(self) -> Reconstructor | LearnedReconstructor:
        return Reconstructor(self.method) if isinstance(self.method, str) else self.method.reconstructor(self.options)


class DemoMethods:
    """All methods of the demonstration; each model is loaded once, and one that is missing is named once."""

    def __init__(self) -> None:
        self._loaded: dict[pathlib.Path, LearnedModel] = {}
        self._missed: set[str] = set()

    def of(self, record: Record) -> list[DemoMethod]:
        """Those for records like this one, methods without training first."""
        found = shipped_models(record.kspace.shape[-3])
        self._name_missing(set(SHOWN) - set(found))
        trained = [self._trained(name, found[name]) for name in SHOWN if name in found]
        fitting = [method for method in trained if method.series or not record.is_series]
        for method in trained:
            if method not in fitting:
                warnings.warn(f"{method.name} is not shown on series: it would take long", stacklevel=2)
        return [*(DemoMethod(name, name) for name in untrained_names()), *fitting]

    def _trained(self, name: str, folder: pathlib.Path) -> DemoMethod:
        if folder not in self._loaded:
            self._loaded[folder] = load(folder)
        options = SHOWN[name]
        if options.get("samples", 1) == 1:
            return DemoMethod(name, self._loaded[folder], options)
        intervals = Intervals(quantiles=(), scale=IntervalScale.of_model(folder))
        return DemoMethod(name, self._loaded[folder], options, intervals, series=False)

    def _name_missing(self, names: set[str]) -> None:
        new = sorted(names - self._missed)
        if new:
            self._missed |= names
            warnings.warn(f"{WEIGHTS} has no {' and no '.join(new)}: the demo goes on without", stacklevel=3)
