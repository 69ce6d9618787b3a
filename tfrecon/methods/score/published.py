"""What the published algorithms do before and after sampling: their scale, and images of what was sampled."""

from __future__ import annotations

import numpy as np
from keras import ops

from tfrecon.diffusion.path import along
from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.published_options import COIL_ALGORITHMS
from tfrecon.methods.score.score_mri import image_of_coils
from tfrecon.physics import fourier
from tfrecon.physics.batches import repeat_batch
from tfrecon.physics.scale import normalise
from tfrecon.typing import Measurement, Tensor
from tfrecon.util.complex import energy


def as_published(measurement: Measurement, options: ScoreOptions) -> tuple[Measurement, Tensor | None]:
    """The measurement on the scale that the algorithm asks for, and that scale, float32 `[B]`; None for its own."""
    if not options.follows("scale"):
        return measurement, None
    normalised = normalise(measurement, published_scale(measurement, options.algorithm))
    return normalised, normalised.scale


def published_scale(measurement: Measurement, algorithm: str) -> Tensor:
    """What published priors divide k-space by, float32 `[B]`, as far as the measured samples tell it.

    score-MRI brings magnitudes to a maximum of one, HFS-SDE divides by 1.5 standard deviations of all coils' k-space;
    both of fully sampled data.

    Args:
        measurement: k-space `[B, C, H, W]`.
        algorithm: "hfs_sde" or any of score-MRI's.
    """
    kspace = ops.cast(measurement.kspace, "complex64") * ops.cast(measurement.mask, "complex64")
    if algorithm == "hfs_sde":
        mean = ops.mean(kspace, axis=(-3, -2, -1), keepdims=True)
        return 1.5 * ops.sqrt(ops.mean(energy(kspace - mean), axis=(-3, -2, -1)))
    return ops.sqrt(ops.max(energy(fourier.ifft2c(kspace)), axis=(-3, -2, -1)))


def published_image(image: np.ndarray) -> np.ndarray:
    """An image as score-MRI's complex algorithms were shown it: magnitude from 0 to 1, phase from 0 to 1 radian.

    Its real and imaginary parts are never negative, and so alike to the magnitudes of the prior. Only whole images can
    be treated like this, before anything is left out of their k-space; it is no image that a scanner gives.

    Args:
        image: complex `[H, W]`, not constant.

    Returns:
        complex64 `[H, W]`.
    """
    magnitude, phase = np.abs(image), np.angle(image)
    magnitude, phase = ((part - part.min()) / (np.ptp(part) or 1.0) for part in (magnitude, phase))
    return (magnitude * np.exp(1j * phase)).astype(np.complex64)


def images_of(state: Tensor, model: ScoreModel, measurement: Measurement, options: ScoreOptions) -> Tensor:
    """The images that the last state of a run makes: itself, unless an algorithm works on coils or on another scale.

    Args:
        state: what the run gave, or the best image of a part of it.
        model: as given to `sampling.prepare`; so are the following.
        measurement: see `model`.
        options: see `model`.

    Returns:
        complex64 `[N, H, W]`.
    """
    measurement, scale = as_published(measurement, options)
    if options.algorithm in COIL_ALGORITHMS:
        state = image_of_coils(state, model, measurement, options)
    if scale is None:
        return state
    return along(repeat_batch(scale, ops.shape(state)[0] // ops.shape(scale)[0]), state) * state
