"""HFS-SDE's evaluation, written again in plain NumPy from its definitions.

SSIM is computed window by window from its formula; nothing here comes from scikit-image or tfrecon.
"""

import numpy as np


def gaussian_ssim(reference, recon, data_range, sigma=1.5, radius=5, k1=0.01, k2=0.03):
    """Wang et al. 2004 with a Gaussian 11×11 window and population covariance, over windows inside the image."""
    line = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    window = np.outer(line, line) / line.sum() ** 2
    side = 2 * radius + 1
    x, y = (
        np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (side, side)) for image in (reference, recon)
    )

    def mean(values):
        return (values * window).sum((-2, -1))

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    values = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return values.mean()


def hfs_sde_scores(reference, recon):
    """Of one image [H, W]: three metrics under three normalisations."""
    a, b = np.abs(reference).astype(np.float64), np.abs(recon).astype(np.float64)
    return {
        "psnr": 10 * np.log10(a.max() ** 2 / np.mean((a - b) ** 2)),
        "ssim": gaussian_ssim(a, b, max(a.max() - a.min(), b.max() - b.min())),
        "nmse": np.sum((b / b.max() - a / a.max()) ** 2) / np.sum((a / a.max()) ** 2),
    }
