"""What a measurement must be so that a prior reconstructs it rightly, beyond the shapes of its arrays."""

from __future__ import annotations

import numpy as np
from keras import ops

from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.published_options import REAL_ALGORITHMS
from tfrecon.physics import fourier
from tfrecon.physics.masks import acs_size
from tfrecon.physics.operators import FAINT
from tfrecon.physics.partition import hermitian_partner
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_slices, check_mask_fits

INSIDE, QUANTILE = 0.5, 0.99
"""Inside the object is what is brighter than this part of this quantile of the image of the calibration samples."""

MOST_UNSEEN = 0.02
"""A larger part of the object than this that no coil sees is no matter of its rim."""

MOST_IMAGINARY = 0.1
"""Relative deviation from conjugate symmetry; noise and the phase of rounding stay below."""


def check_measured(measurement: Measurement, model: ScoreModel, options: ScoreOptions, *, series: bool = False) -> None:
    """Raises InputError for a measurement that a prior cannot reconstruct, or would fill with what it invents.

    Args:
        measurement: NumPy arrays with any leading axes.
        model: of the prior.
        options: of the reconstruction.
        series: whether the axis before the coils is time.
    """
    kspace, mask = np.asarray(measurement.kspace, np.complex64), np.asarray(measurement.mask)
    check_mask_fits(mask, kspace)
    if series and model.channels == "magnitude":
        raise InputError(
            f"a prior of magnitudes of single slices was asked for a series of {kspace.shape[-4]} frames",
            fix="take a prior of complex images, which reconstructs frame by frame, or another method",
        )
    if options.algorithm == "prospective" and mask.all():
        raise InputError(
            "algorithm 'prospective' was given data without a gap",
            fix="put NAME_mask.npy beside NAME.npy, or take algorithm=real with --undersample",
        )
    if options.algorithm in REAL_ALGORITHMS:
        _check_real(kspace, mask)
    if measurement.maps is not None:
        _check_cover(kspace, mask, np.asarray(measurement.maps))


def _check_real(kspace: np.ndarray, mask: np.ndarray) -> None:
    """Samples of a real image are the conjugates of their opposites."""
    opposite_mask, opposite = (ops.convert_to_numpy(hermitian_partner(array)) for array in (mask, kspace))
    pairs = mask * opposite_mask
    deviation = np.linalg.norm(pairs * (kspace - opposite.conj()))
    whole = 2 * np.linalg.norm(pairs * kspace)
    if deviation > MOST_IMAGINARY * whole:
        raise InputError(
            f"k-space is not that of a real image: samples deviate from their opposites by {deviation / whole:.0%}",
            fix="take algorithm=complex; simulated acquisitions have no phase with --nophase",
        )


def _check_cover(kspace: np.ndarray, mask: np.ndarray, maps: np.ndarray) -> None:
    """What no coil sees is zero in the image, and must not be part of the object."""
    size = kspace.shape[-2:]
    energy = np.sum(np.abs(maps) ** 2, axis=-3)
    energy = energy.sum(axis=-3) if maps.ndim > kspace.ndim else energy
    unseen = energy <= FAINT * energy.max(axis=(-2, -1), keepdims=True)
    if not unseen.any():
        return
    block = acs_size(mask, size)
    if not all(block):
        return
    centre = np.zeros(size, np.float32)
    centre[centre_slices(size, block)] = 1
    magnitude = np.sqrt(np.sum(np.abs(ops.convert_to_numpy(fourier.ifft2c(kspace * centre))) ** 2, axis=-3))
    inside = magnitude > INSIDE * np.quantile(magnitude, QUANTILE, axis=(-2, -1), keepdims=True)
    share = (inside & unseen).sum(axis=(-2, -1)) / np.maximum(inside.sum(axis=(-2, -1)), 1)
    if share.max() > MOST_UNSEEN:
        place = "" if share.size == 1 else f" of slice {np.argmax(share)}"
        raise InputError(
            f"maps are zero in {share.max():.0%} of the object{place}: it would be missing from the image",
            fix="give maps that cover the object, or estimate them anew (--maps=espirit)",
        )
