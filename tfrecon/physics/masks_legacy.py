"""The mask rules of score-MRI, HFS-SDE and ddpm4MRI as published, for parity with their results.

Their realised acceleration differs from the asked one: score-MRI draws with replacement, the
"uniform" masks of HFS-SDE put the calibration lines on top, and ddpm4MRI takes the number of lines it wants for
their distance. For new work take the kinds of
`masks_lines` and `masks_planar`, which are exact.

score-MRI: Chung and Ye, Medical Image Analysis 80:102479 (2022). HFS-SDE: Cao et al., IEEE TMI
43:1853 (2024).
"""

from __future__ import annotations

import math

import numpy as np

from tfrecon.physics.mask_request import MaskRequest, centred_block, draw_without_replacement
from tfrecon.physics.masks_lines import equispaced
from tfrecon.util.errors import InputError


def scoremri_gaussian1d(request: MaskRequest) -> np.ndarray:
    """floor(1.2·floor(W/R)) Gaussian draws with replacement, standard deviation 15·W/128, and the ACS."""
    width = request.shape[1]
    draws = math.floor(1.2 * math.floor(width / request.rate()))
    columns = request.generator.normal(width // 2, 15 * width / 128, draws)
    mask = _calibration_lines(request)
    mask[_to_index(columns, width)] = True
    return mask


def scoremri_uniform1d(request: MaskRequest) -> np.ndarray:
    """floor(W/R) - ACS uniform draws with replacement over all lines, ACS included, and the ACS."""
    width, mask = request.shape[1], _calibration_lines(request)
    draws = math.floor(width / request.rate()) - int(mask.sum())
    _check_draws(request, draws, int(mask.sum()))
    mask[request.generator.integers(width, size=draws)] = True
    return mask


def scoremri_gaussian2d(request: MaskRequest) -> np.ndarray:
    """floor(H·W/R) Gaussian draws with replacement, variance size²·1.5/128; no calibration block."""
    draws = _scoremri_points(request)
    indices = [
        _to_index(request.generator.normal(size // 2, size * math.sqrt(1.5 / 128), draws), size)
        for size in request.shape
    ]
    mask = np.zeros(request.shape, bool)
    mask[tuple(indices)] = True
    return mask


def scoremri_uniformrandom2d(request: MaskRequest) -> np.ndarray:
    """floor(H·W/R) uniform draws with replacement; no calibration block."""
    mask = np.zeros(request.shape, bool)
    mask.ravel()[request.generator.integers(mask.size, size=_scoremri_points(request))] = True
    return mask


def hfs_low_frequency(request: MaskRequest) -> np.ndarray:
    """The calibration lines alone."""
    return centred_block((request.shape[1],), (_calibration_alone(request),))


def hfs_center(request: MaskRequest) -> np.ndarray:
    """The square calibration block alone."""
    side = _calibration_alone(request)
    return centred_block(request.shape, (min(side, request.shape[0]), side))


def hfs_uniform(request: MaskRequest, *, prop: str = "legacy") -> np.ndarray:
    """Calibration lines and every R-th of the lines outside them.

    Args:
        request: what was asked for.
        prop: "legacy" counts from the first outer line and leaves the ACS on top, the published
            rule; "exact" is `equispaced`, whose number of lines is right.
    """
    if prop not in ("legacy", "exact"):
        raise InputError(f"prop is {prop!r}", fix="choose legacy or exact")
    if prop == "exact":
        return equispaced(request)
    mask = _calibration_lines(request)
    mask[np.flatnonzero(~mask)[:: _integer_rate(request)]] = True
    return mask


def hfs_random_uniform(request: MaskRequest) -> np.ndarray:
    """Calibration lines and int(W/R) - ACS of the others, all equally likely, without replacement."""
    return _hfs_weighted(request, np.zeros(request.shape[1]))


def hfs_cartesian(request: MaskRequest) -> np.ndarray:
    """As `hfs_random_uniform` with a Gaussian density (σ = W/10) over a floor of 1/(2R), after kt-FOCUSS."""
    width = request.shape[1]
    distance = (np.arange(width) - width / 2) / (width / 10)
    return _hfs_weighted(request, np.log(np.exp(-0.5 * distance**2) + 1 / (2 * request.rate())))


def ddpm4mri_equispaced(request: MaskRequest) -> np.ndarray:
    """Half of the calibration lines and every (n - 3)-th line outwards, with n = W/(2R) - half; then mirrored.

    n is how many lines a half should have, and taken for their distance: a rate of 4 becomes one of 9 to 10. The last
    line of an odd width is never sampled. The published calibration fraction is 0.04 at 8 and 0.08 else.
    """
    width, acs = request.shape[1], _calibration_size(request)
    half = np.zeros(width // 2, bool)
    inner = round(acs / 2)
    stride = int(width / (2 * request.rate()) - inner) - 3
    if stride < 1:
        raise InputError(
            f"mask kind {request.kind!r} has no line distance for {acs} calibration lines at acceleration "
            f"{request.rate():g} of {width} lines",
            fix="give fewer calibration lines or a lower acceleration, or take equispaced",
        )
    half[:inner] = True
    half[inner::stride] = True
    mask = np.zeros(width, bool)
    mask[: 2 * len(half)] = np.concatenate([half[::-1], half])
    return mask


def _hfs_weighted(request: MaskRequest, log_weights: np.ndarray) -> np.ndarray:
    mask = _calibration_lines(request)
    draws = int(len(mask) / request.rate()) - int(mask.sum())
    _check_draws(request, draws, int(mask.sum()))
    log_weights = np.where(mask, -np.inf, log_weights)
    mask[draw_without_replacement(request.generator, log_weights, draws)] = True
    return mask


def _calibration_size(request: MaskRequest) -> int:
    """Both packages cut the fraction of the width to an integer where others round it."""
    width = request.shape[1]
    return request.acs[1] if request.acs_given else int(width * request.center_fraction)


def _calibration_alone(request: MaskRequest) -> int:
    if request.acceleration is not None:
        raise InputError(
            f"mask kind {request.kind!r} is given by acs_lines, not by acceleration {request.acceleration:g}",
            fix="leave the acceleration out, or take lowfrequency or center",
        )
    size = _calibration_size(request)
    if size == 0:
        raise InputError(f"mask kind {request.kind!r} has no calibration lines", fix="give acs_lines")
    return size


def _calibration_lines(request: MaskRequest) -> np.ndarray:
    # HFS-SDE starts at (n - acs) // 2, which is this at the even sizes it was used at.
    return centred_block((request.shape[1],), (_calibration_size(request),))


def _scoremri_points(request: MaskRequest) -> int:
    if request.acs_given:
        raise InputError(
            f"mask kind {request.kind!r} has no calibration block", fix="leave acs_lines out, or take gaussian2d"
        )
    return math.floor(request.shape[0] * request.shape[1] / request.rate())


def _to_index(values: np.ndarray, size: int) -> np.ndarray:
    return np.clip(values.astype(int), 0, size - 1)


def _check_draws(request: MaskRequest, draws: int, acs: int) -> None:
    if draws < 0:
        raise InputError(
            f"{acs} calibration lines are {-draws} more than acceleration {request.acceleration:g} leaves",
            fix=f"give acs_lines of at most {acs + draws}, or a lower acceleration",
        )


def _integer_rate(request: MaskRequest) -> int:
    rate = request.rate()
    if rate != int(rate):
        raise InputError(
            f"mask kind {request.kind!r} takes every R-th line, and {rate:g} is not an integer",
            fix="give an integer, or take equispaced",
        )
    return int(rate)
