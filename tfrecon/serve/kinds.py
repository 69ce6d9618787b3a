"""What the folders in a folder of images are called."""

from __future__ import annotations

UNCERTAINTY = ("std", "msd", "usd")
"""How sure images are (`serve.intervals`), beside the quantiles of `quantile_name`."""

KINDS = ("", *UNCERTAINTY, "zero_filled", "reference")
"""The subfolders of images: the results themselves, how sure they are, and what they are compared with."""

_QUANTILE = "quantile_"


def quantile_name(p: float) -> str:
    """The folder of a quantile: "quantile_05", "quantile_97.5"."""
    percent = f"{100 * p:.3f}".rstrip("0").rstrip(".")
    return f"{_QUANTILE}{percent if p >= 0.1 else '0' + percent}"


def quantile_of(name: str) -> float | None:
    """The quantile of a folder's name; None for other folders."""
    try:
        return float(name.removeprefix(_QUANTILE)) / 100 if name.startswith(_QUANTILE) else None
    except ValueError:
        return None


def is_uncertainty(name: str) -> bool:
    """Whether a folder holds standard deviations, dispersions or quantiles."""
    return name in UNCERTAINTY or quantile_of(name) is not None
