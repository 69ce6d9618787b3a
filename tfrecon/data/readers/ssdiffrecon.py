"""The record files of SSDiffRecon, read into records; `data.ssdiffrecon_files` has their layout.

The original stores no measured k-space, only images combined over coils. K-space is therefore
re-projected, `M F (S_c u)`, which is exact for one coil and is not what the scanner measured for
several; `attrs["kspace_origin"]` says so. Files that tfrecon wrote hold the measured k-space beside
it, and their `records.json` holds ids and subjects.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.data.ssdiffrecon_files import LEVEL, QUANTITIES, RECORDS_FILE, find_offsets, labels_file, read_arrays
from tfrecon.data.transforms import scale_of, to_kspace
from tfrecon.data.volumes import Skipped, SourceOptions, Volume, find_files
from tfrecon.records import Record, validate_record
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json
from tfrecon.util.shapes import centre_crop


@dataclasses.dataclass(frozen=True)
class _Names:
    """What a record is called; `facts` is what else `records.json` says of it."""

    record_id: str
    volume_id: str
    subject: str
    slice_index: int
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Set:
    """Files that belong together, where their records begin, their names and label rows."""

    files: Mapping[str, pathlib.Path]
    offsets: Mapping[str, Sequence[int]]
    names: Sequence[_Names]
    labels: np.ndarray | None


def open_volumes(path: pathlib.Path, options: SourceOptions) -> list[Volume]:
    """The volumes of a folder with `us_im`, `mask` and (multi-coil) `coil_map` files, or of a `us_im` file.

    The original's files hold no subject, so all of their records count as one volume and cannot be
    split; those that tfrecon wrote have a `records.json` with the volumes.

    Raises:
        InputError: a file is missing, ambiguous or damaged, or the files differ in length.
    """
    files = _find_quantities(path, options)
    offsets = {quantity: find_offsets(file) for quantity, file in files.items()}
    counts = {quantity: len(found) for quantity, found in offsets.items()}
    if len(set(counts.values())) != 1 or not counts["us_im"]:
        listed = ", ".join(f"{count} in {files[quantity]}" for quantity, count in counts.items())
        raise InputError(
            f"the files differ in length or are empty: {listed}", str(path), "give files that belong together"
        )
    names = _names(files["us_im"], counts["us_im"])
    stored = _Set(files, offsets, names, _read_labels(files["us_im"]))
    shape = _shape_of_first(stored)
    members: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        members.setdefault(name.volume_id, []).append(number)
    return [
        Volume(
            volume,
            names[numbers[0]].subject,
            files["us_im"],
            len(numbers),
            shape,
            functools.partial(_read_slices, stored, numbers),
            tuple(files.values()),
        )
        for volume, numbers in members.items()
    ]


def _names(us_im: pathlib.Path, count: int) -> list[_Names]:
    """From `records.json` where there is one, else by the file's name and the position in it."""
    file = us_im.parent.parent / RECORDS_FILE
    if not file.is_file():
        name = LEVEL.sub("", us_im.name).removesuffix(".tfrecords") or us_im.parent.name
        return [_Names(f"{name}/{number:05d}", name, name, number) for number in range(count)]
    fix = "it does not belong to these files: convert again"
    try:
        entries = read_json(file)["records"]
        names = [
            _Names(str(e["record_id"]), str(e["volume_id"]), str(e["subject"]), int(e["slice_index"]), dict(e))
            for e in entries
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"is not as it should be ({type(error).__name__}: {error})", str(file), fix) from error
    if len(names) != count:
        raise InputError(f"names {len(names)} records of {count}", str(file), fix)
    return names


def _find_quantities(path: pathlib.Path, options: SourceOptions) -> dict[str, pathlib.Path]:
    given = {"mask": options.mask, "coil_map": options.coil_maps}
    files = {quantity: pathlib.Path(file) for quantity, file in given.items() if file}
    root = path if path.is_dir() else path.parent
    found = find_files(root, (".tfrecords",), "TFRecord")
    if path.is_file():
        files["us_im"] = path
    for name, quantity in QUANTITIES.items():
        if name in files:
            continue
        candidates = [file for file in found if _holds(file.relative_to(root), quantity.words)]
        candidates = _largest_level(candidates)
        if len(candidates) > 1:
            listed = ", ".join(str(file) for file in candidates)
            raise InputError(f"several files may be {name}: {listed}", str(path), "give the folder of one split")
        if candidates:
            files[name] = candidates[0]
        elif quantity.required:
            raise InputError(
                f"no file of {name} records found",
                str(path),
                f"name its file or folder '…{name}…', or give --input=US_IM_FILE --mask=FILE --coil_maps=FILE",
            )
    return {name: files[name] for name in QUANTITIES if name in files}


