"""One image file to one array: NumPy, fastMRI-style HDF5, NIfTI."""

from __future__ import annotations

import pathlib
import zlib

import numpy as np

from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError

IMAGE_SUFFIXES = (".npy", ".h5", ".nii", ".nii.gz")

H5_KEYS = ("reconstruction", "reconstruction_rss", "reconstruction_esc")
"""Where images lie in HDF5 files: fastMRI's submissions, multi-coil and single-coil targets."""


def suffix_of(name: str) -> str | None:
    """The image suffix of a file name, None if it is no image."""
    found = [suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)]
    return found[-1] if found else None


def stem_of(name: str) -> str:
    """The file name without folder and image suffix (`vol.nii.gz` → `vol`)."""
    name = pathlib.PurePath(name).name
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix else name


def read_image_file(path: PathLike) -> np.ndarray:
    """The array of an image file.

    Args:
        path: `.npy` `[H, W]` or `[N, H, W]`; `.h5` with one of `H5_KEYS`; `.nii` or `.nii.gz`,
            whose third axis is the slice.

    Returns:
        The array; for HDF5 and NIfTI with the slice axis first, `[N, H, W]` (series `[N, T, H, W]`).

    Raises:
        InputError: missing, truncated, not numbers, or of a rank that is no image.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError("no such file", str(path), "check the path")
    if path.stat().st_size == 0:
        raise InputError("is an empty file", str(path), "make it again")
    suffix = suffix_of(path.name)
    if suffix is None:
        raise InputError("is not an image file", str(path), f"give one of {', '.join(IMAGE_SUFFIXES)}")
    readers = {".npy": _read_npy, ".h5": _read_h5, ".nii": _read_nifti, ".nii.gz": _read_nifti}
    array = readers[suffix](path)
    if array.dtype.kind not in "biufc":
        raise InputError(f"holds {array.dtype}, not numbers", str(path), "save plain numeric images")
    if array.size == 0 or array.ndim < 2:
        raise InputError(f"has shape {array.shape}", str(path), "an image is [H, W], a volume [N, H, W]")
    return array


def _broken(path: pathlib.Path, error: Exception) -> InputError:
    return InputError(f"cannot be read, it is truncated or damaged ({error})", str(path), "make or copy it again")


def _read_npy(path: pathlib.Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _broken(path, error) from error


def h5_image_key(path: PathLike) -> str:
    """Which of `H5_KEYS` an HDF5 file holds.

    Raises:
        InputError: none, or the file is damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            keys = list(file)
    except (OSError, RuntimeError) as error:
        raise _broken(pathlib.Path(path), error) from error
    found = [key for key in H5_KEYS if key in keys]
    if not found:
        known = ", ".join(H5_KEYS)
        raise InputError(
            f"has no image dataset (its keys: {', '.join(keys) or 'none'})", str(path), f"give one of {known}"
        )
    return found[0]


def _read_h5(path: pathlib.Path) -> np.ndarray:
    import h5py

    key = h5_image_key(path)
    try:
        with h5py.File(path, "r") as file:
            array = np.asarray(file[key])
    except (OSError, RuntimeError, TypeError) as error:
        raise _broken(path, error) from error
    return array[None] if array.ndim == 2 else array


def _read_nifti(path: pathlib.Path) -> np.ndarray:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        array = np.asanyarray(nibabel.load(path).dataobj)
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise _broken(path, error) from error
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 4:
        return array.transpose(2, 3, 0, 1)
    return np.moveaxis(array, 2, 0) if array.ndim == 3 else array
