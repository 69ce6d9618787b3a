"""Writes datasets in SSDiffRecon's own layout, so that the original code can be run on any data.

Each split is a folder of one folder a quantity (`data.ssdiffrecon_files`). The original reads
`us_im`, `mask`, `coil_map` and the labels; `kspace`, `reference` and `records.json` beside them keep
what it has no place for, so that what is read back is what was written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import pathlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrecon.data.convert import Preparation, plan_parts, prepared_records
from tfrecon.data.example import attrs_json
from tfrecon.data.sources import RecordSource
from tfrecon.data.ssdiffrecon_files import RECORDS_FILE, encode_array, labels_file
from tfrecon.data.transforms import to_image
from tfrecon.data.writer import explain_tensorflow_error
from tfrecon.records import Record, validate_record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_folder, write_json
from tfrecon.util.progress import progress
from tfrecon.util.shapes import centre_pad

PADDED_SIZE = 512
"""Side to which the original pads multi-coil images."""

_ORIGINAL = {False: (1, 256), True: (5, 512)}
"""Coils and side of the images for which the original's two networks are built, by multi-coil or not."""


@dataclasses.dataclass(frozen=True)
class WrittenPart:
    """One split as it was written.

    Attributes:
        path: its folder.
        records: how many.
        quantities: which files there are.
        skipped: why slices gave no record, by record id.
    """

    path: pathlib.Path
    records: int
    quantities: tuple[str, ...]
    skipped: Mapping[str, str]


def write_ssdiffrecon(
    source: RecordSource,
    output: PathLike,
    *,
    split: Mapping[str, float] | None = None,
    seed: int = 0,
    preparation: Preparation | None = None,
    slices: str = "",
    limit: int = 0,
    padded_size: int = PADDED_SIZE,
    overwrite: bool = False,
    made: Mapping[str, Any] | None = None,
) -> list[WrittenPart]:
    """Converts a source into SSDiffRecon's files; all of them appear at the end, or none.

    Every record is divided by the largest magnitude of its zero-filled image, so that |u| ≤ 1 as the
    original expects; `records.json` holds the factor.

    Args:
        source: from `open_source`.
        output: the folder; with splits, of one folder each.
        split: as in `data.convert.convert`.
        seed: of the split.
        preparation: cropping, masks, coil compression, maps.
        slices: which slices of each volume, "start:stop".
        limit: at most so many slices in all; 0 for no limit.
        padded_size: side to which multi-coil images are zero-padded; masks and maps keep their size.
        overwrite: replace an earlier output of this function.
        made: facts for `records.json`.

    Returns:
        The splits in order.

    Raises:
        InputError: a record that the layout cannot hold (fully sampled, a series, several coils
            without maps), or an output that cannot be written.
    """
    output = pathlib.Path(output)
    preparation = preparation or Preparation()
    parts = plan_parts(source, split, seed, slices, limit)
    _refuse_to_replace(output, overwrite)
    subjects = {volume.volume_id: volume.subject_id for volume in source.volumes}
    facts = {"source": source.kind, "preparation": preparation.describe(), "seed": seed, **(made or {})}
    written = []
    total = sum(map(len, parts.values()))
    with progress(None, "convert", total=total, unit="slice") as bar, atomic_folder(output) as folder:
        for part, chosen in parts.items():
            source.skipped.clear()
            writer = _PartWriter(folder / part, output / part, padded_size)
            try:
                with writer.files:
                    for record in prepared_records(source, chosen, preparation, bar):
                        writer.write(validate_record(record), subjects[record.volume_id])
            except tf.errors.OpError as error:
                raise explain_tensorflow_error(error, output / part) from error
            written.append(writer.finish({**facts, "split": part or None}, dict(source.skipped)))
    _warn_of_other_networks(writer.first)
    return written


class _PartWriter:
    """The files of one split.

    Args:
        folder: where they are written.
        shown: where they will be, for messages.
        padded_size: of multi-coil images.

    Attributes:
        files: the open files, to be closed before `finish`.
        first: shapes of the first record by quantity.
    """

    def __init__(self, folder: pathlib.Path, shown: pathlib.Path, padded_size: int) -> None:
        self.files = contextlib.ExitStack()
        self._folder, self._shown, self._padded_size = folder, shown, padded_size
        self.first: dict[str, tuple[int, ...]] = {}
        self._writers: dict[str, tf.io.TFRecordWriter] = {}
        self._entries: list[dict[str, Any]] = []
        self._labels: list[list[float]] = []

    def write(self, record: Record, subject: str) -> None:
        """Writes one record, a row into each file."""
        where = f"record {record.record_id!r}"
        arrays, divisor = _arrays_of(record, self._padded_size, where)
        attrs = json.loads(attrs_json(record))
        label = attrs.pop("label", None)
        shapes = {name: array.shape for name, array in arrays.items()}
        shapes |= {} if label is None else {"labels": (len(label),)}
        if not self._entries:
            self.first = shapes
            self._open(arrays)
        _require_alike(shapes, self.first, where)
        for name, array in arrays.items():
            self._writers[name].write(encode_array(array))
        if label is not None:
            self._labels.append(label)
        names = {"record_id": record.record_id, "volume_id": record.volume_id, "subject": subject}
        noise_std = None if record.noise_std is None else record.noise_std / divisor
        scales = {"divided_by": divisor, "noise_std": noise_std}
        self._entries.append({**names, "slice_index": record.slice_index, **scales, "attrs": attrs})

    def finish(self, facts: Mapping[str, Any], skipped: Mapping[str, str]) -> WrittenPart:
        """Writes labels and `records.json`."""
        if not self._entries:
            raise InputError(f"no record is left: all {len(skipped)} slices were skipped", str(self._shown))
        if self._labels:
            with labels_file(self._path("us_im")).open("wb") as file:
                np.save(file, np.asarray(self._labels, np.float32))
        write_json(self._folder / RECORDS_FILE, {**facts, "skipped": dict(skipped), "records": self._entries})
        return WrittenPart(self._shown, len(self._entries), tuple(self.first), skipped)

    def _path(self, name: str) -> pathlib.Path:
        level = math.ceil(math.log2(max(self.first["us_im"])))
        return self._folder / name / f"{name}-r{level:02d}.tfrecords"

    def _open(self, names: Iterable[str]) -> None:
        for name in names:
            self._path(name).parent.mkdir(parents=True)
            self._writers[name] = self.files.enter_context(tf.io.TFRecordWriter(str(self._path(name))))


