"""Volume files put together from slices: fastMRI-style h5 and NIfTI."""

from __future__ import annotations

import gzip
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import nibabel
import numpy as np

from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path

DATASET = "reconstruction"
"""The key in an h5 file, fastMRI's."""

_SUFFIXES = {"h5": ".h5", "nifti": ".nii.gz"}
_KNOWN_SUFFIXES = (".nii.gz", ".nii", ".h5", ".hdf5", ".npy", ".npz")


def volume_file_name(volume_id: str, format_name: str) -> str:
    """The file name of a volume: its id with the format's suffix, on one folder level."""
    stem = volume_id
    for suffix in _KNOWN_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem.replace("/", "_").replace("\\", "_") + _SUFFIXES[format_name]


def write_h5(path: pathlib.Path, slices: Sequence[pathlib.Path], facts: Mapping[str, Any]) -> None:
    """Writes npy slices as one h5 volume: dataset `reconstruction` `[N, H, W]` (series `[N, T, H, W]`).

    Args:
        path: the file, with suffix `.h5`.
        slices: npy files of one shape, in order.
        facts: the first slice's entry; its "volume_id" becomes an attribute.
    """
    volume = _stack(slices, path)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset(DATASET, data=volume)
        file.attrs["volume_id"] = facts["volume_id"]


def write_nifti(path: pathlib.Path, slices: Sequence[pathlib.Path], facts: Mapping[str, Any]) -> None:
    """Writes npy slices as one NIfTI volume `[H, W, N]` (series `[H, W, N, T]`).

    Args:
        path: the file, with suffix `.nii.gz`.
        slices: npy files of one shape, in order.
        facts: the first slice's entry; `attrs["affine"]` (voxel to mm, 4×4, of the volume's slice 0)
            is kept. Without it the voxels get `attrs["voxel_size"]`, or 1 mm.
    """
    volume = _stack(slices, path)
    volume = np.transpose(volume, (1, 2, 0) if volume.ndim == 3 else (2, 3, 0, 1))
    attrs = facts.get("attrs", {})
    affine = attrs.get("affine")
    if affine is None:
        affine = np.diag([*attrs.get("voxel_size", (1.0, 1.0, 1.0)), 1.0])
    affine = np.array(affine, np.float64)
    affine[:3, 3] += affine[:3, 2] * facts.get("slice_index", 0)
    image = nibabel.Nifti1Image(volume, affine)
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))


VOLUME_FORMATS: dict[str, Callable[[pathlib.Path, Sequence[pathlib.Path], Mapping[str, Any]], None]] = {
    "h5": write_h5,
    "nifti": write_nifti,
}


def _stack(slices: Sequence[pathlib.Path], path: pathlib.Path) -> np.ndarray:
    images = [np.load(name) for name in slices]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise InputError(
            f"its slices have different sizes: {', '.join(map(str, shapes))}", str(path), "give --format=npy"
        )
    return np.stack(images)
