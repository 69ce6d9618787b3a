"""The record files of SSDiffRecon (Korkmaz et al., MICCAI 2023), read into records.

The original keeps each quantity in a file of its own, zipped by order: zero-filled images `us_im`
`[2, H, W]` (real, imaginary; a third channel is a dummy), masks `[1, h, w]`, coil maps
`[2, C, h, w]`, as `tf.train.Example` with the lists `shape` (int64) and `data` (float), in
`<folder>/<name>-rXX.tfrecords`. Multi-coil images are zero-padded around the native size h×w.

The original stores no measured k-space, only images combined over coils. K-space is therefore
re-projected, `M F (S_c u)`, which is exact for one coil and is not what the scanner measured for
several; `attrs["kspace_origin"]` says so.
"""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrecon.data.example import NOT_AN_EXAMPLE
from tfrecon.data.transforms import scale_of, to_kspace
from tfrecon.data.volumes import Skipped, SourceOptions, Volume, check_finite, find_files
from tfrecon.records import Record, validate_record
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_crop

_QUANTITIES = {"us_im": ("us_im", "us-im", "usim"), "mask": ("mask",), "coil_map": ("coil_map", "coil-map", "coil")}
"""How file or folder names tell what a file holds."""

_LEVEL = re.compile(r"-r(\d\d)\.tfrecords$")

_FEATURES = {
    "shape": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
    "data": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
}


def open_volumes(path: pathlib.Path, options: SourceOptions) -> list[Volume]:
    """The one volume of a folder with `us_im`, `mask` and (multi-coil) `coil_map` files, or of a `us_im` file.

    The records hold no subject, so all of them count as one volume and cannot be split.

    Raises:
        InputError: a file is missing, ambiguous or damaged, or the files differ in length.
    """
    files = _find_quantities(path, options)
    counts = {quantity: _count(file) for quantity, file in files.items()}
    if len(set(counts.values())) != 1 or not counts["us_im"]:
        listed = ", ".join(f"{count} in {files[quantity]}" for quantity, count in counts.items())
        raise InputError(
            f"the files differ in length or are empty: {listed}", str(path), "give files that belong together"
        )
    name = _LEVEL.sub("", files["us_im"].name).removesuffix(".tfrecords") or files["us_im"].parent.name
    first = next(_read_arrays(files["us_im"], "us_im"))
    shape = (1, *first.shape[-2:])
    if "coil_map" in files:
        shape = next(_read_arrays(files["coil_map"], "coil_map")).shape[1:]
    read = functools.partial(_read_slices, files, name)
    return [Volume(name, name, files["us_im"], counts["us_im"], shape, read)]


def _find_quantities(path: pathlib.Path, options: SourceOptions) -> dict[str, pathlib.Path]:
    given = {"mask": options.mask, "coil_map": options.coil_maps}
    files = {quantity: pathlib.Path(file) for quantity, file in given.items() if file}
    root = path if path.is_dir() else path.parent
    found = find_files(root, (".tfrecords",), "TFRecord")
    if path.is_file():
        files["us_im"] = path
    for quantity, words in _QUANTITIES.items():
        if quantity in files:
            continue
        candidates = [file for file in found if _holds(file.relative_to(root), words)]
        candidates = _largest_level(candidates)
        if len(candidates) > 1:
            listed = ", ".join(str(file) for file in candidates)
            raise InputError(f"several files may be {quantity}: {listed}", str(path), "give the folder of one split")
        if candidates:
            files[quantity] = candidates[0]
    for quantity in ("us_im", "mask"):
        if quantity not in files:
            raise InputError(
                f"no file of {quantity} records found",
                str(path),
                f"name its file or folder '…{quantity}…', or give --input=US_IM_FILE --mask=FILE --coil_maps=FILE",
            )
    return files


def _holds(relative: pathlib.Path, words: Sequence[str]) -> bool:
    return any(word in str(relative).lower() for word in words)


