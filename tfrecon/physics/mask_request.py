"""What a mask generator is asked for, and what the generators share.

A generator is a function `(MaskRequest, **options) -> array` of zeros and ones: `[W]` or `[T, W]`
for whole lines, `[H, W]` or `[T, H, W]` for points. `physics.masks` names them all.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_slices


@dataclasses.dataclass(frozen=True)
class MaskRequest:
    """One request for a mask, checked and resolved.

    Attributes:
        kind: the name the user gave.
        shape: (H, W) of k-space.
        acceleration: asked for, at least 1; None leaves it to the kind.
        acs: (rows, columns) of the calibration block; line masks use the columns.
        acs_given: whether the user named the size of the block, rather than a fraction.
        center_fraction: the fraction the size was taken from.
        frames: number of time frames, or None for a still image.
        generator: where all randomness comes from.
    """

    kind: str
    shape: tuple[int, int]
    acceleration: float | None
    acs: tuple[int, int]
    acs_given: bool
    center_fraction: float
    frames: int | None
    generator: np.random.Generator

    def rate(self) -> float:
        """The acceleration.

        Raises:
            InputError: none was given.
        """
        if self.acceleration is None:
            raise InputError(f"mask kind {self.kind!r} needs an acceleration", fix="give one, for instance 4")
        return self.acceleration

    def line_budget(self) -> int:
        """How many lines the acceleration allows, calibration included.

        Raises:
            InputError: not one line, or fewer than the calibration block has.
        """
        width, columns = self.shape[1], self.acs[1]
        budget = round(width / self.rate())
        if budget < 1:
            raise InputError(
                f"acceleration {self.acceleration:g} leaves no line of {width}",
                fix=f"give an acceleration of at most {width}",
            )
        if columns > budget:
            raise InputError(
                f"{columns} calibration lines are {columns - budget} more than the {budget} lines that "
                f"acceleration {self.acceleration:g} leaves of {width}",
                fix=f"give acs_lines (or center_fraction · {width}) of at most {budget}, "
                f"or an acceleration of at most {floor_to_hundredth(width / columns)}",
            )
        return budget

    def point_budget(self) -> int:
        """How many points the acceleration allows, calibration included.

        Raises:
            InputError: not one point, or fewer than the calibration block has.
        """
        size, (rows, columns) = self.shape[0] * self.shape[1], self.acs
        budget = round(size / self.rate())
        if budget < 1:
            raise InputError(
                f"acceleration {self.acceleration:g} leaves no sample of {size}",
                fix=f"give an acceleration of at most {size}",
            )
        if rows * columns > budget:
            raise InputError(
                f"the {rows} x {columns} calibration block has {rows * columns - budget} samples more than the "
                f"{budget} that acceleration {self.acceleration:g} leaves of {size}",
                fix=f"give a block of at most {int(budget**0.5)} x {int(budget**0.5)} (acs_lines), "
                f"or an acceleration of at most {floor_to_hundredth(size / (rows * columns))}",
            )
        return budget

    def without_acs(self) -> MaskRequest:
        """The same request with no calibration block."""
        return dataclasses.replace(self, acs=(0, 0))

    def frame_count(self) -> int:
        """The number of frames.

        Raises:
            InputError: none was given.
        """
        if self.frames is None:
            raise InputError(f"mask kind {self.kind!r} changes from frame to frame", fix="give the number of frames")
        return self.frames

    def calibration_lines(self) -> np.ndarray:
        """Bool [W], true on the calibration lines."""
        return centred_block((self.shape[1],), (self.acs[1],))

    def calibration_block(self) -> np.ndarray:
        """Bool [H, W], true on the calibration block."""
        return centred_block(self.shape, self.acs)


def floor_to_hundredth(value: float) -> float:
    """`value` cut to two decimals, for advice that must not overshoot."""
    return int(value * 100) / 100


def centred_block(shape: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """Bool array of `shape`, true on the centred block of `size` (around index n//2)."""
    block = np.zeros(shape, bool)
    block[centre_slices(shape, size)] = True
    return block


def centred_coordinates(size: int) -> np.ndarray:
    """Distances in samples from the centre n//2, `[size]`."""
    return np.arange(size) - size // 2


def draw_without_replacement(generator: np.random.Generator, log_weights: np.ndarray, count: int) -> np.ndarray:
    """`count` different flat indices, drawn one after the other with probability ∝ exp(log_weights).

    The Gumbel trick: the largest sums of log-weight and Gumbel noise are such a draw (Yellott,
    J. Math. Psychol. 15:109, 1977), whatever the range of the weights.

    Args:
        generator: source of randomness.
        log_weights: any shape; -inf is never drawn.
        count: at most the number of finite log-weights.
    """
    keys = (log_weights + generator.gumbel(size=log_weights.shape)).ravel()
    if count == 0:
        return np.empty(0, np.intp)
    return np.argpartition(-keys, count - 1)[:count]


def fill_by_weight(
    block: np.ndarray, log_weights: np.ndarray, total: int, generator: np.random.Generator
) -> np.ndarray:
    """The block and as many weighted draws outside it as make `total` samples; bool like `block`."""
    mask = block.copy()
    log_weights = np.where(block, -np.inf, log_weights)
    mask.ravel()[draw_without_replacement(generator, log_weights, total - int(block.sum()))] = True
    return mask
