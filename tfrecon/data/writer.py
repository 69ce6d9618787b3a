"""Writes datasets: shards that are whole or absent, and a conversion that can be taken up again.

After each shard its description goes into a progress file. When the writer is opened again on the
same folder with the same settings, finished shards are kept and only the others are asked for, so
an interrupted conversion ends in the same bytes as one that ran through.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

import tfrecon
from tfrecon.data.dataset_info import (
    DATASET_FILE,
    DatasetInfo,
    ShapeGroup,
    ShardInfo,
    check_shard,
    is_dataset,
    label_of,
    read_dataset_info,
)
from tfrecon.data.example import COMPRESSIONS, compress, encode_record
from tfrecon.records import SCHEMA_VERSION, Record, validate_record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path, read_json, sha256_of, write_json

PROGRESS_FILE = ".progress.json"


class DatasetWriter:
    """Writes one dataset folder, shard by shard, in any order.

    Args:
        folder: where shards and `dataset.json` go.
        name: first part of the shards' names, `name-00000-of-00008.tfrecord`.
        shards: how many shards.
        compression: "" or "GZIP", of each record by itself. Measured noise hardly compresses.
        made: JSON-able facts for `dataset.json`: command, options, seed.
        state: JSON-able facts that must not change between the parts of a resumed conversion but
            do not belong to the result, such as modification times of the input files.
        resume: keep finished shards of an interrupted conversion; False starts again.
        overwrite: replace a finished dataset in `folder`.

    Attributes:
        complete: whether the folder already holds exactly this dataset.

    Raises:
        InputError: the folder holds another dataset or an unfinished conversion with other settings.
    """

    def __init__(
        self,
        folder: PathLike,
        *,
        name: str = "records",
        shards: int = 1,
        compression: str = "",
        made: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        resume: bool = True,
        overwrite: bool = False,
    ) -> None:
        if shards < 1:
            raise InputError(f"{shards} shards are not possible", fix="give 1 or more")
        if compression not in COMPRESSIONS:
            raise InputError(f"no compression {compression!r}", fix="give GZIP, or nothing for none")
        self.folder = pathlib.Path(folder)
        self.name, self.shards, self.compression = name, shards, compression
        # Through JSON and back, so that it compares equal with what a finished dataset says.
        self.made = json.loads(json.dumps({"tfrecon": tfrecon.__version__, **(made or {})}))
        settings = [self.made, state, name, shards, compression, SCHEMA_VERSION]
        self._fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self._done: dict[int, ShardInfo] = {}
        self.complete = self._take_over(resume, overwrite)

    def file_name(self, index: int) -> str:
        """Name of a shard's file."""
        return f"{self.name}-{index:05d}-of-{self.shards:05d}.tfrecord"

    def pending(self) -> list[int]:
        """The shards that are still to be written."""
        return [] if self.complete else [index for index in range(self.shards) if index not in self._done]

    def write_shard(self, index: int, records: Iterable[Record], skipped: dict[str, str] | None = None) -> ShardInfo:
        """Writes one shard, whole or not at all, and notes it in the progress file.

        Args:
            index: which shard.
            records: its records in order; each is validated, one is held in memory at a time.
            skipped: why slices were left out, by record id; read after the last record.

        Returns:
            The shard's description.

        Raises:
            InputError: a record is not valid or occurs twice, or the file cannot be written.
        """
        file = self.folder / self.file_name(index)
        ids, volumes, lengths, groups, labels = [], [], [], [], []
        with atomic_path(file) as temporary:
            try:
                with tf.io.TFRecordWriter(str(temporary)) as writer:
                    for record in records:
                        serialized = compress(encode_record(validate_record(record)), self.compression)
                        writer.write(serialized)
                        lengths.append(len(serialized))
                        ids.append(record.record_id)
                        volumes.append(record.volume_id)
                        groups.append(ShapeGroup.of(record))
                        labels.append(label_of(record))
            except tf.errors.OpError as error:
                raise explain_tensorflow_error(error, file) from error
            self._check_unique(ids, file)
            kinds = tuple(dict.fromkeys(groups))
            shard = ShardInfo(
                file=file.name,
                bytes=temporary.stat().st_size,
                sha256=sha256_of(temporary),
                record_ids=tuple(ids),
                volume_ids=tuple(volumes),
                lengths=tuple(lengths),
                groups=tuple(dataclasses.replace(kind, records=groups.count(kind)) for kind in kinds),
                group_numbers=tuple(kinds.index(group) for group in groups),
                skipped=dict(skipped or {}),
                labels=tuple(labels) if any(labels) else (),
            )
        self._done[index] = shard
        self._save_progress()
        return shard

    def finish(self) -> DatasetInfo:
        """Writes `dataset.json`; the dataset exists from then on.

        Raises:
            InputError: shards are missing, or the dataset has no record at all.
        """
        if self.complete:
            return read_dataset_info(self.folder)
        if self.pending():
            raise InputError(f"shards {self.pending()} are not written yet", str(self.folder))
        shards = tuple(self._done[index] for index in range(self.shards))
        info = DatasetInfo(self.folder, self.name, self.compression, shards, self.made)
        if not info.records:
            count = len(info.skipped)
            raise InputError(f"no record is left: all {count} slices were skipped", str(self.folder), _why(info))
        write_json(self.folder / DATASET_FILE, info.to_json())
        (self.folder / PROGRESS_FILE).unlink(missing_ok=True)
        self.complete = True
        return info

    def _check_unique(self, ids: Sequence[str], file: pathlib.Path) -> None:
        seen = {name for shard in self._done.values() for name in shard.record_ids}
        for name in ids:
            if name in seen:
                raise InputError(f"record {name!r} occurs twice", str(file), "give every record its own id")
            seen.add(name)

    def _take_over(self, resume: bool, overwrite: bool) -> bool:
        if is_dataset(self.folder) and overwrite:
            # Without reading it: it may be damaged, which is a reason to replace it.
            self._remove_old([file.name for file in self.folder.glob("*-of-*.tfrecord")], DATASET_FILE)
        elif is_dataset(self.folder):
            info = read_dataset_info(self.folder)
            if (info.made, info.name, info.compression) == (self.made, self.name, self.compression):
                return True
            raise InputError(
                "holds a dataset that was made otherwise", str(self.folder), "choose another --output, or --overwrite"
            )
        for stale in self.folder.glob(f".{self.name}-*.tfrecord"):
            stale.unlink()  # temporary files of a conversion that was killed
        if (self.folder / PROGRESS_FILE).is_file():
            self._take_over_progress(resume and not overwrite)
        return False

    def _take_over_progress(self, resume: bool) -> None:
        value = read_json(self.folder / PROGRESS_FILE)
        shards = {int(index): ShardInfo.from_json(shard) for index, shard in value["shards"].items()}
        if not resume:
            self._remove_old((shard.file for shard in shards.values()), PROGRESS_FILE)
            return
        if value["fingerprint"] != self._fingerprint:
            raise InputError(
                "holds an unfinished conversion with other settings or changed input files",
                str(self.folder),
                "repeat it with the old ones, or start again with --noresume",
            )
        for index, shard in shards.items():
            try:
                check_shard(self.folder, shard, verify=True)
            except InputError:
                continue  # damaged since: written again like any pending shard
            self._done[index] = shard

    def _remove_old(self, files: Iterable[str], description: str) -> None:
        # The description goes first: a folder without it is not taken for a dataset.
        (self.folder / description).unlink()
        for name in files:
            (self.folder / name).unlink(missing_ok=True)

    def _save_progress(self) -> None:
        shards = {str(index): dataclasses.asdict(shard) for index, shard in sorted(self._done.items())}
        write_json(self.folder / PROGRESS_FILE, {"fingerprint": self._fingerprint, "shards": shards})


