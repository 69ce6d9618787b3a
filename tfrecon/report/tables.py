"""Markdown tables of what was measured of models, for their cards and the pages on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.report.compare import parse_mask
from tfrecon.report.comparison import CLASSICAL, Row, difference, difference_text, find_row
from tfrecon.report.pages import markdown_table
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

LABELS = {"zero_filled": "zero-filled", "cg_sense": "CG-SENSE", "tv": "TV", "l1_wavelet": "L1-wavelet"}
"""What the classical methods are called."""

KINDS = {"gaussian1d": "lines", "gaussian2d": "points"}
"""What masks of these kinds are called; others have the name of their kind."""

NOTHING = "–"


def comparison_table(
    rows: Sequence[Row],
    labels: Mapping[str, str] | None = None,
    over: Sequence[tuple[str, str]] | None = None,
    *,
    intervals: bool = True,
    times: bool = True,
) -> str:
    """Methods by masks, PSNR in dB / SSIM / NMSE; then differences of PSNR.

    Columns of network calls and of parameters are there if they are known of any method.

    Args:
        rows: `report.comparison.read_rows`; their order is that of methods and masks.
        labels: what methods are called in the table.
        over: pairs of methods whose difference of PSNR gets a line; `CLASSICAL` is the best classical one of each mask.
            None for each trained model over that.
        intervals: with the differences' bootstrap intervals.
        times: with a column of seconds, the median over the masks of one record's.

    Raises:
        InputError: no rows, or a label or a pair of a method that is not among them.
    """
    if not rows:
        raise InputError("no methods were measured", fix="give a file of tools/compare_methods.py")
    masks, methods = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("mask", "method"))
    labels = labels or {}
    pairs = list(dict.fromkeys(_over_classical(rows) if over is None else over))
    for name in (*labels, *(name for pair in pairs for name in pair)):
        if name not in methods and name != CLASSICAL:
            raise InputError(f"no method {name!r} was measured", fix=f"there are {', '.join(methods)}")
    further = {"network calls": _calls} if any(row.calls for row in rows) else {}
    further |= {"parameters": _parameters} if any(row.parameters for row in rows) else {}
    further |= {"seconds": _seconds} if times else {}
    lines = []
    for name in methods:
        own = [row for row in rows if row.method == name]
        scores = [_scores(find_row(own, mask, name)) for mask in masks]
        lines.append([(LABELS | dict(labels)).get(name, name), *scores, *(cell(own) for cell in further.values())])
    for pair in pairs:
        lines.append(_difference_line(rows, masks, pair, intervals) + [""] * len(further))
    return markdown_table(["", *_titles(masks), *further], lines, left=1 + len(masks))


def calibration_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What part of the object's pixels intervals cover, and how wide they are.

    Args:
        found: by label what `read_calibration` gave.

    Raises:
        InputError: they have other nominal levels.
    """
    contents = list(found.values())
    levels = contents[0]["levels"]
    if any(content["levels"] != levels for content in contents):
        raise InputError("calibrations have other nominal levels", fix="evaluate all of them again")
    level = f"{100 * contents[0]['level']:g} %"
    lines = [
        [
            label,
            str(content["facts"]["images"]),
            *(f"{100 * part:.1f} %" for part in content["observed"]),
            _spread(content["per_image"], 100, " %", 1),
            f"{100 * content['sharpness']:.1f} %",
            _scale_cell(content["scale"]),
        ]
        for label, content in found.items()
    ]
    nominal = [f"{100 * part:g} %" for part in levels]
    headers = ["", "images", *nominal, f"{level}, mean of images", f"width of {level}", "scale"]
    warnings = [f"- {label}: {line}" for label, content in found.items() for line in content["warnings"]]
    table = markdown_table(headers, lines)
    return "\n".join([table, "", *warnings]) if warnings else table


