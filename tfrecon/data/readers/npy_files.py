"""One `.npy` or `.npz` file to its arrays."""

from __future__ import annotations

import pathlib
import zipfile

import numpy as np

from tfrecon.util.errors import InputError


def load_arrays(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file by key; "" is the key of an `.npy`, which is mapped rather than read.

    Raises:
        InputError: missing, damaged, or objects rather than numbers.
    """
    fix = "save it again with numpy.save or numpy.savez"
    if not file.is_file():
        raise InputError("no such file", str(file), "check the path")
    try:
        if file.suffix == ".npy":
            return {"": np.load(file, mmap_mode="r", allow_pickle=False)}
        # Opened here, because NumPy leaves the file open where the archive is damaged.
        with open(file, "rb") as handle, np.load(handle, allow_pickle=False) as loaded:
            return {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"is not a readable NumPy file ({error})", str(file), fix) from error
