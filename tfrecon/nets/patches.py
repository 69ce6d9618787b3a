"""Patches of an image as channels, and images placed on a canvas of another size."""

from __future__ import annotations

from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


def to_patches(x: Tensor, patch: int) -> Tensor:
    """`[B, H, W, n]` to `[B, ⌈H/p⌉, ⌈W/p⌉, p² n]` (space to depth); zeros are added below and right if need be."""
    if patch == 1:
        return x
    batch, height, width = ops.shape(x)[:3]
    x = ops.pad(x, ((0, 0), (0, -height % patch), (0, -width % patch), (0, 0)))
    height, width, channels = -(-height // patch), -(-width // patch), x.shape[-1]
    x = ops.reshape(x, (batch, height, patch, width, patch, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (batch, height, width, patch**2 * channels))


def from_patches(x: Tensor, patch: int, size: tuple[int | Tensor, int | Tensor]) -> Tensor:
    """The inverse of `to_patches`: `[B, h, w, p² n]` to `[B, *size, n]`."""
    if patch == 1:
        return x
    batch, height, width = ops.shape(x)[:3]
    channels = x.shape[-1] // patch**2
    x = ops.reshape(x, (batch, height, width, patch, patch, channels))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (batch, height * patch, width * patch, channels))
    return x[:, : size[0], : size[1]]


def fit_centre(image: Tensor, size: tuple[int | Tensor, int | Tensor]) -> Tensor:
    """Crops or zero-pads the last two axes to `size`, each apart, so that index n//2 stays the centre."""
    for axis, target in zip((-2, -1), size, strict=True):
        image = _fit_axis(image, axis, target)
    return image


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """`[B, H, W, n]` reflected at its edges, on both sides alike, until H and W are multiples of `multiple`.

    A size that is one already stays as it is. `crop_to` undoes it.

    Raises:
        InputError: a size is known and so small that it cannot be reflected so far.
    """
    size = ops.shape(x)[1:3]
    missing = [-n % multiple for n in size]
    if all(isinstance(n, int) for n in size):
        if not any(missing):
            return x
        if any(n <= -(-more // 2) for n, more in zip(size, missing, strict=True)):
            fix = f"give images of at least {multiple // 2} pixels each way, or a network of fewer levels"
            raise InputError(f"an image of {size[0]}×{size[1]} is too small for this network", fix=fix)
    pads = [(more // 2, more - more // 2) for more in missing]
    return ops.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect")


def crop_to(x: Tensor, size: tuple[int | Tensor, int | Tensor]) -> Tensor:
    """The inverse of `pad_to_multiple`: `[B, H', W', n]` to `[B, *size, n]`."""
    padded = ops.shape(x)[1:3]
    if all(isinstance(n, int) for n in (*padded, *size)) and tuple(padded) == tuple(size):
        return x
    top, left = ((have - want) // 2 for have, want in zip(padded, size, strict=True))
    return x[:, top : top + size[0], left : left + size[1]]


def _fit_axis(image: Tensor, axis: int, target: int | Tensor) -> Tensor:
    length = ops.shape(image)[axis]
    if isinstance(length, int) and isinstance(target, int) and length == target:
        return image
    before = target // 2 - length // 2
    after = target - length - before
    pads = [(0, 0)] * len(image.shape)
    pads[axis] = (ops.maximum(before, 0), ops.maximum(after, 0))
    image = ops.pad(image, pads)
    first, index = ops.maximum(-before, 0), [slice(None)] * len(image.shape)
    index[axis] = slice(first, first + target)
    return image[tuple(index)]
