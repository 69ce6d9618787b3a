"""Training data as plain NumPy files, for machines without TensorFlow.

    FOLDER/
      arrays.json            the fields, how many records of which shapes, and which file holds them
      config.json            the experiment whose data these are (`train.model_folder`)
      part-00000.npz, …      the arrays of some records of equal shapes: kspace [N, C, H, W], mask, and so on

They hold what `data.pipeline` gives: k-space is masked and divided by its scale. Nothing here needs
TensorFlow.
"""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_folder, read_json, write_json
from tfrecon.util.rng import numpy_generator

INDEX_FILE = "arrays.json"
_VERSION = 1
_PART_BYTES = 256 * 2**20
_IDS = "record_id"

Arrays = Mapping[str, np.ndarray]


def write_arrays(
    folder: PathLike, batches: Iterable[Arrays], config: Mapping[str, Any], part_bytes: int = _PART_BYTES
) -> dict[str, Any]:
    """Writes batches as a folder of arrays, whole or not at all; it takes the place of an older one.

    Args:
        folder: where to.
        batches: NumPy arrays by field name, all with the records as their first axis; `record_id` holds
            bytes or strings.
        config: `Experiment.to_json()`.
        part_bytes: about how large a file becomes, and how much of each shape waits in memory.

    Returns:
        What `arrays.json` says.

    Raises:
        InputError: there are no batches, the disk is full, or the folder cannot be written.
    """
    with atomic_folder(folder) as temporary:
        writer = _Writer(temporary, part_bytes)
        for batch in batches:
            writer.add(batch)
        index = writer.finish()
        if not index["records"]:
            raise InputError("there is no record to write", str(folder), "give a dataset with records")
        write_json(temporary / "config.json", dict(config))
    return index


class _Writer:
    """Collects records of equal shapes, and writes them when they are many."""

    def __init__(self, folder: pathlib.Path, part_bytes: int) -> None:
        self._folder, self._part_bytes = folder, part_bytes
        self._waiting: dict[str, list[Arrays]] = {}
        self._parts: list[dict[str, Any]] = []

    def add(self, batch: Arrays) -> None:
        batch = {key: _as_text(value) if key == _IDS else np.asarray(value) for key, value in batch.items()}
        waiting = self._waiting.setdefault(_group_of(batch), [])
        waiting.append(batch)
        if sum(array.nbytes for one in waiting for array in one.values()) >= self._part_bytes:
            self._flush(_group_of(batch))

    def finish(self) -> dict[str, Any]:
        for group in list(self._waiting):
            self._flush(group)
        records = sum(part["records"] for part in self._parts)
        index = {"version": _VERSION, "records": records, "parts": self._parts}
        write_json(self._folder / INDEX_FILE, index)
        return index

    def _flush(self, group: str) -> None:
        waiting = self._waiting.pop(group)
        arrays = {key: np.concatenate([batch[key] for batch in waiting]) for key in sorted(waiting[0])}
        name = f"part-{len(self._parts):05d}.npz"
        np.savez(self._folder / name, **arrays)
        self._parts.append({"file": name, "group": group, "records": len(arrays["kspace"])})


class TrainingArrays:
    """The records of a folder, in memory.

    Args:
        folder: that `write_arrays` wrote.

    Attributes:
        records: how many there are.
        fields: what every batch holds, strings left out.

    Raises:
        InputError: no such folder, or a file is missing, damaged or of another version.
    """

    def __init__(self, folder: PathLike) -> None:
        path = pathlib.Path(folder)
        if not (path / INDEX_FILE).is_file():
            raise InputError(f"has no {INDEX_FILE}", str(folder), "write it with tools/export_training_arrays.py")
        index = read_json(path / INDEX_FILE)
        if not isinstance(index, dict) or index.get("version") != _VERSION:
            raise InputError("is of another version", str(path / INDEX_FILE), "write it again")
        parts: dict[str, list[Arrays]] = {}
        for part in index["parts"]:
            parts.setdefault(part["group"], []).append(_read_part(path / part["file"], part["records"]))
        self._groups = [_join(parts.pop(group)) for group in list(parts)]
        self.records = sum(len(group["kspace"]) for group in self._groups)
        self.fields = tuple(sorted(set.intersection(*(set(group) for group in self._groups)) - {_IDS}))

    def require(self, fields: Iterable[str], where: PathLike) -> None:
        """Raises InputError if one of the `fields` is not in every record."""
        missing = [key for key in fields if key not in self.fields]
        if missing:
            raise InputError(f"its records have no {missing[0]!r}", str(where), "export them from records that do")

    def batches(
        self, batch_size: int, seed: int, *, shuffle: bool = True, first: int = 0
    ) -> Iterator[tuple[dict[str, np.ndarray], list[str]]]:
        """Batches of records of equal shapes, without end; which ones depends on the arguments alone.

        Args:
            batch_size: records in each.
            seed: of the order: each epoch is a permutation of its own.
            shuffle: whether it is, or each epoch has the order of the files.
            first: number of the first batch that is given.

        Yields:
            (arrays by field, record ids).

        Raises:
            InputError: no shape has a record.
        """
        for number, (group, rows) in enumerate(self._plan(batch_size, seed, shuffle)):
            if number >= first:
                arrays = self._groups[group]
                yield {key: arrays[key][rows] for key in self.fields}, [str(name) for name in arrays[_IDS][rows]]

    def _plan(self, batch_size: int, seed: int, shuffle: bool) -> Iterator[tuple[int, np.ndarray]]:
        """(group, rows) of each batch; what an epoch leaves over waits for the next."""
        places = [(group, row) for group, arrays in enumerate(self._groups) for row in range(len(arrays["kspace"]))]
        waiting: list[list[int]] = [[] for _ in self._groups]
        epoch = 0
        while True:
            order = range(len(places))
            if shuffle:
                order = numpy_generator(seed, "order of arrays", epoch).permutation(len(places))
            for place in order:
                group, row = places[place]
                waiting[group].append(row)
                if len(waiting[group]) == batch_size:
                    yield group, np.array(waiting[group])
                    waiting[group] = []
            epoch += 1


def _group_of(batch: Arrays) -> str:
    """What records must agree in to be in one batch, in words."""
    shapes = (f"{key} {value.dtype} {list(value.shape[1:])}" for key, value in sorted(batch.items()) if key != _IDS)
    return ", ".join(shapes)


def _as_text(names: Any) -> np.ndarray:
    return np.array([name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names])


def _read_part(path: pathlib.Path, records: int) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        if any(len(array) != records for array in arrays.values()):
            raise ValueError("another number of records")
    except FileNotFoundError as error:
        raise InputError("is missing", str(path), "copy the whole folder") from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError("is damaged", str(path), "copy it again") from error
    return arrays


def _join(parts: list[Arrays]) -> Arrays:
    """One array of each field; the parts are emptied on the way, to hold them once only."""
    joined = {}
    for key in list(parts[0]):
        joined[key] = np.concatenate([part.pop(key) for part in parts]) if len(parts) > 1 else parts[0][key]
    return joined
