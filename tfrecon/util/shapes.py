"""Shape checks and centred cropping, for NumPy arrays and tensors alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


def check_rank(name: str, array: Tensor, ranks: Sequence[int], layout: str) -> None:
    """Raises InputError unless `array` has one of `ranks` axes; `layout` says what they should be."""
    if len(array.shape) not in ranks:
        raise InputError(
            f"{name} has {len(array.shape)} axes {tuple(array.shape)} but should be {layout}", fix="reorder its axes"
        )


def check_mask_fits(mask: Tensor, kspace: Tensor, where: str = "") -> None:
    """Raises InputError unless `mask` broadcasts to `kspace` with one coil.

    A hint names the transposed layout when that one would fit.
    """
    mask_shape, shape = tuple(mask.shape), tuple(kspace.shape)
    target = (*shape[:-3], 1, *shape[-2:])
    if len(mask_shape) <= len(target) and all(
        m in (1, t) or m is None or t is None for m, t in zip(mask_shape[::-1], target[::-1], strict=False)
    ):
        return
    hint = "give a mask of the same height and width as k-space"
    if mask_shape[-2:][::-1] == shape[-2:]:
        hint = "its last two axes look swapped: transpose the mask (or k-space)"
    raise InputError(f"mask {mask_shape} does not fit k-space {shape}", where, hint)


def centre_slices(size: Sequence[int], target: Sequence[int]) -> tuple[slice, ...]:
    """Slices that cut `target` out of `size` so that index n//2, the centre of the FFT, stays the centre."""
    return tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(size, target, strict=True))


def centre_crop(array: Tensor, shape: Sequence[int]) -> Tensor:
    """Cuts the last `len(shape)` axes to `shape` around the centre.

    Raises:
        InputError: `array` is smaller than `shape`.
    """
    size = tuple(array.shape)[-len(shape) :]
    if any(n < m for n, m in zip(size, shape, strict=True)):
        raise InputError(f"cannot crop {size} to the larger {tuple(shape)}", fix="give a smaller crop")
    return array[(..., *centre_slices(size, shape))]


def centre_pad(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Pads the last axes of a NumPy array with zeros to `shape`; the inverse of `centre_crop`."""
    size = array.shape[-len(shape) :]
    if any(n > m for n, m in zip(size, shape, strict=True)):
        raise InputError(f"cannot pad {size} to the smaller {tuple(shape)}", fix="give a larger shape")
    padded = np.zeros((*array.shape[: -len(shape)], *shape), array.dtype)
    padded[(..., *centre_slices(shape, size))] = array
    return padded


def map_set_axis(kspace: Tensor, maps: Tensor) -> bool:
    """Whether `maps` holds several sets: it then has one axis more than `kspace`.

    Raises:
        InputError: the ranks fit neither layout, or coils or sizes differ.
    """
    extra = len(maps.shape) - len(kspace.shape)
    if extra not in (0, 1):
        raise InputError(
            f"maps {tuple(maps.shape)} do not fit k-space {tuple(kspace.shape)}",
            fix="give maps of k-space's rank, or one axis more (map sets) before the coils",
        )
    for axis in (-3, -2, -1):
        have, want = maps.shape[axis], kspace.shape[axis]
        if have is not None and want is not None and have != want:
            raise InputError(
                f"maps {tuple(maps.shape)} and k-space {tuple(kspace.shape)} differ on axis {axis}",
                fix="coils, height and width must agree",
            )
    return extra == 1