def _holds(relative: pathlib.Path, words: Sequence[str]) -> bool:
    return any(word in str(relative).lower() for word in words)


def _largest_level(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Of an image pyramid (-r02 … -r09) only the full resolution."""
    levels = {file: int(match.group(1)) for file in files if (match := LEVEL.search(file.name))}
    if not levels:
        return list(files)
    return [file for file in files if levels.get(file) == max(levels.values())]


def _shape_of_first(stored: _Set) -> tuple[int, ...]:
    """Of the first record's k-space."""
    quantity = "coil_map" if "coil_map" in stored.files else "us_im"
    first = next(read_arrays(stored.files[quantity], quantity, stored.offsets[quantity], [0]))
    return first.shape[1:] if quantity == "coil_map" else (1, *first.shape[-2:])


def _read_slices(stored: _Set, members: Sequence[int], slices: Sequence[int]) -> Iterator[Record | Skipped]:
    numbers = [members[index] for index in slices]
    readers = [read_arrays(file, name, stored.offsets[name], numbers) for name, file in stored.files.items()]
    for number, arrays in zip(numbers, zip(*readers, strict=True), strict=True):
        label = None if stored.labels is None or number >= len(stored.labels) else stored.labels[number].tolist()
        where = f"{stored.files['us_im']} record {number}"
        found = dict(zip(stored.files, arrays, strict=True))
        yield _make_record(found, stored.names[number], label, stored.files["us_im"].name, where)


def _read_labels(us_im: pathlib.Path) -> np.ndarray | None:
    """The label rows beside the images (contrast and rate, one-hot), where there are any."""
    file = labels_file(us_im)
    if not file.is_file():
        return None
    try:
        labels = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot be read ({error})", str(file), "copy this file again, or remove it") from error
    if labels.ndim != 2 or not np.isfinite(labels).all():
        raise InputError(f"labels {labels.shape} are no finite rows [N, L]", str(file), "make it again, or remove it")
    return labels


def _make_record(
    arrays: Mapping[str, np.ndarray], names: _Names, label: list[float] | None, source: str, where: str
) -> Record | Skipped:
    image = (arrays["us_im"][0] + 1j * arrays["us_im"][1]).astype(np.complex64)
    if not image.any():
        return Skipped(names.record_id, "every pixel is zero")
    mask = arrays["mask"].astype(np.uint8)
    native = mask.shape[-2:]
    if any(have < want for have, want in zip(image.shape, native, strict=True)):
        raise InputError(
            f"mask {native} is larger than the image {image.shape}", where, "give files that belong together"
        )
    maps = _complex(arrays, "coil_map", native, where)
    kspace, origin = _complex(arrays, "kspace", native, where), None
    if kspace is None:
        image = np.ascontiguousarray(centre_crop(image, native))
        kspace = to_kspace(image[np.newaxis] if maps is None else maps * image)
        origin = "Fourier transform of the zero-filled image"
        if maps is not None:
            origin = "re-projected from the combined zero-filled image, M F (S_c u): not measured"
    kspace = kspace * mask
    record = Record(
        kspace=kspace,
        mask=mask,
        record_id=names.record_id,
        volume_id=names.volume_id,
        slice_index=names.slice_index,
        scale=scale_of(kspace, mask) if kspace.any() else 1.0,
        maps=maps,
        reference=_reference(arrays),
        noise_std=names.facts.get("noise_std"),
        attrs=_attrs(names, source, origin, maps is not None, label),
    )
    return validate_record(record, where)


def _attrs(names: _Names, source: str, origin: str | None, maps: bool, label: list[float] | None) -> dict[str, Any]:
    attrs = {"source": source, **names.facts.get("attrs", {})}
    if origin:
        attrs["kspace_origin"] = origin
    if "divided_by" in names.facts:
        attrs["image_divided_by"] = names.facts["divided_by"]
    if maps:
        attrs.setdefault("maps", {"method": "given"})
    if label is not None:
        attrs["label"] = label
    return attrs


def _complex(arrays: Mapping[str, np.ndarray], name: str, native: tuple[int, ...], where: str) -> np.ndarray | None:
    """Coil maps or k-space `[C, h, w]`."""
    if name not in arrays:
        return None
    array = (arrays[name][0] + 1j * arrays[name][1]).astype(np.complex64)
    if array.shape[-2:] != native:
        raise InputError(f"{name} {array.shape} and mask {native} differ in size", where, "give matching files")
    return array


def _reference(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if "reference" not in arrays:
        return None
    channels = arrays["reference"]
    return channels[0] if len(channels) == 1 else (channels[0] + 1j * channels[1]).astype(np.complex64)
