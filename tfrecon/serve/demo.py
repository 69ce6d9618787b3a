"""The demonstration: undersampled k-space in, images out, scored, drawn and put on one page."""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.data.readers.sample_head import sample_head
from tfrecon.data.sources import RecordSource, open_source
from tfrecon.data.synthetic import simulate_acquisition
from tfrecon.data.transforms import Undersampling
from tfrecon.data.volumes import volume_name
from tfrecon.data.writer import write_dataset
from tfrecon.metrics import get_convention
from tfrecon.records import Record
from tfrecon.report.evaluate import evaluate
from tfrecon.report.figures import grid_figure, save_figure
from tfrecon.report.html import write_report
from tfrecon.report.plot import plot_folders
from tfrecon.report.scorecard import BASELINE, json_ready
from tfrecon.serve.demo_methods import DemoMethod, DemoMethods
from tfrecon.serve.folder import with_reference
from tfrecon.serve.map_choice import MapChoice
from tfrecon.serve.mask_choice import MaskChoice, is_fully_sampled, open_input
from tfrecon.serve.writers import slice_file_name
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json, write_json

CONVENTION = "fastmri"
COILS = 8
NOISE = 0.01
LINES = Undersampling("equispaced", 4.0, acs_lines=24)
DISC = Undersampling("poisson", 8.0, acs_lines=24)


@dataclasses.dataclass(frozen=True)
class DemoCase:
    """One input under one mask.

    Attributes:
        name: of its folder and figure.
        source: records that are undersampled and have maps.
    """

    name: str
    source: RecordSource


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """What the demonstration made.

    Attributes:
        rows: `{case, method, acceleration, psnr, ssim, nmse, seconds}`; scores are None where there
            is no reference.
        metrics: `metrics.json`.
        figures: a PNG for each case, and one for each that says how sure a prior is of it.
        page: `report.html`.
        notes: what has to be known of some methods, one line each.
    """

    rows: list[dict[str, object]]
    metrics: pathlib.Path
    figures: list[pathlib.Path]
    page: pathlib.Path
    notes: list[str] = dataclasses.field(default_factory=list)

    def table(self) -> str:
        """The rows as text."""
        head = ("case", "method", "R", "PSNR [dB]", "SSIM", "NMSE", "s/slice")
        lines = [head]
        for row in self.rows:
            scores = [_number(row[name], digits) for name, digits in (("psnr", 2), ("ssim", 4), ("nmse", 5))]
            rate, seconds = _number(row["acceleration"], 2), _number(row["seconds"], 2)
            lines.append((str(row["case"]), str(row["method"]), rate, *scores, seconds))
        widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
        table = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([*table, *self.notes])


def run_demo(
    output: PathLike,
    inputs: Sequence[PathLike] = (),
    *,
    slices: int = 3,
    mask_file: PathLike | None = None,
    source_options: Mapping[str, Any] | None = None,
) -> DemoResult:
    """Reconstructs bundled anatomy, and the user's own files, with every method and the models that ship.

    The anatomy is the head that comes with matplotlib, measured with simulated coils, phase and noise;
    without it the phantoms of `dummy_data`. Files that are fully sampled are undersampled; others are
    used as they are, and have no scores unless they bring a reference. Of a prior the mean of several samples is
    shown, and how sure it is. A model that is missing, or refuses a case, is named in one line and left out.

    Args:
        output: the folder of everything.
        inputs: datasets, raw files or folders of them.
        slices: how many slices of each input, from the middle of its first volume.
        mask_file: of the inputs, see `serve.mask_choice.open_input`.
        source_options: how the inputs are read, see `data.volumes.SourceOptions`.

    Returns:
        The scores, and where to look.

    Raises:
        InputError: an input cannot be read or reconstructed.
    """
    output = pathlib.Path(output)
    cases = [*_user_cases(inputs, slices, mask_file, source_options), *_head_cases(output)]
    rows, figures, shown_by_case, notes = [], [], {}, {}
    methods = DemoMethods()
    for case in cases:
        made = _reconstruct(case, methods, output)
        folders = {method.name: folder for method, folder in made}
        rows += [_row(case.name, name, folder) for name, folder in folders.items()]
        notes |= {note: None for method, _ in made if (note := method.note())}
        shown_by_case[case.name] = [folder for name, folder in folders.items() if name != BASELINE]
        figures += _plot(case, made, shown_by_case[case.name], output)
    page = write_report(shown_by_case, output / "report.html", title="tfrecon demo")
    metrics = output / "metrics.json"
    write_json(metrics, json_ready({"convention": get_convention(CONVENTION).describe(), "results": rows}))
    return DemoResult(rows, metrics, figures, page, list(notes))


