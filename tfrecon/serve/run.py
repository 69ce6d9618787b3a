"""The loop under every folder of images: open, skip what is done, make, write, show progress."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.data.sources import RecordSource
from tfrecon.physics.masks import achieved_acceleration, acs_size
from tfrecon.records import Record
from tfrecon.serve.pace import OutOfTime, Pace, RunClock
from tfrecon.serve.writers import ImageFolderWriter
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import sha256_of
from tfrecon.util.progress import progress


@dataclasses.dataclass(frozen=True)
class SliceImages:
    """What was made of one record.

    Attributes:
        record: as it was measured or undersampled; its mask, attrs and ids go into the index.
        images: complex64 or float32 `[H, W]` or `[T, H, W]` by kind (`serve.kinds`).
        seconds: how long the image itself took.
    """

    record: Record
    images: Mapping[str, np.ndarray | None]
    seconds: float


MakeImages = Callable[[int, Record, int, Pace], SliceImages]
"""`(k, record, number of records, pace) -> images`."""

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.4g}/{total} [{elapsed}<{remaining}{postfix}]"
"""A slice that is half done counts half."""


@dataclasses.dataclass(frozen=True)
class FolderRun:
    """Where images come from and how they are written.

    Attributes:
        source: the records.
        output: the folder of the images.
        formats: any of `serve.writers.FORMATS`.
        complex_output: complex64 images rather than float32 magnitudes.
        max_records: stops after that many.
        overwrite: replaces the images of an earlier run with other settings.
        max_seconds: time for all records that are not done yet, each of which gets an equal part of what is left of
            it; None for all the time it takes.
    """

    source: RecordSource
    output: PathLike
    formats: Sequence[str] = ("npy",)
    complex_output: bool = False
    max_records: int | None = None
    overwrite: bool = False
    max_seconds: float | None = None

    def run(self, settings: Mapping[str, Any], make: MakeImages) -> pathlib.Path:
        """Makes and writes the images of all records that are not done yet.

        Where time ran out, images are the best there were, or some records have none. `index.json` says so, and the
        next run with the same settings makes them anew.

        Args:
            settings: JSON-able, all that decides the images; "method" names them.
            make: makes the images of one record.

        Returns:
            The output folder.

        Raises:
            InputError: anything wrong with the input, the settings or the output folder; no time for one step.
        """
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InputError(f"{self.max_seconds:g} seconds were given", fix="give a positive number of --max_seconds")
        if self.max_records is not None and self.max_records < 1:
            raise InputError(f"{self.max_records} slices were asked for", fix="give a --max of at least 1")
        settings = {
            **settings,
            "input": str(self.source.path),
            "input_fingerprint": fingerprint(self.source.path),
            "complex": self.complex_output,
            "max": self.max_records,
        }
        writer = ImageFolderWriter(self.output, settings, self.formats, self.overwrite)
        try:
            late = self._make_missing(writer, settings["method"], make)
        finally:
            writer.close()
        writer.finish({key: value for key, value in settings.items() if key != "input_fingerprint"}, late)
        return writer.output

    def _make_missing(self, writer: ImageFolderWriter, name: str, make: MakeImages) -> int:
        """Returns for how many records there was no time."""
        if writer.complete:
            return 0
        count = len(self.source) if self.max_records is None else min(len(self.source), self.max_records)
        late: list[OutOfTime] = []
        with progress(None, name, total=count, initial=writer.whole, bar_format=BAR) as bar:
            clock = RunClock(self.max_seconds, writer.whole, count, bar)
            for k, record in enumerate(itertools.islice(self.source, count)):
                if writer.has(k, record.record_id):
                    continue
                pace = clock.pace()
                try:
                    self._write(writer, k, self._make_one(make, k, record, count, pace), pace)
                except OutOfTime as error:
                    late.append(error)
                clock.next()
        if late and not writer.finished:
            raise InputError(late[0].what, f"{self.max_seconds:g} seconds", late[0].fix)
        if self.source.skipped:
            warnings.warn(self.source.skip_summary(), stacklevel=2)
        if not writer.finished:
            raise InputError("gave no record", str(self.source.path), "all of its slices are empty")
        return len(late)

    def _make_one(self, make: MakeImages, k: int, record: Record, count: int, pace: Pace) -> SliceImages:
        try:
            return make(k, record, count, pace)
        except OutOfTime:
            raise
        except InputError as error:
            where = error.where
            if record.record_id not in where:
                where = f"{self.source.path} record {record.record_id!r}" + (f", {where}" if where else "")
            raise InputError(error.what, where, error.fix) from error

    def _write(self, writer: ImageFolderWriter, k: int, made: SliceImages, pace: Pace) -> None:
        record = made.record
        shape = record.kspace.shape[-2:]
        images = {kind: self._for_disk(image) for kind, image in made.images.items()}
        entry = {
            "record_id": record.record_id,
            "volume_id": record.volume_id,
            "slice_index": record.slice_index,
            "acceleration": achieved_acceleration(record.mask, shape),
            "acs": list(acs_size(record.mask, shape)),
            "seconds": round(made.seconds, 4),
            "attrs": record.attrs,
        }
        if pace.stopped:
            entry["stopped"] = {"made": pace.made, "of": pace.steps}
        writer.write(k, images, record.mask, entry)

    def _for_disk(self, image: np.ndarray | None) -> np.ndarray | None:
        if image is None:
            return None
        if self.complex_output and np.iscomplexobj(image):
            return np.asarray(image, np.complex64)
        return np.abs(image).astype(np.float32)


def fingerprint(source: PathLike) -> str:
    """A digest that changes when the input changes, without reading all of it.

    A dataset is known by its `dataset.json`, which holds the shards' sums; other input by names,
    sizes and times of change.
    """
    source = pathlib.Path(source)
    if (source / "dataset.json").is_file():
        return sha256_of(source / "dataset.json")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
