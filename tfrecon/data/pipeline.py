"""Datasets on disk as batches for training and evaluation (`tf.data`).

Batches are made of records of equal shapes, or, where that is asked for, of images padded to a common
size (`data.buckets`) or of measurements padded by coils of zeros. `dataset.json` says where each record
lies and what shapes it has, so batches are planned as lists of numbers, and each record is read
by itself and decoded with its batch: shuffling is perfect, holds no records in memory, and any
batch can be started from. The order of batches and every bit in them depend on the arguments
alone, whatever the parallelism.

All of it runs in TensorFlow: a Python function in a `tf.data` pipeline that is still alive when the
interpreter ends makes the process hang (measured with TensorFlow 2.21).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import tensorflow as tf

from tfrecon.data.batch_plan import BatchPlan, cut_batches, plan_batches
from tfrecon.data.buckets import ImageBuckets, plan_buckets
from tfrecon.data.dataset_info import DatasetInfo, ShapeGroup, read_dataset_info
from tfrecon.data.example import OPTIONAL, parse_example
from tfrecon.data.mask_table import RetrospectiveMasks, with_shape
from tfrecon.data.record_index import RecordIndex
from tfrecon.data.stacking import CoilStack, Decode, ImageStack
from tfrecon.data.transforms import Undersampling
from tfrecon.typing import PathLike, Tensor
from tfrecon.util.errors import InputError

FIELDS = (*OPTIONAL, "label")
"""What batches hold only if it is asked for."""

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
    images: ImageBuckets | None = None,
    pad_coils: bool = False,
) -> tf.data.Dataset:
    """Batches of a dataset folder.

    Args:
        path: folder with `dataset.json`.
        batch_size: records in a batch, all of equal shapes; with `images`, of which every batch's size is a multiple.
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
        images: gives padded images of several sizes in the place of measurements.
        pad_coils: puts records that differ in the number of coils alone into the same batches; those
            that one lacks are zeros in k-space and maps, behind its own.

    Returns:
        Batches as dictionaries: `kspace` complex64 `[B, (T,) C, H, W]`; `mask` float32
        `[B, (T or 1,) 1, H or 1, W]`; `maps` complex64, `reference` complex64, `noise_std` float32 `[B]`,
        `label` float32 `[B, L]` as asked for; `scale` float32 `[B]`, by which was divided (would have been,
        with `normalise=False`); `record_id` string `[B]`; `slice_index` int64 `[B]`.
        With `images` there are, instead of k-space, mask, maps and reference, `image` complex64 `[B, H, W]`, made from
        them at the record's own size, with zeros around it, and `valid` float32 `[B, H, W]`, 1 where the image is.

    Raises:
        InputError: no dataset, a truncated shard, a field that records lack, maps that the masks do
            not justify, no full batch at all, or sizes that `images` cannot hold.
    """
    shuffle = training if shuffle is None else shuffle
    repeat = training if repeat is None else repeat
    drop_remainder = training if drop_remainder is None else drop_remainder
    index, masks = _open(path, fields, verify), None
    if undersample is not None:
        masks = _make_masks(index, undersample, seed if mask_seed is None else mask_seed)
    decode, plan = _choose_batches(index, _Decoder(index, masks, normalise), masks, batch_size, images, pad_coils)
    if batch_size < 1 or (drop_remainder and not repeat and not plan.has_full_batch):
        what = f"batch size {batch_size} gives no batch of {index.info.records} records"
        raise InputError(what, str(path), "choose a smaller one")
    numbers = plan_batches(plan, seed, shuffle, repeat, drop_remainder).skip(skip_batches)
    if part != (0, 1) or replicas != 1:
        numbers = cut_batches(numbers, plan, drop_remainder or repeat, part, replicas)
    read = functools.partial(_read_batch, index=index, decode=decode)
    return numbers.map(read, num_parallel_calls=num_parallel_calls, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _open(path: PathLike, fields: Sequence[str] | None, verify: bool) -> RecordIndex:
    info = read_dataset_info(path, verify=verify)
    index = RecordIndex(info, choose_fields(info, fields))
    _check_ranks(info)
    return index


def _make_masks(
    index: RecordIndex, undersample: Undersampling | Sequence[Undersampling], seed: int
) -> RetrospectiveMasks:
    masks = RetrospectiveMasks(index.info, index.groups, undersample, seed)
    if "maps" in index.fields:
        masks.check_calibration()
    return masks


@tf.autograph.experimental.do_not_convert
def _read_batch(numbers: Tensor, *, index: RecordIndex, decode: Decode) -> Batch:
    """What is not converted raises its own errors."""
    return decode(index.read(numbers), numbers)


def _choose_batches(
    index: RecordIndex,
    decode: Decode,
    masks: RetrospectiveMasks | None,
    batch_size: int,
    images: ImageBuckets | None,
    pad_coils: bool,
) -> tuple[Decode, BatchPlan]:
    """How the records of a batch are decoded, and which records share batches.

    Raises:
        InputError: both kinds of padding at once, or records that cannot be padded so.
    """
    info = index.info
    if images is not None:
        if pad_coils:
            raise InputError("padded images have no coils to pad", fix="set either data.buckets or data.pad_coils")
        buckets = plan_buckets(info.groups, images, batch_size, str(info.path))
        stack = ImageStack(info, index.groups, images, buckets, decode)
        return stack, BatchPlan(stack.kinds, tuple(bucket.batch_size for bucket in buckets))
    if pad_coils:
        coils = CoilStack(info, index.groups, masks, decode)
        return coils, BatchPlan(coils.kinds, (batch_size,) * len(info.groups))
    return decode, BatchPlan(index.groups, (batch_size,) * len(info.groups))


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


class _Decoder:
    """The tensors of a batch of stored records of equal shapes.

    Args:
        index: of the dataset, and of the optional fields to give.
        masks: simulated acquisitions.
        normalise: see `dataset`.
    """

    def __init__(self, index: RecordIndex, masks: RetrospectiveMasks | None, normalise: bool) -> None:
        self._index, self._masks, self._normalise = index, masks, normalise

    def __call__(self, stored: Tensor, numbers: Tensor) -> Batch:
        info, fields = self._index.info, self._index.fields
        parsed, groups = parse_example(stored, info.compression), info.groups
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
            batch["label"] = tf.gather(tf.constant(self._index.labels), numbers)
        if self._masks is not None:
            batch = self._masks.apply(batch, numbers)
        return _normalised(batch) if self._normalise else batch


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
