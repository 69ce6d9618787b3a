"""Arrays saved by NumPy: k-space, coil images, or images, one file a volume.

Beside `NAME.npy` may lie `NAME_mask.npy`, `NAME_maps.npy` and `NAME_reference.npy`; in an `.npz`
the same are the keys `mask`, `maps` and `reference`. An image with a mask beside it is score-MRI's
prospective layout (Chung and Ye, Med Image Anal 80:102479, 2022): an aliased image of one coil.

Folders of one numbered image a file, as SSDiffRecon writes them, are read by `numbered_images`.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.data.readers import numbered_images
from tfrecon.data.readers.array_layout import KINDS, arrange, guess_kind
from tfrecon.data.readers.npy_files import load_arrays
from tfrecon.data.readers.simulated import brightness, check_volume, simulated_record
from tfrecon.data.transforms import rss_image, scale_of, to_kspace, undersample
from tfrecon.data.volumes import (
    Skipped,
    SourceOptions,
    Volume,
    check_finite,
    check_unique_names,
    find_files,
    record_name,
    subject_name,
    volume_name,
)
from tfrecon.physics.masks import from_array
from tfrecon.records import Record, validate_record
from tfrecon.util.errors import InputError

SIDECARS = ("mask", "maps", "reference")
NONZERO = "nonzero"
"""In place of a mask file: samples that are not zero were measured."""

_KSPACE_KEYS = ("kspace", "ksp")
_MOST_UNEXPLAINED_ZEROS = 0.01
"""Measured k-space has no exact zeros; more than these were zero-filled and need a mask."""


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """The arrays of one volume: `main` `[N, H, W]` or `[N, C, H, W]`, and what lies beside it.

    `keep` is the mask of an acquisition that is simulated from images; the one in `beside` says
    what was measured.
    """

    main: np.ndarray
    kind: str
    beside: Mapping[str, np.ndarray]
    keep: np.ndarray | None = None


def open_volumes(path: pathlib.Path, options: SourceOptions) -> list[Volume]:
    """The volumes of a file or of all `.npy` and `.npz` files below a folder.

    Raises:
        InputError: a file cannot be read, or its layout or kind is not clear.
    """
    if options.npy_kind not in ("", *KINDS):
        raise InputError(f"no npy_kind {options.npy_kind!r}", fix=f"choose one of {', '.join(KINDS)}")
    if numbered_images.is_numbered_folder(path) and options.npy_kind in ("", "image") and not options.axes:
        return numbered_images.open_volumes(path, options)
    if options.volumes or options.slices_per_volume:
        raise InputError(
            "--volumes and --slices_per_volume are for folders of numbered images (im_0samples.npy, …)",
            str(path),
            "leave them out: a file is a volume here",
        )
    files = find_files(path, (".npy", ".npz"), "NumPy")
    names = {(file.parent, volume_name(file)) for file in files}
    files = [file for file in files if len(files) == 1 or not _is_sidecar(file, names)]
    check_unique_names(files)
    masked = [file for file in files if _sidecar(file, "mask").is_file()]
    return [_open_volume(file, options, masked) for file in files]


def _is_sidecar(file: pathlib.Path, names: set[tuple[pathlib.Path, str]]) -> bool:
    name = volume_name(file)
    return any(name.endswith(f"_{key}") and (file.parent, name[: -len(key) - 1]) in names for key in SIDECARS)


def _open_volume(file: pathlib.Path, options: SourceOptions, masked: Sequence[pathlib.Path]) -> Volume:
    arrays = _read_arrays(file, options)
    _check_pair(file, arrays, masked)
    count, *shape = arrays.main.shape
    if arrays.kind == "image":
        shape = [1 if "mask" in arrays.beside else options.coils, *shape]
    name = volume_name(file)
    read = functools.partial(_read_slices, file, options)
    return Volume(name, subject_name(name), file, count, tuple(shape), read)


def _check_pair(file: pathlib.Path, arrays: _Arrays, masked: Sequence[pathlib.Path]) -> None:
    """Raises InputError if half of an aliased image and its mask is missing: the rest would pass for an image.

    Args:
        file: of the image.
        arrays: what it holds.
        masked: the files beside which a mask lies.
    """
    if arrays.kind != "image" or arrays.keep is not None:
        return
    name = volume_name(file)
    if name.endswith("_mask") and np.isin(arrays.main, (0, 1)).all():
        raise InputError("is a mask without its image", str(file), f"put {name[: -len('_mask')]}.npy beside it")
    if masked and "mask" not in arrays.beside:
        raise InputError(
            f"is an image without a mask, but beside {masked[0].name} there is one",
            str(file),
            f"put {name}_mask.npy beside it, or images without masks in a folder of their own",
        )


def _sidecar(file: pathlib.Path, key: str) -> pathlib.Path:
    return file.with_name(f"{volume_name(file)}_{key}.npy")


def _read_arrays(file: pathlib.Path, options: SourceOptions) -> _Arrays:
    found = load_arrays(file)
    key = _main_key(found, options.key, file)
    where = str(file) if file.suffix == ".npy" else f"{file} key {key!r}"
    main = found[key]
    beside = {name: found[name] for name in SIDECARS if name in found and name != key}
    for name in SIDECARS:
        sidecar = _sidecar(file, name)
        if sidecar.is_file():
            beside[name] = load_arrays(sidecar)[""]
    if options.coil_maps:
        beside["maps"] = load_arrays(pathlib.Path(options.coil_maps))[""]
    kind = options.npy_kind or ("kspace" if key in _KSPACE_KEYS and np.iscomplexobj(main) else "")
    kind = kind or guess_kind(main, options.axes, where)
    keep = _given_mask(options, kind, beside, where)
    if keep is not None and kind != "image":
        beside["mask"], keep = keep, None
    return _Arrays(arrange(main, kind, options.axes, where), kind, beside, keep)


def _given_mask(options: SourceOptions, kind: str, beside: Mapping[str, np.ndarray], where: str) -> np.ndarray | None:
    """The mask file that was named, None where none was."""
    if not options.mask:
        return None
    if kind == "image" and options.mask == NONZERO:
        raise InputError("--mask=nonzero is for k-space, but these are images", where, "give a mask file, or none")
    if kind == "image" and "mask" in beside:
        raise InputError("--mask was given, but a mask lies beside the image", where, "leave out one of them")
    return None if options.mask == NONZERO else next(iter(load_arrays(pathlib.Path(options.mask)).values()))


def _main_key(found: Mapping[str, np.ndarray], wanted: str, file: pathlib.Path) -> str:
    keys = ", ".join(found) or "none"
    if wanted and file.suffix != ".npy":
        if wanted not in found:
            raise InputError(f"lacks the key {wanted!r} (its keys: {keys})", str(file), "give --key=NAME")
        return wanted
    candidates = [key for key in found if key not in SIDECARS and found[key].ndim >= 2]
    preferred = [key for key in candidates if key in _KSPACE_KEYS]
    if len(preferred or candidates) != 1:
        raise InputError(f"does not say which array to take (its keys: {keys})", str(file), "give --key=NAME")
    return (preferred or candidates)[0]


def _read_slices(file: pathlib.Path, options: SourceOptions, slices: Sequence[int]) -> Iterator[Record | Skipped]:
    arrays = _read_arrays(file, options)
    if arrays.kind == "image" and "mask" not in arrays.beside:
        volume = check_volume(arrays.main, str(file))
        bright = brightness(volume)
        for index in slices:
            record = simulated_record(volume[index], bright, file, index, options, {})
            if arrays.keep is not None and isinstance(record, Record):
                keep = _mask_of_slice(arrays.keep, len(volume), index)
                record = undersample(record, from_array(keep, record.kspace.shape[-2:], options.mask))
            yield record
        return
    for index in slices:
        yield _measured_record(arrays, file, index, options)


def _measured_record(arrays: _Arrays, file: pathlib.Path, index: int, options: SourceOptions) -> Record | Skipped:
    name = volume_name(file)
    record_id = record_name(name, index)
    where = f"{file} record {record_id!r}"
    data = np.asarray(arrays.main[index]).astype(np.complex64)
    check_finite(data, arrays.kind, where)
    if not data.any():
        return Skipped(record_id, "every sample is zero")
    attrs: dict[str, Any] = {"source": file.name, "subject": subject_name(name)}
    if arrays.kind == "image":
        data = data[np.newaxis]
        attrs["kspace_origin"] = "Fourier transform of an aliased image: re-projected, not measured"
    elif arrays.kind == "coil_images":
        attrs["kspace_origin"] = "Fourier transform of coil images"
    kspace = data if arrays.kind == "kspace" else to_kspace(data)
    mask = _mask(arrays, kspace, index, options, where)
    kspace = kspace * mask
    if not kspace.any():
        return Skipped(record_id, "every sample within the mask is zero")
    reference, attrs["reference_type"] = _reference(arrays, kspace, mask, index, options)
    if "maps" in arrays.beside:
        attrs["maps"] = {"method": "given"}
    record = Record(
        kspace=kspace,
        mask=mask,
        record_id=record_id,
        volume_id=name,
        slice_index=index,
        scale=scale_of(kspace, mask),
        maps=_of_slice(arrays, "maps", index, kspace.ndim, np.complex64),
        reference=reference,
        attrs={key: value for key, value in attrs.items() if value is not None},
    )
    return validate_record(record, str(file))


def _mask(arrays: _Arrays, kspace: np.ndarray, index: int, options: SourceOptions, where: str) -> np.ndarray:
    """uint8 `[1, H or 1, W]`."""
    shape = kspace.shape[-2:]
    empty = ~np.any(kspace, axis=0)
    if options.mask == NONZERO:
        return from_array(~empty, shape, where).array
    if "mask" in arrays.beside:
        given = _mask_of_slice(arrays.beside["mask"], len(arrays.main), index)
        return from_array(given, shape, where).array
    if arrays.kind == "kspace" and empty.mean() > _MOST_UNEXPLAINED_ZEROS:
        raise InputError(
            f"{100 * empty.mean():.1f} % of k-space {kspace.shape} is exactly zero, and no mask says whether it was "
            "sampled",
            where,
            f"put {volume_name(pathlib.Path(where.split(' record ')[0]))}_mask.npy beside it, give --mask=FILE, or "
            "--mask=nonzero if zeros were not sampled",
        )
    return np.ones((1, 1, shape[1]), np.uint8)


def _mask_of_slice(given: np.ndarray, slices: int, index: int) -> np.ndarray:
    """The mask of one slice, of an array that holds one for all slices or one for each."""
    given = np.asarray(given)
    return given[index] if given.ndim >= 3 and given.shape[0] == slices > 1 else given


def _reference(
    arrays: _Arrays, kspace: np.ndarray, mask: np.ndarray, index: int, options: SourceOptions
) -> tuple[np.ndarray | None, str | None]:
    if options.reference == "none":
        return None, None
    if "reference" in arrays.beside and options.reference != "rss":
        given = arrays.beside["reference"]
        dtype = np.complex64 if np.iscomplexobj(given) else np.float32
        return _of_slice(arrays, "reference", index, 2, dtype), "given"
    if not mask.all():
        return None, None
    return rss_image(kspace), "rss of the fully sampled k-space"


def _of_slice(arrays: _Arrays, key: str, index: int, rank: int, dtype: type) -> np.ndarray | None:
    """What belongs to one slice of an array that is given for all slices or once."""
    if key not in arrays.beside:
        return None
    array = np.asarray(arrays.beside[key])
    if array.ndim == rank + 1 and array.shape[0] == arrays.main.shape[0]:
        array = array[index]
    return np.ascontiguousarray(array, dtype)