def likelihood_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Bits per dimension: mean ± standard deviation over images.

    Args:
        found: by label what `read_likelihood` gave.
    """
    lines = []
    for label, content in found.items():
        images = content["images"]
        bits = np.array([one["bits"] for one in images])
        spread = {"mean": bits.mean(), "std": bits.std(ddof=1) if len(bits) > 1 else None}
        trips = [one["round_trip"] for one in images if one["round_trip"] is not None]
        calls = f"{np.mean([one['calls'] for one in images]):.0f}"
        lines.append(
            [label, str(len(images)), _spread(spread, 1, "", 3), calls, f"{max(trips):.1e}" if trips else NOTHING]
        )
    return markdown_table(["", "images", "bits/dim", "network calls", "error of the round trip"], lines)


def read_calibration(path: PathLike) -> dict[str, Any]:
    """The content of a `calibration.json` of `tfrecon evaluate`.

    Raises:
        InputError: it is none.
    """
    keys = ("facts", "levels", "observed", "level", "per_image", "sharpness", "scale", "warnings")
    return _read(path, keys, "calibration", "give the calibration.json of tfrecon evaluate --calibration")


def read_likelihood(path: PathLike) -> dict[str, Any]:
    """The content of a file of `tools/likelihood.py`, of one image or more.

    Raises:
        InputError: it is none.
    """
    content = _read(path, ("model", "images"), "likelihoods", "give a file of tools/likelihood.py")
    if not content["images"]:
        raise InputError("holds no images", str(path), "give a file of tools/likelihood.py")
    return content


def _read(path: PathLike, keys: Sequence[str], what: str, fix: str) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise InputError(f"holds no {what}", str(path), fix)
    return content


def _titles(masks: Sequence[str]) -> list[str]:
    """Words for masks; the masks as they were asked for where words would be alike."""
    parsed = [parse_mask(mask) for mask in masks]
    words = [f"{KINDS.get(mask.kind, mask.kind)}, R = {mask.acceleration:g}" for mask in parsed]
    return words if len(set(words)) == len(words) else list(masks)


def _scores(row: Row | None) -> str:
    return NOTHING if row is None else f"{row.psnr:.2f} / {row.ssim:.3f} / {row.nmse:.4f}"


def _calls(rows: Sequence[Row]) -> str:
    """Network calls of one method: one number, unless masks had different ones."""
    return ", ".join(str(count) for count in sorted({row.calls for row in rows if row.calls is not None})) or NOTHING


def _parameters(rows: Sequence[Row]) -> str:
    """Of one method, in thousands or millions."""
    found = next((row.parameters for row in rows if row.parameters), None)
    if found is None:
        return NOTHING
    return f"{found / 1e6:.1f} M" if found >= 1e6 else f"{found / 1e3:.0f} k"


def _seconds(rows: Sequence[Row]) -> str:
    """Of one method, the median over the masks."""
    return np.format_float_positional(
        np.median([row.seconds for row in rows]), precision=2, unique=False, fractional=False, trim="-"
    )


def _over_classical(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Each trained model with the best classical method, if there are such."""
    if not any(row.classical for row in rows):
        return []
    return [(name, CLASSICAL) for name in dict.fromkeys(row.method for row in rows if not row.classical)]


def _difference_line(rows: Sequence[Row], masks: Sequence[str], pair: tuple[str, str], intervals: bool) -> list[str]:
    cells = []
    for mask in masks:
        row, other = (find_row(rows, mask, name) for name in pair)
        known = row is not None and other is not None
        cells.append(difference_text(difference(row, other), intervals) if known else NOTHING)
    return [f"{pair[0]} over {'the best classical' if pair[1] == CLASSICAL else pair[1]}, dB", *cells]


def _spread(values: Mapping[str, float | None], factor: float, unit: str, digits: int) -> str:
    """`mean ± standard deviation`, of one value the value alone."""
    text = f"{factor * values['mean']:.{digits}f}"
    return f"{text}{unit}" if values["std"] is None else f"{text} ± {factor * values['std']:.{digits}f}{unit}"


def _scale_cell(scale: Mapping[str, Any]) -> str:
    fitted = scale["fitted_on"]
    if not fitted:
        return f"{scale['factor']:.4g}"
    return f"{scale['factor']:.4g}, fitted on {fitted['images']} images"
