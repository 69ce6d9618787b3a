"""The record: one slice (2D) or one series (2D+t) with all that was measured.

The schema lives here alone; the writer, the reader, the trainer and the export use it. On disk a
record is one `tf.train.Example` (`data.tfrecord`): arrays are raw little-endian bytes with their
shapes beside them, so complex64 survives bit for bit.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfrecon.util.errors import InputError
from tfrecon.util.shapes import check_mask_fits, map_set_axis

SCHEMA_VERSION = 1


@dataclasses.dataclass
class Record:
    """One slice or series.

    Attributes:
        kspace: complex64 `[C, H, W]`, or `[T, C, H, W]` for a series; zero where not sampled.
        mask: uint8 0/1 `[1, H or 1, W]`, or `[T or 1, 1, H or 1, W]` for a series. What was
            sampled; never inferred from zeros in k-space.
        record_id: unique in a dataset, for instance "file1000031/017".
        volume_id: the volume (subject) the slice belongs to; splits never cut one.
        slice_index: position in its volume.
        scale: what methods divide k-space by (`physics.scale`), from the sampled data.
        maps: complex64 sensitivities `[C, H, W]` or `[S, C, H, W]` (series: with a time axis of 1
            in front), or None.
        reference: complex64 or float32 `[H', W']` (series `[T, H', W']`), or None. May be smaller
            than k-space: references are often centre-cropped.
        noise_std: sqrt(E|n|²) of a k-space sample, or None if unknown.
        attrs: JSON-able facts: "reference_type" ("rss", "sense", "magnitude", ...), "voxel_size"
            (mm), "affine", "acquisition", "source", "simulated" (what was simulated and with
            which seed), "maps" (how they were estimated, from how many calibration lines).
    """

    kspace: np.ndarray
    mask: np.ndarray
    record_id: str
    volume_id: str
    slice_index: int = 0
    scale: float = 1.0
    maps: np.ndarray | None = None
    reference: np.ndarray | None = None
    noise_std: float | None = None
    attrs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_series(self) -> bool:
        """Whether the record is a time series."""
        return self.kspace.ndim == 4


def validate_record(record: Record, where: str = "") -> Record:
    """Checks a record before it is written and after it is read.

    Args:
        record: the record, changed in nothing.
        where: file or shard, for the message.

    Returns:
        The record.

    Raises:
        InputError: NaN or Inf, a wrong rank or dtype, a mask that is not 0/1 or does not fit, an
            empty mask, all-zero k-space, maps or reference that do not fit.
    """
    where = f"{where} record {record.record_id!r}".strip()
    _check_arrays(record, where)
    if record.kspace.ndim not in (3, 4):
        raise InputError(
            f"kspace has shape {record.kspace.shape}", where, "it should be [C, H, W], or [T, C, H, W] for a series"
        )
    if record.mask.ndim != record.kspace.ndim:
        raise InputError(f"mask {record.mask.shape} and kspace {record.kspace.shape} differ in rank", where)
    check_mask_fits(record.mask, record.kspace, where)
    if not np.isin(record.mask, (0, 1)).all():
        raise InputError("key 'mask' holds values other than 0 and 1", where, "give a binary mask")
    if not record.mask.any():
        raise InputError("key 'mask' is zero everywhere", where, "nothing was sampled: leave this record out")
    if not np.any(record.kspace):
        raise InputError("key 'kspace' is zero everywhere", where, "an empty slice: leave this record out")
    if record.maps is not None:
        try:
            map_set_axis(record.kspace, record.maps)
        except InputError as error:
            raise InputError(error.what, where, error.fix) from error
    if not (np.isfinite(record.scale) and record.scale > 0):
        raise InputError(f"scale is {record.scale}", where, "it must be a positive number")
    return record


def _check_arrays(record: Record, where: str) -> None:
    wanted = {
        "kspace": (np.complex64,),
        "mask": (np.uint8,),
        "maps": (np.complex64,),
        "reference": (np.complex64, np.float32),
    }
    for key, dtypes in wanted.items():
        array = getattr(record, key)
        if array is None:
            continue
        if array.dtype not in dtypes:
            names = " or ".join(np.dtype(d).name for d in dtypes)
            raise InputError(f"key {key!r} is {array.dtype}, not {names}", where, "convert it first")
        if not np.isfinite(array).all():
            count = int(array.size - np.isfinite(array).sum())
            raise InputError(
                f"key {key!r} {array.shape} holds {count} NaN or Inf samples", where, "repair or leave out this slice"
            )
