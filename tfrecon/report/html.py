"""One self-contained HTML page: scores, pictures, and what the numbers mean."""

from __future__ import annotations

import importlib.resources
import pathlib
import string
from collections.abc import Mapping, Sequence

from tfrecon import __version__
from tfrecon.metrics import Convention, convention_names, get_convention
from tfrecon.report.cases import case_title, choose_entries, collect_cases, matching_entry, method_names
from tfrecon.report.evaluate import evaluate_sets, open_baseline
from tfrecon.report.figures import cases_figure, grid_figure, png_bytes
from tfrecon.report.html_parts import (
    acquisition_table,
    definitions_table,
    escape,
    figure_html,
    origin_html,
    passport_details,
    score_table,
    unit_details,
    unscored_table,
    warning_list,
)
from tfrecon.report.images import REFERENCE_FOLDER, ImageSet, open_images
from tfrecon.report.scorecard import BASELINE, Report, plural
from tfrecon.report.uncertainty import uncertainty_section
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path

Folders = Sequence[PathLike]


def write_report(
    inputs: Folders | Mapping[str, Folders],
    output: PathLike,
    *,
    reference: PathLike | None = None,
    zero_filled: PathLike | None = None,
    convention: str | Sequence[str] = "fastmri",
    indices: Sequence[int] | None = None,
    title: str = "Reconstruction report",
) -> pathlib.Path:
    """Scores the folders of several methods and writes one HTML page about them.

    Args:
        inputs: folders that `reconstruct` wrote, one per method, of the same input; or several
            such groups by heading, each with references and zero-filled images of its own.
        output: the HTML file.
        reference: folder of the references; None for the first input's `reference/`. A group that has none
            is shown without scores.
        zero_filled: folder of the zero-filled images; None for the first input's `zero_filled/`;
            "none" for none.
        convention: a name, several, or "all"; the pictures carry the first one's scores.
        indices: numbers (k) of the slices that are shown; None for a few.
        title: the heading.

    Returns:
        The path of the page.

    Raises:
        InputError: as `report.evaluate.evaluate`; or an output that is no .html file.
    """
    output = pathlib.Path(output)
    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError("is not an .html file", str(output), "name the page, such as report.html")
    groups = inputs if isinstance(inputs, Mapping) else {"": inputs}
    if not any(groups.values()):
        raise InputError("no folder was given", fix="give the folder of one method or more")
    conventions = _conventions(convention)
    sections, scored = [], False
    for heading, folders in groups.items():
        results = [open_images(folder) for folder in folders]
        baseline = open_baseline(zero_filled, results[0])
        references = _open_references(results[0], reference)
        scored = scored or references is not None
        if references is None:
            sections.append(_unscored_section(heading, results, baseline, indices))
        else:
            sections.append(_section(heading, results, references, baseline, conventions, indices))
    if scored:
        sections.append("<h2>What the numbers mean</h2>" + definitions_table(conventions))
    count = sum(len(folders) for folders in groups.values())
    page = string.Template(importlib.resources.files("tfrecon.report").joinpath("template.html").read_text("utf-8"))
    text = page.substitute(
        title=escape(title),
        subtitle=escape(_subtitle(count, conventions if scored else [])),
        sections="\n".join(sections),
        version=escape(__version__),
    )
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return output


def _conventions(names: str | Sequence[str]) -> list[Convention]:
    names = [names] if isinstance(names, str) else list(names)
    return [get_convention(name) for name in (convention_names() if "all" in names else dict.fromkeys(names))]


def _open_references(images: ImageSet, reference: PathLike | None) -> ImageSet | None:
    folder = images.folder / REFERENCE_FOLDER if reference is None else reference
    return open_images(folder) if reference is not None or folder.is_dir() else None


def _subtitle(count: int, conventions: Sequence[Convention]) -> str:
    names = ", ".join(convention.name for convention in conventions)
    if not names:
        return f"{plural(count, 'reconstruction')}, not scored; zero_filled is the image of doing nothing"
    return f"{plural(count, 'reconstruction')}, scored under {names}; zero_filled is the image of doing nothing"


def _section(
    heading: str,
    results: list[ImageSet],
    references: ImageSet,
    baseline: ImageSet | None,
    conventions: Sequence[Convention],
    indices: Sequence[int] | None,
) -> str:
    names = method_names(results)
    reports = {
        # The baseline's scores are the same beside every method of the same input.
        name: evaluate_sets(images, references, baseline if n == 0 else None, conventions)
        for n, (name, images) in enumerate(zip(names, results, strict=True))
    }
    for report in reports.values():
        report.passport["zero_filled"] = reports[names[0]].passport["zero_filled"]
    entries, missing = choose_entries(results[0], indices)
    figures = [
        figure_html(png_bytes(cases_figure([case])), case.title)
        for case in collect_cases(results, references, baseline, entries, conventions[0])
    ]
    warnings = [f"{name}: {line}" for name, report in reports.items() for line in report.warnings]
    warnings += _coverage_warnings(reports)
    warnings += [f"there is no image number {k} to show" for k in missing]
    first = reports[names[0]]
    parts = [
        f"<h2>{escape(heading)}</h2>" if heading else "",
        origin_html(results[0]),
        warning_list(warnings),
        "<h2>Scores</h2>" if not heading else "<h3>Scores</h3>",
        *(score_table(convention, reports) for convention in conventions),
        unit_details(conventions[0], reports),
        "<h2>Pictures</h2>" if not heading else "<h3>Pictures</h3>",
        *figures,
        uncertainty_section(dict(zip(names, results, strict=True)), references, entries),
        "<h2>Acquisition</h2>" if not heading else "<h3>Acquisition</h3>",
        acquisition_table(dict(zip(names, results, strict=True)), first),
        passport_details(reports),
    ]
    return "\n".join(part for part in parts if part)


def _unscored_section(
    heading: str, results: list[ImageSet], baseline: ImageSet | None, indices: Sequence[int] | None
) -> str:
    """Pictures of data without a reference, such as a prospective acquisition."""
    named = dict(zip(method_names(results), results, strict=True))
    columns = named if baseline is None or BASELINE in named else {BASELINE: baseline, **named}
    entries, missing = choose_entries(results[0], indices)
    figures = []
    for entry in entries:
        planes = {name: images.load(matching_entry(entry, results[0], images)) for name, images in columns.items()}
        title = case_title(entry, None)
        figures.append(figure_html(png_bytes(grid_figure(planes, rows=1, title=title)), title))
    parts = [
        f"<h2>{escape(heading)}</h2>" if heading else "",
        origin_html(results[0]),
        warning_list(["There is no reference, so nothing is scored."]),
        warning_list([f"there is no image number {k} to show" for k in missing]),
        *figures,
        uncertainty_section(named, None, entries),
        unscored_table(named),
    ]
    return "\n".join(part for part in parts if part)


def _coverage_warnings(reports: Mapping[str, Report]) -> list[str]:
    counts = {name: report.passport["pairs"] for name, report in reports.items()}
    if len(set(counts.values())) == 1:
        return []
    shown = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [f"the methods are scored on different numbers of images ({shown}): their means do not compare"]