def write_dataset(
    folder: PathLike,
    records: Sequence[Record],
    *,
    name: str = "records",
    shards: int = 1,
    compression: str = "",
    made: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> DatasetInfo:
    """Writes records that are already in memory as a dataset; see `DatasetWriter`.

    Shards get contiguous runs of records, so reading them in order keeps the order.
    """
    writer = DatasetWriter(
        folder, name=name, shards=shards, compression=compression, made=made, resume=False, overwrite=overwrite
    )
    for index in writer.pending():
        start, stop = shard_range(len(records), shards, index)
        writer.write_shard(index, records[start:stop])
    return writer.finish()


def shard_range(count: int, shards: int, index: int) -> tuple[int, int]:
    """First and last + 1 of the items that shard `index` gets of `count`; sizes differ by one at most."""
    return count * index // shards, count * (index + 1) // shards


def _why(info: DatasetInfo) -> str:
    reasons = sorted(set(info.skipped.values()))
    return reasons[0] if reasons else "give another --input"


def explain_tensorflow_error(error: tf.errors.OpError, file: pathlib.Path) -> InputError:
    """Turns an error of TensorFlow met while writing `file` into one clear line."""
    message = " ".join((error.message or "").split()).lower()
    if isinstance(error, tf.errors.ResourceExhaustedError) or "no space" in message:
        return InputError("no space left on the disk", str(file), "free some space and run the command again")
    reason = "file too large" if "file too large" in message else message.rsplit(";", 1)[-1].strip()
    return InputError(f"cannot be written ({reason})", str(file), "choose another --output")
