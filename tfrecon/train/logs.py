"""What a training run writes down: CSV files, TensorBoard events, and lines of text."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Iterable, Iterator
from types import TracebackType

import numpy as np
import tensorflow as tf
import tqdm

from tfrecon.train.csv_log import CsvLog, Row
from tfrecon.train.workdir import Workdir
from tfrecon.util.errors import InputError, reason_of
from tfrecon.util.files import explain_os_error

_DATA_CLASSES = {"scalars": 1, "images": 3}
"""TensorBoard's numbers for what an event of a plugin holds: a scalar, or a sequence of files."""


class RunLog:
    """All logs of a run; a context manager.

    Args:
        workdir: where they are.
        step: at which the run goes on; 0 for a new one.
    """

    def __init__(self, workdir: Workdir, step: int = 0) -> None:
        self.metrics, self.validation = (
            CsvLog(workdir.output / name, step, workdir.folder / name) for name in ("metrics.csv", "validation.csv")
        )
        self._text = workdir.output / "log.txt"
        self._on_terminal = workdir.is_own
        self._tensorboard = workdir.output / "tb"
        self._events = tf.summary.create_file_writer(str(self._tensorboard))

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with self._explained():
                self._events.close()
            return
        # What went wrong first is what is told, also where the disk is full and this cannot be written.
        with contextlib.suppress(tf.errors.OpError):
            self._events.close()
        with contextlib.suppress(InputError):
            self._append(f"ended by {kind.__name__}: {error}")

    def line(self, text: str) -> None:
        """Writes a line into log.txt and, from the process whose workdir it is, onto the terminal."""
        self._append(text)
        if self._on_terminal:
            tqdm.tqdm.write(text, file=sys.stderr)

    def _append(self, text: str) -> None:
        try:
            with open(self._text, "a") as file:
                file.write(f"{datetime.datetime.now().isoformat(sep=' ', timespec='seconds')} {text}\n")
        except OSError as error:
            raise explain_os_error(error, self._text) from error

    def training(self, row: Row) -> None:
        """Writes means of the loss and the like."""
        self.metrics.write(row)
        with self._explained():
            self._scalars("train", row)
            self._events.flush()

    def validated(self, row: Row, panels: Iterable[tuple[str, np.ndarray]]) -> None:
        """Writes scores of a validation, and images `[H, W]` uint8 by name."""
        self.validation.write(row)
        with self._explained():
            self._scalars("validation", row)
            for name, image in panels:
                self._event(f"validation/{name}", int(row["step"]), "images", _image_event(image))
            self._events.flush()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            reason = reason_of(error).rsplit("; ", 1)[-1]
            raise InputError(f"cannot be written ({reason})", str(self._tensorboard), "free some space") from error

    def _scalars(self, group: str, row: Row) -> None:
        for name, value in row.items():
            if name != "step":
                self._event(f"{group}/{name}", int(row["step"]), "scalars", tf.constant(value, tf.float32))

    def _event(self, tag: str, step: int, plugin: str, value: tf.Tensor) -> None:
        # tf.summary.scalar and .image want TensorBoard installed, which only whoever looks at them needs.
        metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": plugin}, data_class=_DATA_CLASSES[plugin])
        with self._events.as_default():
            tf.summary.write(tag, value, step=step, metadata=metadata)


def _image_event(image: np.ndarray) -> tf.Tensor:
    """An image `[H, W]` uint8 as TensorBoard's image plugin reads it: width, height, PNG."""
    height, width = image.shape
    return tf.stack([str(width), str(height), tf.io.encode_png(image[..., None])])
