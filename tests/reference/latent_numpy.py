"""ReSample's latent sampler in plain NumPy, complex128, in the paper's terms: cumulative products of a chain."""

import numpy as np


def resample(denoise, encode, decode, data_step, kept, state, noises, with_data, strength):
    """The last estimate of the latents.

    Args:
        denoise: `(z, i) -> z0` at step i, counted in the order of sampling.
        encode: images to latents.
        decode: latents to images.
        data_step: `(image, i) -> image`.
        kept: alpha-bar of each step, rising.
        state: latents at the first step.
        noises: of each step.
        with_data: whether each step resamples.
        strength: gamma.
    """
    for i, now in enumerate(kept):
        before = kept[i + 1] if i + 1 < len(kept) else 1.0
        estimate = denoise(state, i)
        implied = (state - np.sqrt(now) * estimate) / np.sqrt(1 - now)
        moved = np.sqrt(before) * estimate + np.sqrt(1 - before) * implied
        if with_data[i]:
            estimate = encode(data_step(decode(estimate), i))
            variance = strength * (1 - before) / now * (1 - now / before)
            total = variance + 1 - before
            mean = (variance * np.sqrt(before) * estimate + (1 - before) * moved) / total
            moved = mean + np.sqrt(variance * (1 - before) / total) * noises[i]
        state = moved
    return estimate
