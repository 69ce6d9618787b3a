"""Diffusion of unsampled k-space as ddpm4MRI has it, in plain NumPy, complex128, written from its equations."""

import numpy as np
import sense_numpy


def inverse(kspace):
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))


def level(kspace, mask, centre):
    """Root mean square of the sampled entries `[H, W]` beside the block of `centre` columns."""
    columns = np.arange(kspace.shape[-1])
    first = kspace.shape[-1] // 2 - centre // 2
    outside = mask * ((columns < first) | (columns >= first + centre)) * np.ones(kspace.shape)
    return np.sqrt(np.sum(outside * abs(kspace) ** 2) / outside.sum())


def published_level(kspace, mask):
    """Root of twice the variance of real and imaginary parts of all entries of the masked k-space."""
    parts = np.concatenate([(mask * kspace).real.ravel(), (mask * kspace).imag.ravel()])
    return np.sqrt(2) * parts.std()


def state(kspace, mask, noise, kept):
    """x_t in k-space."""
    return mask * kspace + (1 - mask) * (np.sqrt(kept) * kspace + np.sqrt(1 - kept) * noise)


def loss(said, noise, mask, power):
    """Mean magnitude (1) or square (2) of real and imaginary parts of the error where nothing was sampled."""
    error = (said - noise)[np.broadcast_to(mask, noise.shape) == 0]
    return np.mean(abs(np.concatenate([error.real, error.imag])) ** power)


def chain(network, betas, samples, mask, start, noises):
    """k-space at the end of all steps back: the mean from the noise that `network(kspace, t)` says, then U y again."""
    kept = np.cumprod(1 - betas)
    moved = (1 - mask) * start + mask * samples
    for taken, t in enumerate(reversed(range(len(betas)))):
        before = kept[t - 1] if t else 1.0
        said = network(moved, t)
        mean = (moved - betas[t] * said / np.sqrt(1 - kept[t])) / np.sqrt(1 - betas[t])
        fresh = noises[taken] * np.sqrt(betas[t] * (1 - before) / (1 - kept[t])) if t else 0.0
        moved = (1 - mask) * (mean + fresh) + mask * samples
    return moved


def forward(image):
    return sense_numpy.fft2c(image)
