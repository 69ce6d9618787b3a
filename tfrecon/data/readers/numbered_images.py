"""Folders of one numbered image a file: `im_0samples.npy`, `im_1samples.npy` and so on.

SSDiffRecon and SSDiffReconV2 leave their results so, and `tfrecon reconstruct` and `reference` do.
An image is not a measurement: phase, coils and noise are simulated (`simulated`), and a mask is
applied where one is given.

Which slices belong to one subject is said by `--volumes`, by `--slices_per_volume`, or by the
`index.json` that tfrecon writes beside its images. Where nothing says it, each image counts as a
volume of its own, and `Volume.subject_known` is false.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import pathlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.data.readers.npy_files import load_arrays
from tfrecon.data.readers.simulated import SliceNames, brightness, check_volume, simulate_slice
from tfrecon.data.readers.volume_table import INDEX_NAME, Place, places_in_index, places_in_table
from tfrecon.data.transforms import undersample
from tfrecon.data.volumes import Skipped, SourceOptions, Volume
from tfrecon.physics.masks import from_array
from tfrecon.records import Record
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

_NUMBERED = re.compile(r"im_(?:eval)?(\d+)samples\.npy")

_SHARING_FOLDERS = ("zero_filled", "reference")
"""Subfolders of a folder of reconstructions that share its index."""

_NOT_RECONSTRUCTED = ("ground_truth", "reference")


@dataclasses.dataclass(frozen=True)
class _Image:
    """One file of the folder, and where its slice belongs."""

    file: pathlib.Path
    number: int
    shape: tuple[int, ...]
    place: Place


def is_numbered_folder(path: pathlib.Path) -> bool:
    """Whether `path` is a folder that holds at least one `im_{k}samples.npy`."""
    return path.is_dir() and any(_NUMBERED.fullmatch(file.name) for file in path.iterdir())


def open_volumes(path: pathlib.Path, options: SourceOptions) -> list[Volume]:
    """The volumes of a folder of numbered images, in the order of their first numbers.

    Only the headers of the files are read. Subfolders are passed over.

    Raises:
        InputError: files that cannot be read, two of one number, or a table that does not fit.
    """
    numbered = _numbered_files(path)
    places, subject_known, attrs = _places(path, list(numbered.values()), options)
    members: dict[str, list[_Image]] = {}
    for number, file in numbered.items():
        place = places[file.name]
        members.setdefault(place.volume_id, []).append(_Image(file, number, _image_shape(file), place))
    common = _most_common([image.shape for images in members.values() for image in images])
    return [_volume(images, common, subject_known, options, attrs) for images in members.values()]


def _numbered_files(path: pathlib.Path) -> dict[int, pathlib.Path]:
    """The files by number, in numeric order: im_2 before im_10."""
    names = [file for file in path.iterdir() if file.suffix == ".npy" and not file.name.startswith(".")]
    found: dict[int, pathlib.Path] = {}
    others = []
    for file in sorted(names):
        match = _NUMBERED.fullmatch(file.name)
        if match is None:
            others.append(file.name)
            continue
        other = found.setdefault(int(match.group(1)), file)
        if other is not file:
            raise InputError(f"{other.name} and {file.name} have one number", str(path), "keep one of them")
    if others:
        warnings.warn(
            f"{path}: {len(others)} .npy files are not named im_NUMBERsamples.npy and are left out, the first is "
            f"{others[0]}",
            stacklevel=2,
        )
    return dict(sorted(found.items()))


def _places(
    path: pathlib.Path, files: Sequence[pathlib.Path], options: SourceOptions
) -> tuple[Mapping[str, Place], bool, dict[str, Any]]:
    """Where each file's slice belongs, whether that is known or assumed, and facts for all records."""
    if options.volumes and options.slices_per_volume:
        raise InputError("--volumes and --slices_per_volume were both given", str(path), "give one of them")
    index = path / INDEX_NAME
    if not index.is_file() and path.name in _SHARING_FOLDERS:
        index = path.parent / INDEX_NAME
    content = read_json(index) if index.is_file() else None
    attrs = _image_origin(path, content)
    if options.volumes:
        return places_in_table(options.volumes, files), True, attrs
    if options.slices_per_volume:
        return _places_by_number(files, options.slices_per_volume), True, attrs
    if content is not None:
        return places_in_index(content, index, files), True, attrs
    return {file.name: Place(file.stem, file.stem, file.stem, 0) for file in files}, False, attrs


