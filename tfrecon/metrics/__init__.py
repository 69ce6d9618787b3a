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
from tfrecon.metrics.measures import gaussian_ssim, nmse, nrmse, psnr, ssim
from tfrecon.metrics.peers import HFS_SDE
from tfrecon.metrics.scale import SCALE_WARNING_DB, ScaleError, scale_error

__all__ = [
    "HFS_SDE",
    "METRICS",
    "SCALE_WARNING_DB",
    "Convention",
    "Pair",
    "ScaleError",
    "Summary",
    "convention_names",
    "gaussian_ssim",
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
