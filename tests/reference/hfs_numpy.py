"""HFS-SDE's published sampler (Cao et al., 2024) and its baselines in plain NumPy, complex128, from their equations.

One image `[H, W]` that all coils see. `score(x, sigma)` is the network; `noise(step, part)` complex noise of variance
one in each channel, part 0 of the predictor, 1 of the corrector.
"""

import numpy as np
import sense_numpy

B0, B1 = 0.1, 20.0


def high_frequencies(image, low_mask):
    return image - sense_numpy.ifft2c(low_mask * sense_numpy.fft2c(image))


def low_frequency_image(samples, low_mask, maps):
    """What the centre of k-space says, coils combined by their maps."""
    return np.sum(maps.conj() * sense_numpy.ifft2c(low_mask * samples), axis=0)


def data_gradient(image, samples, mask, maps):
    """A^H (A x - y)."""
    residual = mask * sense_numpy.fft2c(maps * image) - samples
    return np.sum(maps.conj() * sense_numpy.ifft2c(mask * residual), axis=0)


def bent(score, gradient, strength):
    return score - strength * np.linalg.norm(score) * gradient / np.linalg.norm(gradient)


def diffused_vp(start, score, noise, gradient, numbers, *, count, project):
    """HFS with its projector; VP with the identity. Corrector before predictor, at the same time."""
    snr, mse, corrector_mse = numbers
    state = start
    for step, t in enumerate(np.linspace(1, 1e-3, count)):
        sigma = np.sqrt(1 - np.exp(-(B0 * t + t**2 * (B1 - B0) / 2)))
        kept = 1 - np.linspace(B0 / count, B1 / count, count)[count - 1 - step]
        z, s = noise(step, 1), project(score(state, sigma))
        length = 2 * kept * (snr * np.linalg.norm(z) / np.linalg.norm(s)) ** 2
        state = state + length * bent(s, gradient(state), corrector_mse) + np.sqrt(2 * length) * project(z)
        beta = B0 + t * (B1 - B0)
        s = bent(score(state, sigma), gradient(state), mse)
        mean = state + (beta * project(state) / 2 + beta * s) / count
        state = mean + np.sqrt(beta / count) * project(noise(step, 0))
    return mean


def diffused_ve(start, score, noise, gradient, numbers, *, sigmas):
    """The VE baseline: steps of the chain."""
    snr, mse, corrector_mse = numbers
    state = start
    for step, sigma in enumerate(sigmas):
        z, s = noise(step, 1), score(state, sigma)
        length = 2 * (snr * np.linalg.norm(z) / np.linalg.norm(s)) ** 2
        state = state + length * bent(s, gradient(state), corrector_mse) + np.sqrt(2 * length) * z
        variance = sigma**2 - (sigmas[step + 1] ** 2 if step + 1 < len(sigmas) else 0.0)
        mean = state + variance * bent(score(state, sigma), gradient(state), mse)
        state = mean + np.sqrt(variance) * noise(step, 0)
    return mean
