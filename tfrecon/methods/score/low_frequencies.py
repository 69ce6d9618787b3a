"""The centre of k-space that HFS-SDE leaves alone: drawn in training, read off the mask in use.

A block is said by its height and width, int32 `[B, 2]`; its centre is index n//2. One as high as k-space is one of
whole lines. All runs in a graph, with sizes that need not be known.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from tfrecon.diffusion.high_frequency import Transform, high_frequency_projector
from tfrecon.methods.score.objective import LowFrequencies
from tfrecon.physics import fourier
from tfrecon.typing import Tensor
from tfrecon.util import rng

Size = Sequence[int | Tensor]


def draw_blocks(rule: LowFrequencies, seeds: Tensor, size: Size) -> Tensor:
    """A random block for each seed.

    Args:
        rule: see there.
        seeds: `[B, 2]`.
        size: height and width of k-space.
    """
    numbers = rng.uniform(seeds, (ops.shape(seeds)[0], 2))
    part = rule.least + (rule.most - rule.least) * numbers[:, 0]
    height, width = (ops.maximum(ops.cast(ops.round(part * _float(n)), "int32"), 1) for n in size)
    return ops.stack([ops.where(numbers[:, 1] < rule.lines, size[0], height), width], axis=-1)


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


def limit_blocks(blocks: Tensor, most: float, size: Size) -> Tensor:
    """Blocks no larger than a part of k-space; those of whole lines stay so.

    Args:
        blocks: int32 `[B, 2]`.
        most: largest side as a part of k-space's.
        size: height and width of k-space.
    """
    rows, columns = (ops.maximum(ops.cast(ops.round(most * _float(n)), "int32"), 1) for n in size)
    height, width = blocks[:, 0], blocks[:, 1]
    height = ops.where(ops.equal(height, size[0]), height, ops.minimum(height, rows))
    return ops.stack([height, ops.minimum(width, columns)], axis=-1)


def block_mask(blocks: Tensor, size: Size) -> Tensor:
    """1 inside of each block, float32 `[B, H, W]`."""
    inside = []
    for axis, n in enumerate(size):
        # In two steps: TensorFlow's graph optimizer loses the new axis where it cuts what was just stacked.
        side = blocks[:, axis][:, None]
        index = ops.arange(n, dtype="int32")[None] - (n // 2 - side // 2)
        inside.append(ops.cast((index >= 0) & (index < side), "float32"))
    return inside[0][:, :, None] * inside[1][:, None]


def block_parts(blocks: Tensor, size: Size) -> Tensor:
    """Which part of k-space's height and width a block has, float32 `[B, 2]`: what the network is told."""
    return ops.cast(blocks, "float32") / ops.stack([_float(n) for n in size])


def projector_of(blocks: Tensor, size: Size) -> Transform:
    """The projector of images `[B, H, W]` on what lies outside of each block.

    The transforms need no shifts: moving an image turns its k-space by phases, with which a mask commutes.
    """
    low = fourier.ifftshift(block_mask(blocks, size))
    return high_frequency_projector(low, fourier.fft2, fourier.ifft2)


def _centre_out(size: int | Tensor) -> Tensor:
    """c, c-1, c+1, c-2, … with c = n//2."""
    steps = ops.arange(1, size + 1, dtype="int32")
    half = steps // 2
    return size // 2 + ops.where(ops.equal(steps % 2, 1), half, -half)


def _float(size: int | Tensor) -> Tensor:
    return ops.cast(size, "float32")
