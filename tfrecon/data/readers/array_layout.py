"""Which axis of an array is which, and whether it is k-space or an image: guessed only where safe."""

from __future__ import annotations

import numpy as np

from tfrecon.util.errors import InputError

KINDS = ("kspace", "coil_images", "image")

_OWN_ORDER = {"kspace": {2: "HW", 3: "CHW", 4: "NCHW"}, "image": {2: "HW", 3: "NHW"}}
_OWN_ORDER["coil_images"] = _OWN_ORDER["kspace"]

_SURE_KSPACE, _SURE_IMAGE = 0.5, 0.2
"""The central eighth of each axis holds more than half the energy of k-space, and of an image about
its share of the area, 1/64 to a tenth."""


def arrange(array: np.ndarray, kind: str, axes: str, where: str) -> np.ndarray:
    """Brings an array to `[N, C, H, W]` (k-space, coil images) or `[N, H, W]` (images).

    Args:
        array: of any axis order.
        kind: one of `KINDS`.
        axes: its order in letters of N, C, H, W; "" for the package's own, which is then checked.
        where: file and key, for messages.

    Raises:
        InputError: the axes do not fit the kind, or look like another order; the message names it.
    """
    wanted = "NHW" if kind == "image" else "NCHW"
    if array.dtype.kind not in "buifc":
        raise InputError(f"array {array.shape} is of type {array.dtype}", where, "give numbers")
    if 0 in array.shape:
        raise InputError(f"array {array.shape} is empty", where, "give another file")
    order = axes.upper().replace(",", "")
    if order:
        _check_order(order, array, wanted, where)
    else:
        order = _own_order(array, kind, where)
    array = np.transpose(array, [order.index(letter) for letter in wanted if letter in order])
    for place, letter in enumerate(wanted):
        if letter not in order:
            array = np.expand_dims(array, place)
    if kind == "kspace" and not np.iscomplexobj(array):
        raise InputError(
            f"k-space {array.shape} is {array.dtype}, not complex", where, "give --npy_kind=image if it is an image"
        )
    return array


def guess_kind(array: np.ndarray, axes: str, where: str) -> str:
    """Whether an array is k-space or an image; real arrays are images.

    Raises:
        InputError: it could be more than one thing.
    """
    if not np.iscomplexobj(array):
        return "image"
    order = axes.upper().replace(",", "") or _own_order(array, "kspace", where)
    if len(order) != array.ndim or not {"H", "W"} <= set(order):
        return "kspace"  # `arrange` says what is wrong with the axes
    share = _central_energy(array, order)
    if share > _SURE_KSPACE:
        return "kspace"
    if share < _SURE_IMAGE and len(order) == 2:
        return "image"
    looks = "coil images or images" if share < _SURE_IMAGE else "k-space or images"
    raise InputError(
        f"complex array {array.shape} may be {looks}", where, f"say which with --npy_kind={'|'.join(KINDS)}"
    )


def _central_energy(array: np.ndarray, order: str) -> float:
    """Fraction of the energy in the central eighth of H and W, over one item of the other axes."""
    index = tuple(slice(None) if letter in "HW" else array.shape[axis] // 2 for axis, letter in enumerate(order))
    energy = np.square(np.abs(np.asarray(array[index]))).astype(np.float64)
    total = energy.sum()
    box = tuple(slice(n // 2 - max(1, n // 16), n // 2 + max(1, n // 16) + 1) for n in energy.shape)
    return float(energy[box].sum() / total) if np.isfinite(total) and total > 0 else 0.0


def _check_order(order: str, array: np.ndarray, wanted: str, where: str) -> None:
    if len(set(order)) != len(order) or not {"H", "W"} <= set(order) <= set(wanted):
        raise InputError(f"axes {order!r} are not clear", where, f"use each of {wanted} at most once, with H and W")
    if len(order) != array.ndim:
        raise InputError(f"axes {order!r} name {len(order)} axes of an array {array.shape}", where, "name every axis")


def _own_order(array: np.ndarray, kind: str, where: str) -> str:
    orders = _OWN_ORDER[kind]
    shape = array.shape
    if array.dtype.kind == "f" and shape[-1] == 2 and array.ndim > 2:
        raise InputError(
            f"the last axis of {shape} looks like real and imaginary parts",
            where,
            "save complex numbers: array[..., 0] + 1j * array[..., 1]",
        )
    if array.ndim not in orders:
        layouts = " or ".join(f"[{', '.join(order)}]" for order in orders.values())
        raise InputError(f"array has shape {shape}", where, f"it should be {layouts}; name other orders with --axes")
    order = orders[array.ndim]
    if array.ndim > 2:
        _check_small_axis(shape, order, where)
    return order


def _check_small_axis(shape: tuple[int, ...], order: str, where: str) -> None:
    """Refuses an array whose last axis is far smaller than both before it: coils or slices last."""
    stack, height, width = shape[-3:]
    smaller = [axis for axis, n in ((-1, width), (-2, height)) if 2 * n < min(stack, shape[-2 if axis == -1 else -1])]
    if not smaller:
        return
    letter = order[-3]
    name = {"C": "coils", "N": "slices"}[letter]
    likely = order[:-3] + ("HW" + letter if smaller[0] == -1 else "H" + letter + "W")
    place = "last" if smaller[0] == -1 else "second to last"
    raise InputError(
        f"array {shape} read as [{', '.join(order)}] would have {stack} {name} of {height}×{width}; its {name} look "
        f"{place}",
        where,
        f"give --axes={likely}, or --axes={order} if it is right",
    )
