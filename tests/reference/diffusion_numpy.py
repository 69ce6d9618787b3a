"""The discrete diffusion chain and its samplers in plain NumPy, complex128, written from the equations.

Everything is in terms of the betas of neighbours in a chain (Ho et al., 2020), so a shortened chain has to
be rebuilt first; the package under test never does that.
"""

import numpy as np


def cumulative(betas):
    """alpha-bar of each step: the product of all 1 - beta up to it, by a loop."""
    kept, product = [], 1.0
    for beta in betas:
        product *= 1.0 - beta
        kept.append(product)
    return np.array(kept)


def shortened(betas, times):
    """The betas of the chain that jumps along rising `times` with the same marginals."""
    kept = cumulative(betas)
    short, before = [], 1.0
    for time in times:
        short.append(1.0 - kept[time] / before)
        before = kept[time]
    return np.array(short)


def coefficients(betas):
    """c1, c2 of mu = c1 x0 + c2 x_t and the small and large standard deviation, each [T]."""
    kept = cumulative(betas)
    before = np.r_[1.0, kept[:-1]]
    c1 = betas * np.sqrt(before) / (1 - kept)
    c2 = (1 - before) * np.sqrt(1 - betas) / (1 - kept)
    small = np.sqrt(betas * (1 - before) / (1 - kept))
    large = np.sqrt(betas)
    large[0] = 0.0
    return c1, c2, small, large


def ancestral(denoise, betas, state, noises, large=False):
    """x from the last step to the first; `denoise(x, i)` with i the step of this chain; noises by step taken."""
    c1, c2, small, wide = coefficients(betas)
    std = wide if large else small
    for taken, i in enumerate(range(len(betas) - 1, -1, -1)):
        state = c1[i] * denoise(state, i) + c2[i] * state + std[i] * noises[taken]
    return state


def ddim(denoise, betas, state, noises, eta):
    """Song et al. 2021, equation 12, with the implied noise."""
    kept = cumulative(betas)
    for taken, i in enumerate(range(len(betas) - 1, -1, -1)):
        before = kept[i - 1] if i else 1.0
        estimate = denoise(state, i)
        implied = (state - np.sqrt(kept[i]) * estimate) / np.sqrt(1 - kept[i])
        std = eta * np.sqrt((1 - before) / (1 - kept[i])) * np.sqrt(1 - kept[i] / before)
        state = np.sqrt(before) * estimate + np.sqrt(1 - before - std**2) * implied + std * noises[taken]
    return state


def best_estimate(mean, covariance, alpha, sigma):
    """(matrix, offset) of E[x0 | x_t] = matrix x_t + offset for x0 ~ N(mean, covariance), unit noise E|n|² = 1."""
    gain = alpha * covariance @ np.linalg.inv(alpha**2 * covariance + sigma**2 * np.eye(len(mean)))
    return gain, mean - alpha * gain @ mean


def chain_moments(mean, covariance, betas, start_mean, start_covariance, large=False):
    """Mean and covariance of what the ancestral sampler gives with the best estimate as its denoiser."""
    c1, c2, small, wide = coefficients(betas)
    std, kept = (wide if large else small), cumulative(betas)
    for i in range(len(betas) - 1, -1, -1):
        gain, offset = best_estimate(mean, covariance, np.sqrt(kept[i]), np.sqrt(1 - kept[i]))
        step = c1[i] * gain + c2[i] * np.eye(len(mean))
        start_mean = step @ start_mean + c1[i] * offset
        start_covariance = step @ start_covariance @ step.conj().T + std[i] ** 2 * np.eye(len(mean))
    return start_mean, start_covariance
