"""All that somebody else needs to arrive at the same numbers, and what to doubt about them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrecon import __version__
from tfrecon.metrics import SCALE_WARNING_DB, Convention, scale_error
from tfrecon.report.images import ImageSet
from tfrecon.report.pairing import Pairing
from tfrecon.report.scorecard import BASELINE, RESULT

LISTED = 5
"""How many names a warning lists; the passport has all."""


@dataclasses.dataclass(frozen=True)
class VolumeScale:
    """The best global factor of one volume; see `metrics.scale`.

    Attributes:
        volume_id: the volume.
        image: "result" or "zero_filled".
        factor: α that fits the reference best.
        gain_db: what multiplying by it would bring.
        identical: whether image and reference are the same.
    """

    volume_id: str
    image: str
    factor: float
    gain_db: float
    identical: bool


def scale_of(volume_id: str, role: str, recon: np.ndarray, reference: np.ndarray) -> VolumeScale:
    """Fits the global factor of one volume `[N, H, W]`, before any normalisation."""
    error = scale_error(recon, reference)
    return VolumeScale(volume_id, role, error.factor, error.gain_db, bool(np.array_equal(recon, reference)))


def make_passport(
    images: ImageSet,
    references: ImageSet,
    baseline: ImageSet | None,
    conventions: Sequence[Convention],
    pairing: Pairing,
    values: str,
) -> dict[str, Any]:
    """Everything about an evaluation that is known before a pixel is read."""
    unmatched = {
        "images": pairing.unmatched,
        "references": pairing.unmatched_reference,
        "not_in_index": [*images.not_indexed, *references.not_indexed],
    }
    return {
        "tfrecon": __version__,
        "conventions": {convention.name: convention.describe() for convention in conventions},
        "values": values,
        "reference": {"source": references.source, "type": references.reference_type or "of unknown type"},
        "result": {"source": images.source, "method": images.method, "options": images.info.get("options") or {}},
        "zero_filled": "none: left out on request" if baseline is None else baseline.source,
        "paired_by": "position" if images.in_memory else pairing.kind,
        "pairs": len(pairing.pairs),
        "unmatched": unmatched,
        "acquisition": acquisition([image for image, _ in pairing.pairs]),
    }


def acquisition(entries: Sequence[Any]) -> dict[str, Any]:
    """Achieved acceleration, ACS and seconds per image, as far as the index knows them."""
    rates = [entry.facts["acceleration"] for entry in entries if entry.facts.get("acceleration")]
    seconds = [entry.facts["seconds"] for entry in entries if entry.facts.get("seconds") is not None]
    acs = sorted({tuple(entry.facts["acs"]) for entry in entries if entry.facts.get("acs")})
    return {
        "acceleration": [float(min(rates)), float(max(rates))] if rates else None,
        "acs": [list(size) for size in acs] or None,
        "seconds_per_image": float(np.mean(seconds)) if seconds else None,
    }


def make_warnings(
    passport: dict[str, Any], summary: dict[str, Any], scales: Sequence[VolumeScale], images: ImageSet
) -> list[str]:
    """What a reader must know before believing the numbers, one line each."""
    return [
        *_scale_warning(scales),
        *_unmatched_warnings(passport),
        *_baseline_warnings(passport, scales),
        *_undefined_warnings(summary),
        *_volume_warnings(passport, images),
    ]


def _scale_warning(scales: Sequence[VolumeScale]) -> list[str]:
    own = [scale for scale in scales if scale.image == RESULT]
    wrong = [scale for scale in own if scale.gain_db > SCALE_WARNING_DB]
    if not wrong:
        return []
    gain = float(np.mean([scale.gain_db for scale in wrong]))
    gained = "all of the error" if math.isinf(gain) else f"{gain:.2f} dB of PSNR"
    factors = [scale.factor for scale in wrong]
    spread = f" ({min(factors):.3g} to {max(factors):.3g})" if len(factors) > 1 else ""
    return [
        f"a global scale error explains {gained} in {len(wrong)} of {len(own)} volumes: the result times "
        f"{np.median(factors):.3g}{spread} fits the reference best; was a normalisation not undone?"
    ]


def _volume_warnings(passport: dict[str, Any], images: ImageSet) -> list[str]:
    over_volumes = any(words["unit"] == "volume" for words in passport["conventions"].values())
    single = passport["slices"] == passport["volumes"] > 1
    if over_volumes and single and not images.info and not images.in_memory:
        return ["no index says which slices form a volume: each file counts as a volume of one slice"]
    return []


def _unmatched_warnings(passport: dict[str, Any]) -> list[str]:
    texts = {
        "images": "images have no reference and are not scored",
        "references": "references have no image: what is missing is not in the mean",
        "not_in_index": "image files are not named in the index and are not scored",
    }
    lines = []
    for key, text in texts.items():
        names = passport["unmatched"][key]
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            lines.append(f"{len(names)} {text}: {', '.join(names[:LISTED])}{more}")
    return lines


def _baseline_warnings(passport: dict[str, Any], scales: Sequence[VolumeScale]) -> list[str]:
    kind = str(passport["reference"]["type"]).replace("-", "_")
    baseline = [scale for scale in scales if scale.image == BASELINE]
    identical = bool(baseline) and all(scale.identical for scale in baseline)
    if "zero_filled" in kind or identical:
        return ["the reference is the zero-filled image itself: the best score goes to doing nothing"]
    return []


def _undefined_warnings(summary: dict[str, Any]) -> list[str]:
    lines = []
    for name, roles in summary.items():
        values = roles[RESULT]
        if values["nmse"]["undefined"]:
            lines.append(f"{name}: {values['nmse']['undefined']} units with an all-zero reference are left out")
        if values["psnr"]["infinite"]:
            lines.append(
                f"{name}: {values['psnr']['infinite']} units equal their reference (PSNR infinite), left out of PSNR"
            )
    return lines
