"""Masks of whole lines along the height, chosen along the width (1-D undersampling)."""

from __future__ import annotations

import numpy as np

from tfrecon.physics.mask_request import MaskRequest, centred_block, centred_coordinates, fill_by_weight
from tfrecon.util.errors import InputError

GAUSSIAN_STD = 15 / 128
"""Standard deviation of the Gaussian line density over the width, score-MRI's."""


def full(request: MaskRequest) -> np.ndarray:
    """Every line."""
    if request.acceleration not in (None, 1):
        raise InputError(
            f"full sampling has acceleration 1, not {request.acceleration:g}", fix="leave it out, or choose a mask kind"
        )
    return np.ones(request.shape[1], bool)


def equispaced(request: MaskRequest, *, nominal_spacing: bool = False, integer_spacing: bool = False) -> np.ndarray:
    """Calibration lines and a lattice through all of k-space, with a random offset.

    Args:
        request: what was asked for. By default the lattice's spacing is the fraction that gives
            the asked number of lines, ACS included; neighbouring gaps then differ by one line.
        nominal_spacing: spacing = acceleration (rounded) with the ACS on top, fastMRI's plain
            "equispaced"; the achieved acceleration is then lower than the asked one.
        integer_spacing: all gaps equal; the spacing and offset nearest to the asked acceleration.
    """
    if nominal_spacing and integer_spacing:
        raise InputError("nominal_spacing and integer_spacing exclude each other", fix="give one of them")
    acs, width = request.calibration_lines(), request.shape[1]
    if nominal_spacing:
        spacing = check_nominal_spacing(request)
        return acs | lattice(width, spacing, request.generator.integers(spacing, size=1))[0]
    outer = request.line_budget() - int(acs.sum())
    if outer == 0:
        return acs
    if integer_spacing:
        return acs | _integer_lattice(acs, outer, request.generator)
    return acs | fitted_lattice(acs, outer, request.generator.random(1))[0]


def check_nominal_spacing(request: MaskRequest) -> int:
    """The acceleration rounded to a line spacing.

    Raises:
        InputError: it is wider than k-space.
    """
    spacing = round(request.rate())
    if spacing > request.shape[1]:
        raise InputError(
            f"a spacing of {spacing} lines is wider than the {request.shape[1]} of k-space",
            fix=f"give an acceleration of at most {request.shape[1]}",
        )
    return spacing


def lattice(width: int, spacing: float, offsets: np.ndarray) -> np.ndarray:
    """Lines floor(offset + k·spacing), bool `[len(offsets), width]`; 0 ≤ offset < spacing, spacing ≥ 1."""
    count = int(np.ceil(width / spacing)) + 1
    # The small amount keeps an exact integer from falling to the line below it.
    positions = np.floor(np.asarray(offsets)[:, None] + np.arange(count) * spacing + 1e-9).astype(int)
    lines = np.zeros((len(positions), width + 1), bool)
    np.put_along_axis(lines, np.minimum(positions, width), True, axis=1)
    return lines[:, :width]


