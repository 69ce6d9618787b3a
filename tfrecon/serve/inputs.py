"""Checks of the arrays that a user hands over, with a hint where a layout looks like a known other one."""

from __future__ import annotations

import warnings

import numpy as np

from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import check_mask_fits, map_set_axis

_MOST_COILS_PER_PIXEL_LINE = 2
"""More coils than twice the shorter image side is taken for a wrong axis order."""

_EMPTY_SHARE_WORTH_A_WARNING = 0.3
"""Zero-filled edges of fully sampled data are smaller than this; missing samples are not."""


def check_measurement(
    kspace: np.ndarray,
    mask: np.ndarray | None = None,
    maps: np.ndarray | None = None,
    *,
    series: bool = False,
) -> Measurement:
    """Brings arrays into the layout of `typing.Measurement`, or says what is wrong with them.

    Args:
        kspace: complex `[..., C, H, W]`, or `[H, W]` for one coil.
        mask: 0/1 of any dtype: `[W]`, `[H, W]`, or `[..., 1, H or 1, W]`; None where every sample was
            measured.
        maps: complex `[..., C, H, W]` or, with map sets, `[..., S, C, H, W]`; None if there are none.
        series: whether the axis before the coils is time. Maps may then lack that axis.

    Returns:
        complex64 k-space, zero where the mask is, with a float32 mask and complex64 maps of k-space's
        rank (maps: one more with sets).

    Raises:
        InputError: NaN or Inf, shapes that do not fit, or nothing measured.
    """
    kspace = _check_kspace(kspace, series)
    every_sample = mask is None
    mask = _check_mask(mask, kspace)
    kspace = kspace * mask
    empty = ~np.any(kspace, axis=(-4, -3, -2, -1) if series else (-3, -2, -1))
    if empty.any():
        place = "" if empty.ndim == 0 else f" in {int(empty.sum())} of {empty.size} slices (first: {np.argmax(empty)})"
        raise InputError(f"kspace is zero wherever the mask is one{place}", fix="leave empty slices out")
    if every_sample:
        _warn_of_gaps(kspace)
    return Measurement(kspace, mask, None if maps is None else _check_maps(maps, kspace, series))


def require_finite(name: str, array: np.ndarray, where: str = "") -> None:
    """Raises InputError if `array` holds NaN or Inf."""
    if not np.isfinite(array).all():
        bad = ~np.isfinite(array)
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{name} {array.shape} holds {int(bad.sum())} NaN or Inf samples, the first at {first}",
            where,
            "repair or leave out this slice",
        )


def _check_kspace(kspace: np.ndarray, series: bool) -> np.ndarray:
    kspace = np.asarray(kspace)
    if not np.iscomplexobj(kspace):
        fix = "give complex samples"
        if kspace.ndim and kspace.shape[-1] == 2:
            fix = "its last axis looks like real and imaginary parts: give kspace[..., 0] + 1j * kspace[..., 1]"
        raise InputError(f"kspace {kspace.shape} is {kspace.dtype}, not complex", fix=fix)
    if kspace.ndim == 2 and not series:
        kspace = kspace[np.newaxis]
    least = 4 if series else 3
    if kspace.ndim < least or 0 in kspace.shape:
        layout = "[..., T, C, H, W]" if series else "[..., C, H, W]"
        raise InputError(f"kspace has shape {kspace.shape}", fix=f"it should be {layout}")
    _check_coil_axis(kspace)
    require_finite("kspace", kspace)
    return kspace.astype(np.complex64)


def _check_coil_axis(kspace: np.ndarray) -> None:
    coils, height, width = kspace.shape[-3:]
    if coils <= _MOST_COILS_PER_PIXEL_LINE * min(height, width):
        return
    axis = -1 if width <= height else -2
    place = "last" if axis == -1 else "second to last"
    raise InputError(
        f"kspace {kspace.shape} would have {coils} coils of {height}×{width} samples",
        fix=f"its coils look {place}, they belong before height and width: give np.moveaxis(kspace, {axis}, -3)",
    )


def _check_mask(mask: np.ndarray | None, kspace: np.ndarray) -> np.ndarray:
    if mask is None:
        return np.ones((1,) * (kspace.ndim - 1) + kspace.shape[-1:], np.float32)
    mask = np.asarray(mask)
    require_finite("mask", mask)
    if not np.isin(mask, (0, 1)).all():
        raise InputError(f"mask {mask.shape} holds values other than 0 and 1", fix="give a binary mask")
    if not mask.any():
        raise InputError(
            f"mask {mask.shape} is zero everywhere", fix="nothing was sampled: give the mask that was used"
        )
    if mask.ndim == kspace.ndim and mask.shape[-3] == kspace.shape[-3] > 1:
        raise InputError(
            f"mask {mask.shape} has an axis of {mask.shape[-3]} coils",
            fix="all coils share one mask: give mask[..., :1, :, :]",
        )
    if mask.ndim == kspace.ndim - 1 and mask.ndim > 2 and mask.shape[0] == kspace.shape[0] > 1:
        raise InputError(
            f"mask {mask.shape} lacks the coil axis of k-space {kspace.shape}", fix="give np.expand_dims(mask, -3)"
        )
    check_mask_fits(mask, kspace)
    mask = mask.reshape((1,) * (kspace.ndim - mask.ndim) + mask.shape).astype(np.float32)
    if mask.shape[-1] == 1:  # whole lines along W; solvers know lines along H only
        mask = np.broadcast_to(mask, (*mask.shape[:-2], *kspace.shape[-2:])).copy()
    return mask


def _warn_of_gaps(kspace: np.ndarray) -> None:
    share = 1 - np.count_nonzero(np.any(kspace, axis=-3)) / (kspace.size / kspace.shape[-3])
    if share > _EMPTY_SHARE_WORTH_A_WARNING:
        warnings.warn(
            f"no mask was given, so every sample counts as measured, but {100 * share:.0f} % of k-space is exactly "
            "zero; if these were not sampled, give the mask",
            stacklevel=3,
        )


def _check_maps(maps: np.ndarray, kspace: np.ndarray, series: bool) -> np.ndarray:
    maps = np.asarray(maps)
    require_finite("maps", maps)
    if not maps.any():
        raise InputError(f"maps {maps.shape} are zero everywhere", fix="give other maps, or estimate them")
    if series and maps.ndim == 3:
        maps = maps[np.newaxis]
    map_set_axis(kspace, maps)
    batch = maps.shape[: kspace.ndim - 3]
    wanted = kspace.shape[:-3]
    if any(have not in (1, want) for have, want in zip(batch, wanted, strict=True)):
        raise InputError(f"maps {maps.shape} do not fit k-space {kspace.shape}", fix="give maps for each slice")
    return maps.astype(np.complex64)
