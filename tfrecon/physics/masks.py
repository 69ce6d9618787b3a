"""Undersampling masks: which samples of k-space are measured.

`make_mask` draws one of the kinds below from a seed, `from_array` takes a user's own. Each comes
with the acceleration it *achieves*, calibration samples (ACS) included, beside the one asked for.

A kind is added by writing its generator (see `mask_request`) and naming it in `_KINDS`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfrecon.physics import masks_kt, masks_legacy, masks_lines, masks_planar, masks_poisson
from tfrecon.physics.mask_request import MaskRequest
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator

_LINES: dict[str, Callable[..., np.ndarray]] = {
    "full": masks_lines.full,
    "equispaced": masks_lines.equispaced,
    "random1d": masks_lines.random1d,
    "gaussian1d": masks_lines.gaussian1d,
    "uniform1d": masks_lines.uniform1d,
    "lowfrequency": masks_lines.lowfrequency,
    "kt_equispaced": masks_kt.kt_equispaced,
    "kt_gaussian": masks_kt.kt_gaussian,
    "scoremri_gaussian1d": masks_legacy.scoremri_gaussian1d,
    "scoremri_uniform1d": masks_legacy.scoremri_uniform1d,
    "hfs_low_frequency": masks_legacy.hfs_low_frequency,
    "hfs_uniform": masks_legacy.hfs_uniform,
    "hfs_random_uniform": masks_legacy.hfs_random_uniform,
    "hfs_cartesian": masks_legacy.hfs_cartesian,
    "ddpm4mri_equispaced": masks_legacy.ddpm4mri_equispaced,
}
"""Kinds that sample whole lines; their generators return `[W]` or `[T, W]`."""

_POINTS: dict[str, Callable[..., np.ndarray]] = {
    "gaussian2d": masks_planar.gaussian2d,
    "poisson": masks_poisson.poisson,
    "radial": masks_planar.radial,
    "center": masks_planar.center,
    "kt_radial": masks_kt.kt_radial,
    "scoremri_gaussian2d": masks_legacy.scoremri_gaussian2d,
    "scoremri_uniformrandom2d": masks_legacy.scoremri_uniformrandom2d,
    "hfs_center": masks_legacy.hfs_center,
}
"""Kinds that sample points; their generators return `[H, W]` or `[T, H, W]`."""

_KINDS = {**_LINES, **_POINTS}
_OPTIONS = {kind: tuple(inspect.signature(draw).parameters)[1:] for kind, draw in _KINDS.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class SamplingMask:
    """A mask and how it came about.

    Attributes:
        array: uint8 0/1 `[1, H or 1, W]`, for a series `[T, 1, H or 1, W]`; a height of 1 means
            whole lines.
        kind: one of `mask_kinds()`, or "given".
        seed: what it was drawn with; -1 if given.
        nominal: the acceleration asked for (the achieved one where none was).
        acceleration: the achieved one: samples of k-space over samples measured, ACS included.
        acs: (rows, columns) of the fully sampled block at the centre, as found in the mask.
    """

    array: np.ndarray
    kind: str
    seed: int
    nominal: float
    acceleration: float
    acs: tuple[int, int]

    def __str__(self) -> str:
        asked = f" (asked for {self.nominal:g})" if abs(self.nominal - self.acceleration) > 0.005 else ""
        drawn = f", seed {self.seed}" if self.kind != "given" else ""
        return (
            f"{self.kind} mask, acceleration {self.acceleration:.2f}{asked}, ACS {self.acs[0]} x {self.acs[1]}{drawn}"
        )


def mask_kinds() -> tuple[str, ...]:
    """The names that `make_mask` knows."""
    return tuple(_KINDS)


def make_mask(
    kind: str,
    shape: Sequence[int],
    acceleration: float | None = None,
    *,
    center_fraction: float = 0.08,
    acs_lines: int | tuple[int, int] | None = None,
    seed: int = 0,
    frames: int | None = None,
    **options: Any,
) -> SamplingMask:
    """Draws a mask; the same arguments give the same mask everywhere.

    Args:
        kind: one of `mask_kinds()`.
        shape: (H, W) of k-space; lines run along H and are chosen along W, the phase encoding.
        acceleration: H·W (lines: W) over samples, calibration included, at least 1. None where the
            kind is given by its calibration block or number of spokes alone.
        center_fraction: size of the calibration block as a fraction of the width (of each side for
            masks of points); 0 for none.
        acs_lines: the size in lines (side or (rows, columns) in samples), instead of the fraction.
        seed: of the random numbers.
        frames: T for a series. Kinds named `kt_…` interleave frames; others repeat one mask.
        **options: of the kind's generator, see its docstring.

    Raises:
        InputError: an unknown kind or option, a value out of range, or a calibration block that is
            larger than what the acceleration leaves.
    """
    if kind not in _KINDS:
        raise InputError(f"no mask kind {kind!r}", fix=f"choose one of {', '.join(mask_kinds())}")
    _check_options(kind, options)
    request = _resolve(kind, shape, acceleration, center_fraction, acs_lines, seed, frames)
    array = _KINDS[kind](request, **options).astype(np.uint8)
    array = array[..., None, None, :] if kind in _LINES else array[..., None, :, :]
    if frames is not None and array.ndim == 3:
        array = np.repeat(array[None], frames, axis=0)
    return _describe(array, request.shape, kind, seed, acceleration)


def from_array(array: Tensor, shape: Sequence[int], where: str = "") -> SamplingMask:
    """Takes a user's mask for k-space of `shape`.

    Args:
        array: 0/1 of any dtype: `[W]`, `[1, W]`, `[H, W]`, `[1, H or 1, W]`; for a series
            `[T, H or 1, W]` or `[T, 1, H or 1, W]`. Equal rows are kept as one (whole lines).
        shape: (H, W).
        where: file or key, for the message.

    Raises:
        InputError: another size, values other than 0 and 1, or nothing sampled.
    """
    height, width = _check_shape(shape)
    array = np.asarray(array)
    _check_binary(array, where)
    if array.ndim == 0 or array.shape[-1] != width or (array.ndim > 1 and array.shape[-2] not in (1, height)):
        raise _wrong_size(array.shape, (height, width), where)
    if array.ndim > 4 or (array.ndim == 4 and array.shape[1] != 1):
        raise InputError(
            f"mask has shape {array.shape}", where, "give [W], [H, W], [T, H or 1, W] or [T, 1, H or 1, W]"
        )
    array = np.real(array).astype(np.uint8)
    if array.ndim == 1:
        array = array[None]
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and len(array) > 1:
        array = array[:, None]
    if (array == array[..., :1, :]).all():
        array = array[..., :1, :]
    if not array.any():
        raise InputError(f"mask {array.shape} is zero everywhere", where, "give a mask that samples something")
    empty = np.flatnonzero(~array.reshape(len(array), -1).any(axis=1))
    if len(empty):
        raise InputError(f"mask {array.shape} is zero in frame {empty[0]}", where, "give each frame some samples")
    return _describe(np.ascontiguousarray(array), (height, width), "given", -1, None)


def achieved_acceleration(array: np.ndarray, shape: Sequence[int]) -> float:
    """Samples of k-space over samples measured, over all frames, calibration included.

    Args:
        array: 0/1 `[..., H or 1, W]` or `[W]`.
        shape: (H, W).

    Raises:
        InputError: another size, or nothing sampled.
    """
    array = np.atleast_2d(np.asarray(array))
    height, width = _check_shape(shape)
    if array.shape[-1] != width or array.shape[-2] not in (1, height):
        raise _wrong_size(array.shape, (height, width), "")
    sampled = int(np.count_nonzero(array))
    if sampled == 0:
        raise InputError(f"mask {array.shape} is zero everywhere", fix="give a mask that samples something")
    return array.size / sampled


def acs_size(array: np.ndarray, shape: Sequence[int]) -> tuple[int, int]:
    """The largest fully sampled centred block, common to all frames: (rows, columns), or (0, 0).

    Largest is by the shorter side, then by area: one long line through the centre calibrates nothing.

    Args:
        array: 0/1 `[..., H or 1, W]` or `[W]`.
        shape: (H, W).

    Raises:
        InputError: another size.
    """
    array = np.atleast_2d(np.asarray(array))
    height, width = _check_shape(shape)
    if array.shape[-1] != width or array.shape[-2] not in (1, height):
        raise _wrong_size(array.shape, (height, width), "")
    common = (array != 0).reshape(-1, *array.shape[-2:]).all(axis=0)
    # Centred blocks of 1, 2, 3, ... samples take the indices c, c-1, c+1, c-2, ... one after the other.
    by_column = common[:, _centre_out(width)]
    columns = np.where(by_column.all(axis=1), width, by_column.argmin(axis=1))
    if len(columns) == 1:
        columns = np.repeat(columns, height)
    columns = np.minimum.accumulate(columns[_centre_out(height)])
    rows = np.arange(1, height + 1)
    best = np.lexsort((rows * columns, np.minimum(rows, columns)))[-1]
    return (int(rows[best]), int(columns[best])) if columns[best] else (0, 0)


def _centre_out(size: int) -> np.ndarray:
    steps = np.arange(1, size + 1)
    return size // 2 + np.where(steps % 2, 1, -1) * (steps // 2)


def _describe(
    array: np.ndarray, shape: tuple[int, int], kind: str, seed: int, acceleration: float | None
) -> SamplingMask:
    achieved = achieved_acceleration(array, shape)
    nominal = achieved if acceleration is None else float(acceleration)
    return SamplingMask(array, kind, int(seed), nominal, achieved, acs_size(array, shape))


def _resolve(
    kind: str,
    shape: Sequence[int],
    acceleration: float | None,
    center_fraction: float,
    acs_lines: int | tuple[int, int] | None,
    seed: int,
    frames: int | None,
) -> MaskRequest:
    size = _check_shape(shape)
    if acceleration is not None and not (math.isfinite(acceleration) and acceleration >= 1):
        raise InputError(f"acceleration is {acceleration:g}", fix="give 1 (fully sampled) or more")
    if not 0 <= center_fraction <= 1:
        raise InputError(f"center_fraction is {center_fraction:g}", fix="give a fraction between 0 and 1")
    if frames is not None and frames < 1:
        raise InputError(f"frames is {frames}", fix="give at least one frame")
    return MaskRequest(
        kind=kind,
        shape=size,
        acceleration=acceleration,
        acs=_resolve_acs(kind, size, center_fraction, acs_lines),
        acs_given=acs_lines is not None,
        center_fraction=center_fraction,
        frames=frames,
        generator=numpy_generator(seed, "mask", kind),
    )


def _resolve_acs(
    kind: str, size: tuple[int, int], center_fraction: float, acs_lines: int | tuple[int, int] | None
) -> tuple[int, int]:
    lines = kind in _LINES
    if acs_lines is None:
        return (size[0] if lines else round(size[0] * center_fraction), round(size[1] * center_fraction))
    if lines:
        if not isinstance(acs_lines, int | np.integer):
            raise InputError(f"acs_lines is {acs_lines!r}", fix=f"mask kind {kind!r} samples lines: give one number")
        acs = (size[0], int(acs_lines))
    else:
        pair = (acs_lines, acs_lines) if isinstance(acs_lines, int | np.integer) else tuple(acs_lines)
        if len(pair) != 2:
            raise InputError(f"acs_lines is {acs_lines!r}", fix="give one number, or (rows, columns)")
        acs = (int(pair[0]), int(pair[1]))
    if any(not 0 <= n <= most for n, most in zip(acs, size, strict=True)):
        raise InputError(f"acs_lines {acs_lines} does not fit k-space {size}", fix="give a smaller block")
    return acs


def _check_options(kind: str, options: dict[str, Any]) -> None:
    unknown = [name for name in options if name not in _OPTIONS[kind]]
    if unknown:
        known = ", ".join(_OPTIONS[kind]) or "none"
        raise InputError(f"mask kind {kind!r} has no option {unknown[0]!r}", fix=f"its options are: {known}")


def _check_shape(shape: Sequence[int]) -> tuple[int, int]:
    shape = tuple(shape)
    if len(shape) != 2 or any(not isinstance(n, int | np.integer) or n < 1 for n in shape):
        raise InputError(f"shape is {shape}", fix="give the height and width of k-space")
    return int(shape[0]), int(shape[1])


def _check_binary(array: np.ndarray, where: str) -> None:
    if array.dtype.kind not in "biufc":
        raise InputError(f"mask has dtype {array.dtype}", where, "give numbers 0 and 1")
    wrong = array[~np.isin(array, (0, 1))]
    if wrong.size:
        raise InputError(
            f"mask {array.shape} holds {wrong.size} values other than 0 and 1, such as {wrong.flat[0]}",
            where,
            "give 1 where k-space was sampled and 0 elsewhere",
        )


def _wrong_size(have: tuple[int, ...], want: tuple[int, int], where: str) -> InputError:
    swapped = have[-2:] == want[::-1] or have[-2:] == (want[0], 1) or (len(have) == 1 and have == want[:1])
    fix = "give a mask of the same height and width"
    if swapped:
        fix = "it looks transposed: lines run along the height and are chosen along the width, the last axis"
    elif len(have) == 2 and have[1] == want[1]:
        fix = "a line mask for each frame of a series is [T, 1, W]"
    return InputError(f"mask {have} does not fit k-space {want}", where, fix)
