"""score-MRI's algorithms (Chung & Ye, 2022, algorithms 2 to 5) in plain NumPy, complex128, from their equations.

Images are coil images `[C, H, W]`. A score is a function of one array `[H, W]`, real or complex, and its noise level.
`noise(step, part, coil, channel)` gives the unit noise of the predictor (part 0) or a corrector (part 1, 2, ...);
channel 0 is the real part, 1 the imaginary part, and the only one for complex scores and real images is 0.
"""

import numpy as np
import sense_numpy


def geometric_levels(smallest, largest, count):
    """The chain's noise levels, from noise to image; after the last there is none."""
    return largest * (smallest / largest) ** (np.arange(count) / (count - 1))


def put_in(images, samples, mask):
    """Pi: measured samples in the place of those of the images."""
    return sense_numpy.ifft2c((1 - mask) * sense_numpy.fft2c(images) + samples)


def with_opposites(samples, mask):
    """Samples and mask of a real image: what k is known at, -k is known at too."""
    height, width = samples.shape[-2:]
    mask = np.broadcast_to(mask, samples.shape)
    full, seen = samples.astype(complex), mask.astype(bool).copy()
    for row in range(height):
        for column in range(width):
            other = ((2 * (height // 2) - row) % height, (2 * (width // 2) - column) % width)
            both = mask[..., row, column] * mask[(..., *other)]
            known = samples[..., row, column] + np.conj(samples[(..., *other)])
            full[..., row, column] = np.where(both, known / 2, known)
            seen[..., row, column] |= mask[(..., *other)].astype(bool)
    return full, seen.astype(float)


def separately(images, function):
    """Real and imaginary parts, each by itself."""
    return np.stack([function(x.real, coil, 0) + 1j * function(x.imag, coil, 1) for coil, x in enumerate(images)])


def jointly(images, function):
    return np.stack([function(x, coil, 0) for coil, x in enumerate(images)])


def of_real_images(images, function):
    return np.stack([function(x.real, coil, 0) for coil, x in enumerate(images)])


def predicted(images, step, sigmas, score, noise, channels, quiet):
    """One step of the chain back; without noise its mean."""
    following = sigmas[step + 1] if step + 1 < len(sigmas) else 0.0
    variance = sigmas[step] ** 2 - following**2

    def one(x, coil, channel):
        mean = x + variance * score(x, sigmas[step])
        return mean if quiet else mean + np.sqrt(variance) * noise(step, 0, coil, channel)

    return channels(images, one)


def corrected(images, step, sigmas, score, noise, channels, quiet, *, snr=0.16, repeats=1):
    """Langevin steps, their length from the norms of noise and score."""
    for repeat in range(repeats):

        def one(x, coil, channel, repeat=repeat):
            z, s = noise(step, 1 + repeat, coil, channel), score(x, sigmas[step])
            length = 2 * (snr * np.linalg.norm(z) / np.linalg.norm(s)) ** 2
            mean = x + length * s
            return mean if quiet and repeat == repeats - 1 else mean + np.sqrt(2 * length) * z

        images = channels(images, one)
    return images


def sense_step(images, samples, mask, maps, weight):
    """m = S^H x; m + w A^H (y - A m) instead of it; what no combination of the coils shows stays."""
    image = np.sum(maps.conj() * images, axis=0)
    moved = image + weight * np.sum(
        maps.conj() * sense_numpy.ifft2c(samples - mask * sense_numpy.fft2c(maps * image)), axis=0
    )
    return maps * moved + (images - maps * image)


def published_sense_step(images, samples, mask, maps, weight):
    """x_c + w A^H (y - A x) with the stack of coil images for x."""
    residual = samples - mask * sense_numpy.fft2c(maps * images)
    return images + weight * np.sum(maps.conj() * sense_numpy.ifft2c(residual), axis=0)


def walk(state, sigmas, score, noise, channels, project, *, order, noisy_result=False, after=None, repeats=1):
    """All steps: predictor and corrector in either order, `project` after each, `after` at the end of a step."""
    settings = sigmas, score, noise, channels
    for step in range(len(sigmas)):
        last = step == len(sigmas) - 1
        if order == "corrector_first":
            state = project(corrected(state, step, *settings, False, repeats=repeats))
            state = project(predicted(state, step, *settings, last and not noisy_result))
        else:
            state = project(predicted(state, step, *settings, False))
            state = project(corrected(state, step, *settings, last, repeats=repeats))
        if after is not None:
            state = after(state, step)
    return state


def falling_weight(step, total):
    return 1 + (0.2 - 1) * step / total