def _image_origin(path: pathlib.Path, content: Any) -> dict[str, Any]:
    """What made the images, as far as an index says; warns where a method did."""
    method = content.get("method") if isinstance(content, dict) else None
    if path.name in _SHARING_FOLDERS:
        method = path.name
    if method is None:
        return {"images_made_by": "unknown"}
    if method not in _NOT_RECONSTRUCTED:
        warnings.warn(
            f"{path}: these images are reconstructions ({method}), no ground truth: what is trained on them learns "
            "that method's errors as well",
            stacklevel=2,
        )
    return {"images_made_by": method}


def _places_by_number(files: Sequence[pathlib.Path], size: int) -> dict[str, Place]:
    """Volumes of `size` successive numbers from 0; a number that is missing shifts no other."""
    if size < 1:
        raise InputError(f"{size} slices per volume are not possible", fix="give --slices_per_volume of at least 1")
    places = {}
    for file in files:
        volume, index = divmod(int(_NUMBERED.fullmatch(file.name).group(1)), size)
        name = f"volume{volume:04d}"
        places[file.name] = Place(file.stem, name, name, index)
    return places


def _volume(
    images: list[_Image], common: tuple[int, ...], subject_known: bool, options: SourceOptions, attrs: dict[str, Any]
) -> Volume:
    # Volumes of several slices may differ in size; single images are held against the whole folder.
    shape = _most_common([image.shape for image in images]) if subject_known else common
    subjects = {image.place.subject for image in images}
    if len(subjects) > 1:
        listed = ", ".join(sorted(subjects))
        raise InputError(f"volume {images[0].place.volume_id!r} is of several subjects: {listed}", options.volumes)
    files = tuple(image.file for image in images)
    return Volume(
        volume_id=images[0].place.volume_id,
        subject_id=images[0].place.subject,
        path=files[0] if len(files) == 1 else files[0].parent,
        slices=len(images),
        shape=(options.coils, *(shape if len(shape) == 2 else (1, 1))),
        read=functools.partial(_read_slices, images, shape, options, attrs),
        files=files,
        subject_known=subject_known,
    )


def _read_slices(
    images: Sequence[_Image],
    shape: tuple[int, ...],
    options: SourceOptions,
    attrs: dict[str, Any],
    slices: Sequence[int],
) -> Iterator[Record | Skipped]:
    """One volume is held in memory: its brightness, and so its scale, is that of all its slices."""
    loaded = [_load_image(image, shape) for image in images]
    usable = [np.abs(image).ravel() for image in loaded if not isinstance(image, Skipped)]
    bright = brightness(np.concatenate(usable)) if usable else 0.0
    for index in slices:
        image, pixels = images[index], loaded[index]
        if isinstance(pixels, Skipped):
            yield pixels
            continue
        place = image.place
        names = SliceNames(place.record_id, place.volume_id, place.subject, place.slice_index, image.file.name)
        record = simulate_slice(pixels, bright, names, options, attrs)
        yield _undersampled(record, image.file, options.mask) if isinstance(record, Record) else record


def _load_image(image: _Image, shape: tuple[int, ...]) -> np.ndarray | Skipped:
    name = image.place.record_id
    if len(image.shape) != 2:
        return Skipped(name, f"the array {image.shape} is not one image [H, W]")
    if image.shape != shape:
        return Skipped(name, f"its size {image.shape} is not that of the others, {shape}")
    pixels = np.array(load_arrays(image.file)[""]).reshape(shape)
    if pixels.dtype.kind in "fc" and not np.isfinite(pixels).all():
        return Skipped(name, "NaN or Inf pixels")
    if pixels.dtype.kind in "buifc" and not pixels.any():
        return Skipped(name, "every pixel is zero")
    return check_volume(pixels, str(image.file))


def _undersampled(record: Record, file: pathlib.Path, mask: str) -> Record:
    """The record under the mask file, or under the mask of its own name in a folder of masks."""
    if not mask:
        return record
    if mask == "nonzero":
        raise InputError("--mask=nonzero is for k-space, but these are images", str(file), "give a mask file, or none")
    path = pathlib.Path(mask)
    path = path / file.name if path.is_dir() else path
    given = next(iter(load_arrays(path).values()))
    return undersample(record, from_array(given, record.kspace.shape[-2:], str(path)))


def _image_shape(file: pathlib.Path) -> tuple[int, ...]:
    """Shape of the image in a file; axes of length 1 before or behind it do not count."""
    shape = load_arrays(file)[""].shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _most_common(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The size of most images; of what is no image where there is none."""
    counts = collections.Counter(shape for shape in shapes if len(shape) == 2) or collections.Counter(shapes)
    return counts.most_common(1)[0][0]
