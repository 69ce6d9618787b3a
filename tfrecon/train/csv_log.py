"""Means over training steps, and the CSV files they are written to."""

from __future__ import annotations

import csv
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrecon.train.result import StepResult
from tfrecon.util.files import atomic_path, explain_os_error

Row = dict[str, Any]


class StepMeans:
    """Means over the steps since the last line of the log.

    Steps that were not finite count for none of them. What is unfinished goes into checkpoints, so that
    the log of a resumed run is that of one that was never interrupted.

    Args:
        unfinished: from `to_json`, of the run that goes on.
    """

    def __init__(self, unfinished: Mapping[str, Any] | None = None) -> None:
        unfinished = unfinished or {"steps": 0, "sums": {}, "last": {}}
        self._steps: int = unfinished["steps"]
        self._sums: dict[str, float] = dict(unfinished["sums"])
        self._last: dict[str, float] = dict(unfinished["last"])

    def add(self, result: StepResult) -> None:
        """Adds a step."""
        values = {"loss": result.loss, "gradient_norm": result.gradient_norm, **dict(sorted(result.logs.items()))}
        self._last = {"learning_rate": float(result.learning_rate)}
        for name in values:
            self._sums.setdefault(name, 0.0)
        if not bool(result.finite):
            return
        self._steps += 1
        for name, value in values.items():
            self._sums[name] += float(np.mean(np.asarray(value), dtype=np.float64))

    def take(self) -> Row:
        """The means, NaN where no step was finite; begins anew."""
        count = self._steps or math.nan
        row = {name: total / count for name, total in self._sums.items()} | self._last
        self._steps, self._sums, self._last = 0, {}, {}
        return row

    def to_json(self) -> dict[str, Any]:
        """What has been added since the last line."""
        return {"steps": self._steps, "sums": self._sums, "last": self._last}


class CsvLog:
    """A CSV file with one line for some of the steps.

    Args:
        path: of the file; what it says of later steps is removed, since they will be made again.
        step: at which the run goes on.
        source: from which earlier lines are taken; None for `path`.
    """

    def __init__(self, path: pathlib.Path, step: int = 0, source: pathlib.Path | None = None) -> None:
        self.path = path
        rows = read_rows(path if source is None else source)
        self._columns = list(rows[0]) if rows else []
        self.rows = [row for row in rows if int(row["step"]) <= step]
        if rows:
            self._rewrite()

    def write(self, row: Row) -> None:
        """Adds a line; its first column is "step".

        Raises:
            InputError: the disk is full, or the file cannot be written.
        """
        texts = {name: str(value) for name, value in row.items()}
        self.rows.append(texts)
        new = [name for name in texts if name not in self._columns]
        if new:
            self._columns += new
            self._rewrite()
            return
        try:
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(texts)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def _rewrite(self) -> None:
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self.rows)


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    """The lines of a CSV file, none if there is no file; a last line without its end is not given."""
    if not path.is_file():
        return []
    text = path.read_text()
    with_end = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(with_end.splitlines()))
