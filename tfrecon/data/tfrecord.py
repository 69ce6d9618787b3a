"""Datasets of records on disk: the one reader, and the door to the one writer.

A dataset is a folder: TFRecord shards with one `tf.train.Example` per record (`data.example`) and
`dataset.json` (`data.dataset_info`). `data.pipeline` reads the same files for training.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from tfrecon.data.dataset_info import (
    DATASET_FILE,
    DatasetInfo,
    ShapeGroup,
    ShardInfo,
    is_dataset,
    read_dataset_info,
)
from tfrecon.data.example import NOT_AN_EXAMPLE, decode_record, encode_record, parse_arrays, to_record
from tfrecon.data.writer import DatasetWriter, write_dataset
from tfrecon.records import Record, validate_record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError

__all__ = [
    "DATASET_FILE",
    "DatasetInfo",
    "DatasetWriter",
    "ShapeGroup",
    "ShardInfo",
    "decode_record",
    "encode_record",
    "is_dataset",
    "read_dataset_info",
    "read_records",
    "read_shard",
    "write_dataset",
]

BUFFER_BYTES = 8 << 20
"""How much is read from a shard at a time."""


def read_records(path: PathLike, *, verify: bool = False) -> Iterator[Record]:
    """Reads the records of a dataset in order, one in memory at a time (a few read ahead).

    Args:
        path: the dataset's folder.
        verify: compare each shard's SHA-256 first and validate each record. Without it sizes and
            the checksum of each record are compared, which finds damage but not tampering.

    Yields:
        Records with read-only arrays.

    Raises:
        InputError: see `read_dataset_info` and `read_shard`.
    """
    info = read_dataset_info(path, verify=verify)
    for shard, file in zip(info.shards, info.files, strict=True):
        count = 0
        for record in read_shard(file, info.compression):
            count += 1
            yield validate_record(record, file) if verify else record
        if count != len(shard.record_ids):
            raise InputError(f"holds {count} records instead of {len(shard.record_ids)}", file, "convert again")


def read_shard(file: PathLike, compression: str = "") -> Iterator[Record]:
    """Reads the records of one shard.

    Args:
        file: the shard.
        compression: "" or "GZIP".

    Yields:
        Records with read-only arrays.

    Raises:
        InputError: the file is missing, truncated or damaged (named with the record's number, from
            0), or holds something else than records.
    """
    if not pathlib.Path(file).is_file():
        raise InputError("no such file", str(file), "check the path")
    stored = tf.data.TFRecordDataset(str(file), buffer_size=BUFFER_BYTES)
    parsed = stored.map(
        functools.partial(parse_arrays, compression=compression), num_parallel_calls=2, deterministic=True
    ).prefetch(1)
    iterator, count = parsed.as_numpy_iterator(), 0
    while True:
        where = f"{file} record {count}"
        try:
            values = next(iterator)
        except StopIteration:
            return
        except tf.errors.DataLossError as error:
            raise InputError(
                "is damaged or cut off", where, "convert again with --overwrite, or restore this file"
            ) from error
        except NOT_AN_EXAMPLE as error:
            raise InputError("is not a tf.train.Example of a record", where, "convert the data again") from error
        yield to_record(values, where)
        count += 1
