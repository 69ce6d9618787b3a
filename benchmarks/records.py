"""Writing and reading records against chunk-compressed HDF5 and against reading the bytes alone.

The slices are 15-coil 320×320 k-space with measured-like noise; everything lies in the page cache.
The pipeline is made once and read for several epochs, as in training, and so are the bytes it is
compared with.
"""

import pathlib
import tempfile
from collections.abc import Callable

import h5py
import numpy as np
import tensorflow as tf

from benchmarks.timing import interleaved, line
from tfrecon.data.pipeline import dataset
from tfrecon.data.tfrecord import DatasetInfo, read_records, write_dataset
from tfrecon.data.transforms import to_kspace
from tfrecon.records import Record

SLICES, COILS, SIZE = 16, 15, 320
SHARDS, EPOCHS = 2, 8
BUFFER_BYTES = 8 << 20
READ_IN_EPOCHS = ("shuffled", "in_order", "python", "examples", "bytes")


OWN = "h5 gzip, h5py's own chunks, random order"
COIL = "h5 gzip, one coil image a chunk, random order"
EXAMPLES = "bytes alone: TFRecordDataset, not decoded, in order"
SHUFFLED = "records, training pipeline, shuffled, normalised"

PAIRS = [
    (SHUFFLED, "shuffled", OWN, "own_chunks"),
    (SHUFFLED, "shuffled", COIL, "coil_chunks"),
    (SHUFFLED, "shuffled", EXAMPLES, "examples"),
    ("records, pipeline in order, not normalised", "in_order", EXAMPLES, "examples"),
    ("records, read_records", "python", EXAMPLES, "examples"),
    (SHUFFLED, "shuffled", "bytes alone: file.read, no checksum", "bytes"),
    ("records, writing", "write", OWN + " (reading)", "own_chunks"),
    ("records, writing", "write", COIL + " (reading)", "coil_chunks"),
    ("records, writing", "write", "h5 gzip, one coil image a chunk, writing", "write_h5"),
]
"""Name of the line, what of ours, the peer, which of its times."""


def run() -> list[dict]:
    """Times all of it, seconds for the same number of slices; see `timing.line` for the keys."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        records = _records()
        info = write_dataset(folder / "data", records, shards=SHARDS)
        seconds = interleaved(_jobs(folder, info, records))
    for key in READ_IN_EPOCHS:
        seconds[key] /= EPOCHS
    megabytes = sum(shard.bytes for shard in info.shards) / 1e6
    note = f"{SLICES} slices {COILS}x{SIZE}x{SIZE}, {megabytes:.0f} MB, page cache"
    return [line(name, seconds[ours], peer, seconds[key], note) for name, ours, peer, key in PAIRS]


def _jobs(folder: pathlib.Path, info: DatasetInfo, records: list[Record]) -> dict[str, Callable[[], None]]:
    _write_h5(folder / "own_chunks.h5", records, None)
    _write_h5(folder / "coil_chunks.h5", records, (1, 1, SIZE, SIZE))
    order = np.random.default_rng(0).permutation(SLICES)
    shuffled = dataset(info.path, batch_size=1, shuffle=True, repeat=True)
    in_order = dataset(info.path, batch_size=1, repeat=True, normalise=False)
    examples = tf.data.TFRecordDataset(info.files, buffer_size=BUFFER_BYTES).repeat()
    return {
        "write_h5": lambda: _write_h5(folder / "again.h5", records, (1, 1, SIZE, SIZE)),
        "write": lambda: write_dataset(folder / "again", records, shards=SHARDS, overwrite=True),
        "shuffled": lambda: _take(shuffled),
        "in_order": lambda: _take(in_order),
        "python": lambda: _read_all(info),
        "examples": lambda: _take(examples),
        "bytes": lambda: _read_bytes(info),
        "own_chunks": lambda: _read_h5(folder / "own_chunks.h5", order),
        "coil_chunks": lambda: _read_h5(folder / "coil_chunks.h5", order),
    }


def _records() -> list[Record]:
    generator = np.random.default_rng(0)
    image = np.outer(np.hanning(SIZE), np.hanning(SIZE)).astype(np.complex64)
    mask = np.ones((1, 1, SIZE), np.uint8)
    records = []
    for index in range(SLICES):
        noise = generator.standard_normal((2, COILS, SIZE, SIZE), np.float32)
        kspace = to_kspace(np.broadcast_to(image, noise.shape[1:])) + 0.01 * (noise[0] + 1j * noise[1])
        records.append(Record(kspace.astype(np.complex64), mask, f"v/{index:03d}", "v", index))
    return records


def _write_h5(path: pathlib.Path, records: list[Record], chunks: tuple[int, ...] | None) -> None:
    with h5py.File(path, "w") as file:
        data = np.stack([record.kspace for record in records])
        file.create_dataset("kspace", data=data, compression="gzip", chunks=chunks or True)


def _read_h5(path: pathlib.Path, order: np.ndarray) -> None:
    # Opened for every slice, as a loader with random access over many files does.
    for index in order:
        with h5py.File(path) as file:
            file["kspace"][index]


def _take(batches: tf.data.Dataset) -> None:
    # A new iterator each time: one that lives on reads ahead while others are timed.
    for _ in batches.take(EPOCHS * SLICES):
        pass


def _read_all(info: DatasetInfo) -> None:
    for _ in range(EPOCHS):
        for _record in read_records(info.path):
            pass


def _read_bytes(info: DatasetInfo) -> None:
    for _ in range(EPOCHS):
        for shard, name in zip(info.shards, info.files, strict=True):
            with open(name, "rb", buffering=0) as file:
                for length in shard.lengths:
                    file.read(length)


if __name__ == "__main__":
    for result in run():
        print(result)
