"""The record files of SSDiffRecon (Korkmaz et al., MICCAI 2023): what they are called and hold.

The original keeps each quantity in a file of its own, zipped by order, as `tf.train.Example` with the
lists `shape` (int64) and `data` (float), in `<folder>/<name>-rXX.tfrecords`, where XX is the binary
logarithm of the side. `data.readers.ssdiffrecon` reads them, `data.ssdiffrecon_writer` writes them.

What the original has no place for goes into files that it does not open: measured k-space,
references, and `records.json` with ids, subjects and scales.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfrecon.data.example import NOT_AN_EXAMPLE
from tfrecon.data.volumes import check_finite
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What one kind of file holds.

    Attributes:
        words: how file or folder names tell it.
        layout: its arrays' axes, for messages.
        channels: how long the first axis may be.
        required: whether a set of files needs it.
    """

    words: tuple[str, ...]
    layout: str
    channels: tuple[int, ...]
    required: bool = False

    @property
    def rank(self) -> int:
        """Number of axes."""
        return self.layout.count(",") + 1


QUANTITIES = {
    "us_im": Quantity(("us_im", "us-im", "usim"), "[2, H, W]", (2, 3), required=True),
    "mask": Quantity(("mask",), "[1, h, w]", (1,), required=True),
    "coil_map": Quantity(("coil_map", "coil-map", "coil"), "[2, C, h, w]", (2,)),
    "kspace": Quantity(("kspace",), "[2, C, h, w]", (2,)),
    "reference": Quantity(("reference",), "[2, h, w]", (1, 2)),
}
"""The original's three (us_im may have a third channel, a dummy), and two of tfrecon's own."""

RECORDS_FILE = "records.json"
"""Beside the quantities' folders: ids, subjects and scales, which the original's files do not hold."""

LABELS_ENDING = "-rxx.labels"

LEVEL = re.compile(r"-r(\d\d)\.tfrecords$")
"""Of an image pyramid, -r02 to -r09, the last is the full resolution."""

_FEATURES = {
    "shape": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
    "data": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
}

_LENGTH, _HEADER_BYTES, _FOOTER_BYTES = struct.Struct("<Q"), 12, 4
_BUFFER_BYTES = 8 << 20


def labels_file(us_im: pathlib.Path) -> pathlib.Path:
    """The file of label rows that belongs to a `us_im` file."""
    return us_im.with_name(LEVEL.sub("", us_im.name) + LABELS_ENDING)


def encode_array(array: np.ndarray) -> bytes:
    """A real array as the original stores it."""
    feature = {
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=array.shape)),
        "data": tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(array).astype(np.float32))),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def find_offsets(file: pathlib.Path) -> list[int]:
    """Where each record of a TFRecord file begins; nothing but the lengths is read.

    Raises:
        InputError: there is no such file, or it is cut off.
    """
    if not file.is_file():
        raise InputError("no such file", str(file), "check the path")
    size, position, offsets = file.stat().st_size, 0, []
    with file.open("rb") as stream:
        while position < size:
            header = stream.read(_HEADER_BYTES)
            length = _LENGTH.unpack(header[:8])[0] if len(header) == _HEADER_BYTES else size
            end = position + _HEADER_BYTES + length + _FOOTER_BYTES
            if end > size:
                raise _damaged(file, len(offsets))
            offsets.append(position)
            position = end
            stream.seek(position)
    return offsets


def read_arrays(
    file: pathlib.Path, quantity: str, offsets: Sequence[int], numbers: Sequence[int]
) -> Iterator[np.ndarray]:
    """The arrays of some records, in the order asked for.

    Args:
        file: a file of one quantity.
        quantity: one of `QUANTITIES`.
        offsets: of `find_offsets`.
        numbers: which records, from 0.

    Yields:
        float32 arrays of the quantity's layout, finite.

    Raises:
        InputError: damaged, not such a record, or not what the quantity should be.
    """
    for number, serialized in _examples(file, offsets, numbers):
        where = f"{file} record {number}"
        try:
            parsed = tf.io.parse_single_example(serialized, _FEATURES)
        except NOT_AN_EXAMPLE as error:
            raise InputError("is not an SSDiffRecon record", where, "for another kind of file give --source") from error
        shape, data = tuple(int(n) for n in parsed["shape"].numpy()), parsed["data"].numpy()
        if not shape or data.size != np.prod(shape):
            raise InputError(f"{quantity} has {data.size} values for the shape {shape}", where, "copy this file again")
        check_finite(data, quantity, where)
        array = data.reshape(shape)
        _check_channels(quantity, array, where)
        yield array


def _examples(file: pathlib.Path, offsets: Sequence[int], numbers: Sequence[int]) -> Iterator[tuple[int, tf.Tensor]]:
    def read_from(offset: tf.Tensor) -> tf.data.Dataset:
        # The public class reads files from their beginning; the operation behind it can start anywhere.
        from_there = tf.raw_ops.TFRecordDatasetV2(
            filenames=[str(file)], compression_type="", buffer_size=_BUFFER_BYTES, byte_offsets=offset[None]
        )
        return tf.data.experimental.from_variant(from_there, tf.TensorSpec([], tf.string))

    # Numbers that follow each other lie behind each other, and are read in one go.
    for _, group in itertools.groupby(enumerate(numbers), key=lambda item: item[1] - item[0]):
        run = [number for _, number in group]
        start = tf.data.Dataset.from_tensors(np.int64(offsets[run[0]]))
        iterator = iter(start.flat_map(read_from).take(len(run)))
        for number in run:
            try:
                yield number, next(iterator)
            except (tf.errors.DataLossError, StopIteration) as error:
                raise _damaged(file, number) from error


def _damaged(file: pathlib.Path, number: int) -> InputError:
    return InputError("is damaged or cut off", f"{file} record {number}", "copy this file again")


def _check_channels(name: str, array: np.ndarray, where: str) -> None:
    quantity = QUANTITIES[name]
    if array.ndim != quantity.rank or array.shape[0] not in quantity.channels:
        raise InputError(f"{name} has shape {array.shape}", where, f"it should be {quantity.layout}")
    if name == "us_im" and array.shape[0] == 3 and array[2].any():
        raise InputError(f"the third channel of {name} {array.shape} is not zero", where, "only a dummy is understood")
    if name == "mask" and not np.isin(array, (0, 1)).all():
        raise InputError("mask holds values other than 0 and 1", where, "give binary masks")
