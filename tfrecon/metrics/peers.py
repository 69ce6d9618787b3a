"""Conventions of other packages, as their code computes them, for meeting their numbers.

Not recommended for anything else: HFS-SDE normalises images in one metric and not in the others.
"""

from __future__ import annotations

import math

import numpy as np

from tfrecon.metrics import measures
from tfrecon.metrics.conventions import Convention, Pair, register_convention


def _magnitudes(recon: np.ndarray, reference: np.ndarray) -> Pair:
    """PSNR's range is the reference's maximum, SSIM's the larger max - min of the two."""
    recon, reference = np.abs(recon), np.abs(reference)
    widest = max(float(np.ptp(recon)), float(np.ptp(reference)))
    return Pair(recon, reference, float(reference.max()), np.full(len(reference), widest))


def _nmse_of_own_maxima(recon: np.ndarray, reference: np.ndarray) -> float:
    peaks = float(recon.max()), float(reference.max())
    return measures.nmse(recon / peaks[0], reference / peaks[1]) if min(peaks) > 0 else math.nan


HFS_SDE = register_convention(
    Convention(
        name="hfs_sde",
        unit="slice",
        prepare=_magnitudes,
        normalisation="none for PSNR and SSIM; for NMSE result and reference each divided by its own maximum",
        data_range="PSNR: maximum of the reference slice; SSIM: the larger max - min of result and reference slice",
        ssim=measures.gaussian_ssim,
        ssim_text="Gaussian 11×11 window, σ 1.5, K1 0.01, K2 0.03, population covariance, per slice",
        nmse=_nmse_of_own_maxima,
        nmse_text="‖error‖² / ‖reference‖² of the images divided by their own maxima",
        accepts_complex=False,
    )
)
"""HFS-SDE's evaluation (utils/calc.py, torchmetrics 0.11). Its NMSE is blind to a scale error, its PSNR is not."""
