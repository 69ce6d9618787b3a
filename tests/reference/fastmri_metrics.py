"""fastMRI's published evaluation and SSDiffReconV2's analysis, written again in plain NumPy.

Nothing here comes from scikit-image or tfrecon: SSIM is computed window by window from its formula.
"""

import numpy as np


def ssim_slice(reference, recon, data_range, window=7, k1=0.01, k2=0.03):
    """Wang et al. 2004 with a uniform window and sample covariance, over windows inside the image."""
    x, y = (
        np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (window, window))
        for image in (reference, recon)
    )
    count = window * window
    mean_x, mean_y = x.mean((-2, -1)), y.mean((-2, -1))
    dx, dy = x - mean_x[..., None, None], y - mean_y[..., None, None]
    var_x, var_y = (dx**2).sum((-2, -1)) / (count - 1), (dy**2).sum((-2, -1)) / (count - 1)
    cov = (dx * dy).sum((-2, -1)) / (count - 1)
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    values = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return values.mean()


def fastmri_scores(reference, recon):
    """Of one volume [N, H, W]: everything volume-wise, range = maximum of the reference volume."""
    peak = reference.max()
    error = reference.astype(np.float64) - recon
    return {
        "psnr": 10 * np.log10(float(peak) ** 2 / np.mean(error**2)),
        "ssim": np.mean([ssim_slice(r, x, peak) for r, x in zip(reference, recon, strict=True)]),
        "nmse": np.linalg.norm(error) ** 2 / np.linalg.norm(reference.astype(np.float64)) ** 2,
    }


def v2_scores(reference, recon):
    """Of one image [H, W]: min-max of both, range 1, NMSE with a floor under the denominator."""
    r, x = (
        (a - a.min()) / (a.max() - a.min() + 1e-8) for a in (reference.astype(np.float64), recon.astype(np.float64))
    )
    return {
        "psnr": 10 * np.log10(1 / np.mean((r - x) ** 2)),
        "ssim": ssim_slice(r, x, 1.0),
        "nmse": np.sum((r - x) ** 2) / max(np.sum(r**2), 1e-6 * r.size),
    }
