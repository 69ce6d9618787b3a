"""Sparsity-regularised SENSE in plain NumPy, complex128: slow, unaccelerated, written from the equations."""

import numpy as np
import pywt
import sense_numpy


def wavelet_details(image, wavelet, levels):
    """(approximation, list of detail arrays) by PyWavelets, periodic."""
    approximation, *details = pywt.wavedec2(image, wavelet, mode="periodization", level=levels)
    return approximation, details


def shrink(x, threshold):
    """x shortened by `threshold`, through its polar form."""
    return np.maximum(np.abs(x) - threshold, 0) * np.exp(1j * np.angle(x))


def l1_objective(image, kspace, maps, mask, weight, wavelet, levels):
    residual = sense_numpy.forward(image[None], maps[None], mask) - kspace
    _, details = wavelet_details(image, wavelet, levels)
    return 0.5 * np.sum(abs(residual) ** 2) + weight * sum(abs(band).sum() for level in details for band in level)


def l1_wavelet(kspace, maps, mask, weight, wavelet, levels, iterations):
    """argmin ½|Ax - y|² + weight |details of x|₁ by plain proximal gradient steps of one over the bound."""
    step = 1 / (abs(maps) ** 2).sum(0).max()
    x = np.zeros(kspace.shape[-2:], complex)
    for _ in range(iterations):
        residual = sense_numpy.forward(x[None], maps[None], mask) - kspace
        moved = x - step * sense_numpy.adjoint(residual, maps[None], mask)[0]
        approximation, details = wavelet_details(moved, wavelet, levels)
        shrunk = [tuple(shrink(band, step * weight) for band in level) for level in details]
        x = pywt.waverec2([approximation, *shrunk], wavelet, mode="periodization")
    return x


def gradient(x):
    """Periodic forward differences of `[..., H, W]`, `[2, ..., H, W]`."""
    return np.stack([np.roll(x, -1, -2) - x, np.roll(x, -1, -1) - x])


def gradient_adjoint(p):
    return np.roll(p[0], 1, -2) - p[0] + np.roll(p[1], 1, -1) - p[1]


def total_variation(x, temporal=0.0):
    """Of one image `[H, W]`, or one series `[T, H, W]` with weighted changes from frame to frame."""
    value = np.sqrt((abs(gradient(x)) ** 2).sum(0)).sum()
    return value + temporal * abs(np.diff(x, axis=0)).sum() if temporal else value


def tv_objective(x, kspace, maps, mask, weight, temporal=0.0):
    residual = sense_numpy.forward(x[..., None, :, :], maps[..., None, :, :, :], mask) - kspace
    return 0.5 * np.sum(abs(residual) ** 2) + weight * total_variation(x, temporal)


def tv_sense(kspace, maps, mask, weight, iterations, temporal=0.0):
    """argmin ½|Ax - y|² + weight TV(x) by the primal-dual steps of Condat (J. Optim. Theory Appl. 158:460, 2013).

    kspace `[..., C, H, W]` of one image or of one series.
    """
    maps, bound = maps[..., None, :, :, :], (abs(maps) ** 2).sum(-3).max()
    sigma = 0.1 * bound
    tau = 1 / (bound / 2 + sigma * (8 + 4 * temporal**2))
    x = np.zeros(np.delete(kspace.shape, -3), complex)
    p, q = gradient(x), np.diff(x, axis=0)
    for _ in range(iterations):
        residual = sense_numpy.forward(x[..., None, :, :], maps, mask) - kspace
        descent = sense_numpy.adjoint(residual, maps, mask)[..., 0, :, :] + gradient_adjoint(p)
        if temporal:
            descent = descent - temporal * np.diff(q, axis=0, prepend=0, append=0)
        moved = x - tau * descent
        p = p + sigma * gradient(2 * moved - x)
        p = p / np.maximum(1, np.sqrt((abs(p) ** 2).sum(0)) / weight)
        if temporal:
            q = q + sigma * temporal * np.diff(2 * moved - x, axis=0)
            q = q / np.maximum(1, abs(q) / weight)
        x = moved
    return x
