"""What readers of raw data share: volumes, skipped slices, options, finding files.

A reader is a function `(path, SourceOptions) -> list[Volume]` that opens files only as far as it
must to count slices; a volume's `read` then gives its records one at a time.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfrecon.records import Record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A slice that gives no record.

    Attributes:
        record_id: the id it would have had.
        reason: why, a few words.
    """

    record_id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Volume:
    """One scan, mostly one file.

    Attributes:
        volume_id: unique in a source.
        subject_id: who was scanned; splits never cut a subject.
        path: the file.
        slices: how many records it gives, skipped ones counted.
        shape: of one record's k-space (expected; for planning).
        read: gives the records of the slices asked for, in that order, one at a time, and closes its
            file at the end.
        files: its files where there are several; empty where `path` is the only one.
        subject_known: whether `subject_id` says who was scanned. Where it does not, a split by it may
            part the slices of one subject.
    """

    volume_id: str
    subject_id: str
    path: pathlib.Path
    slices: int
    shape: tuple[int, ...]
    read: Callable[[Sequence[int]], Iterator[Record | Skipped]]
    files: tuple[pathlib.Path, ...] = ()
    subject_known: bool = True


@dataclasses.dataclass(frozen=True)
class SourceOptions:
    """How raw data are read; each reader takes what concerns it.

    Attributes:
        strict: refuse a slice that would be skipped.
        remove_oversampling: fastMRI: cut the readout to the reconstructed field of view.
        reference: fastMRI, npy: "auto" (the file's, else RSS where fully sampled), "file", "rss", "none".
        slice_axis: NIfTI: "axial", "coronal", "sagittal" (reoriented by the affine) or "0", "1", "2".
        min_foreground: NIfTI: slices with a smaller part of pixels above 10 % of the volume's
            brightness are empty.
        npy_kind: npy: "kspace", "coil_images" or "image"; "" guesses where that is safe.
        axes: npy: the order of the axes in the file, letters of N (slice), C (coil), H, W such as
            "HWC"; "" for the package's own order.
        key: npz: which array.
        mask: npy, SSDiffRecon: mask file; "nonzero" takes samples that are not zero as measured. Of
            images it says what to keep of the simulated acquisition.
        coil_maps: npy, SSDiffRecon: file of coil maps.
        volumes: numbered npy images: a table (CSV, JSON) of the volume of each file.
        slices_per_volume: numbered npy images: so many successive numbers are a volume; 0 where it is
            not known.
        coils: simulated coils.
        noise: simulated noise, as a fraction of the image's brightness.
        phase: whether to simulate a smooth phase.
        seed: of the simulation.
    """

    strict: bool = False
    remove_oversampling: bool = True
    reference: str = "auto"
    slice_axis: str = "axial"
    min_foreground: float = 0.02
    npy_kind: str = ""
    axes: str = ""
    key: str = ""
    mask: str = ""
    coil_maps: str = ""
    volumes: str = ""
    slices_per_volume: int = 0
    coils: int = 8
    noise: float = 0.01
    phase: bool = True
    seed: int = 0


def find_files(path: PathLike, suffixes: Sequence[str], what: str) -> list[pathlib.Path]:
    """The files of a kind at `path`: the file itself, or those in the folder tree, sorted.

    Args:
        path: a file or a folder.
        suffixes: endings such as ".nii.gz"; hidden files are passed over.
        what: the kind in words, for the message.

    Raises:
        InputError: nothing there, or two files of one name, whose volumes could not be told apart.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError("no such file or folder", str(path), "check the path")
    if path.is_file():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and file.name.lower().endswith(tuple(suffixes)) and not _hidden(file.relative_to(path))
    )
    if not files:
        raise InputError(f"holds no {what} file ({', '.join(suffixes)})", str(path), "check the path")
    return files


def check_unique_names(files: Sequence[pathlib.Path]) -> None:
    """Raises InputError where two files would give volumes of one id."""
    seen: dict[str, pathlib.Path] = {}
    for file in files:
        stem = volume_name(file)
        if stem in seen:
            raise InputError(
                f"has the same name as {seen[stem]}, so their volumes could not be told apart",
                str(file),
                "rename one of them, or convert the folders one by one",
            )
        seen[stem] = file


def check_finite(array: np.ndarray, key: str, where: str) -> None:
    """Raises InputError if `array`, the value of `key`, holds NaN or Inf."""
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise InputError(
            f"key {key!r} {array.shape} holds {bad} NaN or Inf samples", where, "repair or leave out this slice"
        )


def volume_name(file: pathlib.Path) -> str:
    """The file's name without its endings, `.nii.gz` as one."""
    name = file.name
    for suffix in (".nii.gz", ".tfrecords", ".tfrecord", *file.suffixes[-1:]):
        if name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)]
    return name


def subject_name(volume_id: str) -> str:
    """Who was scanned, where the name tells: IXI012-HH-1211-T1 → IXI012, BIDS' sub-01_T1w → sub-01."""
    match = re.match(r"(IXI\d+|sub-[A-Za-z0-9]+)(?=[-_]|$)", volume_id)
    return match.group(1) if match else volume_id


def record_name(volume_id: str, index: int) -> str:
    """Id of slice `index` of a volume."""
    return f"{volume_id}/{index:03d}"


def _hidden(relative: pathlib.Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)
