"""Masks of points in both directions (2-D undersampling, as where both axes are phase-encoded)."""

from __future__ import annotations

import math

import numpy as np

from tfrecon.physics.mask_request import MaskRequest, centred_block, centred_coordinates, fill_by_weight
from tfrecon.physics.masks_lines import check_std
from tfrecon.util.errors import InputError

GAUSSIAN_STD = (1.5 / 128) ** 0.5
"""Standard deviation of the Gaussian point density over the size, score-MRI's."""

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""111.25°, between one diameter and the next (Winkelmann et al., IEEE TMI 26:68, 2007)."""


def gaussian2d(request: MaskRequest, *, std: float = GAUSSIAN_STD) -> np.ndarray:
    """Calibration block and points of Gaussian density, drawn without replacement: the count is exact.

    Args:
        request: what was asked for; center_fraction 0 gives no block.
        std: standard deviation of the density as a fraction of each size.
    """
    check_std(std)
    distances = [centred_coordinates(size) / (std * size) for size in request.shape]
    log_weights = -0.5 * (distances[0][:, None] ** 2 + distances[1] ** 2)
    return fill_by_weight(request.calibration_block(), log_weights, request.point_budget(), request.generator)


def center(request: MaskRequest) -> np.ndarray:
    """The centre block alone: H·W/acceleration points in the shape of k-space, or the `acs_lines` block."""
    height, width = request.shape
    if request.acceleration is None:
        block = request.calibration_block()
        if not block.any():
            raise InputError("mask kind 'center' has neither an acceleration nor a calibration block")
        return block
    if request.acs_given:
        raise InputError(
            f"a centre block is given by acs_lines {request.acs} or by acceleration {request.acceleration:g}, not both",
            fix="leave one of them out",
        )
    budget = request.without_acs().point_budget()
    ideal = height / math.sqrt(request.rate())
    sizes = [(rows, min(width, max(1, round(budget / rows)))) for rows in (math.floor(ideal), math.ceil(ideal)) if rows]
    return centred_block(request.shape, min(sizes, key=lambda size: abs(size[0] * size[1] - budget)))


def radial(request: MaskRequest, *, n_spokes: int | None = None) -> np.ndarray:
    """Golden-angle spokes through the centre, each rasterised on the Cartesian grid, and the calibration block.

    The direction of the first spoke is random. Spokes end on the ellipse that touches the edges of k-space.

    Args:
        request: what was asked for; center_fraction 0 gives no block.
        n_spokes: number of spokes; by default the one nearest to the asked acceleration.
    """
    first_angle = request.generator.random() * math.pi
    if n_spokes is None:
        n_spokes = fitted_spokes(request, first_angle)
    else:
        check_spokes(request, n_spokes)
    return request.calibration_block() | rasterise(request.shape, first_angle + GOLDEN_ANGLE * np.arange(n_spokes))


def check_spokes(request: MaskRequest, n_spokes: int) -> None:
    """Raises InputError unless n_spokes is positive and no acceleration contradicts it."""
    if n_spokes < 1:
        raise InputError(f"n_spokes is {n_spokes}", fix="give at least one spoke")
    if request.acceleration is not None:
        raise InputError(
            f"n_spokes {n_spokes} and acceleration {request.acceleration:g} both set the number of samples",
            fix="leave one of them out",
        )


def fitted_spokes(request: MaskRequest, first_angle: float) -> int:
    """The number of golden-angle spokes whose mask, calibration block included, comes nearest to the acceleration.

    Raises:
        InputError: no number of spokes samples that much, for the corners stay empty.
    """
    budget, block = request.point_budget(), request.calibration_block()
    count, longest = 64, 8 * max(request.shape)
    while True:
        sampled = _samples_by_spoke(request.shape, block, first_angle, count)
        if sampled[-1] >= budget:
            return max(1, int(np.argmin(np.abs(sampled - budget))))
        if count > longest:
            rate = block.size / int(sampled[-1])
            raise InputError(
                f"spokes cannot sample enough for acceleration {request.acceleration:g}: the corners stay empty",
                fix=f"give an acceleration of at least {rate + 0.01:.2f}",
            )
        count *= 2


def _samples_by_spoke(shape: tuple[int, int], block: np.ndarray, first_angle: float, count: int) -> np.ndarray:
    indices = spoke_indices(shape, first_angle + GOLDEN_ANGLE * np.arange(count))
    first = np.full(block.size, count + 1)
    spoke = np.broadcast_to(np.arange(1, count + 1)[:, None], indices.shape)
    first[indices[::-1].ravel()] = spoke[::-1].ravel()  # the last write wins: the first spoke through each point
    first[block.ravel()] = 0
    return np.cumsum(np.bincount(first, minlength=count + 2))[:-1]


def rasterise(shape: tuple[int, int], angles: np.ndarray) -> np.ndarray:
    """Bool [H, W], true where one of the spokes passes."""
    mask = np.zeros(shape[0] * shape[1], bool)
    mask[spoke_indices(shape, angles).ravel()] = True
    return mask.reshape(shape)


def spoke_indices(shape: tuple[int, int], angles: np.ndarray) -> np.ndarray:
    """Flat indices of the grid points nearest to points every half sample on each spoke, `[len(angles), P]`."""
    height, width = shape
    radius = np.linspace(-0.5, 0.5, 2 * max(shape) + 1)
    rows = np.rint(height // 2 + radius * np.sin(angles)[:, None] * height).astype(int)
    columns = np.rint(width // 2 + radius * np.cos(angles)[:, None] * width).astype(int)
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    # What rounds beyond the edge is put on the centre, which every spoke samples anyway.
    return np.where(outside, (height // 2) * width + width // 2, rows * width + columns)
