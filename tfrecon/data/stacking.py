"""Records that differ in size as one batch, in TensorFlow's graph: padded images, or padded coils.

Each record is decoded by itself, at its own size, exactly as in a batch of one; only then it is padded. What a
batch holds of a record so does not depend on the others in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfrecon.data.buckets import Bucket, ImageBuckets, merge_coil_groups, offset_in_bucket, with_coils
from tfrecon.data.dataset_info import DatasetInfo
from tfrecon.data.mask_table import RetrospectiveMasks, with_shape
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

Batch = dict[str, Tensor]

Decode = Callable[[Tensor, Tensor], Batch]
"""(stored bytes `[B]`, numbers `[B]`) of records of equal shapes to their batch."""

_OF_A_RECORD = ("scale", "record_id", "slice_index", "noise_std", "label")
"""What is kept beside an image."""


def check_map_sets(info: DatasetInfo) -> None:
    """Raises InputError if some records have one set of maps and others several: no graph decodes both."""
    if len({len(group.maps) for group in info.groups if group.maps is not None}) > 1:
        raise InputError(
            "holds records with one set of maps and with several", str(info.path), "convert them with the same map_sets"
        )


class ImageStack:
    """Batches of padded images.

    Args:
        info: the dataset.
        groups: which of `info.groups` each record belongs to, `[N]`.
        settings: how records become images.
        buckets: from `plan_buckets`.
        decode: of records of equal shapes.

    Attributes:
        kinds: the bucket of each record, int64 `[N]`.
    """

    def __init__(
        self,
        info: DatasetInfo,
        groups: np.ndarray,
        settings: ImageBuckets,
        buckets: Sequence[Bucket],
        decode: Decode,
    ) -> None:
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                f"images are padded in TensorFlow's graph, where {keras.backend.backend()} cannot make them",
                fix="train with KERAS_BACKEND=tensorflow, or set data.buckets=0",
            )
        check_map_sets(info)
        bucket_of = np.zeros(len(info.groups), np.int64)
        for number, bucket in enumerate(buckets):
            bucket_of[list(bucket.groups)] = number
        self.kinds = bucket_of[groups]
        self._make, self._grid, self._decode = settings.make, settings.grid, decode
        self._shapes = [bucket.shape for bucket in buckets]

    def __call__(self, stored: Tensor, numbers: Tensor) -> Batch:
        """`image` complex64 and `valid` float32 `[B, H, W]`, and what is known of each record beside.

        Args:
            stored: records of one bucket, string `[B]`.
            numbers: theirs, int64 `[B]`.
        """
        kind = tf.gather(tf.constant(self.kinds), numbers[0])
        shape = tf.gather(tf.constant(self._shapes, tf.int32), kind)

        def one(item: tuple[Tensor, Tensor]) -> Batch:
            batch = self._decode(item[0][None], item[1][None])
            kept = {key: batch[key][0] for key in _OF_A_RECORD if key in batch}
            image = self._make({key: value for key, value in batch.items() if value.dtype != tf.string})
            image = tf.ensure_shape(image, (1, None, None))[0]
            valid = tf.ones(tf.shape(image), tf.float32)
            return {**kept, "image": self._placed(image, shape), "valid": self._placed(valid, shape)}

        batch = _each(one, (stored, numbers))
        for key in ("image", "valid"):
            batch[key] = with_shape(batch[key], numbers.shape, self._shapes)
        return batch

    def _placed(self, array: Tensor, shape: Tensor) -> Tensor:
        """`[h, w]` with zeros around it to `shape`."""
        before = offset_in_bucket(tf.shape(array), shape, self._grid)
        padded = tf.pad(array, tf.stack([before, shape - tf.shape(array) - before], axis=1))
        return tf.ensure_shape(padded, (None, None))


class CoilStack:
    """Batches of records that differ in the number of their coils; the coils that one lacks are zeros.

    Args:
        info: the dataset.
        groups: which of `info.groups` each record belongs to, `[N]`.
        masks: simulated acquisitions.
        decode: of records of equal shapes.

    Attributes:
        kinds: which records share batches, int64 `[N]`.
    """

    def __init__(self, info: DatasetInfo, groups: np.ndarray, masks: RetrospectiveMasks | None, decode: Decode) -> None:
        check_map_sets(info)
        merged = merge_coil_groups(info.groups)
        self.kinds, self._decode = merged[groups], decode
        self._shapes: dict[str, list[tuple[int, ...]]] = {"kspace": [], "mask": []}
        if all(group.maps is not None for group in info.groups):
            self._shapes["maps"] = []
        for kind in range(merged.max() + 1):
            members = [number for number, of in enumerate(merged) if of == kind]
            coils = max(info.groups[number].kspace[-3] for number in members)
            for key in self._shapes.keys() - {"mask"}:
                self._shapes[key].append(with_coils(getattr(info.groups[members[0]], key), coils))
            heights = [masks.shape_of(number) if masks else info.groups[number].mask for number in members]
            self._shapes["mask"].append(np.broadcast_shapes(*heights))

    def __call__(self, stored: Tensor, numbers: Tensor) -> Batch:
        """The batch of records `[B]` of one kind, as of records of equal shapes.

        Args:
            stored: the records, string `[B]`.
            numbers: theirs, int64 `[B]`.
        """
        kind = tf.gather(tf.constant(self.kinds), numbers[0])

        def one(item: tuple[Tensor, Tensor]) -> Batch:
            batch = {key: value[0] for key, value in self._decode(item[0][None], item[1][None]).items()}
            shapes = {key: tf.gather(tf.constant(shapes), kind) for key, shapes in self._shapes.items()}
            batch["mask"] = tf.broadcast_to(batch["mask"], shapes["mask"])
            for key in ("kspace", "maps"):
                if key in batch:
                    batch[key] = _with_coils(batch[key], shapes[key][-3])
            return batch

        batch = _each(one, (stored, numbers))
        for key, shapes in self._shapes.items():
            if key in batch:
                batch[key] = with_shape(batch[key], numbers.shape, shapes)
        return batch


def _each(one: Callable[[tuple[Tensor, Tensor]], Batch], items: tuple[Tensor, Tensor]) -> Batch:
    """`one(item)` of each item, stacked."""
    traced = tf.function(one, autograph=False).get_concrete_function(
        tuple(tf.TensorSpec(item.shape[1:], item.dtype) for item in items)
    )
    signature = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), traced.structured_outputs)
    return tf.map_fn(traced, items, fn_output_signature=signature)


def _with_coils(array: Tensor, coils: Tensor) -> Tensor:
    """`[..., C, H, W]` with coils of zeros behind its own."""
    axis = array.shape.rank - 3
    missing = coils - tf.shape(array)[axis]
    pads = [[0, missing] if number == axis else [0, 0] for number in range(array.shape.rank)]
    return tf.pad(array, pads)