def fitted_lattice(acs: np.ndarray, outer: int, phases: np.ndarray, step: float = 0.0) -> np.ndarray:
    """Lattices of one common spacing with nearest to `outer` lines each outside the ACS.

    Args:
        acs: bool [W], the calibration lines.
        outer: lines wanted outside them, at least 1.
        phases: offset of each lattice as a fraction of the spacing, in [0, 1).
        step: lines that each lattice is moved by against the one before it.

    Returns:
        bool [len(phases), W].
    """
    width = len(acs)
    start = (width - int(acs.sum())) / outer
    shifts = step * np.arange(len(phases))
    best, best_error = None, np.inf
    # Spacings ever farther from the expected one, on both sides of it; where few lines are wanted and they
    # fall on the ACS, other phases as well.
    tries = ((exponent // 2 * (-1) ** exponent, turn / 8) for turn in range(8) for exponent in range(400))
    for exponent, turn in tries:
        spacing = max(start * 1.001**exponent, 1.0)
        lines = lattice(width, spacing, ((phases + turn) % 1 * spacing + shifts) % spacing)
        error = abs(int((lines & ~acs).sum()) - outer * len(phases))
        if error < best_error:
            best, best_error = lines, error
        if error == 0:
            break
    assert best is not None
    return best


def _integer_lattice(acs: np.ndarray, outer: int, generator: np.random.Generator) -> np.ndarray:
    width = len(acs)
    start = (width - int(acs.sum())) / outer
    best, best_error = [], np.inf
    for spacing in {max(1, int(start)), min(width, int(np.ceil(start)))}:
        lines = lattice(width, spacing, np.arange(spacing))
        errors = np.abs((lines & ~acs).sum(axis=1) - outer)
        if errors.min() < best_error:
            best, best_error = [], errors.min()
        if errors.min() == best_error:
            best += list(lines[errors == best_error])
    return best[generator.integers(len(best))]


def random1d(request: MaskRequest, *, density_power: float = 0.0, exact: bool = True) -> np.ndarray:
    """Random lines of density (1 - |k|)^density_power, |k| ≤ 1 (Lustig et al., MRM 58:1182, 2007).

    Args:
        request: what was asked for.
        density_power: 0 is a uniform density, larger prefers low frequencies.
        exact: the number of lines is exact; False draws every line independently, as fastMRI's
            "random" masks do, so that the acceleration is right on average only.
    """
    if density_power < 0:
        raise InputError(f"density_power is {density_power:g}", fix="give 0 (uniform) or more")
    acs, total = request.calibration_lines(), request.line_budget()
    distance = np.abs(centred_coordinates(request.shape[1])) / (request.shape[1] // 2 + 1)
    log_weights = density_power * np.log1p(-distance)
    if exact:
        return fill_by_weight(acs, log_weights, total, request.generator)
    probability = inclusion_probability(np.where(acs, 0, np.exp(log_weights)), total - int(acs.sum()))
    return acs | (request.generator.random(len(acs)) < probability)


def uniform1d(request: MaskRequest) -> np.ndarray:
    """Calibration lines and lines of uniform density, drawn without replacement: the count is exact."""
    return random1d(request)


def gaussian1d(request: MaskRequest, *, std: float = GAUSSIAN_STD) -> np.ndarray:
    """Calibration lines and lines of Gaussian density, drawn without replacement: the count is exact.

    Args:
        request: what was asked for.
        std: standard deviation of the density as a fraction of the width.
    """
    check_std(std)
    distance = centred_coordinates(request.shape[1]) / (std * request.shape[1])
    total = request.line_budget()
    return fill_by_weight(request.calibration_lines(), -0.5 * distance**2, total, request.generator)


def lowfrequency(request: MaskRequest) -> np.ndarray:
    """The lowest frequencies alone: W/acceleration lines, or `acs_lines` where no acceleration is given."""
    width = request.shape[1]
    if request.acceleration is None:
        return _not_empty(request.calibration_lines(), request)
    lines = request.without_acs().line_budget()
    if request.acs_given and request.acs[1] != lines:
        raise InputError(
            f"acs_lines {request.acs[1]} and acceleration {request.acceleration:g} (which is {lines} lines) disagree",
            fix="a low-frequency mask takes one of the two",
        )
    return centred_block((width,), (lines,))


def _not_empty(mask: np.ndarray, request: MaskRequest) -> np.ndarray:
    if not mask.any():
        raise InputError(f"mask kind {request.kind!r} has neither an acceleration nor calibration lines")
    return mask


def check_std(std: float) -> None:
    """Raises InputError unless a density's standard deviation is positive."""
    if not std > 0:
        raise InputError(f"std is {std:g}", fix="give a positive fraction of the size, for instance 0.12")


def inclusion_probability(weights: np.ndarray, count: int) -> np.ndarray:
    """Probabilities ∝ weights, at most 1, that sum to `count`.

    Args:
        weights: ≥ 0; zeros get probability zero.
        count: at most the number of positive weights.
    """
    probability = np.zeros(weights.shape)
    free = weights > 0
    while count > 0 and free.any():
        share = count * weights / weights[free].sum()
        certain = free & (share >= 1)
        if not certain.any():
            return np.where(free, share, probability)
        probability[certain] = 1
        count -= int(certain.sum())
        free &= ~certain
    return probability
