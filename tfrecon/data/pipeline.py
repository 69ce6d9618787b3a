"""Datasets on disk as batches for training and evaluation (`tf.data`).

Batches are made of records of equal shapes, never padded. `dataset.json` says where each record
lies and what shapes it has, so batches are planned as lists of numbers, and each record is read
by itself and decoded with its batch: shuffling is perfect, holds no records in memory, and any
batch can be started from. The order of batches and every bit in them depend on the arguments
alone, whatever the parallelism.

All of it runs in TensorFlow: a Python function in a `tf.data` pipeline that is still alive when the
interpreter ends makes the process hang (measured with TensorFlow 2.21).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrecon.data.dataset_info import DatasetInfo, ShapeGroup, read_dataset_info
from tfrecon.data.example import OPTIONAL, parse_example
from tfrecon.data.mask_table import RetrospectiveMasks, with_shape
from tfrecon.data.transforms import Undersampling
from tfrecon.typing import PathLike, Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator

FIELDS = (*OPTIONAL, "label")
"""What batches hold only if it is asked for."""

_FRAME_BYTES = 16
"""What TFRecord puts around a record: its length and two checksums."""

Batch = dict[str, Tensor]


def dataset(
    path: PathLike,
    *,
    batch_size: int,
    seed: int = 0,
    undersample: Undersampling | Sequence[Undersampling] | None = None,
    mask_seed: int | None = None,
    training: bool = False,
    shuffle: bool | None = None,
    repeat: bool | None = None,
    drop_remainder: bool | None = None,
    normalise: bool = True,
    fields: Sequence[str] | None = None,
    num_parallel_calls: int = tf.data.AUTOTUNE,
    skip_batches: int = 0,
    part: tuple[int, int] = (0, 1),
    replicas: int = 1,
    verify: bool = True,
) -> tf.data.Dataset:
    """Batches of a dataset folder.

    Args:
        path: folder with `dataset.json`.
        batch_size: records in a batch, all of equal shapes.
        seed: of the order.
        undersample: simulates an acquisition of each record; its mask, and which kind it is where several are
            given, is a function of (mask_seed, record id) and so the same in every epoch.
        mask_seed: of those masks; None takes `seed`.
        training: what the next three are if they are None.
        shuffle: whether the order of each epoch is a permutation that depends on (seed, epoch), or
            that of the dataset.
        repeat: whether epochs follow each other for ever; batches may then span two epochs.
        drop_remainder: whether a last, smaller batch of each shape is left out.
        normalise: divide k-space, noise and reference by the scale of what was measured.
        fields: which of "maps", "reference", "noise_std", "label" to give; None for those that every
            record has.
        num_parallel_calls: of decoding; changes the speed alone.
        skip_batches: start after so many batches, without reading them: what a resumed training does.
        part: (index, number): every batch is cut into so many contiguous parts, and only the one with this
            index is read: what each of several workers does.
        replicas: gives what is left of a batch in so many pieces, one after the other, for as many
            devices of this worker.
        verify: compare the shards' SHA-256 first, which takes as long as reading them once. Sizes, and
            the checksum of each record that is read, are always compared.

    Returns:
        Batches as dictionaries: `kspace` complex64 `[B, (T,) C, H, W]`; `mask` float32
        `[B, (T or 1,) 1, H or 1, W]`; `maps` complex64, `reference` complex64, `noise_std` float32 `[B]`,
        `label` float32 `[B, L]` as asked for; `scale` float32 `[B]`, by which was divided (would have been,
        with `normalise=False`); `record_id` string `[B]`; `slice_index` int64 `[B]`.

    Raises:
        InputError: no dataset, a truncated shard, a field that records lack, maps that the masks do
            not justify, or no full batch at all.
    """
    shuffle = training if shuffle is None else shuffle
    repeat = training if repeat is None else repeat
    drop_remainder = training if drop_remainder is None else drop_remainder
    info = read_dataset_info(path, verify=verify)
    fields = choose_fields(info, fields)
    _check_ranks(info)
    index, masks = _Index(info, fields), None
    if undersample is not None:
        masks = RetrospectiveMasks(info, index.groups, undersample, seed if mask_seed is None else mask_seed)
        if "maps" in fields:
            masks.check_calibration()
    if batch_size < 1 or (drop_remainder and not repeat and all(g.records < batch_size for g in info.groups)):
        raise InputError(
            f"batch size {batch_size} gives no batch of {info.records} records", str(info.path), "choose a smaller one"
        )
    numbers = _plan_batches(index.groups, batch_size, seed, shuffle, repeat, drop_remainder).skip(skip_batches)
    if part != (0, 1) or replicas != 1:
        numbers = _cut(numbers, batch_size, part, replicas)
    decode = functools.partial(_read_batch, index=index, fields=fields, masks=masks, normalise=normalise)
    return numbers.map(decode, num_parallel_calls=num_parallel_calls, deterministic=True).prefetch(tf.data.AUTOTUNE)


class _Index:
    """Where each record of a dataset lies.

    Attributes:
        info: the dataset.
        groups: which of `info.groups` each record belongs to, int64 `[N]`.
        labels: float32 `[N, L]`, empty where they are not asked for.

    Raises:
        InputError: labels are asked for, but differ in length.
    """

    def __init__(self, info: DatasetInfo, fields: Sequence[str]) -> None:
        self.info = info
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


def _plan_batches(
    groups: np.ndarray, batch_size: int, seed: int, shuffle: bool, repeat: bool, drop_remainder: bool
) -> tf.data.Dataset:
    """The numbers of the records of each batch, int64 `[B]`, all of one group.

    Each epoch is a permutation that depends on (seed, epoch). With `repeat`, what is left of an epoch
    waits for the next; at the end smaller batches are given, or left out.
    """
    order_seed = int(numpy_generator(seed, "order of epochs").integers(2**31))

    def epoch(number: Tensor) -> tf.data.Dataset:
        order = tf.range(len(groups), dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, tf.stack([order_seed, number]))
        return tf.data.Dataset.from_tensor_slices(order)

    epochs = tf.data.Dataset.counter() if repeat else tf.data.Dataset.range(1)
    numbers = epochs.flat_map(epoch)
    if len(np.unique(groups)) == 1:
        return numbers.batch(batch_size, drop_remainder=drop_remainder or repeat)
    batches = numbers.group_by_window(
        key_func=lambda number: tf.gather(tf.constant(groups), number),
        reduce_func=lambda _, window: window.batch(batch_size, drop_remainder=drop_remainder or repeat),
        window_size=batch_size,
    )
    return batches


def _cut(numbers: tf.data.Dataset, batch_size: int, part: tuple[int, int], replicas: int) -> tf.data.Dataset:
    """One part of every batch, in `replicas` pieces one after the other."""
    index, parts = part
    piece, rest = divmod(batch_size, parts * replicas)
    if rest or numbers.element_spec.shape[0] is None:
        raise InputError(
            f"batches of {batch_size} cannot be cut into {parts * replicas} equal parts",
            fix="give a batch size that the number of devices divides, and repeat or drop the remainder",
        )
    start, size = index * piece * replicas, piece * replicas
    own = numbers.map(lambda batch: tf.reshape(batch[start : start + size], (replicas, piece)))
    return own.unbatch() if replicas > 1 else own.map(lambda pieces: pieces[0])


def choose_fields(info: DatasetInfo, fields: Sequence[str] | None) -> tuple[str, ...]:
    """The optional fields that batches hold.

    Raises:
        InputError: an unknown field, or one that not every record has.
    """
    missing = {
        key: sum(group.records for group in info.groups if getattr(group, key) in (None, False)) for key in FIELDS
    }
    if fields is None:
        return tuple(key for key in FIELDS if not missing[key])
    for key in fields:
        if key not in FIELDS:
            raise InputError(f"no field {key!r}", fix=f"fields are {', '.join(FIELDS)}; the others are always given")
        if missing[key]:
            raise InputError(
                f"{missing[key]} of {info.records} records have no {key!r}", str(info.path), "convert with it"
            )
    return tuple(fields)


def _check_ranks(info: DatasetInfo) -> None:
    if len({len(group.kspace) for group in info.groups}) > 1:
        raise InputError("holds both slices and series", str(info.path), "convert them into datasets of their own")


def _read_batch(
    numbers: Tensor,
    *,
    index: _Index,
    fields: Sequence[str],
    masks: RetrospectiveMasks | None,
    normalise: bool,
) -> Batch:
    """The tensors of a batch of records of equal shapes."""
    parsed, groups = parse_example(index.read(numbers), index.info.compression), index.info.groups
    batch = {
        "kspace": _array(parsed, "kspace", tf.complex64, groups),
        "mask": tf.cast(_array(parsed, "mask", tf.uint8, groups), tf.float32),
        "scale": parsed["scale"],
        "record_id": parsed["record_id"],
        "slice_index": parsed["slice_index"],
    }
    if "maps" in fields:
        batch["maps"] = _array(parsed, "maps", tf.complex64, groups)
    if "reference" in fields:
        batch["reference"] = _reference(parsed, groups)
    if "noise_std" in fields:
        batch["noise_std"] = parsed["noise_std"]
    if "label" in fields:
        batch["label"] = tf.gather(tf.constant(index.labels), numbers)
    if masks is not None:
        batch = masks.apply(batch, numbers)
    return _normalised(batch) if normalise else batch


def _array(parsed: Batch, key: str, dtype: tf.DType, groups: Sequence[ShapeGroup]) -> Tensor:
    # Parsing pads the shapes of a batch to one length; within a group they are all the same.
    shape = tf.concat([tf.shape(parsed[key], tf.int64), parsed[f"{key}/shape"][0]], axis=0)
    array = tf.reshape(tf.io.decode_raw(parsed[key], dtype), shape)
    return with_shape(array, parsed[key].shape, [getattr(group, key) for group in groups])


def _reference(parsed: Batch, groups: Sequence[ShapeGroup]) -> Tensor:
    """References as complex64, whatever each was stored as."""
    if len({group.reference_dtype for group in groups}) == 1:
        dtype = tf.as_dtype(groups[0].reference_dtype)
        return tf.cast(_array(parsed, "reference", dtype, groups), tf.complex64)
    complex_stored = parsed["reference/dtype"][0] == b"complex64"
    return tf.cond(
        complex_stored,
        lambda: _array(parsed, "reference", tf.complex64, groups),
        lambda: tf.cast(_array(parsed, "reference", tf.float32, groups), tf.complex64),
    )


def _normalised(batch: Batch) -> Batch:
    """Divides what is in the units of the measurement by its scale."""
    factor = 1.0 / tf.where(batch["scale"] > 0, batch["scale"], 1.0)
    scaled = {key: _multiply(batch[key], factor) for key in ("kspace", "reference", "noise_std") if key in batch}
    return {**batch, **scaled}


def _multiply(array: Tensor, factor: Tensor) -> Tensor:
    """`[B, ...]` times float32 `[B]`; complex numbers as pairs, which spares a complex product."""
    pairs = tf.bitcast(array, tf.float32) if array.dtype == tf.complex64 else array
    factor = tf.reshape(factor, tf.concat([tf.shape(factor), tf.ones(tf.rank(pairs) - 1, tf.int32)], axis=0))
    return tf.bitcast(pairs * factor, array.dtype)
