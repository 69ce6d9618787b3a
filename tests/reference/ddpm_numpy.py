"""DDS on a variance-preserving chain in plain NumPy, complex128, written from its equations (Chung, Lee & Ye, 2024)."""

import numpy as np


def estimate(state, said, kept, output):
    """x0_hat of what a network said at a time whose share of the image is `kept` (alpha-bar)."""
    if output == "eps":
        return (state - np.sqrt(1 - kept) * said) / np.sqrt(kept)
    return said if output == "x0" else np.sqrt(kept) * state - np.sqrt(1 - kept) * said


def trust(kept, noise_std, data_variance, unit):
    """Weight of x0_hat beside the data: noise of a sample over the variance of a Gaussian pixel that is left."""
    noise = (1 - kept) * unit
    return noise_std**2 * (kept * data_variance + noise) / (noise * data_variance)


def dds(network, kept, times, state, noises, solve, eta, output):
    """The image after the last of falling times.

    `network(state, t)` says something, `solve(x0_hat, kept)` makes it agree with the data; noises by step taken.
    """
    following = [*times[1:], None]
    for taken, (now, after) in enumerate(zip(times, following, strict=True)):
        image = solve(estimate(state, network(state, now), kept[now], output), kept[now])
        if after is None:
            return image
        left = (state - np.sqrt(kept[now]) * image) / np.sqrt(1 - kept[now])
        noise = np.sqrt(1 - eta**2) * left + eta * noises[taken]
        state = np.sqrt(kept[after]) * image + np.sqrt(1 - kept[after]) * noise
    raise ValueError("no times")
