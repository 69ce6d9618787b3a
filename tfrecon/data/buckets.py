"""Images of several sizes in one batch: which sizes share a batch, and how many records it holds.

A bucket takes the images whose height and width, each rounded up to a multiple, are the same. They are padded to its
shape, and a batch of it holds as many as an area allows, so that every step costs about the same and a step is
compiled once for each bucket. Only images are padded: zeros around k-space would change the size of a pixel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tfrecon.data.dataset_info import ShapeGroup
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

MOST_BUCKETS = 6
"""Each is a compiled step of its own."""


@dataclasses.dataclass(frozen=True)
class ImageBuckets:
    """How records become padded images.

    Attributes:
        multiple: of which height and width of a bucket are multiples; itself one of `grid`.
        pixels: how many a batch may have, those of the padding included.
        size_of: whose height and width the images have.
        make: the images of a batch of records of one size, as the pipeline gives it without strings:
            complex64 `[B, H, W]`. It is called in TensorFlow's graph, with B = 1 and sizes that may be unknown.
        grid: to a multiple of which a network pads by itself; see `offset_in_bucket`.
    """

    multiple: int
    pixels: int
    size_of: Literal["reference", "kspace"]
    make: Callable[[Mapping[str, Tensor]], Tensor]
    grid: int = 1


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Images that share batches.

    Attributes:
        shape: height and width to which they are padded.
        batch_size: how many are in a batch.
        groups: numbers of the shape groups whose images they are.
        records: how many there are.
        image_pixels: what they have in all without padding.
    """

    shape: tuple[int, int]
    batch_size: int
    groups: tuple[int, ...]
    records: int
    image_pixels: int


def plan_buckets(
    groups: Sequence[ShapeGroup], settings: ImageBuckets, batch_multiple: int = 1, where: str = ""
) -> tuple[Bucket, ...]:
    """The buckets of a dataset, in the order of their shapes.

    Args:
        groups: its shapes (`DatasetInfo.groups`).
        settings: see there.
        batch_multiple: of which every batch size is a multiple, so that batches can be cut for devices.
        where: the dataset, for messages.

    Raises:
        InputError: settings out of range, series, sizes that no batch can hold, or too many buckets.
    """
    if min(settings.multiple, settings.pixels, batch_multiple) < 1:
        raise InputError("buckets need a multiple, a number of pixels and a batch size of at least 1", where)
    if settings.multiple % settings.grid:
        raise InputError(
            f"data.buckets={settings.multiple} is no multiple of {settings.grid}, to which the network pads images",
            fix=f"set data.buckets={_rounded_up(settings.multiple, settings.grid)}",
        )
    members: dict[tuple[int, int], list[int]] = {}
    for number, group in enumerate(groups):
        members.setdefault(_padded(_size_of(group, settings, where), settings.multiple), []).append(number)
    if len(members) > MOST_BUCKETS:
        _refuse_many(groups, settings, len(members), where)
    buckets = []
    for shape, numbers in sorted(members.items()):
        area = shape[0] * shape[1]
        fitting = settings.pixels // area // batch_multiple * batch_multiple
        if not fitting:
            several = f"{batch_multiple} images" if batch_multiple > 1 else "an image"
            raise InputError(
                f"no batch of {settings.pixels} pixels holds {several} of {shape[0]}×{shape[1]}",
                where,
                f"set data.pixels_per_batch to at least {batch_multiple * area}, or convert with a crop",
            )
        counts = [(groups[number].records, _size_of(groups[number], settings, where)) for number in numbers]
        pixels = sum(records * size[0] * size[1] for records, size in counts)
        buckets.append(Bucket(shape, fitting, tuple(numbers), sum(records for records, _ in counts), pixels))
    return tuple(buckets)


def offset_in_bucket(size: Any, length: Any, grid: int) -> Any:
    """How many pixels of padding come before an image along one axis.

    Alone an image is padded by the network to a multiple of its `grid`, on both sides alike, and then halved again and
    again. What follows each halving depends on where the image lies on that grid, so it lies there as it does alone,
    and as near to the middle of the bucket as that allows.

    Args:
        size: of the image, a number or an integer tensor.
        length: of the bucket, a multiple of `grid`.
        grid: see `ImageBuckets`.
    """
    alone = _rounded_up(size, grid)
    return (alone - size) // 2 + (length - alone) // (2 * grid) * grid


def describe_buckets(buckets: Sequence[Bucket]) -> str:
    """One line on the buckets of a dataset, and on how much of their pixels is padding."""
    listed = ", ".join(
        f"{bucket.shape[0]}×{bucket.shape[1]} in batches of {bucket.batch_size} ({bucket.records} records)"
        for bucket in buckets
    )
    padded = sum(bucket.records * bucket.shape[0] * bucket.shape[1] for bucket in buckets)
    share = 1 - sum(bucket.image_pixels for bucket in buckets) / padded
    return f"buckets: {listed}; {share:.1%} of the pixels are padding"


def merge_coil_groups(groups: Sequence[ShapeGroup]) -> np.ndarray:
    """Numbers the groups so that those which differ in their coils alone have the same number, int64 `[G]`.

    Coils of zeros, with maps of zeros, change neither operators nor the scale. What does not decide the shapes of a
    batch does not matter.
    """
    beside = {"records": 0, "calibration": None, "noise_std": False, "reference_dtype": None, "label": None}
    keys: list[ShapeGroup] = []
    numbers = []
    for group in groups:
        maps = None if group.maps is None else with_coils(group.maps, 0)
        key = dataclasses.replace(group, kspace=with_coils(group.kspace, 0), maps=maps, **beside)
        if key not in keys:
            keys.append(key)
        numbers.append(keys.index(key))
    return np.array(numbers, np.int64)


def with_coils(shape: tuple[int, ...], coils: int) -> tuple[int, ...]:
    """A shape `[..., C, H, W]` with another number of coils."""
    return (*shape[:-3], coils, *shape[-2:])


def _size_of(group: ShapeGroup, settings: ImageBuckets, where: str) -> tuple[int, int]:
    if len(group.kspace) != 3:
        raise InputError("holds series, but buckets are of slices", where, "set data.buckets=0")
    shape = getattr(group, settings.size_of)
    if shape is None:
        raise InputError(f"{group.records} records have no {settings.size_of!r}", where, "convert with it")
    return shape[-2], shape[-1]


def _rounded_up(size: Any, multiple: int) -> Any:
    return (size + multiple - 1) // multiple * multiple


def _padded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    return _rounded_up(size[0], multiple), _rounded_up(size[1], multiple)


def _refuse_many(groups: Sequence[ShapeGroup], settings: ImageBuckets, count: int, where: str) -> None:
    sizes, multiple = {_size_of(group, settings, where) for group in groups}, settings.multiple
    while len({_padded(size, multiple) for size in sizes}) > MOST_BUCKETS:
        multiple *= 2
    raise InputError(
        f"its {len(sizes)} sizes fall into {count} buckets, and each of more than {MOST_BUCKETS} would be compiled",
        where,
        f"set data.buckets={multiple}, or convert with a crop",
    )
