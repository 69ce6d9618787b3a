"""Raw data to datasets of records: the library call behind `tfrecon convert`.

The order of slices, their shards and their splits are decided before the first slice is read and
depend on the input and the settings alone. An interrupted conversion is therefore taken up shard by
shard and ends in the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
import platform
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tqdm

from tfrecon.data.sources import RecordSource
from tfrecon.data.tfrecord import DatasetInfo, DatasetWriter
from tfrecon.data.transforms import crop_image, with_fewer_coils, with_maps
from tfrecon.data.volumes import Volume
from tfrecon.data.writer import shard_range
from tfrecon.physics.coils import CALIBRATION_SIZE, MAP_METHODS
from tfrecon.records import Record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.progress import progress
from tfrecon.util.rng import numpy_generator

SHARD_BYTES = 256 << 20
"""Size that the automatic number of shards aims at."""

MOST_SHARDS = 1024

Slot = tuple[Volume, int]
"""One slice of a volume: what becomes a record, unless it is skipped."""


class Masks(Protocol):
    """What undersamples records in retrospect, `serve.mask_choice.MaskChoice` for instance."""

    def apply(self, record: Record) -> Record:
        """The record under its mask."""

    def describe(self) -> dict[str, Any]:
        """What was asked for, JSON-able."""


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What is done to each record between its source and the shard.

    The mask comes before coil compression and maps: these see what it leaves and nothing else.

    Attributes:
        maps: "espirit" or "walsh" estimates sensitivities; "none" keeps what the source gives.
        map_sets: 1, or 2 (ESPIRiT).
        calibration_size: samples per axis that maps and coil compression may see.
        coils: compress measured coils to so many; 0 keeps them.
        crop: cut the image to (H, W); 0 keeps an axis.
        masks: undersample fully sampled records; None keeps all samples.
    """

    maps: str = "none"
    map_sets: int = 1
    calibration_size: int = CALIBRATION_SIZE
    coils: int = 0
    crop: tuple[int, int] = (0, 0)
    masks: Masks | None = None

    def __post_init__(self) -> None:
        if self.maps not in ("none", *MAP_METHODS):
            raise InputError(f"no maps {self.maps!r}", fix=f"choose none, {' or '.join(MAP_METHODS)}")

    def __call__(self, record: Record) -> Record:
        """The record as it is written."""
        record = crop_image(record, self.crop)
        if self.masks is not None:
            record = self.masks.apply(record)
        if self.coils:
            record = with_fewer_coils(record, self.coils, self.calibration_size)
        if self.maps != "none":
            record = with_maps(record, self.maps, calibration_size=self.calibration_size, map_sets=self.map_sets)
        return record

    def describe(self) -> dict[str, Any]:
        """What is done, JSON-able."""
        fields = dataclasses.asdict(dataclasses.replace(self, masks=None))
        return {**fields, "masks": None if self.masks is None else self.masks.describe()}


def convert(
    source: RecordSource,
    output: PathLike,
    *,
    split: Mapping[str, float] | None = None,
    seed: int = 0,
    preparation: Preparation | None = None,
    slices: str = "",
    limit: int = 0,
    name: str = "records",
    shards: int = 0,
    compression: str = "",
    resume: bool = True,
    overwrite: bool = False,
    made: Mapping[str, Any] | None = None,
) -> list[DatasetInfo]:
    """Converts a source into one dataset, or one for each split.

    Args:
        source: from `open_source`.
        output: the dataset's folder; with splits, the folder that holds theirs.
        split: fractions by name, such as {"train": 0.8, "test": 0.2}; subjects are dealt out whole.
        seed: of the split.
        preparation: cropping, coil compression, maps; None does nothing.
        slices: which slices of each volume, "start:stop"; "" for all.
        limit: at most so many slices in all; 0 for no limit.
        name: first part of the shards' names.
        shards: in each dataset; 0 chooses by size.
        compression: "" or "GZIP".
        resume: keep finished shards of an interrupted conversion.
        overwrite: replace finished datasets in `output`.
        made: facts for `dataset.json`.

    Returns:
        The datasets in the order of `split`.

    Raises:
        InputError: data that cannot be used, or an output that cannot be written. Shards that were
            finished by then stay, and the same call goes on after them.
    """
    preparation = preparation or Preparation()
    parts = plan_parts(source, split, seed, slices, limit)
    output, writers = pathlib.Path(output), {}
    facts = _facts(source, preparation, split, seed, slices, limit, made)
    with _no_empty_folders([output, *(output / part for part in parts)]):
        for part, chosen in parts.items():
            writers[part] = DatasetWriter(
                output / part,
                name=name,
                shards=min(shards or _shard_count(chosen, preparation), len(chosen)),
                compression=compression,
                made={**facts, "split": part or None, **_inputs(chosen)},
                state={"changed": _times_of_change(chosen)},
                resume=resume,
                overwrite=overwrite,
            )
        with progress(None, "convert", total=sum(map(len, parts.values())), unit="slice") as bar:
            return [_write(writers[part], source, chosen, preparation, bar) for part, chosen in parts.items()]


