"""The pieces of the HTML report: tables, figures, statements."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfrecon.metrics import METRICS, Convention
from tfrecon.report.images import ImageSet
from tfrecon.report.scorecard import BASELINE, DECIMALS, METRIC_LABELS, RESULT, Report, json_ready, plural

MOST_UNITS = 200
"""More rows than that belong into a CSV file, not on a page."""

LARGER_IS_BETTER = {"psnr": True, "ssim": True, "nmse": False, "nrmse": False}


def escape(text: Any) -> str:
    """Text as HTML."""
    return html.escape(str(text))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """An HTML table of cells that are HTML already (`<td…>` or bare content)."""
    head = "".join(f"<th>{header}</th>" for header in headers)
    lines = ("".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    thead = f"<thead><tr>{head}</tr></thead>" if headers else ""
    return f'<div class="scroll"><table>{top}{thead}<tbody>{body}</tbody></table></div>'


def score_table(convention: Convention, reports: Mapping[str, Report]) -> str:
    """Mean, standard deviation and interval of each method, zero-filled first, the best mean marked."""
    summaries = _summaries(convention, reports)
    best = {metric: _best(summaries, metric) for metric in METRICS}
    rows = []
    for name, values in summaries.items():
        cells = [_score_cell(values[metric], metric, name == best[metric]) for metric in METRICS]
        rows.append([escape(name), *cells, str(values["nmse"]["count"])])
    first = next(iter(reports.values()))
    headers = ["method", *(escape(METRIC_LABELS[metric]) for metric in METRICS), f"{convention.unit}s"]
    several = any(values["nmse"]["count"] > 1 for values in summaries.values())
    spread = " Mean ± standard deviation; in brackets the bootstrap 95 % interval of the mean." if several else ""
    return f"<h3>{escape(convention.name)}</h3>" + table(headers, rows, f"{first.heading(convention.name)}.{spread}")


def unit_details(convention: Convention, reports: Mapping[str, Report]) -> str:
    """PSNR and SSIM of every volume or slice, folded away."""
    columns = {name: _counted(report, convention.name, RESULT) for name, report in reports.items()}
    first = next(iter(reports.values()))
    if BASELINE in first.summary[convention.name]:
        columns = {_baseline_name(reports): _counted(first, convention.name, BASELINE), **columns}
    units = list(dict.fromkeys(unit for column in columns.values() for unit in column))
    rows = [
        [escape(", ".join(unit)), *(_unit_cell(column.get(unit)) for column in columns.values())]
        for unit in units[:MOST_UNITS]
    ]
    more = f"<p class='soft'>{len(units) - MOST_UNITS} more: see metrics.csv.</p>" if len(units) > MOST_UNITS else ""
    inner = table([convention.unit, *map(escape, columns)], rows, "PSNR [dB] / SSIM")
    return f"<details><summary>Every {convention.unit}, {escape(convention.name)}</summary>{inner}{more}</details>"


def origin_html(images: ImageSet) -> str:
    """Whether the k-space was measured or simulated, and what was simulated."""
    attrs = [entry.facts.get("attrs") or {} for entry in images]
    if not images.info:
        text = "<b>Of unknown origin.</b> No index says whether the k-space was measured or simulated."
    else:
        simulated = [a["simulated"] for a in attrs if a.get("simulated")]
        text = _origin_text(simulated, len(attrs))
    made = images.info.get("undersampling")
    if made:
        text += f" Fully sampled data were undersampled in retrospect: {escape(_facts_text(made))}."
    sources = sorted({str(a["source"]) for a in attrs if a.get("source")})
    if sources:
        text += f" Source: {escape(_shortened(sources))}."
    return f'<p class="origin">{text}</p>'


def acquisition_table(results: Mapping[str, ImageSet], report: Report) -> str:
    """What was sampled and how long each method took."""
    passport = report.passport
    facts = passport["acquisition"]
    rate, acs = facts["acceleration"], facts["acs"]
    rows = [
        ["achieved acceleration (all samples over sampled ones, ACS included)", escape(_range_text(rate))],
        ["fully sampled centre (ACS), rows × columns", escape(_acs_text(acs))],
        ["images scored", f"{plural(passport['slices'], 'slice')} in {plural(passport['volumes'], 'volume')}"],
        ["reference", escape(f"{passport['reference']['type']} ({passport['reference']['source']})")],
        ["crop before scoring", escape(_shortened(passport["crop"]))],
    ]
    return table([], [*rows, *_method_rows(results)])


def unscored_table(results: Mapping[str, ImageSet]) -> str:
    """What was sampled and how long each method took, where there is no reference to score against."""
    first = next(iter(results.values()))
    rates = [entry.facts["acceleration"] for entry in first if entry.facts.get("acceleration")]
    sizes = dict.fromkeys(tuple(entry.facts["acs"]) for entry in first if entry.facts.get("acs"))
    rows = [
        ["achieved acceleration", escape(_range_text((min(rates), max(rates)) if rates else None))],
        ["fully sampled centre (ACS), rows × columns", escape(_acs_text(list(sizes) or None))],
    ]
    return table([], [*rows, *_method_rows(results)])


def definitions_table(conventions: Sequence[Convention]) -> str:
    """Each convention in words."""
    described = [convention.describe() for convention in conventions]
    keys = [key for key in described[0] if key != "name"]
    rows = [[escape(key.replace("_", " ")), *(escape(words[key]) for words in described)] for key in keys]
    return table(["", *(escape(words["name"]) for words in described)], rows)


def passport_details(reports: Mapping[str, Report]) -> str:
    """The whole passport of each evaluation, folded away."""
    content = {name: report.passport for name, report in reports.items()}
    text = json.dumps(json_ready(content), indent=2, ensure_ascii=False)
    return f"<details><summary>Passport: all that was done to the images</summary><pre>{escape(text)}</pre></details>"


def warning_list(lines: Sequence[str]) -> str:
    """Warnings as boxes; nothing for none."""
    return "".join(f'<p class="warning">{escape(line)}</p>' for line in dict.fromkeys(lines))


def figure_html(png: bytes, caption: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(png).decode("ascii")
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(caption)}"></figure>'


def _method_rows(results: Mapping[str, ImageSet]) -> list[list[str]]:
    """Time and options of each method."""
    rows = []
    for name, images in results.items():
        seconds = [entry.facts["seconds"] for entry in images if entry.facts.get("seconds") is not None]
        mean = f"{sum(seconds) / len(seconds):.3g} s per image" if seconds else "time not recorded"
        options = _facts_text(images.info.get("options") or {}) or "default options"
        rows.append([f"method {escape(name)}", escape(f"{mean}; {options}")])
    return rows


def _baseline_name(reports: Mapping[str, Report]) -> str:
    return "zero_filled (baseline)" if "zero_filled" in reports else "zero_filled"


def _summaries(convention: Convention, reports: Mapping[str, Report]) -> dict[str, Any]:
    first = next(iter(reports.values())).summary[convention.name]
    baseline = {_baseline_name(reports): first[BASELINE]} if BASELINE in first else {}
    return baseline | {name: report.summary[convention.name][RESULT] for name, report in reports.items()}


def _best(summaries: Mapping[str, Any], metric: str) -> str | None:
    means = {name: values[metric]["mean"] for name, values in summaries.items()}
    means = {name: mean for name, mean in means.items() if math.isfinite(mean)}
    if len(means) < 2:
        return None
    choose = max if LARGER_IS_BETTER[metric] else min
    return choose(means, key=lambda name: means[name])


def _score_cell(values: Mapping[str, float], metric: str, best: bool) -> str:
    digits = DECIMALS[metric]
    if math.isnan(values["mean"]):
        return f"<td>{'identical' if values['infinite'] else 'undefined'}</td>"
    text = f"{values['mean']:.{digits}f}"
    if math.isfinite(values["std"]):
        low, high = f"{values['low']:.{digits}f}", f"{values['high']:.{digits}f}"
        text += f"<small>± {values['std']:.{digits}f} [{low}, {high}]</small>"
    return f'<td class="best">{text}</td>' if best else f"<td>{text}</td>"


def _counted(report: Report, convention: str, image: str) -> dict[tuple[str, ...], Mapping[str, Any]]:
    rows = (row for row in report.rows if row["counted"] and row["convention"] == convention and row["image"] == image)
    return {_unit_name(row): row for row in rows}


def _unit_name(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["level"] == "volume":
        return (row["volume_id"],)
    frame = () if row["frame"] is None else (f"frame {row['frame']}",)
    return (row["volume_id"], f"slice {row['slice_index']}", *frame)


def _unit_cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    if not math.isfinite(row["psnr"]):
        return escape(row["note"])
    return f"{row['psnr']:.2f} / {row['ssim']:.4f}"


def _origin_text(simulated: Sequence[Any], count: int) -> str:
    if not simulated:
        return "<b>Measured k-space.</b> No record says that anything of it was simulated."
    part = "" if len(simulated) == count else f" ({len(simulated)} of {count} images)"
    facts = simulated[0]
    facts = {key: value for key, value in facts.items() if key != "seed"} if isinstance(facts, Mapping) else facts
    details = _facts_text(facts)
    return f"<b>Simulated acquisition{part}.</b> The k-space was computed from images, not measured: {escape(details)}."


def _facts_text(facts: Any) -> str:
    if isinstance(facts, Mapping):
        return ", ".join(
            f"{key} {_inner_text(value)}" for key, value in facts.items() if value not in (None, {}, [], "")
        )
    if isinstance(facts, list | tuple):
        return " ".join(_inner_text(value) for value in facts)
    if isinstance(facts, bool):
        return "yes" if facts else "no"
    if isinstance(facts, float):
        return f"{facts:.4g}"
    return str(facts)


def _inner_text(value: Any) -> str:
    return f"({_facts_text(value)})" if isinstance(value, Mapping) else _facts_text(value)


def _range_text(rate: Sequence[float] | None) -> str:
    if rate is None:
        return "not recorded"
    low, high = rate
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def _acs_text(acs: Sequence[Sequence[int]] | None) -> str:
    if acs is None:
        return "not recorded"
    return _shortened([" × ".join(str(n) for n in size) for size in acs])


def _shortened(texts: str | Sequence[str], most: int = 4) -> str:
    if isinstance(texts, str):
        return texts
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
