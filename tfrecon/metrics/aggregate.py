"""From many scores to one line: mean, standard deviation, and how sure the mean is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tfrecon.util.errors import InputError

BOOTSTRAP_DRAWS = 2000
CONFIDENCE = 0.95
BLOCK_NUMBERS = 2**20
AGGREGATION_TEXT = (
    f"mean ± sample standard deviation (one) over the units, with the percentile bootstrap "
    f"{CONFIDENCE * 100:.0f} % interval of the mean ({BOOTSTRAP_DRAWS} draws with replacement, seed {{seed}}); "
    f"scores that are undefined (reference all zero) or infinite (identical images) are left out and counted"
)


@dataclasses.dataclass(frozen=True)
class Summary:
    """One metric over all units.

    Attributes:
        mean: over the finite values; NaN if there is none.
        std: sample standard deviation (n - 1); NaN for fewer than two values.
        low: lower end of the bootstrap interval of the mean; NaN for fewer than two values.
        high: upper end.
        count: how many values entered.
        undefined: how many were NaN: the reference was zero everywhere.
        infinite: how many were infinite: the images were identical (PSNR).
    """

    mean: float
    std: float
    low: float
    high: float
    count: int
    undefined: int
    infinite: int


def summarise(values: Sequence[float], seed: int = 0) -> Summary:
    """Mean, standard deviation and bootstrap interval (Efron, Ann. Stat. 7:1, 1979) of scores.

    The interval treats the values as independent. Slices of one volume are not, so an interval
    over slices is narrower than it should be.

    Args:
        values: one score per unit; NaN and infinities are left out and counted.
        seed: of the bootstrap; the same values and seed give the same interval.

    Returns:
        The summary.
    """
    scores = np.asarray(values, np.float64)
    finite = scores[np.isfinite(scores)]
    counts = {
        "count": int(finite.size),
        "undefined": int(np.isnan(scores).sum()),
        "infinite": int(np.isinf(scores).sum()),
    }
    if finite.size < 2:
        mean = float(finite[0]) if finite.size else math.nan
        return Summary(mean, math.nan, math.nan, math.nan, **counts)
    low, high = _bootstrap(finite, seed)
    return Summary(float(finite.mean()), float(finite.std(ddof=1)), low, high, **counts)


def summarise_differences(values: Sequence[float], others: Sequence[float], seed: int = 0) -> Summary:
    """By how much one method is ahead of another on the same units: `summarise` of the differences.

    The draws of the bootstrap keep pairs together, so what both have of a hard unit does not widen the interval. It
    says how sure the difference is over other units, not whether units of one volume are as good as independent.

    Args:
        values: one score per unit; a pair of which one is NaN, or an infinity, is left out and counted.
        others: those of the other method, of the same units in the same order.
        seed: of the bootstrap.

    Raises:
        InputError: their numbers differ.
    """
    if len(values) != len(others):
        raise InputError(f"{len(values)} scores and {len(others)} are no pairs", fix="score both on the same records")
    with np.errstate(invalid="ignore"):  # of two infinities the difference is undefined, and counted so
        return summarise(np.asarray(values, np.float64) - np.asarray(others, np.float64), seed)


def _bootstrap(values: np.ndarray, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    # In blocks: thousands of slices times thousands of draws at once would fill the memory.
    block = max(1, min(BOOTSTRAP_DRAWS, BLOCK_NUMBERS // values.size))
    means = np.empty(BOOTSTRAP_DRAWS)
    for start in range(0, BOOTSTRAP_DRAWS, block):
        part = means[start : start + block]
        part[:] = values[generator.integers(values.size, size=(part.size, values.size))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
