"""Raw data and datasets behind one door: whatever the format, out come records.

To add a format, write a reader module with a function `(path, SourceOptions) -> list[Volume]` and
name it in `_READERS`.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import importlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tfrecon.data.dataset_info import DATASET_FILE, is_dataset, read_dataset_info
from tfrecon.data.tfrecord import read_records, read_shard
from tfrecon.data.volumes import SourceOptions, Volume
from tfrecon.records import Record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError

_READERS = {
    "fastmri": ("tfrecon.data.readers.fastmri", (".h5", ".hdf5")),
    "nifti": ("tfrecon.data.readers.nifti", (".nii", ".nii.gz")),
    "npy": ("tfrecon.data.readers.npy", (".npy", ".npz")),
    "ssdiffrecon": ("tfrecon.data.readers.ssdiffrecon", (".tfrecords",)),
}
"""Module with `open_volumes(path, options)` and the endings by which files are recognised."""

SOURCES = ("auto", "dataset", *_READERS, "ixi")
"""What `source` may be; "ixi" is NIfTI under its dataset's name."""


class RecordSource:
    """Records of a file or folder, one in memory at a time; iterate over it as often as you like.

    Attributes:
        path: what was opened.
        kind: "fastmri", "nifti", ...
        volumes: the volumes in order.
        options: how it is read.
        skipped: why slices gave no record, by record id; filled while reading.
    """

    def __init__(
        self, path: PathLike, kind: str, volumes: Sequence[Volume], options: SourceOptions | None = None
    ) -> None:
        self.path, self.kind = pathlib.Path(path), kind
        self.volumes = tuple(volumes)
        self.options = options or SourceOptions()
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        """Number of slices; as many records, less those that turn out empty."""
        return sum(volume.slices for volume in self.volumes)

    def __iter__(self) -> Iterator[Record]:
        for volume in self.volumes:
            yield from self.read(volume)

    def read(self, volume: Volume, slices: Sequence[int] | None = None) -> Iterator[Record]:
        """The records of one volume.

        Args:
            volume: one of `volumes`.
            slices: which; None for all.

        Raises:
            InputError: a slice cannot be used, or with `strict` would be skipped.
        """
        for item in volume.read(range(volume.slices) if slices is None else slices):
            if isinstance(item, Record):
                yield item
                continue
            if self.options.strict:
                raise InputError(
                    item.reason, f"{volume.path} record {item.record_id!r}", "leave it out, or run without --strict"
                )
            self.skipped[item.record_id] = item.reason

    def skip_summary(self) -> str:
        """One line on what was skipped, or "" if nothing was."""
        if not self.skipped:
            return ""
        reasons = collections.Counter(self.skipped.values())
        return "; ".join(f"{count} slices skipped: {reason}" for reason, count in reasons.most_common())


class DatasetSource(RecordSource):
    """A finished dataset as a source: its records as they are, read in one pass over the shards.

    Attributes:
        info: what `dataset.json` says.
    """

    def __init__(self, path: PathLike) -> None:
        self.info = read_dataset_info(path)
        shape, subjects = self.info.groups[0].kspace, self.info.made.get("subjects", {})
        volumes = [
            Volume(
                name,
                subjects.get(name, name),
                self.info.path,
                count,
                shape,
                functools.partial(self._read_volume, name),
            )
            for name, count in self.info.volumes.items()
        ]
        super().__init__(path, "dataset", volumes)

    def __iter__(self) -> Iterator[Record]:
        return read_records(self.info.path)

    def _read_volume(self, name: str, slices: Sequence[int]) -> Iterator[Record]:
        wanted, position = set(slices), 0
        for shard, file in zip(self.info.shards, self.info.files, strict=True):
            if name not in shard.volume_ids:
                continue
            for record in read_shard(file, self.info.compression):
                if record.volume_id != name:
                    continue
                if position in wanted:
                    yield record
                position += 1


def open_source(path: PathLike, source: str = "auto", **options: Any) -> RecordSource:
    """Opens a file or folder of any known format.

    Args:
        path: dataset folder, fastMRI h5, NIfTI, `.npy`/`.npz`, SSDiffRecon records, or a folder of
            one of these kinds of files.
        source: one of `SOURCES`; "auto" recognises the format.
        **options: of `SourceOptions`.

    Returns:
        The source; slices are read when it is iterated over.

    Raises:
        InputError: nothing there, an unknown or ambiguous format, or files that cannot be read.
    """
    path = pathlib.Path(path)
    if source not in SOURCES:
        raise InputError(f"no source {source!r}", fix=f"choose one of {', '.join(SOURCES)}")
    if not path.exists():
        raise InputError("no such file or folder", str(path), "check the path")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError("is an empty file", str(path), "get or make it again")
    kind = recognise(path) if source == "auto" else {"ixi": "nifti"}.get(source, source)
    try:
        resolved = SourceOptions(**options)
    except TypeError as error:
        known = ", ".join(field.name for field in dataclasses.fields(SourceOptions))
        raise InputError(f"unknown option of a source ({error})", fix=f"options are: {known}") from error
    if kind == "dataset":
        return DatasetSource(path.parent if path.name == DATASET_FILE else path)
    volumes = importlib.import_module(_READERS[kind][0]).open_volumes(path, resolved)
    return RecordSource(path, kind, volumes, resolved)


def recognise(path: PathLike) -> str:
    """The kind of source at `path`, by its files' endings.

    Raises:
        InputError: no known kind, or more than one.
    """
    path = pathlib.Path(path)
    if is_dataset(path) or path.name == DATASET_FILE:
        return "dataset"
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    found = {kind: sum(1 for file in files if _has_ending(file, endings)) for kind, (_, endings) in _READERS.items()}
    found = {kind: count for kind, count in found.items() if count}
    if len(found) == 1:
        return next(iter(found))
    if found:
        listed = ", ".join(f"{count} {kind}" for kind, count in found.items())
        raise InputError(f"holds files of several kinds ({listed})", str(path), "say which with --source")
    if any(is_dataset(file.parent) for file in files):
        read_dataset_info(path)  # says which datasets are inside
    known = ", ".join(ending for _, endings in _READERS.values() for ending in endings)
    raise InputError("holds no file of a known kind", str(path), f"known are {known} and dataset folders")


def _has_ending(file: pathlib.Path, endings: Sequence[str]) -> bool:
    return not file.name.startswith(".") and file.name.lower().endswith(tuple(endings) or "\0")