def _largest_level(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Of an image pyramid (-r02 … -r09) only the full resolution."""
    levels = {file: int(match.group(1)) for file in files if (match := _LEVEL.search(file.name))}
    if not levels:
        return list(files)
    return [file for file in files if levels.get(file) == max(levels.values())]


def _examples(file: pathlib.Path) -> Iterator[tf.Tensor]:
    iterator, count = iter(tf.data.TFRecordDataset(str(file))), 0
    while True:
        try:
            yield next(iterator)
        except StopIteration:
            return
        except tf.errors.DataLossError as error:
            raise InputError("is damaged or cut off", f"{file} record {count}", "copy this file again") from error
        except tf.errors.NotFoundError as error:
            raise InputError("no such file", str(file), "check the path") from error
        count += 1


def _count(file: pathlib.Path) -> int:
    return sum(1 for _ in _examples(file))


def _read_arrays(file: pathlib.Path, quantity: str) -> Iterator[np.ndarray]:
    for index, serialized in enumerate(_examples(file)):
        where = f"{file} record {index}"
        try:
            parsed = tf.io.parse_single_example(serialized, _FEATURES)
        except NOT_AN_EXAMPLE as error:
            raise InputError("is not an SSDiffRecon record", where, "for another kind of file give --source") from error
        shape, data = tuple(int(n) for n in parsed["shape"].numpy()), parsed["data"].numpy()
        if not shape or data.size != np.prod(shape):
            raise InputError(f"{quantity} has {data.size} values for the shape {shape}", where, "copy this file again")
        check_finite(data, quantity, where)
        _check_channels(quantity, data.reshape(shape), where)
        yield data.reshape(shape)


def _check_channels(quantity: str, array: np.ndarray, where: str) -> None:
    rank, channels = {"us_im": (3, (2, 3)), "mask": (3, (1,)), "coil_map": (4, (2,))}[quantity]
    if array.ndim != rank or array.shape[0] not in channels:
        layout = {"us_im": "[2, H, W]", "mask": "[1, h, w]", "coil_map": "[2, C, h, w]"}[quantity]
        raise InputError(f"{quantity} has shape {array.shape}", where, f"it should be {layout}")
    if quantity == "us_im" and array.shape[0] == 3 and array[2].any():
        raise InputError(
            f"the third channel of {quantity} {array.shape} is not zero", where, "only a dummy is understood"
        )


def _read_slices(files: dict[str, pathlib.Path], name: str, slices: Sequence[int]) -> Iterator[Record | Skipped]:
    wanted, last = set(slices), max(slices, default=-1)
    readers = [_read_arrays(files[quantity], quantity) for quantity in files]
    labels = _read_labels(files["us_im"])
    for index, arrays in enumerate(zip(*readers, strict=True)):
        if index in wanted:
            label = None if labels is None or index >= len(labels) else labels[index].tolist()
            yield _make_record(dict(zip(files, arrays, strict=True)), name, index, label, files["us_im"])
        if index >= last:
            return


def _read_labels(us_im: pathlib.Path) -> np.ndarray | None:
    """The label rows beside the images (contrast and rate, one-hot), where there are any."""
    file = us_im.with_name(_LEVEL.sub("", us_im.name) + "-rxx.labels")
    if not file.is_file():
        return None
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot be read ({error})", str(file), "copy this file again, or remove it") from error


def _make_record(
    arrays: dict[str, np.ndarray], name: str, index: int, label: list[float] | None, file: pathlib.Path
) -> Record | Skipped:
    record_id = f"{name}/{index:05d}"
    where = f"{file} record {index}"
    image = (arrays["us_im"][0] + 1j * arrays["us_im"][1]).astype(np.complex64)
    if not image.any():
        return Skipped(record_id, "every pixel is zero")
    native = arrays["mask"].shape[-2:]
    if any(have < want for have, want in zip(image.shape, native, strict=True)):
        raise InputError(
            f"mask {native} is larger than the image {image.shape}", where, "give files that belong together"
        )
    image = np.ascontiguousarray(centre_crop(image, native))
    attrs: dict[str, Any] = {"source": file.name, "kspace_origin": "Fourier transform of the zero-filled image"}
    maps = None
    if "coil_map" in arrays:
        maps = (arrays["coil_map"][0] + 1j * arrays["coil_map"][1]).astype(np.complex64)
        if maps.shape[-2:] != native:
            raise InputError(f"coil maps {maps.shape} and mask {native} differ in size", where, "give matching files")
        attrs["kspace_origin"] = "re-projected from the combined zero-filled image, M F (S_c u): not measured"
        attrs["maps"] = {"method": "given"}
    if label is not None:
        attrs["label"] = label
    values = arrays["mask"]
    if not np.isin(values, (0, 1)).all():
        raise InputError("mask holds values other than 0 and 1", where, "give binary masks")
    mask = values.astype(np.uint8)
    kspace = to_kspace(image[np.newaxis] if maps is None else maps * image) * mask
    record = Record(
        kspace=kspace,
        mask=mask,
        record_id=record_id,
        volume_id=name,
        slice_index=index,
        scale=scale_of(kspace, mask),
        maps=maps,
        attrs=attrs,
    )
    return validate_record(record, where)
