"""A figure of folders of images: beside their references where there are any, else side by side."""

from __future__ import annotations

from collections.abc import Sequence

from tfrecon.metrics import get_convention
from tfrecon.report.cases import choose_entries, collect_cases, method_names
from tfrecon.report.evaluate import NO_BASELINE, open_baseline
from tfrecon.report.figures import DPI, cases_figure, grid_figure, save_figure
from tfrecon.report.images import BASELINE_FOLDER, REFERENCE_FOLDER, ImageSet, open_images
from tfrecon.report.uncertainty import collect_uncertainty, uncertainty_figure
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError


def plot_folders(
    inputs: Sequence[PathLike],
    save: PathLike,
    *,
    indices: Sequence[int] | None = None,
    reference: PathLike | None = None,
    zero_filled: PathLike | None = None,
    convention: str = "fastmri",
    grid: bool = False,
    rows: int = 2,
    dpi: int = DPI,
    uncertainty: bool = False,
) -> list[int]:
    """Draws slices of one or several methods and writes the figure.

    Args:
        inputs: folders of images of the same input, one per method.
        save: the figure file.
        indices: numbers (k) of the images; None for a few.
        reference: folder of the references; None for the first input's `reference/`. Without any,
            the first input's images are shown side by side.
        zero_filled: folder of the zero-filled images; None for the first input's `zero_filled/`
            where there is one; "none" for none.
        convention: how the titles are scored.
        grid: shows the images side by side although there are references.
        rows: of that grid.
        dpi: pixels per inch.
        uncertainty: shows of one folder how sure its images are: intervals, standard deviation, dispersions.

    Returns:
        The numbers that were asked for and do not exist.

    Raises:
        InputError: no folder, none of the images, or images that cannot be read or do not fit.
    """
    if not inputs:
        raise InputError("no folder was given", fix="give the folder of one method or more")
    results = [open_images(folder) for folder in inputs]
    first = results[0]
    entries, missing = choose_entries(first, indices)
    chosen = get_convention(convention)
    beside = first.folder / REFERENCE_FOLDER
    if uncertainty:
        if len(results) > 1 or grid:
            raise InputError("uncertainty is drawn of one folder alone", fix="give one folder, and no --grid")
        known = open_images(beside if reference is None else reference) if reference or beside.is_dir() else None
        save_figure(uncertainty_figure(collect_uncertainty(first, known, entries)), save, dpi)
        return missing
    if grid or (reference is None and not beside.is_dir()):
        if len(results) > 1:
            raise InputError(
                "several folders are compared beside references only", fix="give --reference, or one folder"
            )
        images = {entry.record_id or entry.file: first.load(entry) for entry in entries}
        save_figure(grid_figure(images, rows, method_names(results)[0], dpi), save, dpi)
        return missing
    references = open_images(beside if reference is None else reference)
    cases = collect_cases(results, references, _baseline(zero_filled, first), entries, chosen)
    save_figure(cases_figure(cases), save, dpi)
    return missing


def _baseline(zero_filled: PathLike | None, first: ImageSet) -> ImageSet | None:
    # A picture is no score: here the zero-filled image is shown where it is at hand.
    if zero_filled is None and not (first.folder / BASELINE_FOLDER).is_dir():
        return open_baseline(NO_BASELINE, first)
    return open_baseline(zero_filled, first)