def _head_cases(output: pathlib.Path) -> list[DemoCase]:
    try:
        head = sample_head()
    except InputError as error:
        dummy = pathlib.Path(__file__).parents[2] / "dummy_data" / "records" / "test"
        if not dummy.is_dir():
            raise
        warnings.warn(f"{error.what}: phantoms take the place of the head", stacklevel=2)
        return [DemoCase("phantom_equispaced", _prepare(open_source(dummy), None, 1))]
    record = simulate_acquisition(
        head, record_id="head/000", volume_id="head", coils=COILS, noise=NOISE, attrs={"source": "matplotlib"}
    )
    write_dataset(output / "head", [record], overwrite=True)
    source = open_source(output / "head")
    return [
        DemoCase("head_equispaced_R4", _prepare(source, MaskChoice(LINES), 1)),
        DemoCase("head_poisson_R8", _prepare(source, MaskChoice(DISC), 1)),
    ]


def _user_cases(
    inputs: Sequence[PathLike],
    slices: int,
    mask_file: PathLike | None,
    source_options: Mapping[str, Any] | None,
) -> list[DemoCase]:
    given = None if mask_file is None else MaskChoice(mask_file=mask_file)
    cases: list[DemoCase] = []
    for path in inputs:
        records, pending = open_input(path, given, source_options)
        name = volume_name(pathlib.Path(path).resolve())
        if name in {case.name for case in cases}:
            raise InputError("two inputs have this name", str(path), "rename one of them")
        cases.append(DemoCase(name, _prepare(records, pending, slices)))
    return cases


def _prepare(source: RecordSource, masks: MaskChoice | None, count: int) -> RecordSource:
    """The middle slices of the first volume (the outer ones often show nothing), undersampled and with maps.

    All methods then start from the same maps, which are estimated once.
    """
    volume = source.volumes[0]
    count = min(count, volume.slices)
    start = (volume.slices - count) // 2
    records = list(source.read(volume, range(start, start + count)))
    if not records:
        raise InputError(
            f"its slices {start} to {start + count - 1} are empty", str(volume.path), "give more with --max"
        )
    masks = masks or MaskChoice(_lines_for(records[0]))
    records = [with_reference(record) for record in records]
    records = [masks.apply(record) if is_fully_sampled(record) else record for record in records]
    records = [_with_maps(record) for record in records]
    prepared = dataclasses.replace(volume, slices=len(records), read=lambda wanted: (records[n] for n in wanted))
    return RecordSource(source.path, source.kind, [prepared])


def _with_maps(record: Record) -> Record:
    try:
        return MapChoice().apply(record, 0, 1)
    except InputError as error:
        warnings.warn(f"{error.what}: Walsh's maps are taken", stacklevel=2)
        return MapChoice("walsh").apply(record, 0, 1)


def _lines_for(record: Record) -> Undersampling:
    """Four-fold lines with as many calibration lines as the width bears; a series moves them over time."""
    kind = "kt_equispaced" if record.is_series else LINES.kind
    return dataclasses.replace(LINES, kind=kind, acs_lines=min(LINES.acs_lines, record.kspace.shape[-1] // 6))


def _reconstruct(case: DemoCase, methods: DemoMethods, output: pathlib.Path) -> list[tuple[DemoMethod, pathlib.Path]]:
    """The folders of all slices of a case by each method; without the trained models that refuse it."""
    made = []
    for method in methods.of(next(iter(case.source))):
        try:
            made.append((method, method.run(case.source, output / case.name / method.name)))
        except InputError as error:
            if isinstance(method.method, str):
                raise
            warnings.warn(f"{method.name} is not shown on {case.name}: {error}", stacklevel=2)
    return made


def _plot(
    case: DemoCase,
    made: Sequence[tuple[DemoMethod, pathlib.Path]],
    shown: Sequence[pathlib.Path],
    output: pathlib.Path,
) -> list[pathlib.Path]:
    """Writes the figure of a case, and one of each method that says how sure it is."""
    figures = [output / f"{case.name}.png"]
    if (shown[0] / "reference").is_dir():
        plot_folders(shown, figures[0])
    else:
        _plot_side_by_side({method.name: folder for method, folder in made}, figures[0])
    for method, folder in made:
        if method.intervals is not None:
            figures.append(output / f"{case.name}_{method.name}_uncertainty.png")
            plot_folders([folder], figures[-1], uncertainty=True)
    return figures


def _row(case: str, method: str, folder: pathlib.Path) -> dict[str, object]:
    images = read_json(folder / "index.json")["images"]
    row = {"case": case, "method": method, "acceleration": _mean(image["acceleration"] for image in images)}
    scores: dict[str, float | None] = dict.fromkeys(("psnr", "ssim", "nmse"))
    if (folder / "reference").is_dir():
        report = evaluate(folder, convention=CONVENTION)
        scores = {name: report.mean(name) for name in scores}
    return {**row, **scores, "seconds": _mean(image["seconds"] for image in images)}


def _plot_side_by_side(folders: Mapping[str, pathlib.Path], path: pathlib.Path) -> None:
    """One slice of every method; for data without a reference."""
    images = {name: np.load(folder / slice_file_name(0)) for name, folder in folders.items()}
    save_figure(grid_figure(images, rows=1, title=f"{path.stem}: no reference, so no scores"), path)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _number(value: object, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
