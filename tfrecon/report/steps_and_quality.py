"""Quality and time of a prior's samplers against the number of network calls, on one folder of records.

What was measured is one JSON file that is written anew after each slice; a run that was stopped goes on from it.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from matplotlib.figure import Figure

from tfrecon.data.transforms import to_measurement
from tfrecon.metrics import get_convention
from tfrecon.records import Record
from tfrecon.report.compare import acceleration, parse_mask, slice_scores, undersampled
from tfrecon.serve.learned import LearnedModel
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json, write_json
from tfrecon.util.progress import progress

METRICS = ("psnr", "ssim", "nmse")
OWN_OPTIONS = ("sampler", "nfe")
"""What a curve says by itself."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A sampler at several budgets.

    Attributes:
        name: as it is in tables: the sampler with its options.
        sampler: the option of that name.
        nfe: budgets of network calls, rising.
        options: others, pairs of words.
    """

    name: str
    sampler: str
    nfe: tuple[int, ...]
    options: tuple[tuple[str, str], ...] = ()

    def at(self, nfe: int) -> dict[str, Any]:
        """The options of one budget."""
        return {**dict(self.options), "sampler": self.sampler, "nfe": nfe}


@dataclasses.dataclass(frozen=True)
class Row:
    """A curve at one budget and mask, over all records.

    Attributes:
        mask: as it was asked for.
        acceleration: achieved, mean over the records.
        curve: its name.
        nfe: the budget.
        psnr: dB, mean over slices.
        ssim: mean over slices.
        nmse: mean over slices.
        seconds: of one slice, the median of those that were not compiled for, if there are any.
        slices: how many.
    """

    mask: str
    acceleration: float
    curve: str
    nfe: int
    psnr: float
    ssim: float
    nmse: float
    seconds: float
    slices: int


def parse_curve(text: str) -> Curve:
    """SAMPLER:NFE,NFE,…[:OPTION=VALUE…] as a curve, for instance "pc:100,2000:snr=0.1:data_step=proximal".

    Raises:
        InputError: it is written otherwise, or a budget below 1.
    """
    sampler, _, rest = text.partition(":")
    budgets, *words = rest.split(":")
    pairs = [word.partition("=") for word in words]
    fine = all(name and equals and name not in OWN_OPTIONS for name, equals, _ in pairs)
    numbers = [word.strip() for word in budgets.split(",")]
    if not sampler or not fine or not all(word.isdecimal() for word in numbers):
        raise InputError(f"--curve={text} is not SAMPLER:NFE,NFE,…:OPTION=VALUE", fix="write pc:100,2000:snr=0.1")
    nfe = tuple(sorted({int(word) for word in numbers}))
    if nfe[0] < 1:
        raise InputError(f"--curve={text} has a budget of {nfe[0]} network calls", fix="give at least 1")
    return Curve(" ".join([sampler, *words]), sampler, nfe, tuple((name, value) for name, _, value in pairs))


class Measured:
    """What was measured so far, and its file.

    Args:
        path: of the file; it is read if it is there.
        about: JSON-able, what results depend on besides mask, curve and budget.

    Raises:
        InputError: the file is of something else.
    """

    def __init__(self, path: PathLike, about: Mapping[str, Any]) -> None:
        self.path, self.about = pathlib.Path(path), dict(about)
        self._runs: list[dict[str, Any]] = []
        if self.path.is_file():
            found = _read(self.path, "choose another --output")
            for key, value in self.about.items():
                if found["about"].get(key) != value:
                    raise InputError(f"was measured with another {key}", str(path), "choose another --output")
            self._runs = found["runs"]

    def slices(self, mask: str, curve: Curve, nfe: int) -> dict[str, dict[str, Any]]:
        """What is known of a curve at a budget, by record id; changes are kept."""
        for run in self._runs:
            if (run["mask"], run["curve"], run["nfe"]) == (mask, curve.name, nfe):
                return run["slices"]
        self._runs.append({"mask": mask, "curve": curve.name, "nfe": nfe, "options": curve.at(nfe), "slices": {}})
        return self._runs[-1]["slices"]

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        write_json(self.path, {"about": self.about, "runs": [run for run in self._runs if run["slices"]]})

    def rows(self, masks: Sequence[str], curves: Sequence[Curve], record_ids: Sequence[str]) -> list[Row]:
        """The rows of which all records are measured, in the order of masks, curves and budgets."""
        found = []
        for mask, curve, nfe in _jobs(masks, curves):
            slices = self.slices(mask, curve, nfe)
            if all(name in slices for name in record_ids):
                found.append(_row(mask, curve.name, nfe, [slices[name] for name in record_ids]))
        return found


def read_rows(path: PathLike) -> list[Row]:
    """What is in a file of results, in its order; runs that have not come to the last record are left out.

    Raises:
        InputError: it is none, or holds no run of all records.
    """
    content = _read(path, "give one of tools/steps_and_quality.py")
    runs = [(run["mask"], run["curve"], run["nfe"], list(run["slices"].values())) for run in content["runs"]]
    most = max((len(slices) for *_, slices in runs), default=0)
    rows = [_row(*run) for run in runs if len(run[-1]) == most > 0]
    if not rows:
        raise InputError("holds no results", str(path), "run tools/steps_and_quality.py to the end")
    return rows


def measure(
    model: LearnedModel,
    records: Sequence[Record],
    masks: Sequence[str],
    curves: Sequence[Curve],
    measured: Measured,
    *,
    convention: str = "slice",
    seed: int = 0,
) -> list[Row]:
    """Reconstructs all that is not there yet, slice by slice, and scores the magnitudes.

    Args:
        model: a prior, from `tfrecon.load`.
        records: fully sampled, with references; each mask is a function of (seed, record id).
        masks: KIND:ACCELERATION:ACS_LINES.
        curves: see there.
        measured: where results go.
        convention: of the scores.
        seed: of masks and samplers.

    Returns:
        All rows, in order.

    Raises:
        InputError: no records, records without reference, masks that cannot be made, unknown options.
    """
    if not records:
        raise InputError("there are no records", fix="check --test")
    for record in records:
        if record.reference is None:
            raise InputError("has no reference image", f"record {record.record_id!r}", "take fully sampled data")
    parsed = {mask: parse_mask(mask) for mask in masks}
    for _, curve, nfe in _jobs(masks, curves):
        model.resolve(curve.at(nfe))  # a wrong word is said before hours of work
    names = [record.record_id for record in records]
    left = {job: [name for name in names if name not in measured.slices(*job)] for job in _jobs(masks, curves)}
    whole = len(names) * sum(nfe for _, _, nfe in left)
    done = whole - sum(nfe * len(missing) for (_, _, nfe), missing in left.items())
    with progress(None, "network calls", whole, initial=done, unit="call") as bar:
        for mask in dict.fromkeys(masks):
            jobs = {job: missing for job, missing in left.items() if job[0] == mask and missing}
            if jobs:
                acquired = {record.record_id: record for record in undersampled(records, parsed[mask], seed)}
                for (_, curve, nfe), missing in jobs.items():
                    wanted = [acquired[name] for name in missing]
                    _measure(model, wanted, mask, curve, nfe, measured, convention, seed, bar)
    return measured.rows(masks, curves, names)


def _measure(
    model: LearnedModel,
    records: Sequence[Record],
    mask: str,
    curve: Curve,
    nfe: int,
    measured: Measured,
    convention: str,
    seed: int,
    bar: tqdm.tqdm,
) -> None:
    """One curve at one budget on the undersampled records that are left."""
    rules, seen = get_convention(convention), set()
    reconstruct = model.reconstructor(curve.at(nfe), seed=seed)
    for record in records:
        bar.set_postfix_str(f"{mask} {curve.name} {nfe}: {record.record_id}")
        measurement = to_measurement(record)
        start = time.perf_counter()
        image = np.asarray(reconstruct(measurement, series=record.is_series, key=record.record_id).image)
        seconds = time.perf_counter() - start
        scores = slice_scores(rules, image, record)
        measured.slices(mask, curve, nfe)[record.record_id] = {
            **{metric: float(np.mean([one[metric] for one in scores])) for metric in METRICS},
            "acceleration": acceleration([record]),
            "seconds": seconds,
            "compiled": record.kspace.shape not in seen,
        }
        seen.add(record.kspace.shape)
        measured.save()
        bar.update(nfe)


def table(rows: Sequence[Row], records: int) -> str:
    """A Markdown table, a line for each row."""
    lines = [
        f"Means over {records} records; seconds are the median of one slice.",
        "",
        "| mask | R | sampler | network calls | PSNR, dB | SSIM | NMSE | seconds | milliseconds a call |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        scores = f"{row.psnr:.2f} | {row.ssim:.4f} | {row.nmse:.5f}"
        times = f"{row.seconds:.2f} | {1e3 * row.seconds / row.nfe:.1f}"
        lines.append(f"| {row.mask} | {row.acceleration:.2f} | {row.curve} | {row.nfe} | {scores} | {times} |")
    return "\n".join(lines)


def comparisons(rows: Sequence[Row], against: str, within: float) -> list[str]:
    """For each mask and curve: with how few calls it comes within some dB of the longest run of a sampler.

    Args:
        rows: see there.
        against: the name of a curve, as tables have it; its row with the most calls is what others are measured by.
        within: dB.
    """
    lines = []
    for mask in dict.fromkeys(row.mask for row in rows):
        own = [row for row in rows if row.mask == mask]
        goal = max((row for row in own if row.curve == against), key=lambda row: row.nfe, default=None)
        if goal is None:
            lines.append(f"{mask}: nothing was measured of {against}")
            continue
        for curve in dict.fromkeys(row.curve for row in own if row.curve != against):
            lines.append(f"{mask}: {_comparison([row for row in own if row.curve == curve], goal, within)}")
    return lines


def _comparison(rows: Sequence[Row], goal: Row, within: float) -> str:
    there = f"{goal.curve} with {goal.nfe} calls ({goal.psnr:.2f} dB)"
    for row in sorted(rows, key=lambda row: row.nfe):
        if row.psnr >= goal.psnr - within:
            fewer = f"{goal.nfe / row.nfe:.3g} × fewer"
            return f"{row.curve} with {row.nfe} calls ({row.psnr:.2f} dB) is within {within:g} dB of {there}: {fewer}"
    best = max(rows, key=lambda row: row.psnr)
    return f"{best.curve} stays {goal.psnr - best.psnr:.2f} dB below {there}, nearest with {best.nfe} calls"


def figure(rows: Sequence[Row]) -> Figure:
    """PSNR and error against network calls, a column for each mask."""
    masks = list(dict.fromkeys(row.mask for row in rows))
    curves = list(dict.fromkeys(row.curve for row in rows))
    drawn = Figure(figsize=(1.5 + 4.2 * max(len(masks), 1), 6.5), layout="constrained")
    axes = drawn.subplots(2, max(len(masks), 1), squeeze=False, sharex=True)
    for column, mask in enumerate(masks):
        for number, curve in enumerate(curves):
            mine = sorted((r for r in rows if (r.mask, r.curve) == (mask, curve)), key=lambda r: r.nfe)
            for axis, metric in zip(axes[:, column], ("psnr", "nmse"), strict=True):
                values = [getattr(row, metric) for row in mine]
                axis.plot([r.nfe for r in mine], values, marker=".", color=f"C{number % 10}", label=curve)
        axes[0, column].set(title=mask, ylabel="PSNR, dB", xscale="log")
        axes[1, column].set(xlabel="network calls", ylabel="NMSE", yscale="log")
    for axis in axes.ravel():
        axis.grid(alpha=0.3)
    drawn.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return drawn


def _read(path: PathLike, fix: str) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict) or set(found) != {"about", "runs"}:
        raise InputError("is no file of steps and quality", str(path), fix)
    return found


def _jobs(masks: Sequence[str], curves: Sequence[Curve]) -> list[tuple[str, Curve, int]]:
    return [(mask, curve, nfe) for mask in masks for curve in curves for nfe in curve.nfe]


def _row(mask: str, curve: str, nfe: int, slices: Sequence[Mapping[str, Any]]) -> Row:
    ready = [one["seconds"] for one in slices if not one["compiled"]] or [one["seconds"] for one in slices]
    means = {metric: float(np.mean([one[metric] for one in slices])) for metric in (*METRICS, "acceleration")}
    return Row(mask=mask, curve=curve, nfe=nfe, seconds=float(np.median(ready)), slices=len(slices), **means)
