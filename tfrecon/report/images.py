"""Folders of images: what `reconstruct` and `reference` wrote, and what other software left.

Three kinds are read, a volume at a time:

- with an `index.json` (tfrecon's own layout, docs/formats.md); the subfolders `reference/`,
  `zero_filled/` and those of `serve.kinds` share the index of the folder they lie in;
- bare `.npy` files, as SSDiffRecon leaves them (`im_3samples.npy`), `[H, W]` or `[N, H, W]`;
- bare fastMRI-style `.h5` files and NIfTI volumes, one file per volume.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfrecon.report.image_files import IMAGE_SUFFIXES, h5_image_key, read_image_file, stem_of, suffix_of
from tfrecon.serve.kinds import is_uncertainty
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

INDEX_NAME = "index.json"
BASELINE_FOLDER = "zero_filled"
REFERENCE_FOLDER = "reference"
MASK_FOLDER = "mask"

_NUMBERED = re.compile(r"^im_(?:eval)?(\d+)samples$")


@dataclasses.dataclass(frozen=True)
class ImageEntry:
    """One image: a slice, or a series of frames.

    Attributes:
        k: its number in the folder, what `--indices` counts.
        file: its file, relative to the folder.
        index: its position in the file, None where the file holds nothing else.
        volume_id: the volume it belongs to; without an index every file is one volume.
        slice_index: its position in the volume.
        record_id: the record it was made from, None where no index says.
        facts: what the index says of it: acceleration, acs, seconds, attrs.
    """

    k: int
    file: str
    index: int | None
    volume_id: str
    slice_index: int
    record_id: str | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> str:
        """How messages name it."""
        place = self.file if self.index is None else f"{self.file}[{self.index}]"
        return place if self.record_id is None else f"{place} ({self.record_id})"

    @property
    def number(self) -> int | None:
        """The k of `im_{k}samples` and `im_eval{k}samples`, None for other names."""
        found = _NUMBERED.match(stem_of(self.file))
        return int(found.group(1)) if found else None


class ImageSet:
    """The images of one folder (or one file).

    Args:
        folder: where the files lie.
        entries: the images in order.
        info: what the index says of all of them: method, options, reference_type, format; empty
            without an index.
        not_indexed: image files that lie in the folder and that the index does not name.
        arrays: file contents by name that are in memory already.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        entries: list[ImageEntry],
        info: Mapping[str, Any] | None = None,
        not_indexed: tuple[str, ...] = (),
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.folder = folder
        self.entries = entries
        self.info = dict(info or {})
        self.not_indexed = not_indexed
        self.in_memory = arrays is not None
        self._arrays = dict(arrays or {})

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[ImageEntry]:
        return iter(self.entries)

    @property
    def source(self) -> str:
        """Where the images are from, for passports."""
        return "array" if self.in_memory else str(self.folder)

    @property
    def method(self) -> str | None:
        """The method's name, None where no index says."""
        return self.info.get("method")

    @property
    def reference_type(self) -> str | None:
        """What the references are ("rss", "simulated complex image", ...), None if unknown."""
        if self.method == "zero_filled":
            return "zero-filled image"
        kinds = {(entry.facts.get("attrs") or {}).get("reference_type") for entry in self.entries}
        said = self.info.get("reference_type") or ", ".join(sorted(str(kind) for kind in kinds if kind))
        if said or self.in_memory or self.info or suffix_of(self.entries[0].file) != ".h5":
            return said or None
        key = h5_image_key(self.folder / self.entries[0].file)
        return key.removeprefix("reconstruction_") if key != "reconstruction" else None

    def load(self, entry: ImageEntry) -> np.ndarray:
        """The image `[H, W]` or `[T, H, W]`, float or complex, finite.

        Raises:
            InputError: the file is missing, broken, of another shape than said, or holds NaN.
        """
        array = self._read(entry.file)
        where = str(self.folder / entry.file)
        if entry.index is not None:
            if array.ndim < 3 or entry.index >= len(array):
                raise InputError(
                    f"holds images {array.shape} but number {entry.index} is asked for",
                    where,
                    f"it does not belong to this {INDEX_NAME}: make the folder again",
                )
            array = array[entry.index]
        if array.ndim == 3 and len(array) == 1:
            array = array[0]
        if array.ndim not in (2, 3):
            raise InputError(f"has shape {array.shape}", where, "an image is [H, W], a series [T, H, W]")
        bad = array.size - np.count_nonzero(np.isfinite(array))
        if bad:
            raise InputError(f"image {entry.label} holds {bad} NaN or Inf pixels", where, "reconstruct it again")
        return array

    def mask(self, entry: ImageEntry) -> np.ndarray | None:
        """The sampling mask beside the image (`mask/im_{k}samples.npy`), None if there is none."""
        path = self.folder / MASK_FOLDER / f"im_{entry.k}samples.npy"
        return read_image_file(path) if path.is_file() else None

    def _read(self, file: str) -> np.ndarray:
        # The slices of a volume come one after the other, so one file is kept in memory.
        if file not in self._arrays:
            self._arrays = {file: read_image_file(self.folder / file)}
        return self._arrays[file]


