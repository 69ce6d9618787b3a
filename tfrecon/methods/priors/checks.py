"""What a measurement must be so that a prior does not fill it with what it invents."""

from __future__ import annotations

import numpy as np
from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.masks import acs_size
from tfrecon.physics.operators import FAINT
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_slices

INSIDE, QUANTILE = 0.5, 0.99
"""Inside the object is what is brighter than this part of this quantile of the image of the calibration samples."""

MOST_UNSEEN = 0.02
"""A larger part of the object than this that no coil sees is no matter of its rim."""

LEAST_CALIBRATION = 2
"""Sides of a calibration block below this tell nothing of how a phase varies."""


def check_cover(measurement: Measurement) -> None:
    """Raises InputError where no coil sees the object: what no coil sees is zero in the image.

    Args:
        measurement: NumPy arrays with any leading axes; nothing is said of one without maps.
    """
    if measurement.maps is None:
        return
    kspace, mask = np.asarray(measurement.kspace, np.complex64), np.asarray(measurement.mask)
    maps, size = np.asarray(measurement.maps), kspace.shape[-2:]
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


def check_calibration(measurement: Measurement) -> None:
    """Raises InputError where the centre of k-space was not sampled, which tells the phase of the image.

    Args:
        measurement: NumPy arrays with any leading axes.
    """
    masks, size = np.asarray(measurement.mask), np.shape(measurement.kspace)[-2:]
    for number, mask in enumerate(masks.reshape(-1, *masks.shape[-2:])):
        if min(acs_size(mask, size)) < LEAST_CALIBRATION:
            raise InputError(
                f"fewer than {LEAST_CALIBRATION} lines of mask {number} are sampled at the centre of k-space, but this "
                "prior takes the phase of the image from them",
                fix="take a mask with calibration lines, or a prior with model.phase=random",
            )
