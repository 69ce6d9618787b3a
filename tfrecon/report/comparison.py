"""Lines of a table of methods on the same undersampled records, and by how much one method is ahead of another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfrecon.methods.base import untrained_names
from tfrecon.metrics import Summary, summarise_differences
from tfrecon.report.scorecard import json_ready
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

CLASSICAL = "classical"
"""Stands for the classical method with the best PSNR under the mask."""

SAME_DB = 1e-3
"""Scores of one method that differ by less are those of one measurement made twice."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A method under a mask.

    Attributes:
        mask: as it was asked for.
        acceleration: achieved, mean over the records.
        method: its name.
        psnr: dB, mean over slices.
        ssim: mean over slices.
        nmse: mean over slices.
        seconds: of one record, median.
        options: that were chosen for it.
        slices: PSNR of each slice.
        calls: of the network for each image, all samples together; None where there are none, or nobody knows.
        parameters: numbers in its networks; None as for calls.
        records: which record each slice is of; empty where it was not written.
    """

    mask: str
    acceleration: float
    method: str
    psnr: float
    ssim: float
    nmse: float
    seconds: float
    options: Mapping[str, Any]
    slices: tuple[float, ...]
    calls: int | None = None
    parameters: int | None = None
    records: tuple[str, ...] = ()

    @property
    def classical(self) -> bool:
        """Whether it is a method without training."""
        return self.method in untrained_names()

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Row:
        """From a line of the file of `tools/compare_methods.py`.

        Raises:
            TypeError: it lacks something; or AttributeError for what is no line at all.
        """
        known = {field.name: content[field.name] for field in dataclasses.fields(cls) if field.name in content}
        known |= {name: tuple(content.get(name, ())) for name in ("slices", "records")}
        return cls(**known)


def read_rows(paths: Iterable[PathLike]) -> list[Row]:
    """The lines of one or several files of `tools/compare_methods.py`; what was measured twice counts once.

    Raises:
        InputError: a file is none of them, or a method has other scores in one than in another.
    """
    found: dict[tuple[str, str], Row] = {}
    for path in paths:
        content = read_json(path)
        try:
            rows = [Row.from_json(line) for line in content]
        except (TypeError, AttributeError) as error:
            raise InputError("is no table of methods", str(path), "give one of tools/compare_methods.py") from error
        for row in rows:
            first = found.setdefault((row.mask, row.method), row)
            if len(row.slices) != len(first.slices) or abs(row.psnr - first.psnr) > SAME_DB:
                raise InputError(
                    f"{row.method!r} with {row.mask} has other scores than in a file before it",
                    str(path),
                    "give tables of the same records",
                )
    return list(found.values())


def best_classical(rows: Iterable[Row], mask: str) -> Row | None:
    """The classical method with the highest PSNR under a mask; None where none was measured."""
    return max((row for row in rows if row.mask == mask and row.classical), key=lambda row: row.psnr, default=None)


def find_row(rows: Iterable[Row], mask: str, method: str) -> Row | None:
    """The line of a method under a mask; `CLASSICAL` stands for the best classical one."""
    if method == CLASSICAL:
        return best_classical(rows, mask)
    return next((row for row in rows if (row.mask, row.method) == (mask, method)), None)


def difference(row: Row, other: Row, seed: int = 0) -> Summary:
    """PSNR of `row` over that of `other`, dB, slice by slice.

    Raises:
        InputError: they are not of the same slices.
    """
    if row.records and other.records and row.records != other.records:
        raise InputError(f"{row.method!r} and {other.method!r} were scored on different records", fix="compare alike")
    return summarise_differences(row.slices, other.slices, seed)


def over_classical(row: Row, rows: Iterable[Row]) -> tuple[str, Summary] | None:
    """The best classical method under the mask of a trained model, and by how much the model is ahead of it.

    Returns:
        None for a classical method, and where none was measured.
    """
    best = None if row.classical else best_classical(rows, row.mask)
    return None if best is None else (best.method, difference(row, best))


def difference_text(found: Summary, intervals: bool = True) -> str:
    """`+1.23 [+0.50, +1.90]`, in dB, with the bootstrap interval where there is one and it is wanted."""
    text = f"{found.mean:+.2f}"
    if not intervals or found.count < 2:
        return text
    return f"{text} [{found.low:+.2f}, {found.high:+.2f}]"


def with_differences(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The lines as JSON; those of trained models say by how much they are ahead of the best classical method."""
    lines = []
    for row in rows:
        ahead = over_classical(row, rows)
        said = ahead and {"method": ahead[0], "psnr": json_ready(dataclasses.asdict(ahead[1]))}
        lines.append({**dataclasses.asdict(row), "over_classical": said})
    return lines