def open_images(path: PathLike) -> ImageSet:
    """Finds the images of a folder or a single file; pixels are read later, by `ImageSet.load`.

    Args:
        path: a folder as the module's docstring describes, or one `.npy`, `.h5` or NIfTI file.

    Returns:
        The image set, in the order of the index, else in natural order of the names.

    Raises:
        InputError: nothing there, two files of one name, or an index that does not fit its files.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return _bare(path.parent, [path.name])
    if not path.is_dir():
        raise InputError("no such folder", str(path), "check the path")
    files = _image_files(path)
    if (path / INDEX_NAME).is_file():
        return _indexed(path, path / INDEX_NAME, files, all_there=True)
    shared = path.parent / INDEX_NAME
    if (path.name in (BASELINE_FOLDER, REFERENCE_FOLDER) or is_uncertainty(path.name)) and shared.is_file():
        images = _indexed(path, shared, files, all_there=False)
        # The index speaks of the folder above; these images were not made by its method.
        images.info |= {"method": path.name, "options": {}}
        return images
    return _bare(path, files)


def array_images(array: np.ndarray, name: str) -> ImageSet:
    """The image set of an array in memory: one volume.

    Args:
        array: `[H, W]` or `[N, H, W]`, real or complex.
        name: what messages call it.

    Returns:
        The image set, one entry per slice.

    Raises:
        InputError: the array is of another rank.
    """
    array = np.asarray(array)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or not array.size:
        raise InputError(f"{name} has shape {array.shape}", fix="give [H, W] or [N, H, W], one volume at a time")
    entries = [ImageEntry(k=n, file=name, index=n, volume_id="array", slice_index=n) for n in range(len(array))]
    return ImageSet(pathlib.Path(), entries, arrays={name: array})


def _image_files(folder: pathlib.Path) -> list[str]:
    # Hidden files are temporaries of a run that is going on or was killed.
    names = [file.name for file in folder.iterdir() if suffix_of(file.name) and not file.name.startswith(".")]
    if not names:
        raise InputError(f"holds no images ({', '.join(IMAGE_SUFFIXES)})", str(folder), "check the path")
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


def _indexed(folder: pathlib.Path, index: pathlib.Path, files: list[str], all_there: bool) -> ImageSet:
    content = read_json(index)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise InputError("names no images", str(index), "run reconstruct again")
    entries = [_indexed_entry(image, index) for image in images]
    there = set(files)
    missing = [entry.label for entry in entries if entry.file not in there]
    if missing and all_there:
        raise InputError(
            f"{len(missing)} of {len(entries)} images it names are not there, first {missing[0]}",
            str(index),
            "run reconstruct again to complete the folder",
        )
    entries = [entry for entry in entries if entry.file in there]
    if not entries:
        raise InputError(f"none of its files is named in {index}", str(folder), "make the folder again")
    _refuse_twins([entry.record_id for entry in entries], "record id", index)
    _refuse_twins([(entry.file, entry.index) for entry in entries], "image", index)
    named = {entry.file for entry in entries}
    # A run may have written several formats; the index describes one of them.
    suffixes = {suffix_of(file) for file in named}
    unnamed = tuple(file for file in files if file not in named and suffix_of(file) in suffixes)
    return ImageSet(folder, entries, {key: value for key, value in content.items() if key != "images"}, unnamed)


def _indexed_entry(image: Mapping[str, Any], index: pathlib.Path) -> ImageEntry:
    try:
        facts = {key: image.get(key) for key in ("acceleration", "acs", "seconds")}
        return ImageEntry(
            k=int(image["k"]),
            file=str(image["file"]),
            index=image.get("index_in_file"),
            volume_id=str(image["volume_id"]),
            slice_index=int(image["slice_index"]),
            record_id=str(image["record_id"]),
            facts=facts | {"attrs": image.get("attrs") or {}},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"an image entry is not as it should be ({type(error).__name__}: {error})",
            str(index),
            "it needs k, file, record_id, volume_id and slice_index; run reconstruct again",
        ) from error


def _bare(folder: pathlib.Path, files: list[str]) -> ImageSet:
    _refuse_twins([stem_of(file) for file in files], "file name", folder)
    entries: list[ImageEntry] = []
    for file in files:
        entries.extend(_bare_entries(folder, file, len(entries)))
    return ImageSet(folder, entries)


def _bare_entries(folder: pathlib.Path, file: str, start: int) -> list[ImageEntry]:
    stem = stem_of(file)
    if suffix_of(file) == ".npy":
        entry = ImageEntry(k=start, file=file, index=None, volume_id=stem, slice_index=0)
        return [dataclasses.replace(entry, k=start if entry.number is None else entry.number)]
    count = len(read_image_file(folder / file))
    return [ImageEntry(k=start + n, file=file, index=n, volume_id=stem, slice_index=n) for n in range(count)]


def _refuse_twins(keys: list[Any], what: str, where: pathlib.Path) -> None:
    seen = set()
    for key in keys:
        if key in seen:
            raise InputError(f"two images have the {what} {key!r}", str(where), "keep one of them")
        seen.add(key)
