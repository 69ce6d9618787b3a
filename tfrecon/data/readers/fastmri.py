"""fastMRI's HDF5 files, single-coil and multi-coil, knee and brain, train and test.

Layout (Zbontar et al., arXiv 1811.08839; fastmri.med.nyu.edu): `kspace` complex64 `[slices, H, W]`
or `[slices, coils, H, W]`, `reconstruction_esc` / `reconstruction_rss` float32 `[slices, h, w]`,
`ismrmrd_header` XML, in test files `mask` `[W]`. H is the readout, mostly twice oversampled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

from tfrecon.data.readers.ismrmrd_header import Header, parse_header
from tfrecon.data.transforms import crop_kspace, rss_image, scale_of
from tfrecon.data.volumes import (
    Skipped,
    SourceOptions,
    Volume,
    check_finite,
    check_unique_names,
    find_files,
    record_name,
    volume_name,
)
from tfrecon.records import Record, validate_record
from tfrecon.util.errors import InputError

REFERENCES = ("reconstruction_rss", "reconstruction_esc")
_ATTRIBUTES = ("acquisition", "max", "norm", "patient_id", "acceleration", "num_low_frequency")
_REFERENCE_CHOICES = ("auto", "file", "rss", "none")


@dataclasses.dataclass(frozen=True)
class _Layout:
    """What is known of a file before its slices are read."""

    shape: tuple[int, ...]
    readout: int
    line_mask: np.ndarray
    given_mask: bool
    reference_key: str | None
    attrs: dict[str, Any]


def open_volumes(path: pathlib.Path, options: SourceOptions) -> list[Volume]:
    """The volumes of a file or of all h5 files below a folder.

    Raises:
        InputError: a file is truncated, is not HDF5, lacks a key, or has another axis order.
    """
    if options.reference not in _REFERENCE_CHOICES:
        raise InputError(f"no reference {options.reference!r}", fix=f"choose one of {', '.join(_REFERENCE_CHOICES)}")
    files = find_files(path, (".h5", ".hdf5"), "HDF5")
    check_unique_names(files)
    return [_open_volume(file, options) for file in files]


def _open_volume(file: pathlib.Path, options: SourceOptions) -> Volume:
    with _open(file) as data:
        layout = _read_layout(data, file, options)
    name = volume_name(file)
    slices, *rest = layout.shape
    shape = (1, *rest) if len(rest) == 2 else tuple(rest)
    return Volume(
        volume_id=name,
        subject_id=layout.attrs["subject"],
        path=file,
        slices=slices,
        shape=(shape[0], layout.readout, shape[2]),
        read=functools.partial(_read_slices, file, layout, options),
    )


@contextlib.contextmanager
def _open(file: pathlib.Path) -> Iterator[h5py.File]:
    """Opens an h5 file for reading and turns HDF5's errors into one line."""
    fix = "download or copy it again"
    try:
        data = h5py.File(file, "r")
    except OSError as error:
        state = "is truncated" if "truncated" in str(error) else "is not a readable HDF5 file"
        raise InputError(state, str(file), fix) from error
    with data:
        try:
            yield data
        except (OSError, RuntimeError) as error:
            raise InputError(f"cannot be read ({error})", str(file), fix) from error


def _read_layout(data: h5py.File, file: pathlib.Path, options: SourceOptions) -> _Layout:
    if "kspace" not in data:
        keys = ", ".join(sorted(data)) or "none"
        raise InputError(f"lacks the key 'kspace' (its keys: {keys})", str(file), "give fastMRI's k-space files")
    kspace = data["kspace"]
    _check_kspace(kspace, str(file))
    header = parse_header(data["ismrmrd_header"][()], str(file)) if "ismrmrd_header" in data else None
    reference_key = next((key for key in REFERENCES if key in data), None)
    if options.reference == "file" and reference_key is None:
        raise InputError(
            f"holds none of {', '.join(REFERENCES)}", str(file), "use --reference=auto or --reference=none"
        )
    height, width = kspace.shape[-2:]
    readout = height
    if options.remove_oversampling:
        reference_height = data[reference_key].shape[-2] if reference_key else None
        readout = _readout_size(height, header, reference_height)
    line_mask = np.ones(width, np.uint8)
    if "mask" in data:
        line_mask = _check_mask(np.asarray(data["mask"][()]), width, str(file))
    elif header is not None:
        line_mask = header.acquired_lines(width)
    return _Layout(kspace.shape, readout, line_mask, "mask" in data, reference_key, _facts(data, file, header, height))


