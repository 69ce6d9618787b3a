"""Image quality in numbers, under named conventions; NumPy and scikit-image alone."""

from tfrecon.metrics.aggregate import Summary, summarise, summarise_differences
from tfrecon.metrics.conventions import (
    METRICS,
    Convention,
    Pair,
    convention_names,
    get_convention,
    register_convention,
    score_slice,
    score_volume,
)
from tfrecon.metrics.measures import nmse, nrmse, psnr, ssim
from tfrecon.metrics.scale import SCALE_WARNING_DB, ScaleError, scale_error

__all__ = [
    "METRICS",
    "SCALE_WARNING_DB",
    "Convention",
    "Pair",
    "ScaleError",
    "Summary",
    "convention_names",
    "get_convention",
    "nmse",
    "nrmse",
    "psnr",
    "register_convention",
    "scale_error",
    "score_slice",
    "score_volume",
    "ssim",
    "summarise",
    "summarise_differences",
]
