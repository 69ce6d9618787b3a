"""`dataset.json`: what a dataset folder says of itself.

A dataset is a folder of TFRecord shards with this file beside them. The file is written last, so a
folder without it is an unfinished conversion.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from tfrecon.records import SCHEMA_VERSION, Record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json, sha256_of

DATASET_FILE = "dataset.json"
FORMAT = "tfrecon-dataset"


@dataclasses.dataclass(frozen=True)
class ShapeGroup:
    """Records of equal shapes; the pipeline makes its batches within one group.

    Attributes:
        kspace: shape of `kspace`.
        mask: shape of `mask`.
        maps: shape of `maps`, or None where there are none.
        reference: shape of `reference`, or None.
        reference_dtype: "complex64" or "float32", or None.
        noise_std: whether the noise is known.
        calibration: size of the k-space block that the maps were estimated from, or None.
        label: width of the label vector, or None where there is none.
        records: how many records are of these shapes.
    """

    kspace: tuple[int, ...]
    mask: tuple[int, ...]
    maps: tuple[int, ...] | None
    reference: tuple[int, ...] | None
    reference_dtype: str | None
    noise_std: bool
    calibration: tuple[int, ...] | None = None
    label: int | None = None
    records: int = 1

    @classmethod
    def of(cls, record: Record) -> ShapeGroup:
        """The group of one record."""
        calibration = record.attrs.get("maps", {}).get("calibration") if record.maps is not None else None
        return cls(
            kspace=record.kspace.shape,
            mask=record.mask.shape,
            maps=None if record.maps is None else record.maps.shape,
            reference=None if record.reference is None else record.reference.shape,
            reference_dtype=None if record.reference is None else record.reference.dtype.name,
            noise_std=record.noise_std is not None,
            calibration=None if calibration is None else tuple(int(n) for n in calibration),
            label=len(label_of(record)) or None,
        )

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ShapeGroup:
        """Reads what `dataclasses.asdict` wrote."""
        return cls(**{key: tuple(item) if isinstance(item, list) else item for key, item in value.items()})


@dataclasses.dataclass(frozen=True)
class ShardInfo:
    """One shard file.

    Attributes:
        file: name within the folder.
        bytes: size of the file.
        sha256: of the file, 64 hex digits.
        record_ids: of its records, in order.
        volume_ids: of its records, in order.
        lengths: of its serialised records in bytes, by which one is found without reading those before.
        groups: shapes that occur.
        group_numbers: which of `groups` each record belongs to.
        skipped: why slices were left out, by record id.
        labels: label vectors of the records, empty where one has none.
    """

    file: str
    bytes: int
    sha256: str
    record_ids: tuple[str, ...]
    volume_ids: tuple[str, ...]
    lengths: tuple[int, ...]
    groups: tuple[ShapeGroup, ...]
    group_numbers: tuple[int, ...]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    labels: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ShardInfo:
        """Reads what `dataclasses.asdict` wrote."""
        return cls(
            **{
                **value,
                **{key: tuple(value[key]) for key in ("record_ids", "volume_ids", "lengths", "group_numbers")},
                "groups": tuple(ShapeGroup.from_json(group) for group in value["groups"]),
                "labels": tuple(tuple(label) for label in value.get("labels", ())),
            }
        )


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """A whole dataset.

    Attributes:
        path: the folder.
        name: first part of the shards' names.
        compression: "" or "GZIP": each serialised example is compressed by itself.
        shards: the shards in order.
        made: how it was made: command, options, seed, versions.
    """

    path: pathlib.Path
    name: str
    compression: str
    shards: tuple[ShardInfo, ...]
    made: dict[str, Any]

    @property
    def records(self) -> int:
        """Number of records."""
        return sum(len(shard.record_ids) for shard in self.shards)

    @property
    def record_ids(self) -> tuple[str, ...]:
        """Ids of all records in reading order."""
        return tuple(name for shard in self.shards for name in shard.record_ids)

    @property
    def labels(self) -> tuple[tuple[float, ...], ...]:
        """Label vectors of all records in reading order; empty where a record has none."""
        return tuple(label for shard in self.shards for label in shard.labels or [()] * len(shard.record_ids))

    @property
    def volumes(self) -> dict[str, int]:
        """Number of records of each volume, in reading order."""
        counts: dict[str, int] = {}
        for shard in self.shards:
            for volume in shard.volume_ids:
                counts[volume] = counts.get(volume, 0) + 1
        return counts

    @property
    def groups(self) -> tuple[ShapeGroup, ...]:
        """The shapes that occur, in a fixed order, with their counts."""
        return merge_groups(group for shard in self.shards for group in shard.groups)

    @property
    def skipped(self) -> dict[str, str]:
        """Why slices of the source were left out, by record id."""
        return {name: why for shard in self.shards for name, why in shard.skipped.items()}

    @property
    def files(self) -> list[str]:
        """Paths of the shards in order."""
        return [str(self.path / shard.file) for shard in self.shards]

    def to_json(self) -> dict[str, Any]:
        """The content of `dataset.json`."""
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "compression": self.compression,
            "records": self.records,
            "volumes": self.volumes,
            "shapes": [dataclasses.asdict(group) for group in self.groups],
            "skipped": len(self.skipped),
            "made": self.made,
            "shards": [dataclasses.asdict(shard) for shard in self.shards],
        }


def label_of(record: Record) -> tuple[float, ...]:
    """The label vector of a record (`attrs["label"]`), empty for none.

    Raises:
        InputError: it is no list of finite numbers.
    """
    label = record.attrs.get("label")
    if label is None:
        return ()
    try:
        values = np.asarray(label, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"label is {label!r}", f"record {record.record_id!r}", "give a list of finite numbers, or no label"
        )
    return tuple(values.tolist())


def merge_groups(groups: Any) -> tuple[ShapeGroup, ...]:
    """Adds up the counts of equal shapes and sorts them."""
    counts: dict[ShapeGroup, int] = {}
    for group in groups:
        key = dataclasses.replace(group, records=0)
        counts[key] = counts.get(key, 0) + group.records
    ordered = sorted(counts, key=repr)
    return tuple(dataclasses.replace(group, records=counts[group]) for group in ordered)


def is_dataset(path: PathLike) -> bool:
    """Whether `path` is the folder of a finished dataset."""
    return (pathlib.Path(path) / DATASET_FILE).is_file()


def read_dataset_info(path: PathLike, *, verify: bool = False) -> DatasetInfo:
    """Reads `dataset.json` and checks the shards against it.

    Args:
        path: the dataset's folder.
        verify: also compare each shard's SHA-256; without it sizes alone are compared.

    Returns:
        The description of the dataset.

    Raises:
        InputError: there is no dataset, it is of another schema, or a shard is missing, truncated
            or changed; the message names the shard.
    """
    path = pathlib.Path(path)
    if not is_dataset(path):
        raise _no_dataset(path)
    value = read_json(path / DATASET_FILE)
    where = str(path / DATASET_FILE)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError("does not describe a tfrecon dataset", where, "make it with tfrecon convert")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"has record schema {value.get('schema_version')}, this tfrecon reads {SCHEMA_VERSION}",
            where,
            "convert the data again",
        )
    try:
        shards = tuple(ShardInfo.from_json(shard) for shard in value["shards"])
        info = DatasetInfo(path, value["name"], value["compression"], shards, value["made"])
    except (KeyError, TypeError) as error:
        raise InputError(f"is damaged ({error})", where, "convert the data again") from error
    for shard in info.shards:
        check_shard(path, shard, verify=verify)
    return info


def check_shard(folder: PathLike, shard: ShardInfo, *, verify: bool) -> None:
    """Compares a shard on disk with its description.

    Raises:
        InputError: the shard is missing, truncated or changed.
    """
    file = pathlib.Path(folder) / shard.file
    fix = "convert again with --overwrite, or restore this file"
    if not file.is_file():
        raise InputError("this shard is missing", str(file), fix)
    size = file.stat().st_size
    if size != shard.bytes:
        state = "truncated" if size < shard.bytes else "changed"
        raise InputError(f"this shard is {state}: {size} bytes instead of {shard.bytes}", str(file), fix)
    if verify and sha256_of(file) != shard.sha256:
        raise InputError("this shard was changed: its SHA-256 differs", str(file), fix)


def _no_dataset(path: pathlib.Path) -> InputError:
    if not path.exists():
        return InputError("no such folder", str(path), "check the path")
    inside = sorted(child.name for child in path.iterdir() if is_dataset(child)) if path.is_dir() else []
    if inside:
        return InputError(f"holds the datasets {', '.join(inside)}", str(path), f"give one, such as {path / inside[0]}")
    return InputError(f"is not a dataset: it has no {DATASET_FILE}", str(path), "make one with tfrecon convert")
