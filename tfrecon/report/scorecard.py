"""What an evaluation found: rows, summary, and the passport that says what the numbers mean."""

from __future__ import annotations

import csv
import dataclasses
import math
import pathlib
from typing import Any

from tfrecon.metrics import METRICS, get_convention
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path, write_json

RESULT, BASELINE = "result", "zero_filled"
"""Whose scores a row holds: the reconstruction under test, or the zero-filled image beside it."""

METRIC_LABELS = {"psnr": "PSNR [dB]", "ssim": "SSIM", "nmse": "NMSE", "nrmse": "NRMSE"}
DECIMALS = {"psnr": 2, "ssim": 4, "nmse": 4, "nrmse": 4}

COLUMNS = (
    "convention",
    "image",
    "level",
    "counted",
    "volume_id",
    "slice_index",
    "frame",
    "record_id",
    *METRICS,
    "acceleration",
    "seconds",
    "note",
)


@dataclasses.dataclass
class Report:
    """The scores of a reconstruction and of the zero-filled image beside it.

    Attributes:
        rows: one dictionary per slice, and per volume where the convention's unit is the volume;
            keys are `COLUMNS`. `counted` says which rows the summary is taken over.
        summary: `summary[convention]["result" or "zero_filled"][metric]` is a dictionary with
            mean, std, low, high, count, undefined, infinite (`metrics.aggregate.Summary`).
        passport: conventions, reference, pairing, crop, aggregation, scale: all that another
            needs to compute the same numbers.
        warnings: what a reader must know before believing the numbers, one line each.
    """

    rows: list[dict[str, Any]]
    summary: dict[str, dict[str, dict[str, dict[str, float]]]]
    passport: dict[str, Any]
    warnings: list[str]

    @property
    def method(self) -> str:
        """The name of the reconstruction's method, "result" where none is known."""
        return self.passport["result"].get("method") or RESULT

    def mean(self, metric: str, image: str = RESULT, convention: str | None = None) -> float:
        """One mean of the summary.

        Args:
            metric: one of `metrics.METRICS`.
            image: "result" or "zero_filled".
            convention: its name; None for the first one evaluated.

        Returns:
            The mean over the convention's units.

        Raises:
            InputError: it was not evaluated.
        """
        name = next(iter(self.summary)) if convention is None else convention
        try:
            return self.summary[name][image][metric]["mean"]
        except KeyError as error:
            raise InputError(f"{metric} of {image!r} under {name!r} was not evaluated") from error

    def table(self) -> str:
        """The summary as text: a block per convention, then what to keep in mind."""
        blocks = [self._block(name) for name in self.summary]
        notes = [f"warning: {line}" for line in self.warnings]
        return "\n\n".join([*blocks, "\n".join(notes)] if notes else blocks)

    def save(self, output: PathLike) -> tuple[pathlib.Path, pathlib.Path]:
        """Writes `metrics.json` (everything) and `metrics.csv` (the rows) into a folder.

        Undefined and infinite numbers become null and an empty field; the note says which.

        Args:
            output: the folder; made if missing.

        Returns:
            The two paths.

        Raises:
            InputError: the folder cannot be written.
        """
        folder = pathlib.Path(output)
        if folder.is_file():
            raise InputError("is a file, not a folder", str(folder), "give --output a folder")
        content = {
            "passport": self.passport,
            "warnings": self.warnings,
            "summary": self.summary,
            "rows": self.rows,
        }
        write_json(folder / "metrics.json", json_ready(content))
        with (
            atomic_path(folder / "metrics.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(json_ready(self.rows))
        return folder / "metrics.json", folder / "metrics.csv"

    def _block(self, name: str) -> str:
        roles = self.summary[name]
        labels = {role: self.method if role == RESULT else "zero_filled" for role in roles}
        if len(set(labels.values())) < len(labels):
            labels[BASELINE] = "zero_filled (baseline)"
        cells = {
            role: [summary_text(values[metric], metric) for metric in METRICS] for role, values in sorted_roles(roles)
        }
        width = max(len(label) for label in labels.values())
        widths = [
            max(len(METRIC_LABELS[metric]), *(len(row[n]) for row in cells.values()))
            for n, metric in enumerate(METRICS)
        ]
        header = [" " * width, *(METRIC_LABELS[metric].ljust(w) for metric, w in zip(METRICS, widths, strict=True))]
        lines = [self.heading(name), "  ".join(header).rstrip()]
        for role, row in cells.items():
            padded = [cell.ljust(w) for cell, w in zip(row, widths, strict=True)]
            lines.append("  ".join([labels[role].ljust(width), *padded]).rstrip())
        return "\n".join([*lines, self._count_line(name)])

    def heading(self, name: str) -> str:
        """One line that names the convention, the data range and the reference."""
        words = get_convention(name).describe()
        return (
            f"convention {name}: scored per {words['unit']}, data range {words['data_range']}, "
            f"normalisation {words['normalisation']}, reference {self.passport['reference']['type']}"
        )

    def _count_line(self, name: str) -> str:
        unit = get_convention(name).unit
        values = self.summary[name][RESULT]["nmse"]
        inside = [plural(self.passport["slices"], "slice"), plural(self.passport["volumes"], "volume")]
        if values["undefined"]:
            inside.append(f"{values['undefined']} undefined left out")
        spread = ": mean ± standard deviation [95 % interval of the mean]" if values["count"] > 1 else ""
        return f"over {plural(values['count'], unit)} ({', '.join(inside)}){spread}"


def plural(count: int, noun: str) -> str:
    """`1 slice`, `2 slices`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sorted_roles(roles: dict[str, Any]) -> list[tuple[str, Any]]:
    """The baseline first, as in every table."""
    return sorted(roles.items(), key=lambda item: item[0] != BASELINE)


def summary_text(values: dict[str, float], metric: str) -> str:
    """`mean ± std [low, high]`, as far as each is defined."""
    digits = DECIMALS[metric]
    if math.isnan(values["mean"]):
        return "identical" if values["infinite"] else "undefined"
    text = f"{values['mean']:.{digits}f}"
    if math.isfinite(values["std"]):
        text += f" ± {values['std']:.{digits}f} [{values['low']:.{digits}f}, {values['high']:.{digits}f}]"
    return text


def json_ready(value: Any) -> Any:
    """The value with None for NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
