"""Named conventions: what is done to the images, which data range counts, over what numbers are taken.

The same reconstruction gets different numbers from different definitions, so no number leaves
tfrecon without the name of its convention. A convention is added by one `register_convention` call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np

from tfrecon.metrics import measures
from tfrecon.util.errors import InputError

METRICS = ("psnr", "ssim", "nmse", "nrmse")
"""What every convention computes, in the order of tables."""

Scores = dict[str, float]
"""A number for each of `METRICS`; NaN where it is not defined."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A reconstruction and its reference, ready to be compared.

    Attributes:
        recon: float64 or complex128 `[N, H, W]`.
        reference: of the same shape.
        data_range: the peak for PSNR and SSIM, one number for all slices; 0 where the reference
            is empty and nothing can be scored.
        ssim_ranges: float `[N]`, the peak of each slice for SSIM where that is another one; None where it is not.
    """

    recon: np.ndarray
    reference: np.ndarray
    data_range: float
    ssim_ranges: np.ndarray | None = None

    def slice(self, index: int) -> Pair:
        """One slice, under the data range of the whole."""
        part = slice(index, index + 1)
        ranges = None if self.ssim_ranges is None else self.ssim_ranges[part]
        return Pair(self.recon[part], self.reference[part], self.data_range, ranges)

    @property
    def ssim_range(self) -> float:
        """The peak for SSIM of the first slice."""
        return self.data_range if self.ssim_ranges is None else float(self.ssim_ranges[0])


@dataclasses.dataclass(frozen=True)
class Convention:
    """One way of scoring.

    Attributes:
        name: as on the command line.
        unit: what one number stands for, and so what means and intervals are taken over.
        prepare: makes the `Pair` of one unit from `[N, H, W]` images (N = 1 for unit "slice").
        normalisation: in words, what `prepare` does to the images.
        data_range: in words, which peak PSNR and SSIM use.
        ssim: SSIM of prepared 2-D images under a data range.
        ssim_text: in words, which SSIM that is.
        nmse: NMSE of prepared images; NRMSE is its root.
        nmse_text: in words, what divides the error.
        accepts_complex: whether the complex error can be scored.
    """

    name: str
    unit: Literal["volume", "slice"]
    prepare: Callable[[np.ndarray, np.ndarray], Pair]
    normalisation: str
    data_range: str
    ssim: Callable[[np.ndarray, np.ndarray, float], float] = measures.ssim
    ssim_text: str = "scikit-image, uniform 7×7 window, K1 0.01, K2 0.03, per slice"
    nmse: Callable[[np.ndarray, np.ndarray], float] = measures.nmse
    nmse_text: str = "‖error‖² / ‖reference‖²"
    accepts_complex: bool = True

    def describe(self) -> dict[str, str]:
        """The convention in words, for the passport of a report."""
        return {
            "name": self.name,
            "unit": self.unit,
            "normalisation": self.normalisation,
            "data_range": self.data_range,
            "psnr": f"10 log10(range² / mean squared error), error averaged over the {self.unit}",
            "ssim": self.ssim_text,
            "nmse": f"{self.nmse_text}, over the {self.unit}",
            "nrmse": "square root of nmse",
        }


@dataclasses.dataclass(frozen=True)
class VolumeScores:
    """The numbers of one volume.

    Attributes:
        units: what enters the mean: one entry for unit "volume", N for unit "slice".
        slices: one entry per slice. For unit "slice" the same as `units`; for unit "volume" each
            slice under the volume's data range, to see where a volume is good or bad.
    """

    units: list[Scores]
    slices: list[Scores]


def score_volume(convention: Convention, recon: np.ndarray, reference: np.ndarray) -> VolumeScores:
    """Scores one volume.

    A unit whose reference is zero everywhere has no score: all its numbers are NaN, under every
    convention, and aggregation leaves it out and counts it.

    Args:
        convention: how.
        recon: `[N, H, W]`, real magnitudes or complex.
        reference: of the same shape.

    Returns:
        The numbers of the units and of the slices.

    Raises:
        InputError: shapes differ, or images are smaller than the SSIM window.
    """
    recon, reference = measures.as_float64(recon), measures.as_float64(reference)
    if convention.unit == "slice":
        count = len(reference)
        pairs = [convention.prepare(recon[n : n + 1], reference[n : n + 1]) for n in range(count)]
        empty = [not reference[n].any() for n in range(count)]
        slices = [score_slice(convention, pair, nothing) for pair, nothing in zip(pairs, empty, strict=True)]
        return VolumeScores(slices, slices)
    pair = convention.prepare(recon, reference)
    empty = not reference.any()
    slices = [score_slice(convention, pair.slice(n), empty) for n in range(len(reference))]
    whole = _errors(convention, pair, empty) | {"ssim": float(np.mean([scores["ssim"] for scores in slices]))}
    return VolumeScores([{metric: whole[metric] for metric in METRICS}], slices)


def score_slice(convention: Convention, pair: Pair, empty: bool = False) -> Scores:
    """The numbers of one prepared slice; all NaN where `empty` says that there is no reference."""
    similarity = np.nan if empty else convention.ssim(pair.recon[0], pair.reference[0], pair.ssim_range)
    scores = _errors(convention, pair, empty) | {"ssim": similarity}
    return {metric: float(scores[metric]) for metric in METRICS}


def _errors(convention: Convention, pair: Pair, empty: bool) -> Scores:
    if empty:
        return dict.fromkeys(("psnr", "nmse", "nrmse"), np.nan)
    squared = convention.nmse(pair.recon, pair.reference)
    return {
        "psnr": measures.psnr(pair.recon, pair.reference, pair.data_range),
        "nmse": squared,
        "nrmse": float(np.sqrt(squared)),
    }


def _reference_maximum(recon: np.ndarray, reference: np.ndarray) -> Pair:
    peak = np.abs(reference).max() if np.iscomplexobj(reference) else reference.max()
    return Pair(recon, reference, float(peak))


MIN_MAX_EPSILON = 1e-8
STABLE_NMSE_FLOOR = 1e-6


def _min_max_both(recon: np.ndarray, reference: np.ndarray) -> Pair:
    return Pair(_min_max(recon), _min_max(reference), 1.0)


def _min_max(image: np.ndarray) -> np.ndarray:
    low = image.min()
    return (image - low) / (image.max() - low + MIN_MAX_EPSILON)


def _stable_nmse(recon: np.ndarray, reference: np.ndarray) -> float:
    return measures.nmse(recon, reference, STABLE_NMSE_FLOOR)


_REGISTRY: dict[str, Convention] = {}


def register_convention(convention: Convention) -> Convention:
    """Makes a convention known to `get_convention`, to `evaluate` and to the command line.

    Raises:
        ValueError: the name is taken; an old name must never come to mean something new.
    """
    if convention.name in _REGISTRY:
        raise ValueError(f"there is a convention {convention.name!r} already")
    _REGISTRY[convention.name] = convention
    return convention


def convention_names() -> tuple[str, ...]:
    """All conventions, the default first."""
    return tuple(_REGISTRY)


def get_convention(name: str) -> Convention:
    """The convention of that name.

    Raises:
        InputError: there is none.
    """
    if name not in _REGISTRY:
        raise InputError(f"no convention {name!r}", fix=f"choose one of {', '.join(_REGISTRY)}, or all")
    return _REGISTRY[name]


FASTMRI = register_convention(
    Convention(
        name="fastmri",
        unit="volume",
        prepare=_reference_maximum,
        normalisation="none",
        data_range="maximum of the reference volume",
    )
)
"""Zbontar et al., arXiv:1811.08839: what the fastMRI challenge and most papers on its data report."""

SLICE = register_convention(
    Convention(
        name="slice",
        unit="slice",
        prepare=_reference_maximum,
        normalisation="none",
        data_range="maximum of the reference slice",
    )
)
"""Each slice for itself, as many papers do: dim slices at the ends of a volume count in full."""

V2 = register_convention(
    Convention(
        name="v2",
        unit="slice",
        prepare=_min_max_both,
        normalisation="min-max of each slice, result and reference each by their own extremes (+1e-8)",
        data_range="1",
        nmse=_stable_nmse,
        nmse_text="‖error‖² / max(‖reference‖², 1e-6 · pixels) of the normalised images",
        accepts_complex=False,
    )
)
"""SSDiffReconV2's analysis. Blind to errors of scale and offset: compare only with its own kind."""
