"""Coil sensitivities in plain NumPy, complex128, from the papers' equations; and small measured scenes."""

import numpy as np
import scipy.ndimage
from sense_numpy import fft2c, ifft2c


def smooth_maps(coils, shape, seed=0, extent=1.5):
    """Random sums of nine slow waves per coil, `[C, H, W]`, not normalised; `shape` may exceed one field of view."""
    generator = np.random.default_rng(seed)
    rows, columns = (np.arange(n) - n // 2 for n in shape)
    maps = np.zeros((coils, *shape), complex)
    for p in (-1, 0, 1):
        for q in (-1, 0, 1):
            weights = generator.normal(size=coils) + 1j * generator.normal(size=coils)
            wave = np.exp(2j * np.pi * (p * rows[:, None] / shape[0] + q * columns / shape[1]) / extent)
            maps += weights[:, None, None] * wave
    return maps


def disc(shape, radius=0.4):
    """A textured disc with a smooth phase `[H, W]`, and where it is."""
    rows, columns = ((np.arange(n) - n // 2) / n for n in shape)
    inside = np.hypot(rows[:, None], columns) < radius
    texture = 1 + 0.4 * np.cos(25 * rows[:, None]) * np.sin(19 * columns)
    return inside * texture * np.exp(1j * (2 * rows[:, None] - 3 * columns)), inside


def scene(coils, shape, seed=0, noise=1e-3):
    """Fully sampled k-space `[C, H, W]` of a disc, unit maps, and where the disc is."""
    maps = smooth_maps(coils, shape, seed)
    image, inside = disc(shape)
    kspace = fft2c(maps * image)
    generator = np.random.default_rng(seed + 1)
    level = noise * np.abs(kspace).max() / np.sqrt(2)
    kspace = kspace + level * (generator.normal(size=kspace.shape) + 1j * generator.normal(size=kspace.shape))
    return kspace.astype(np.complex64), unit(maps), inside


def unit(maps):
    """Maps of unit norm over coils."""
    return maps / np.linalg.norm(maps, axis=-3, keepdims=True)


def centre(kspace, size):
    """The central `size` samples of the last two axes."""
    cuts = [slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(kspace.shape[-2:], size, strict=True)]
    return kspace[..., cuts[0], cuts[1]]


def similarity(maps, truth):
    """`|<s, t>|` at every pixel."""
    return np.abs((np.conj(maps) * truth).sum(-3))


def espirit(calibration, shape, kernel_size, threshold):
    """Eigenvalues `[C, H, W]` and eigenvectors `[C (which), C, H, W]` of Uecker's operator, kernel by kernel."""
    coils, k = calibration.shape[0], kernel_size
    windows = [
        calibration[:, i : i + k, j : j + k].ravel()
        for i in range(calibration.shape[1] - k + 1)
        for j in range(calibration.shape[2] - k + 1)
    ]
    singular, kernels = np.linalg.svd(np.array(windows, complex), full_matrices=False)[1:]
    operator = np.zeros((*shape, coils, coils), complex)
    rows, columns = (np.arange(n) - n // 2 for n in shape)
    for kernel in kernels[singular > threshold * singular[0]].reshape(-1, coils, k, k):
        along_rows = np.exp(2j * np.pi * np.outer(rows, np.arange(k)) / shape[0])
        along_columns = np.exp(2j * np.pi * np.outer(columns, np.arange(k)) / shape[1])
        image = np.einsum("cij,yi,xj->yxc", kernel, along_rows, along_columns)
        operator += image[..., :, None] * image[..., None, :].conj() / k**2
    values, vectors = np.linalg.eigh(operator)
    return np.moveaxis(values[..., ::-1], -1, 0), np.moveaxis(vectors[..., ::-1], (-1, -2), (0, 1))


def walsh(calibration, shape, window):
    """Dominant eigenvectors `[C, H, W]` of covariances smoothed in the image by a Gaussian, and how dominant."""
    coils, height, width = calibration.shape
    tapers = [np.cos(np.pi * (np.arange(n) - n // 2) / (n + 1)) ** 2 for n in (height, width)]
    padded = np.zeros((coils, *shape), complex)
    top, left = shape[0] // 2 - height // 2, shape[1] // 2 - width // 2
    padded[:, top : top + height, left : left + width] = calibration * np.outer(*tapers)
    images = ifft2c(padded)
    covariance = images[:, None] * images[None].conj()
    sigma = (0, 0, window / 2.3548, window / 2.3548)
    smooth = scipy.ndimage.gaussian_filter(covariance, sigma, mode="wrap", truncate=8)
    values, vectors = np.linalg.eigh(smooth.transpose(2, 3, 0, 1))
    return np.moveaxis(vectors[..., -1], -1, 0), values[..., -1] / values.sum(-1)
