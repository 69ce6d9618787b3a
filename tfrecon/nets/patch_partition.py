"""Images as patches that know where they are, for priors of patches (PaDIS; Hu et al., NeurIPS 2024).

An image is cut into patches that do not overlap, along a grid whose offset is drawn anew in each step of a
sampler, so that no edge of a patch stays where it is. The grid reaches beyond the image, where there are zeros:
pad the noisy image, not the clean one, in training as in sampling.

Where a pixel is, is told in two channels, row and column, from -1 to 1 over the image and beyond that outside:
`positions` gives the same for a whole image, which a network of patches takes as well.
"""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError


class Patches(NamedTuple):
    """Cuts of a batch of images.

    Attributes:
        values: `[N, P, P, C]`, zero where a patch reaches beyond its image.
        positions: float32 `[N, P, P, 2]`: row and column, -1 and 1 at the first and last pixel of the image.
    """

    values: Tensor
    positions: Tensor


def draw_offsets(seeds: Tensor, patch: int) -> Tensor:
    """How far the grid begins above and left of each image: int32 `[B, 2]`, uniform from 0 to patch - 1.

    Args:
        seeds: `[B, 2]` of `util.rng`.
        patch: side of the patches, in pixels.
    """
    numbers = rng.uniform(seeds, (ops.shape(seeds)[0], 2))
    return ops.minimum(ops.cast(numbers * patch, "int32"), patch - 1)


def partition(image: Tensor, offsets: Tensor, patch: int) -> Patches:
    """All patches of a grid that covers each image, whatever the offset: ⌈(n + P - 1)/P⌉ along an axis of n pixels.

    Args:
        image: `[B, H, W, C]`.
        offsets: int32 `[B, 2]` of 0 to P - 1: where row 0 and column 0 are within their patch.
        patch: P.

    Returns:
        B·n patches, those of an image next to each other, row by row. `assemble` puts them back.
    """
    _check_patch(patch)
    rows, columns = _grid(ops.shape(image)[1:3], offsets, patch)
    places = _place_channels(rows, columns, ops.shape(image)[1:3])
    return Patches(_to_tiles(_gather(image, rows, columns), patch), _to_tiles(places, patch))


def assemble(values: Tensor, offsets: Tensor, size: tuple[int | Tensor, int | Tensor]) -> Tensor:
    """The inverse of `partition`: `[B·n, P, P, C]` to `[B, *size, C]`; what is beyond the image is dropped.

    Args:
        values: patches in the order of `partition`; C may be another one.
        offsets: those that `partition` was given.
        size: height and width of the images.
    """
    patch, channels = values.shape[1], values.shape[3]
    down, across = (_count(n, patch) for n in size)
    canvas = ops.reshape(values, (-1, down, across, patch, patch, channels))
    canvas = ops.reshape(ops.transpose(canvas, (0, 1, 3, 2, 4, 5)), (-1, down * patch, across * patch, channels))
    rows, columns = (ops.arange(n, dtype="int32")[None] + offsets[:, axis, None] for axis, n in enumerate(size))
    return _gather(canvas, rows, columns)


def random_patches(image: Tensor, seeds: Tensor, patch: int, count: int = 1) -> Patches:
    """Patches to train on: each place that a patch of `partition` can have, if it has a pixel of the image, alike.

    So each pixel of an image is seen equally often, and at each place within a patch. A patch of one
    image of several channels is cut at one place: put noisy and clean image into one to cut both alike.

    Args:
        image: `[B, H, W, C]`.
        seeds: `[B, 2]` of `util.rng`.
        patch: P.
        count: of patches from each image.

    Returns:
        B·count patches, those of an image next to each other.
    """
    _check_patch(patch)
    size = ops.shape(image)[1:3]
    numbers = rng.uniform(seeds, (ops.shape(seeds)[0], count, 2))
    first = []
    for axis, n in enumerate(size):
        places = n + patch - 1
        drawn = ops.cast(numbers[..., axis] * ops.cast(places, "float32"), "int32")
        first.append(ops.reshape(ops.minimum(drawn, places - 1), (-1, 1)) - (patch - 1))
    rows, columns = (start + ops.arange(patch, dtype="int32")[None] for start in first)
    return Patches(_gather(image, rows, columns), _place_channels(rows, columns, size))


def positions(size: tuple[int | Tensor, int | Tensor]) -> Tensor:
    """Row and column of each pixel of a whole image, float32 `[1, H, W, 2]`."""
    rows, columns = (ops.arange(n, dtype="int32")[None] for n in size)
    return _place_channels(rows, columns, size)


def _check_patch(patch: int) -> None:
    if patch < 1:
        raise InputError(f"a patch of {patch} pixels", fix="give at least 1")


def _count(size: int | Tensor, patch: int) -> int | Tensor:
    """Patches along an axis: enough for every offset, the same number for all."""
    return (size + 2 * patch - 2) // patch


def _grid(size: tuple[int | Tensor, int | Tensor], offsets: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """The image's rows and columns that each image's grid covers: int32 `[B, n·P]`, negative or too large outside."""
    rows, columns = (
        ops.arange(_count(n, patch) * patch, dtype="int32")[None] - offsets[:, axis, None]
        for axis, n in enumerate(size)
    )
    return rows, columns


def _gather(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at `rows` `[N, h]` and `columns` `[N, w]` of each image: `[N, h, w, C]`, zero outside.

    N is the number of images B or a multiple of it: then each image is used N/B times in succession.
    """
    batch, height, width = ops.shape(image)[:3]
    number = ops.shape(rows)[0]
    of_image = ops.arange(number, dtype="int32") // (number // batch)
    near_rows, near_columns = ops.clip(rows, 0, height - 1), ops.clip(columns, 0, width - 1)
    place = (of_image[:, None] * height + near_rows)[:, :, None] * width + near_columns[:, None]
    pixels = ops.take(ops.reshape(image, (batch * height * width, image.shape[-1])), place, axis=0)
    inside = ops.equal(rows, near_rows)[:, :, None] & ops.equal(columns, near_columns)[:, None]
    return pixels * ops.cast(inside, image.dtype)[..., None]


def _place_channels(rows: Tensor, columns: Tensor, size: tuple[int | Tensor, int | Tensor]) -> Tensor:
    """`[N, h]` and `[N, w]` as channels -1 to 1 over the image: float32 `[N, h, w, 2]`."""
    down, across = (
        ops.cast(index, "float32") * (2.0 / ops.maximum(ops.cast(n, "float32") - 1.0, 1.0)) - 1.0
        for index, n in zip((rows, columns), size, strict=True)
    )
    shape = (ops.shape(rows)[0], ops.shape(rows)[1], ops.shape(columns)[1])
    return ops.stack([ops.broadcast_to(down[:, :, None], shape), ops.broadcast_to(across[:, None], shape)], axis=-1)


def _to_tiles(canvas: Tensor, patch: int) -> Tensor:
    """`[B, n·P, m·P, C]` to `[B·n·m, P, P, C]`."""
    batch, height, width = ops.shape(canvas)[:3]
    channels = canvas.shape[-1]
    tiles = ops.reshape(canvas, (batch, height // patch, patch, width // patch, patch, channels))
    return ops.reshape(ops.transpose(tiles, (0, 1, 3, 2, 4, 5)), (-1, patch, patch, channels))
