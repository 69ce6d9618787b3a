"""Which coil sensitivities a record is reconstructed with."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from tfrecon.data.transforms import with_maps
from tfrecon.physics.coils import MAP_METHODS
from tfrecon.records import Record
from tfrecon.serve.inputs import require_finite
from tfrecon.serve.mask_choice import file_facts, load_array
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError

AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class MapChoice:
    """How maps are come by.

    Attributes:
        choice: "auto" (the record's own, else ESPIRiT where there are several coils), "espirit" or
            "walsh" (estimated from the calibration samples of the undersampled record), or an
            `.npy` file.
        map_sets: sets to estimate; 2 is soft-SENSE.
    """

    choice: PathLike = AUTO
    map_sets: int = 1

    def apply(self, record: Record, k: int, count: int) -> Record:
        """The record with its maps.

        Args:
            record: undersampled already; maps must not know what was not measured.
            k: its position in the run.
            count: the number of records in the run.

        Raises:
            InputError: too few calibration samples, or a file that does not fit.
        """
        choice = str(self.choice)
        if choice == AUTO:
            if record.maps is not None or record.kspace.shape[-3] == 1:
                return record
            choice = MAP_METHODS[0]
        if choice in MAP_METHODS:
            return with_maps(record, choice, map_sets=self.map_sets)
        return self._from_file(record, k, count)

    def describe(self) -> dict[str, Any]:
        """What was asked for, JSON-able.

        Raises:
            InputError: neither a known way nor a file.
        """
        choice = str(self.choice)
        if choice in (AUTO, *MAP_METHODS):
            return {"choice": choice, "sets": self.map_sets}
        if not pathlib.Path(choice).suffix:
            names = ", ".join((AUTO, *MAP_METHODS))
            raise InputError(f"no way {choice!r} to get maps", fix=f"choose one of {names}, or give a file")
        return file_facts(choice)

    def _from_file(self, record: Record, k: int, count: int) -> Record:
        path = pathlib.Path(self.choice)
        maps = load_array(path)
        maps = maps[k] if _one_for_each(maps, record, count, path) else maps
        require_finite("maps", maps, str(path))
        if not np.iscomplexobj(maps) or maps.shape[-3:] != record.kspace.shape[-3:]:
            raise InputError(
                f"maps {maps.shape} {maps.dtype} do not fit k-space {record.kspace.shape}",
                str(path),
                "give complex maps [C, H, W] with the coils, height and width of k-space",
            )
        if record.is_series:
            maps = maps[np.newaxis]
        attrs = {**record.attrs, "maps": {"method": "file", "file": path.name}}
        return dataclasses.replace(record, maps=maps.astype(np.complex64), attrs=attrs)


def _one_for_each(maps: np.ndarray, record: Record, count: int, path: pathlib.Path) -> bool:
    """Whether the file's first axis counts records; one set of maps never serves several slices."""
    if maps.ndim in (4, 5) and len(maps) == count:
        return maps.ndim == 5 or count > 1 or record.kspace.shape[-3] != 1
    if count == 1 and maps.ndim in (3, 4):
        return False
    raise InputError(
        f"holds maps {maps.shape} for {count} records", str(path), f"give one for each record: [{count}, C, H, W]"
    )
