"""What is done to a record between its source and a method: undersampling, maps, cropping.

Every function returns a new record and leaves its argument as it was. NumPy in, NumPy out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from tfrecon.data.dataset_info import label_of
from tfrecon.physics import coils, fourier
from tfrecon.physics.masks import SamplingMask, achieved_acceleration, acs_size, make_mask
from tfrecon.physics.scale import measurement_scale
from tfrecon.records import Record
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator
from tfrecon.util.shapes import centre_crop, check_mask_fits

_FULL_READOUT_GAP = "its lines are not fully sampled along that axis, so the image cannot be cut there"


@dataclasses.dataclass(frozen=True)
class Undersampling:
    """A retrospective acquisition: which masks `retrospective_mask` makes.

    Attributes:
        kind: one of `physics.masks.mask_kinds()`.
        acceleration: asked for; masks report the achieved one. None where the kind is given otherwise.
        center_fraction: fully sampled centre, as a fraction of the width.
        acs_lines: fully sampled centre in lines; takes the place of `center_fraction`.
        options: more options of the kind.
    """

    kind: str
    acceleration: float | None = None
    center_fraction: float = 0.08
    acs_lines: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def retrospective_mask(
    undersampling: Undersampling | Sequence[Undersampling], seed: int, record_id: str, kspace_shape: Sequence[int]
) -> SamplingMask:
    """The mask of one record: a function of (seed, record id) and of nothing else.

    A simulated acquisition so never shows more of itself in a later epoch or another run.

    Args:
        undersampling: what kind of mask; of several, the record gets one, each with equal chance.
        seed: of the whole dataset.
        record_id: of the record.
        kspace_shape: `[C, H, W]`, or `[T, C, H, W]` for a series.

    Returns:
        The mask, `[1, H or 1, W]` (series `[T, 1, H or 1, W]`).

    Raises:
        InputError: the mask kind cannot be made as asked for.
    """
    if not isinstance(undersampling, Undersampling):
        choice = int(numpy_generator(seed, record_id, "kind of retrospective mask").integers(len(undersampling)))
        undersampling = undersampling[choice]
    mask_seed = int(numpy_generator(seed, record_id, "retrospective mask").integers(2**31))
    return make_mask(
        undersampling.kind,
        tuple(int(n) for n in kspace_shape[-2:]),
        undersampling.acceleration,
        center_fraction=undersampling.center_fraction,
        acs_lines=undersampling.acs_lines,
        seed=mask_seed,
        frames=int(kspace_shape[0]) if len(kspace_shape) == 4 else None,
        **undersampling.options,
    )


def undersample(record: Record, mask: SamplingMask) -> Record:
    """Simulates a faster acquisition of a record.

    K-space outside the mask becomes zero, the mask is the product of both, and the scale is taken
    from what is left. Maps that were estimated from a larger calibration block than the new mask
    samples are dropped: a faster scan could not have had them. `attrs["undersampling"]` says what
    was done.

    Args:
        record: fully sampled or not.
        mask: what to keep.

    Raises:
        InputError: the mask does not fit or leaves nothing.
    """
    where = f"record {record.record_id!r}"
    array = np.asarray(mask.array, np.uint8)
    if record.is_series and array.ndim == 3:
        array = array[np.newaxis]
    check_mask_fits(array, record.kspace, where)
    combined = record.mask * array
    if not combined.any():
        raise InputError(f"the mask {mask.kind!r} keeps none of the measured samples", where, "choose another mask")
    kspace = record.kspace * combined
    shape = record.kspace.shape[-2:]
    attrs = dict(record.attrs)
    attrs["undersampling"] = {
        "kind": mask.kind,
        "seed": mask.seed,
        "nominal": mask.nominal,
        "acceleration": float(achieved_acceleration(combined, shape)),
        "acs": list(calibrated_size(combined, shape)),
    }
    maps = record.maps
    if maps is not None and not maps_are_honest(attrs, combined, shape):
        maps = None
        attrs["maps"] = {**attrs["maps"], "dropped": "estimated from more calibration data than this mask samples"}
    return dataclasses.replace(
        record, kspace=kspace, mask=combined, maps=maps, scale=scale_of(kspace, combined), attrs=attrs
    )


def maps_are_honest(attrs: Mapping[str, Any], mask: np.ndarray, shape: Sequence[int]) -> bool:
    """Whether maps with these `attrs` could have been estimated from what `mask` samples.

    Maps of unknown origin (given by the user, or the simulation's own) count as known beforehand.
    """
    calibration = attrs.get("maps", {}).get("calibration")
    if calibration is None:
        return True
    return all(needed <= have for needed, have in zip(calibration, calibrated_size(mask, shape), strict=True))


def calibrated_size(mask: np.ndarray, shape: Sequence[int]) -> tuple[int, int]:
    """Size of the fully sampled centre, for a series of what all frames together sampled."""
    if mask.ndim == 4:
        mask = mask.max(axis=0)
    return tuple(int(n) for n in acs_size(mask, tuple(shape)))


def with_maps(
    record: Record,
    method: str = "espirit",
    *,
    calibration_size: int | Sequence[int] = coils.CALIBRATION_SIZE,
    map_sets: int = 1,
    **options: Any,
) -> Record:
    """Adds coil sensitivities, estimated from the centre of the record's own k-space.

    However much was sampled, no more than the `calibration_size` block is used, and its size is
    noted in `attrs["maps"]`, so that maps never know what an undersampled measurement hides.

    Args:
        record: the record; with one coil it gets maps of ones, which need no data.
        method: "espirit" or "walsh".
        calibration_size: samples along H and W, or one number for both.
        map_sets: 1, or 2 (ESPIRiT).
        **options: of the method.

    Raises:
        InputError: see `physics.coils.estimate_maps`.
    """
    if record.kspace.shape[-3] == 1:
        maps = np.ones((1,) * (record.kspace.ndim - 2) + record.kspace.shape[-2:], np.complex64)
        return dataclasses.replace(record, maps=maps, attrs={**record.attrs, "maps": {"method": "ones (one coil)"}})
    where = f"record {record.record_id!r}"
    limits = (calibration_size,) * 2 if isinstance(calibration_size, int) else tuple(calibration_size)
    maps = coils.estimate_maps(
        record.kspace,
        record.mask,
        method,
        map_sets=map_sets,
        calibration_size=limits,
        where=where,
        **options,
    )
    sampled = calibrated_size(record.mask, record.kspace.shape[-2:])
    used = [min(limit, have) for limit, have in zip(limits, sampled, strict=True)]
    facts = {"method": method, "calibration": used, "map_sets": map_sets, **options}
    return dataclasses.replace(record, maps=np.asarray(maps, np.complex64), attrs={**record.attrs, "maps": facts})


def with_fewer_coils(
    record: Record, count: int, calibration_size: int | Sequence[int] = coils.CALIBRATION_SIZE
) -> Record:
    """Compresses to `count` virtual coils; the record itself if it has no more than that.

    The compression matrix comes from the calibration block alone, for the same reason as maps do.
    Maps are compressed along; `attrs["coil_compression"]` says from how many coils.
    """
    have = record.kspace.shape[-3]
    if count >= have:
        return record
    where = f"record {record.record_id!r}"
    kspace, mask = record.kspace, record.mask
    if record.is_series:
        kspace, mask = coils.time_average(kspace, mask)
    compressed = coils.compress_coils(coils.calibration_region(kspace, mask, calibration_size, where), count)
    attrs = {**record.attrs, "coil_compression": {"from": have, "to": count, "energy": compressed.energy}}
    new_kspace = ops.convert_to_numpy(coils.apply_coil_matrix(record.kspace, compressed.matrix))
    maps = record.maps
    if maps is not None:
        maps = ops.convert_to_numpy(coils.apply_coil_matrix(maps, compressed.matrix))
    return dataclasses.replace(
        record, kspace=new_kspace, maps=maps, scale=scale_of(new_kspace, record.mask), attrs=attrs
    )


def crop_image(record: Record, shape: Sequence[int]) -> Record:
    """Cuts the image to `shape` around its centre, and k-space, maps and reference with it.

    Along an axis that is really cut, k-space has to be fully sampled, as it is along the readout.

    Args:
        record: the record; returned as it is where `shape` is its own.
        shape: (height, width), at most the record's; a height or width of 0 keeps that axis.

    Raises:
        InputError: `shape` is larger than the image, or an undersampled axis would be cut.
    """
    where, size = f"record {record.record_id!r}", record.kspace.shape[-2:]
    target = tuple(int(wanted) or have for wanted, have in zip(shape, size, strict=True))
    if target == size:
        return record
    if any(wanted > have or wanted < 0 for wanted, have in zip(target, size, strict=True)):
        raise InputError(f"cannot crop the {size} image to {target}", where, "give a smaller crop")
    mask = record.mask
    if target[0] < size[0] and mask.shape[-2] != 1:
        if not (mask == mask[..., :1, :]).all():
            raise InputError(f"cannot crop the height: {_FULL_READOUT_GAP}", where, "crop before undersampling")
        mask = mask[..., :1, :]
    if target[1] < size[1]:
        if not (mask == mask[..., :1]).all():
            raise InputError(f"cannot crop the width: {_FULL_READOUT_GAP}", where, "crop before undersampling")
        mask = mask[..., : target[1]]
    kspace = crop_kspace(record.kspace, target)
    if mask.shape[-2] == 1 and (mask == 0).any():
        kspace *= mask  # the lines stay exactly zero
    reference = record.reference
    if reference is not None:
        smaller = tuple(min(n, m) for n, m in zip(target, reference.shape[-2:], strict=True))
        reference = np.ascontiguousarray(centre_crop(reference, smaller))
    return dataclasses.replace(
        record,
        kspace=kspace,
        mask=np.ascontiguousarray(mask),
        maps=None if record.maps is None else np.ascontiguousarray(centre_crop(record.maps, target)),
        reference=reference,
        scale=scale_of(kspace, mask),
        attrs={**record.attrs, "cropped_from": list(size)},
    )


def crop_kspace(kspace: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """K-space `[..., H, W]` of the image cut to `shape` around its centre.

    The transforms are orthonormal, so neither image nor noise changes its level.
    """
    return to_kspace(np.ascontiguousarray(centre_crop(to_image(kspace), shape)))


def to_image(kspace: np.ndarray) -> np.ndarray:
    """Centred orthonormal inverse FFT of complex64 `[..., H, W]`, in NumPy; the result is writeable."""
    return np.array(ops.convert_to_numpy(fourier.ifft2c(ops.convert_to_tensor(kspace, "complex64"))))


def to_kspace(image: np.ndarray) -> np.ndarray:
    """Centred orthonormal FFT of complex64 `[..., H, W]`, in NumPy; the result is writeable."""
    return np.array(ops.convert_to_numpy(fourier.fft2c(ops.convert_to_tensor(image, "complex64"))))


def rss_image(kspace: np.ndarray) -> np.ndarray:
    """Root-sum-of-squares image float32 `[..., H, W]` of k-space `[..., C, H, W]`."""
    return np.asarray(ops.convert_to_numpy(coils.rss(to_image(kspace))), np.float32)


def scale_of(kspace: np.ndarray, mask: np.ndarray) -> float:
    """`physics.scale.measurement_scale` of one slice `[C, H, W]` or series `[T, C, H, W]`."""
    return float(ops.convert_to_numpy(measurement_scale(kspace, mask, series=kspace.ndim == 4)))


def to_measurement(record: Record) -> Measurement:
    """The record as NumPy arrays of a `Measurement`, without batch axis, in its own units (not normalised)."""
    label = label_of(record)
    return Measurement(
        kspace=record.kspace,
        mask=record.mask.astype(np.float32),
        maps=record.maps,
        noise_std=None if record.noise_std is None else np.float32(record.noise_std),
        scale=None,
        label=np.float32(label) if label else None,
    )