def plan_parts(
    source: RecordSource, split: Mapping[str, float] | None, seed: int, slices: str = "", limit: int = 0
) -> dict[str, list[Slot]]:
    """Which slices go into which split; all into one part named "" where nothing is split.

    Raises:
        InputError: see `choose_slots` and `split_by_subject`.
    """
    slots = choose_slots(source, slices, limit)
    if not split:
        return {"": slots}
    parts = split_by_subject(slots, split, seed)
    unknown = sum(1 for volume, _ in slots if not volume.subject_known)
    if unknown:
        warnings.warn(
            f"{source.path}: nothing says which of its {unknown} slices are of one subject, so they are split one by "
            "one and slices of a subject may fall on both sides; give --volumes=TABLE or --slices_per_volume=N",
            stacklevel=2,
        )
    return parts


def choose_slots(source: RecordSource, slices: str = "", limit: int = 0) -> list[Slot]:
    """The slices of a source that are to be converted, in order.

    Args:
        source: the source.
        slices: "start:stop" within each volume, as in Python; "" for all.
        limit: at most so many in all; 0 for no limit.

    Raises:
        InputError: `slices` is not understood, or nothing is chosen.
    """
    try:
        chosen = slice(*(int(part) if part.strip() else None for part in slices.split(":"))) if slices else slice(None)
    except (ValueError, TypeError) as error:
        raise InputError(f"slices {slices!r} are not a range", fix="give start:stop, such as 40:150") from error
    if limit < 0:
        raise InputError(f"limit is {limit}", fix="give a positive number, or 0 for all")
    slots = [(volume, index) for volume in source.volumes for index in range(volume.slices)[chosen]]
    slots = slots[:limit] if limit else slots
    if not slots:
        raise InputError(f"no slice is chosen of {len(source)}", str(source.path), "give other --slices")
    return slots


def parse_split(text: str) -> dict[str, float]:
    """Reads "train:0.8,test:0.2".

    Raises:
        InputError: it is not of that form, or the fractions do not sum to one.
    """
    fix = "give fractions that sum to 1, such as train:0.8,test:0.2"
    split: dict[str, float] = {}
    for part in text.split(","):
        name, _, fraction = part.strip().partition(":")
        try:
            value = float(fraction)
        except ValueError as error:
            raise InputError(f"split {text!r} is not understood", fix=fix) from error
        if not name.replace("_", "").replace("-", "").isalnum() or name in split or not value > 0:
            raise InputError(f"split {text!r} is not understood", fix=fix)
        split[name] = value
    if not math.isclose(sum(split.values()), 1, abs_tol=1e-6):
        raise InputError(f"the fractions of split {text!r} sum to {sum(split.values()):g}", fix=fix)
    return split


