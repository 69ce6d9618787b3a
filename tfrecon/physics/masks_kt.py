"""Masks that change from frame to frame (k-t undersampling of series), interleaved in time.

The patterns are those of the CMRxRecon 2024 challenge (ktUniform, ktGaussian, ktRadial), with the
calibration block counted in the acceleration unless `acs_on_top` is set, as it is there.
"""

from __future__ import annotations

import math

import numpy as np

from tfrecon.physics.mask_request import MaskRequest, centred_coordinates
from tfrecon.physics.masks_lines import check_nominal_spacing, fitted_lattice, inclusion_probability, lattice
from tfrecon.physics.masks_planar import GOLDEN_ANGLE, check_spokes, fitted_spokes, rasterise
from tfrecon.util.errors import InputError

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


def kt_equispaced(request: MaskRequest, *, interleave: str = "shift", acs_on_top: bool = False) -> np.ndarray:
    """A lattice of lines that moves from frame to frame, and calibration lines in each.

    Args:
        request: what was asked for.
        interleave: "shift" moves the lattice by one line per frame; "golden" by the golden ratio of
            its spacing, which spreads the lines of any number of successive frames evenly.
        acs_on_top: the spacing is the acceleration and the calibration lines come on top.
    """
    if interleave not in ("shift", "golden"):
        raise InputError(f"interleave is {interleave!r}", fix="choose shift or golden")
    acs, frames = request.calibration_lines(), np.arange(request.frame_count())
    step = 1 if interleave == "shift" else 0
    phases = (request.generator.random() + (0 if step else GOLDEN_RATIO) * frames) % 1
    if acs_on_top:
        spacing = check_nominal_spacing(request)
        return acs | lattice(len(acs), spacing, (np.floor(phases * spacing) + step * frames) % spacing)
    outer = request.line_budget() - int(acs.sum())
    if outer == 0:
        return np.tile(acs, (len(frames), 1))
    return acs | fitted_lattice(acs, outer, phases, step)


def kt_gaussian(
    request: MaskRequest, *, floor: float = 0.4, std: float = 0.2 / math.sqrt(2), acs_on_top: bool = False
) -> np.ndarray:
    """Lines of Gaussian density over a constant floor, and calibration lines; each frame has the same number.

    Every line of probability p is taken about every 1/p frames (an error diffusion in time with
    some noise) rather than independently: frames interleave, and neighbouring frames fill each other's gaps.

    Args:
        request: what was asked for.
        floor: constant density beside the Gaussian's peak of one; the default is CMRxRecon's.
        std: standard deviation of the Gaussian as a fraction of the width.
        acs_on_top: the acceleration counts the drawn lines alone, over all of k-space.
    """
    if floor < 0 or not std > 0:
        raise InputError(f"floor {floor:g} or std {std:g} is out of range", fix="give floor ≥ 0 and std > 0")
    acs, frames = request.calibration_lines(), request.frame_count()
    if acs_on_top:
        count, closed = request.without_acs().line_budget(), np.zeros_like(acs)
    else:
        count, closed = request.line_budget() - int(acs.sum()), acs
    distance = centred_coordinates(len(acs)) / (std * len(acs))
    # A tiny share keeps the far end drawable where floor is zero and the Gaussian underflows.
    weights = np.where(closed, 0, np.maximum(np.exp(-0.5 * distance**2) + floor, 1e-12))
    chosen = diffuse_in_time(inclusion_probability(weights, count), count, frames, request.generator)
    return acs | chosen


def diffuse_in_time(
    probability: np.ndarray, count: int, frames: int, generator: np.random.Generator, jitter: float = 0.5
) -> np.ndarray:
    """Chooses `count` lines in each frame so that line k is chosen in a share probability[k] of the frames.

    Args:
        probability: [W], sums to `count`; lines of probability zero are never chosen.
        count: lines in each frame.
        frames: T.
        generator: source of the starting phases and of the jitter.
        jitter: noise on the debt of each line, 0 for the most regular intervals.

    Returns:
        bool [T, W].
    """
    chosen = np.zeros((frames, len(probability)), bool)
    if count == 0:
        return chosen
    debt = generator.random(len(probability))
    for frame in chosen:
        debt += probability
        keys = np.where(probability > 0, debt + jitter * generator.random(len(debt)), -np.inf)
        frame[np.argpartition(-keys, count - 1)[:count]] = True
        debt -= frame
    return chosen


def kt_radial(request: MaskRequest, *, n_spokes: int | None = None, acs_on_top: bool = False) -> np.ndarray:
    """Golden-angle spokes on the Cartesian grid that go on from frame to frame, and a calibration block in each.

    Args:
        request: what was asked for.
        n_spokes: spokes in each frame; by default the number nearest to the asked acceleration.
        acs_on_top: the acceleration counts the spokes alone.
    """
    first_angle, frames = request.generator.random() * math.pi, request.frame_count()
    block = request.calibration_block()
    if n_spokes is not None:
        check_spokes(request, n_spokes)
        return block | _spoke_frames(request.shape, first_angle, n_spokes, frames)
    if acs_on_top:
        request = request.without_acs()
    counted = request.calibration_block()
    budget = request.point_budget() * frames
    guess = fitted_spokes(request, first_angle)
    tries = [
        counted | _spoke_frames(request.shape, first_angle, n, frames) for n in range(max(1, guess - 1), guess + 2)
    ]
    return block | min(tries, key=lambda mask: abs(int(mask.sum()) - budget))


def _spoke_frames(shape: tuple[int, int], first_angle: float, n_spokes: int, frames: int) -> np.ndarray:
    angles = first_angle + GOLDEN_ANGLE * np.arange(frames * n_spokes).reshape(frames, n_spokes)
    return np.stack([rasterise(shape, of_frame) for of_frame in angles])
