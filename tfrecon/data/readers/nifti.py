"""NIfTI magnitude volumes (IXI and any other) as simulated acquisitions.

A magnitude image is not a measurement: phase, coils and noise are simulated, as a function of
(seed, record id), and `attrs["simulated"]` says so in every record.
"""

from __future__ import annotations

import functools
import pathlib
import zlib
from collections.abc import Iterator, Sequence

import nibabel
import numpy as np
from nibabel import orientations

from tfrecon.data.readers.simulated import brightness, check_volume, simulated_record
from tfrecon.data.volumes import (
    Skipped,
    SourceOptions,
    Volume,
    check_unique_names,
    find_files,
    subject_name,
    volume_name,
)
from tfrecon.records import Record
from tfrecon.util.errors import InputError

PLANES = {"axial": "PLS", "coronal": "ILA", "sagittal": "IPL"}
"""Towards where rows, columns and slices of each plane count, so that images stand upright as on a
radiologist's screen (patient's left on the right)."""

SLICE_AXES = (*PLANES, "0", "1", "2")


def open_volumes(path: pathlib.Path, options: SourceOptions) -> list[Volume]:
    """The volumes of a file or of all NIfTI files below a folder.

    Raises:
        InputError: a file is no NIfTI, is truncated, or is not one 3-D volume.
    """
    if options.slice_axis not in SLICE_AXES:
        raise InputError(f"no slice axis {options.slice_axis!r}", fix=f"choose one of {', '.join(SLICE_AXES)}")
    files = find_files(path, (".nii", ".nii.gz"), "NIfTI")
    check_unique_names(files)
    return [_open_volume(file, options) for file in files]


def _open_volume(file: pathlib.Path, options: SourceOptions) -> Volume:
    image = _load(file)
    height, width, slices = _turn(image.shape[:3], image.affine, options.slice_axis)[0]
    name = volume_name(file)
    return Volume(
        volume_id=name,
        subject_id=subject_name(name),
        path=file,
        slices=slices,
        shape=(options.coils, height, width),
        read=functools.partial(_read_slices, file, options),
    )


def _load(file: pathlib.Path) -> nibabel.spatialimages.SpatialImage:
    try:
        image = nibabel.load(file)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"is not a readable NIfTI file ({error})", str(file), "get it again") from error
    shape = image.shape
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise InputError(f"has shape {shape}", str(file), "give one 3-D volume a file (split it along the fourth axis)")
    return image


def _turn(shape: Sequence[int], affine: np.ndarray, slice_axis: str) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape [H, W, slices] after turning, and the orientation transform that turns."""
    if slice_axis in PLANES:
        have = orientations.io_orientation(affine)
        transform = orientations.ornt_transform(have, orientations.axcodes2ornt(tuple(PLANES[slice_axis])))
    else:
        rest = [axis for axis in range(3) if axis != int(slice_axis)]
        target = {axis: place for place, axis in enumerate([*rest, int(slice_axis)])}
        transform = np.array([[target[axis], 1] for axis in range(3)], float)
    turned = [0, 0, 0]
    for axis in range(3):
        turned[int(transform[axis, 0])] = int(shape[axis])
    return tuple(turned), transform


def _read_slices(file: pathlib.Path, options: SourceOptions, slices: Sequence[int]) -> Iterator[Record | Skipped]:
    """One volume is held in memory: compressed NIfTI cannot be read slice by slice."""
    volume, affine = _read_volume(file, options.slice_axis)
    bright = brightness(volume)
    attrs = {"affine": affine.tolist(), "voxel_size": np.linalg.norm(affine[:3, :3], axis=0).tolist()}
    for index in slices:
        yield simulated_record(volume[..., index], bright, file, index, options, attrs)


def _read_volume(file: pathlib.Path, slice_axis: str) -> tuple[np.ndarray, np.ndarray]:
    """The volume `[H, W, slices]` and the affine of its turned indices."""
    image = _load(file)
    try:
        data = np.asanyarray(image.dataobj).reshape(image.shape[:3])
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"is truncated or damaged ({error})", str(file), "get it again") from error
    data = check_volume(data, str(file))
    _, transform = _turn(data.shape, image.affine, slice_axis)
    affine = image.affine @ orientations.inv_ornt_aff(transform, data.shape)
    return orientations.apply_orientation(data, transform), affine
