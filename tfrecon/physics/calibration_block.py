"""The fully sampled centre of k-space inside a graph: found in masks, marked, tapered.

`physics.masks.acs_size` and `physics.coils.calibration_region` do the same on the host, once for each acquisition. Here
each mask of a batch has its own block. A block is said by its height and width, int32 `[B, 2]`; its centre is
index n//2. One as high as k-space is one of whole lines. Sizes need not be known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from keras import ops

from tfrecon.typing import Tensor

Size = Sequence[int | Tensor]


def calibration_blocks(mask: Tensor, height: int | Tensor) -> Tensor:
    """The largest fully sampled centred block of each mask, as `physics.masks.acs_size` defines it.

    Args:
        mask: float 0/1 `[B, 1, H or 1, W]`.
        height: H.

    Returns:
        int32 `[B, 2]`, zeros where the centre was not sampled.
    """
    batch, _, _, width = ops.shape(mask)
    mask = ops.broadcast_to(mask[:, 0], (batch, height, width))
    outwards = ops.take(ops.take(mask, _centre_out(height), axis=-2), _centre_out(width), axis=-1)
    # 1 at [h, w] where the block of h + 1 rows and w + 1 columns is sampled everywhere.
    sampled = ops.cumprod(ops.cumprod(outwards, axis=-2), axis=-1)
    # The highest block first, which `acs_size` prefers among equals.
    columns = ops.flip(ops.cast(ops.sum(sampled, axis=-1), "int32"), axis=-1)
    rows = ops.broadcast_to(height - ops.arange(height, dtype="int32"), ops.shape(columns))
    shorter = ops.minimum(rows, columns)
    candidates = ops.equal(shorter, ops.max(shorter, axis=-1, keepdims=True))
    best = ops.argmax(ops.where(candidates, rows * columns, -1), axis=-1)
    found = ops.take_along_axis(ops.stack([rows, columns], axis=-1), ops.cast(best, "int32")[:, None, None], axis=1)
    return ops.where(found[:, 0, 1:] > 0, found[:, 0], 0)


def block_mask(blocks: Tensor, size: Size) -> Tensor:
    """1 inside of each block, float32 `[B, H, W]`."""
    rows, columns = (ops.cast((index >= 0) & (index < side), "float32") for index, side in _places(blocks, size))
    return rows[:, :, None] * columns[:, None]


def block_taper(blocks: Tensor, size: Size) -> Tensor:
    """A Hann window over each block and zero beside it, float32 `[B, H, W]`; see `physics.walsh.hann_taper`."""
    tapers = []
    for index, side in _places(blocks, size):
        # One at the centre of the block, above zero at its ends.
        angle = 2.0 * math.pi * ops.cast(index - side // 2, "float32") / ops.cast(side + 1, "float32")
        tapers.append(ops.where((index >= 0) & (index < side), 0.5 + 0.5 * ops.cos(angle), 0.0))
    return tapers[0][:, :, None] * tapers[1][:, None]


def _places(blocks: Tensor, size: Size) -> Iterator[tuple[Tensor, Tensor]]:
    """Of rows and of columns: the place of each in the blocks `[B, n]`, counted from the first, and sides `[B, 1]`."""
    for axis, n in enumerate(size):
        # In two steps: TensorFlow's graph optimizer loses the new axis where it cuts what was just stacked.
        side = blocks[:, axis][:, None]
        yield ops.arange(n, dtype="int32")[None] - (n // 2 - side // 2), side


def _centre_out(size: int | Tensor) -> Tensor:
    """c, c-1, c+1, c-2, … with c = n//2."""
    steps = ops.arange(1, size + 1, dtype="int32")
    half = steps // 2
    return size // 2 + ops.where(ops.equal(steps % 2, 1), half, -half)