def _check_kspace(kspace: h5py.Dataset, where: str) -> None:
    layout = "[slices, H, W] or [slices, coils, H, W]"
    if kspace.dtype.kind != "c":
        raise InputError(f"key 'kspace' {kspace.shape} is {kspace.dtype}, not complex", where, "write it as complex64")
    if kspace.ndim not in (3, 4) or 0 in kspace.shape:
        raise InputError(f"key 'kspace' has shape {kspace.shape}", where, f"it should be {layout}")
    if kspace.ndim == 4 and kspace.shape[1] > 2 * min(kspace.shape[2:]):
        raise InputError(
            f"key 'kspace' {kspace.shape} would have {kspace.shape[1]} coils of {kspace.shape[2]}×{kspace.shape[3]}",
            where,
            f"its coils look last: it should be {layout}",
        )


def _readout_size(height: int, header: Header | None, reference_height: int | None) -> int:
    """Height of the image without readout oversampling; without a header, only a factor of 2 is believed."""
    if header is not None:
        return min(height, header.readout_without_oversampling(height))
    if reference_height is not None and height == 2 * reference_height:
        return reference_height
    return height


def _check_mask(mask: np.ndarray, width: int, where: str) -> np.ndarray:
    flat = mask.reshape(-1)
    if flat.size != width:
        raise InputError(
            f"key 'mask' {mask.shape} does not fit k-space of width {width}", where, "it should have one entry a line"
        )
    if not np.isin(flat, (0, 1)).all():
        raise InputError("key 'mask' holds values other than 0 and 1", where, "give a binary mask")
    return flat.astype(np.uint8)


def _facts(data: h5py.File, file: pathlib.Path, header: Header | None, height: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"source": file.name, "subject": volume_name(file)}
    for key in _ATTRIBUTES:
        if key in data.attrs:
            value = data.attrs[key]
            facts[key] = value.decode() if isinstance(value, bytes) else np.asarray(value).tolist()
    if "patient_id" in facts:
        facts["subject"] = str(facts["patient_id"])
    if header is not None:
        facts["voxel_size"] = header.voxel_size(height)
        facts["encoded_matrix"] = list(header.encoded_matrix)
    return facts


def _read_slices(
    file: pathlib.Path, layout: _Layout, options: SourceOptions, slices: Sequence[int]
) -> Iterator[Record | Skipped]:
    name = volume_name(file)
    with _open(file) as data:
        for index in slices:
            record_id = record_name(name, index)
            kspace = np.asarray(data["kspace"][index], np.complex64)
            check_finite(kspace, "kspace", f"{file} record {record_id!r}")
            if not kspace.any():
                yield Skipped(record_id, "every sample is zero")
                continue
            stored = None if layout.reference_key is None else np.asarray(data[layout.reference_key][index])
            record = _make_record(kspace, stored, layout, options, record_id)
            yield validate_record(dataclasses.replace(record, volume_id=name, slice_index=index), str(file))


def _make_record(
    kspace: np.ndarray, stored: np.ndarray | None, layout: _Layout, options: SourceOptions, record_id: str
) -> Record:
    kspace = kspace.reshape((-1, *kspace.shape[-2:]))
    attrs = dict(layout.attrs)
    lines, attrs["unacquired_edge_lines"] = _trusted_lines(kspace, layout)
    kspace = kspace * lines
    height = kspace.shape[-2]
    if layout.readout < height:
        kspace = crop_kspace(kspace, (layout.readout, kspace.shape[-1])) * lines
        attrs["readout_oversampling_removed"] = {"from": height, "to": layout.readout}
    reference, attrs["reference_type"] = _reference(kspace, stored, layout, options)
    mask = lines.reshape(1, 1, -1)
    return Record(
        kspace=kspace,
        mask=mask,
        record_id=record_id,
        volume_id="",
        scale=scale_of(kspace, mask),
        reference=reference,
        attrs={key: value for key, value in attrs.items() if value is not None},
    )


def _trusted_lines(kspace: np.ndarray, layout: _Layout) -> tuple[np.ndarray, int | None]:
    """The sampled lines, and how many at the edges the header says were zero-filled.

    The header is believed only where the samples agree with it: lines that it calls unacquired
    but that hold data were acquired.
    """
    if layout.given_mask:
        return layout.line_mask, None
    outside = layout.line_mask == 0
    if not outside.any() or kspace[..., outside].any():
        return np.ones_like(layout.line_mask), None
    return layout.line_mask, int(outside.sum())


def _reference(
    kspace: np.ndarray, stored: np.ndarray | None, layout: _Layout, options: SourceOptions
) -> tuple[np.ndarray | None, str | None]:
    if options.reference == "none":
        return None, None
    if stored is not None and options.reference != "rss":
        return stored.astype(np.float32), layout.reference_key.removeprefix("reconstruction_")
    if layout.given_mask:
        return None, None  # an undersampled test file has no ground truth
    return rss_image(kspace), "rss of the fully sampled k-space"
