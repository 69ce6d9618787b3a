"""One record as one `tf.train.Example`: the only place that knows the keys on disk.

Arrays are raw little-endian bytes in C order with `<key>/shape` beside them. Reading is one graph
function, used record by record (`decode_record`) and batch by batch (`data.pipeline`).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrecon.records import SCHEMA_VERSION, Record
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

ARRAYS = {"kspace": "<c8", "mask": "u1", "maps": "<c8", "reference": None}
"""The array keys and how their bytes are typed; None: `<key>/dtype` says it."""

OPTIONAL = ("maps", "reference", "noise_std")

_REFERENCE_DTYPES = {"complex64": "<c8", "float32": "<f4"}

COMPRESSIONS = ("", "GZIP")

NOT_AN_EXAMPLE = (tf.errors.InvalidArgumentError, UnicodeDecodeError)
"""What parsing foreign bytes raises; TensorFlow fails to decode its own message where it quotes them."""

FEATURES = {
    "schema_version": tf.io.FixedLenFeature([], tf.int64, 0),
    "record_id": tf.io.FixedLenFeature([], tf.string, ""),
    "volume_id": tf.io.FixedLenFeature([], tf.string, ""),
    "slice_index": tf.io.FixedLenFeature([], tf.int64, 0),
    "scale": tf.io.FixedLenFeature([], tf.float32, 1.0),
    "noise_std": tf.io.FixedLenFeature([], tf.float32, -1.0),
    "attrs": tf.io.FixedLenFeature([], tf.string, "{}"),
    "reference/dtype": tf.io.FixedLenFeature([], tf.string, ""),
    **{key: tf.io.FixedLenFeature([], tf.string, "") for key in ARRAYS},
    **{f"{key}/shape": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True) for key in ARRAYS},
}
"""What `tf.io.parse_example` needs to read a record, or a batch of records of equal shapes."""


def encode_record(record: Record) -> bytes:
    """A record as a serialised `tf.train.Example`; equal records give equal bytes.

    `scale` and `noise_std` are stored as float32, arrays bit for bit.

    Args:
        record: the record; not validated here (`records.validate_record`).

    Returns:
        The bytes of the example.

    Raises:
        InputError: `attrs` cannot be written as JSON.
    """
    features = {
        "schema_version": _int64([SCHEMA_VERSION]),
        "record_id": _bytes(record.record_id.encode()),
        "volume_id": _bytes(record.volume_id.encode()),
        "slice_index": _int64([record.slice_index]),
        "scale": _float(record.scale),
        "attrs": _bytes(attrs_json(record).encode()),
    }
    if record.noise_std is not None:
        features["noise_std"] = _float(record.noise_std)
    for key, dtype in ARRAYS.items():
        array = getattr(record, key)
        if array is None:
            continue
        if dtype is None:
            features[f"{key}/dtype"] = _bytes(array.dtype.name.encode())
            dtype = _REFERENCE_DTYPES[array.dtype.name]
        features[key] = _bytes(np.ascontiguousarray(array, dtype).tobytes())
        features[f"{key}/shape"] = _int64(array.shape)
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def compress(serialized: bytes, compression: str) -> bytes:
    """A serialised example as it is stored under `compression`, "" or "GZIP"; the same bytes each time.

    Records are compressed one by one rather than the whole shard, so that any can be read alone.
    """
    return gzip.compress(serialized, mtime=0) if compression else serialized


def parse_example(stored: Tensor, compression: str = "") -> dict[str, Tensor]:
    """`tf.io.parse_example` of stored records, one or a batch of equal shapes. Runs in graphs."""
    if compression:
        stored = tf.io.decode_compressed(stored, compression)
    return tf.io.parse_example(stored, FEATURES)


def decode_record(serialized: bytes, where: str = "") -> Record:
    """The record that `encode_record` wrote.

    Args:
        serialized: a serialised example, not compressed.
        where: shard and position, for messages.

    Returns:
        The record; its arrays are read-only.

    Raises:
        InputError: no example, no record of this schema, or bytes that do not fit their shape.
    """
    try:
        parsed = parse_arrays(tf.constant(serialized))
    except NOT_AN_EXAMPLE as error:
        raise InputError("is not a tf.train.Example", where, "convert the data again") from error
    return to_record({key: value._numpy() for key, value in parsed.items()}, where)


def parse_arrays(stored: Tensor, compression: str = "") -> dict[str, Tensor]:
    """Features of one stored record, arrays as flat tensors (empty where missing). Runs in graphs.

    The reference stays uint8, since its type differs from record to record.
    """
    parsed = parse_example(stored, compression)
    for key, dtype in ARRAYS.items():
        parsed[key] = tf.io.decode_raw(parsed[key], tf.complex64 if dtype == "<c8" else tf.uint8)
    return parsed


def to_record(parsed: Mapping[str, Any], where: str = "") -> Record:
    """The record of what `parse_arrays` gave, as NumPy values.

    Raises:
        InputError: as in `decode_record`.
    """
    _check_schema(parsed, where)
    arrays = {key: _shaped(parsed, key, where) for key in ARRAYS}
    if arrays["kspace"] is None or arrays["mask"] is None:
        missing = "kspace" if arrays["kspace"] is None else "mask"
        raise InputError(f"lacks the key {missing!r}", where, "convert the data again")
    if arrays["mask"].max(initial=0) > 1:
        raise InputError("key 'mask' holds values other than 0 and 1", where, "convert the data again")
    noise_std = float(parsed["noise_std"])
    return Record(
        record_id=_text(parsed["record_id"]),
        volume_id=_text(parsed["volume_id"]),
        slice_index=int(parsed["slice_index"]),
        scale=float(parsed["scale"]),
        noise_std=noise_std if noise_std >= 0 else None,
        attrs=json.loads(_text(parsed["attrs"])),
        **arrays,
    )


def _check_schema(parsed: Mapping[str, Any], where: str) -> None:
    version = int(parsed["schema_version"])
    if version == 0:
        raise InputError("is not a tfrecon record", where, "convert the data with tfrecon convert")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"has record schema {version}, this tfrecon reads {SCHEMA_VERSION}", where, "convert the data again"
        )


def _shaped(parsed: Mapping[str, Any], key: str, where: str) -> np.ndarray | None:
    flat, shape = parsed[key], tuple(int(n) for n in parsed[f"{key}/shape"])
    if not shape:
        return None
    if ARRAYS[key] is None:
        name = _text(parsed[f"{key}/dtype"])
        if name not in _REFERENCE_DTYPES:
            raise InputError(f"key {key!r} is of type {name!r}", where, "convert the data again")
        itemsize = np.dtype(_REFERENCE_DTYPES[name]).itemsize
        flat = flat.view(_REFERENCE_DTYPES[name]) if flat.size % itemsize == 0 else flat
    if flat.size != np.prod(shape):
        raise InputError(f"key {key!r} holds {flat.size} values, not {shape}", where, "convert the data again")
    return flat.reshape(shape)


def attrs_json(record: Record) -> str:
    """A record's attrs as JSON, NumPy numbers as plain ones.

    Raises:
        InputError: they hold what JSON does not know.
    """
    try:
        return json.dumps(record.attrs, sort_keys=True, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise InputError(f"attrs cannot be written as JSON ({error})", f"record {record.record_id!r}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int64(values: Any) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(v) for v in values]))


def _float(value: float) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