def _require_alike(have: Mapping[str, tuple[int, ...]], first: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raises InputError where a record cannot stand in one set of files with the first one."""
    if have.keys() != first.keys():
        raise InputError(
            f"has {', '.join(have)}, but the first record {', '.join(first)}",
            where,
            "the files are zipped by order: convert unlike records apart",
        )
    # Masks and maps of padded images may differ in size, their number of coils may not.
    for name, axes in (("us_im", slice(None)), ("coil_map", slice(0, 2)), ("labels", slice(None))):
        if name in have and have[name][axes] != first[name][axes]:
            raise InputError(
                f"{name} {have[name]} is unlike the first record's {first[name]}",
                where,
                "make them alike (--crop, --coils), or convert them apart",
            )


def _arrays_of(record: Record, padded_size: int, where: str) -> tuple[dict[str, np.ndarray], float]:
    """What goes into each file, and what all but mask and maps was divided by."""
    maps = _maps_of(record, where)
    if record.mask.all():
        raise InputError(
            "is fully sampled, so that us_im would be the truth itself",
            where,
            "give a mask: --undersample=gaussian2d --acceleration=4, or --mask=FILE",
        )
    height, width = record.kspace.shape[-2:]
    coil_images = to_image(record.kspace)
    image = coil_images[0] if maps is None else np.sum(np.conj(maps) * coil_images, axis=0)
    divisor = float(np.abs(image).max())
    if divisor == 0:
        raise InputError("its zero-filled image is zero everywhere", where, "leave it out")
    image = image / np.float32(divisor)
    if maps is not None:
        if max(height, width) > padded_size:
            raise InputError(
                f"its image of {height}×{width} is larger than {padded_size}", where, "give --crop, or --padded_size"
            )
        image = centre_pad(image, (padded_size, padded_size))
    arrays = {"us_im": _channels(image), "mask": np.broadcast_to(record.mask, (1, height, width))}
    if maps is not None:
        arrays |= {"coil_map": _channels(maps), "kspace": _channels(record.kspace / np.float32(divisor))}
    if record.reference is not None:
        reference = record.reference / np.float32(divisor)
        arrays["reference"] = _channels(reference) if np.iscomplexobj(reference) else reference[np.newaxis]
    return arrays, divisor


def _maps_of(record: Record, where: str) -> np.ndarray | None:
    """Maps `[C, H, W]`; None for one coil without sensitivities of its own."""
    if record.is_series:
        raise InputError("is a series, which the layout cannot hold", where, "give two-dimensional data")
    maps = record.maps
    if maps is not None and maps.ndim > 3:
        if len(maps) > 1:
            raise InputError(f"has {len(maps)} sets of maps, the layout holds one", where, "give --map_sets=1")
        maps = maps[0]
    if maps is None:
        if len(record.kspace) > 1:
            raise InputError(f"has {len(record.kspace)} coils and no maps", where, "give --maps=espirit, or --coils=1")
        return None
    return None if len(maps) == 1 and np.allclose(maps, 1, atol=1e-5) else maps


def _channels(array: np.ndarray) -> np.ndarray:
    return np.stack([array.real, array.imag]).astype(np.float32)


def _warn_of_other_networks(shapes: Mapping[str, tuple[int, ...]]) -> None:
    coils = shapes["coil_map"][1] if "coil_map" in shapes else 1
    want = _ORIGINAL[coils > 1]
    height, width = shapes["us_im"][-2:]
    if (coils, height, width) != (want[0], want[1], want[1]):
        warnings.warn(
            f"the original's networks are built for 1 coil of 256×256 and for 5 coils padded to 512×512; these are "
            f"{coils} of {height}×{width}",
            stacklevel=3,
        )


def _refuse_to_replace(output: pathlib.Path, overwrite: bool) -> None:
    """Only what this module wrote is replaced, and only where that was asked for."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir():
        raise InputError("is a file, not a folder", str(output), "choose another --output")
    own = _is_part(output) or all(map(_is_part, output.iterdir()))
    if own and overwrite:
        return
    fix = "choose another --output, or --overwrite" if own else "choose another --output"
    raise InputError("holds files already" if own else "holds files of another kind", str(output), fix)


def _is_part(folder: pathlib.Path) -> bool:
    return (folder / RECORDS_FILE).is_file() and (folder / "us_im").is_dir()
