"""How sure a reconstruction is of itself, as maps: standard deviation, quantiles, and what part of k-space is to blame.

All are of magnitudes but the two dispersions. Quantiles of K samples are those of plotting positions k / (K + 1), for
which a further sample is below the p-quantile with probability p; the extremes stand for what lies beyond them, so
5 % and 95 % want at least 19 samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrecon.physics.operators import least_squares_image, measurement_operator
from tfrecon.serve.interval_scale import IntervalScale
from tfrecon.serve.kinds import quantile_name
from tfrecon.typing import Measurement, Reconstruction
from tfrecon.util.errors import InputError

QUANTILES = (0.05, 0.95)


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Which maps are made of several samples.

    Attributes:
        quantiles: in (0, 1).
        scale: see `IntervalScale`.
    """

    quantiles: tuple[float, ...] = QUANTILES
    scale: IntervalScale = dataclasses.field(default_factory=IntervalScale)

    def __post_init__(self) -> None:
        wrong = [p for p in self.quantiles if not 0 < p < 1]
        if wrong or len(set(self.quantiles)) < len(self.quantiles):
            shown = ", ".join(f"{p:g}" for p in self.quantiles)
            raise InputError(f"quantiles {shown}", fix="give numbers between 0 and 1, each once")

    def describe(self) -> dict[str, Any]:
        """JSON-able."""
        return {"quantiles": list(self.quantiles), "scale": self.scale.to_json()}

    def maps(self, result: Reconstruction, measurement: Measurement) -> dict[str, np.ndarray]:
        """The maps by kind (`serve.writers`), float32 `[..., H, W]` in the units of the image.

        Args:
            result: NumPy arrays.
            measurement: what it was made from, in the same units.

        Returns:
            "std", one `quantile_name` each, "msd" and "usd"; "std" alone where there are no samples, nothing where
            there is no standard deviation either.

        Raises:
            InputError: a scale is given, and nothing to be scaled.
        """
        factor = self.scale.factor
        if result.samples is None:
            if result.std is None and factor != 1:
                raise InputError("no standard deviation to scale", fix="give --samples=8, or no --interval_scale")
            return {} if result.std is None else {"std": np.float32(factor * result.std)}
        image, magnitudes = np.abs(result.image), np.abs(result.samples)
        found = {"std": factor * magnitudes.std(axis=0, ddof=1)}
        values = np.quantile(magnitudes, self.quantiles, axis=0, method="weibull")
        for p, value in zip(self.quantiles, values, strict=True):
            found[quantile_name(p)] = np.maximum(image + factor * (value - image), 0.0)
        found["msd"], found["usd"] = dispersions(result.samples, measurement)
        return {kind: array.astype(np.float32) for kind, array in found.items()}


def dispersions(samples: np.ndarray, measurement: Measurement) -> tuple[np.ndarray, np.ndarray]:
    """How far samples are from their mean within the measured part of k-space (MSD), and within the rest (USD).

    The measured part of an image d is `(S^H S)^-1 S^H F^-1 M F S d`, what the sampling pattern lets through, and the
    unmeasured one is what is left of d. With one coil the squares of both maps, summed over the image, are the variance
    of the samples. A sampler that holds the data fast has no MSD; USD is what the prior filled in.

    Args:
        samples: complex64 `[K, ..., H, W]`, at least two.
        measurement: k-space `[..., C, H, W]`, mask, and maps, one set.

    Returns:
        Two standard deviations of complex pixels, float32 `[..., H, W]`.
    """
    operator = measurement_operator(measurement)
    mean = samples.mean(axis=0)
    measured, rest = np.zeros(mean.shape, np.float32), np.zeros(mean.shape, np.float32)
    for sample in samples:
        seen = np.asarray(least_squares_image(operator, operator.forward(sample - mean)))
        measured += np.abs(seen) ** 2
        rest += np.abs(sample - mean - seen) ** 2
    return np.sqrt(measured / (len(samples) - 1)), np.sqrt(rest / (len(samples) - 1))


def parse_quantiles(words: Sequence[str]) -> tuple[float, ...]:
    """Quantiles of a command line.

    Raises:
        InputError: a word is no number.
    """
    try:
        return tuple(sorted(float(word) for word in words))
    except ValueError:
        raise InputError(f"quantiles {','.join(words)}", fix="give numbers such as 0.05,0.95") from None