def split_by_subject(slots: Sequence[Slot], split: Mapping[str, float], seed: int) -> dict[str, list[Slot]]:
    """Deals slices out to splits, all of one subject to one split.

    Which subject goes where depends on (seed, subjects); how many subjects a split gets follows the
    fractions by largest remainders, at least one.

    Raises:
        InputError: fewer subjects than splits.
    """
    subjects = sorted({volume.subject_id for volume, _ in slots})
    if len(subjects) < len(split):
        raise InputError(
            f"{len(subjects)} subject(s) cannot be split into {', '.join(split)}",
            fix="a split never cuts a subject: give more subjects, or convert without --split",
        )
    exact = np.array(list(split.values())) * len(subjects)
    counts = np.maximum(np.floor(exact).astype(int), 1)
    while counts.sum() != len(subjects):
        step = 1 if counts.sum() < len(subjects) else -1
        gain = np.where((step < 0) & (counts == 1), -np.inf, step * (exact - counts))
        counts[np.argmax(gain)] += step
    order = numpy_generator(seed, "split").permutation(len(subjects))
    ends = np.cumsum(counts)
    part_of = {
        subjects[subject]: list(split)[int(np.searchsorted(ends, place, side="right"))]
        for place, subject in enumerate(order)
    }
    return {part: [slot for slot in slots if part_of[slot[0].subject_id] == part] for part in split}


def _write(
    writer: DatasetWriter, source: RecordSource, slots: Sequence[Slot], preparation: Preparation, bar: tqdm.tqdm
) -> DatasetInfo:
    pending = set(writer.pending())
    for index in range(writer.shards):
        start, stop = shard_range(len(slots), writer.shards, index)
        if index not in pending:
            bar.update(stop - start)
            continue
        source.skipped.clear()
        records = prepared_records(source, slots[start:stop], preparation, bar)
        writer.write_shard(index, records, source.skipped)
    return writer.finish()


def prepared_records(
    source: RecordSource, slots: Sequence[Slot], preparation: Preparation, bar: tqdm.tqdm
) -> Iterator[Record]:
    """The records of some slots; neighbours in one volume are read with one opening of its file."""
    start = 0
    while start < len(slots):
        volume, stop = slots[start][0], start
        while stop < len(slots) and slots[stop][0] is volume:
            stop += 1
        done = 0
        for record in source.read(volume, [index for _, index in slots[start:stop]]):
            yield preparation(record)
            bar.update()
            done += 1
        bar.update(stop - start - done)
        start = stop


def _shard_count(slots: Sequence[Slot], preparation: Preparation) -> int:
    arrays = 1 + (preparation.map_sets if preparation.maps != "none" else 0)
    total = sum(8 * arrays * math.prod(volume.shape) for volume, _ in slots)
    return int(np.clip(math.ceil(total / SHARD_BYTES), 1, MOST_SHARDS))


def _inputs(slots: Sequence[Slot]) -> dict[str, Any]:
    """The volumes' subjects, and name and size of each input file."""
    volumes = list(dict.fromkeys(volume for volume, _ in slots))
    return {
        "subjects": {volume.volume_id: volume.subject_id for volume in volumes},
        "subjects_known": all(volume.subject_known for volume in volumes),
        "input_bytes": {file.name: file.stat().st_size for file in _files(slots)},
    }


def _files(slots: Sequence[Slot]) -> list[pathlib.Path]:
    files = dict.fromkeys(file for volume, _ in slots for file in volume.files or (volume.path,))
    return [file for file in files if file.is_file()]


def _times_of_change(slots: Sequence[Slot]) -> list[int]:
    """When each input file was changed, by which a resumed conversion notices a new one."""
    return [file.stat().st_mtime_ns for file in _files(slots)]


def _facts(
    source: RecordSource,
    preparation: Preparation,
    split: Mapping[str, float] | None,
    seed: int,
    slices: str,
    limit: int,
    made: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "source": source.kind,
        "source_options": dataclasses.asdict(source.options),
        "preparation": preparation.describe(),
        "splits": dict(split) if split else None,
        "seed": seed,
        "slices": slices,
        "limit": limit,
        "input_volumes": len(source.volumes),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "tensorflow": tf.__version__},
        **(made or {}),
    }


@contextlib.contextmanager
def _no_empty_folders(folders: Sequence[pathlib.Path]) -> Iterator[None]:
    """Removes those of `folders` that are new and still empty when the block fails."""
    new = [folder for folder in folders if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in reversed(new):
            with contextlib.suppress(OSError):  # not empty: it holds finished shards
                folder.rmdir()
        raise
