"""Where each record of a dataset lies, so that any of them is read by itself (`tf.data`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrecon.data.dataset_info import DatasetInfo
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

_FRAME_BYTES = 16
"""What TFRecord puts around a record: its length and two checksums."""


class RecordIndex:
    """Where each record of a dataset lies.

    Attributes:
        info: the dataset.
        fields: the optional fields that are asked for.
        groups: which of `info.groups` each record belongs to, int64 `[N]`.
        labels: float32 `[N, L]`, empty where they are not asked for.

    Raises:
        InputError: labels are asked for, but differ in length.
    """

    def __init__(self, info: DatasetInfo, fields: Sequence[str]) -> None:
        self.info, self.fields = info, tuple(fields)
        kinds = [dataclasses.replace(group, records=0) for group in info.groups]
        groups, places = [], []
        for number, shard in enumerate(info.shards):
            own = [kinds.index(dataclasses.replace(group, records=0)) for group in shard.groups]
            groups += [own[group] for group in shard.group_numbers]
            offsets = np.cumsum([0, *(length + _FRAME_BYTES for length in shard.lengths)])
            places += [(number, offset) for offset in offsets[:-1]]
        self.groups = np.array(groups, np.int64)
        labels = info.labels if "label" in fields else ()
        if len({len(label) for label in labels}) > 1:
            raise InputError(
                "holds labels of several lengths", str(info.path), "convert again with labels of one length"
            )
        self.labels = np.array(labels, np.float32)
        self._places = np.array(places, np.int64)

    def read(self, numbers: Tensor) -> Tensor:
        """The stored bytes of records, string `[B]`; their TFRecord checksums are compared."""
        files, places = tf.constant(self.info.files), tf.gather(tf.constant(self._places), numbers)

        def read_one(place: Tensor) -> tf.data.Dataset:
            # The public class reads files from their beginning; the operation behind it can start anywhere.
            from_there = tf.raw_ops.TFRecordDatasetV2(
                filenames=files[place[0]][None], compression_type="", buffer_size=0, byte_offsets=place[1:]
            )
            return tf.data.experimental.from_variant(from_there, tf.TensorSpec([], tf.string)).take(1)

        count = tf.size(numbers, tf.int64)
        stored = tf.data.Dataset.from_tensor_slices(places).flat_map(read_one).batch(count).get_single_element()
        return tf.ensure_shape(stored, numbers.shape)
