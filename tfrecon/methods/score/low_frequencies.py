"""The centre of k-space that HFS-SDE leaves alone: drawn in training, in use what the mask has sampled of it.

What a block is says `physics.calibration_block`. All runs in a graph, with sizes that need not be known.
"""

from __future__ import annotations

from keras import ops

from tfrecon.diffusion.high_frequency import Transform, high_frequency_projector
from tfrecon.methods.score.objective import LowFrequencies
from tfrecon.physics import fourier
from tfrecon.physics.calibration_block import Size, block_mask
from tfrecon.typing import Tensor
from tfrecon.util import rng


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


def block_parts(blocks: Tensor, size: Size) -> Tensor:
    """Which part of k-space's height and width a block has, float32 `[B, 2]`: what the network is told."""
    return ops.cast(blocks, "float32") / ops.stack([_float(n) for n in size])


def projector_of(blocks: Tensor, size: Size) -> Transform:
    """The projector of images `[B, H, W]` on what lies outside of each block.

    The transforms need no shifts: moving an image turns its k-space by phases, with which a mask commutes.
    """
    low = fourier.ifftshift(block_mask(blocks, size))
    return high_frequency_projector(low, fourier.fft2, fourier.ifft2)


def _float(size: int | Tensor) -> Tensor:
    return ops.cast(size, "float32")
