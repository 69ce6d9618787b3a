"""Variable-density Poisson-disc masks that have exactly the asked number of samples.

No two samples outside the calibration block are nearer than a distance that grows from the centre
of k-space outwards: incoherent like random sampling, without its clusters and holes.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from tfrecon.physics.mask_request import MaskRequest, centred_coordinates
from tfrecon.util.errors import InputError

_RANDOM_PACKING = 0.7
"""Samples per squared distance of a saturated random Poisson-disc set in the plane."""

_SHRINK = 0.97
"""By how much the distance is reduced when no more samples fit."""


def poisson(request: MaskRequest, *, density_slope: float = 2.0, crop_corners: bool = False) -> np.ndarray:
    """Calibration block and Poisson-disc points of variable density; the count is exact.

    Darts are thrown until none fits, the distances are reduced a little, and so on until the
    asked number is reached (McCool and Fiume, Graphics Interface 1992), so that no acceleration
    has to be searched for.

    Args:
        request: what was asked for; center_fraction 0 gives no block.
        density_slope: the distance between neighbours is ∝ 1 + density_slope·|k|, |k| = 1 in the
            middle of an edge; 0 is a uniform density.
        crop_corners: leave out what lies outside the ellipse that touches the edges.

    Raises:
        InputError: the ellipse holds fewer samples than asked for.
    """
    if density_slope < 0:
        raise InputError(f"density_slope is {density_slope:g}", fix="give 0 (uniform) or more")
    budget, mask = request.point_budget(), request.calibration_block()
    radius = _relative_radius(request.shape)
    allowed = radius <= 1 if crop_corners else np.ones(request.shape, bool)
    room = int((allowed | mask).sum())
    if room < budget:
        raise InputError(
            f"acceleration {request.acceleration:g} needs {budget} samples but without corners there are {room}",
            fix="set crop_corners=False or ask for a higher acceleration",
        )
    distance = 1 + density_slope * radius
    order = request.generator.permutation(np.flatnonzero(allowed & ~mask))
    scale = 1.1 * _saturating_scale(distance[allowed & ~mask], budget - int(mask.sum()))
    missing = budget - int(mask.sum())
    while missing > 0:
        missing -= _throw_darts(mask, scale * distance, order, missing)
        scale *= _SHRINK
    return mask


def _relative_radius(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = (centred_coordinates(size) / max(size / 2, 1) for size in shape)
    return np.hypot(rows[:, None], columns)


def _saturating_scale(distance: np.ndarray, count: int) -> float:
    """The scale at which darts of minimal distance `scale·distance` would saturate at about `count` of them."""
    low, high = 1e-3, float(max(count, 1)) * 10
    for _ in range(30):
        middle = np.sqrt(low * high)
        expected = np.minimum(1, _RANDOM_PACKING / (middle * distance) ** 2).sum()
        low, high = (middle, high) if expected > count else (low, middle)
    return float(low)


def _throw_darts(mask: np.ndarray, distance: np.ndarray, order: np.ndarray, most: int) -> int:
    """Adds to `mask`, in `order`, points that keep `distance` from all others, at most `most`; returns how many."""
    apart = scipy.ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
    free = (apart >= distance) & ~mask
    candidates = order[free.ravel()[order]]
    margin = int(min(np.ceil(distance.max()), max(mask.shape)))
    # Flat indices into a padded copy: discs at the edges then need no clipping.
    stride = mask.shape[1] + 2 * margin
    open_bytes = bytearray((mask.shape[0] + 2 * margin) * stride)
    open_points = np.frombuffer(open_bytes, np.uint8)
    padded = (candidates // mask.shape[1] + margin) * stride + candidates % mask.shape[1] + margin
    open_points[padded] = 1
    disc_of = np.ceil(distance.ravel()[candidates] ** 2).astype(int)
    discs: dict[int, np.ndarray] = {}
    accepted = []
    for candidate, place, square in zip(candidates.tolist(), padded.tolist(), disc_of.tolist(), strict=True):
        if not open_bytes[place]:
            continue
        accepted.append(candidate)
        if len(accepted) == most:
            break
        if square > 1:  # a smaller disc holds its centre alone
            if square not in discs:
                discs[square] = _disc_offsets(square, stride, margin)
            open_points[place + discs[square]] = 0
    mask.ravel()[accepted] = True
    return len(accepted)


def _disc_offsets(square: int, stride: int, margin: int) -> np.ndarray:
    """Flat offsets of all grid points nearer than sqrt(square)."""
    reach = np.arange(-margin, margin + 1)
    rows, columns = np.nonzero(reach[:, None] ** 2 + reach**2 < square)
    return (rows - margin) * stride + columns - margin
