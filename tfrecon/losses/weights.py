"""Weights that make held-out samples stand for everything the input does not show.

A self-supervised loss sees a position j of k-space only if j was measured (in Ω) and then held out (in Λ).
With p = P(j ∈ Ω) and h = P(j ∈ Λ | j ∈ Ω), a position that the input does not show was held out with probability

    P(j ∈ Λ | j ∉ Θ) = p h / (1 - p (1 - h)),

which is low where sampling is thin: the outer k-space, the very part that has to be learned. Weighting
each held-out sample by the inverse makes the expected loss the plain sum over all positions that the
input does not show, as a supervised loss would have it. This is the weight of Millard & Chiew (IEEE Trans.
Comput. Imaging 9:707, 2023), whose 1 - k is the probability above, p̃ = 1 - h, and whose loss is squared;
the argument holds for any sum of errors over samples.

It assumes that positions are sampled independently of each other, as points of a variable-density mask
nearly are. A mask of whole lines is not: where the input shows part of a line, the rest is known to be
measured, and no weight makes held-out points stand for lines that are missing. Split such masks by
line (`PartitionRule.by`).
"""

from __future__ import annotations

from keras import ops

from tfrecon.physics.partition import hermitian_partner
from tfrecon.typing import Tensor

LEAST_DENSITY = 0.01
"""Densities are taken as at least this, so that no single sample is worth more than everything else."""


def local_density(mask: Tensor, width: float = 0.05) -> Tensor:
    """How densely a mask samples around each position, estimated from the mask itself.

    A Gaussian average of the mask and of its mirror image about DC, without what lies beyond the edges.
    It assumes that the density is symmetric and smooth on the scale of the kernel; beside a
    calibration block it is too high by what leaks out of it.

    Args:
        mask: 0/1 `[..., H or 1, W]`.
        width: standard deviation of the kernel as a fraction of each side.

    Returns:
        float32 in (0, 1], like the mask.
    """
    density = ops.cast(ops.cast(mask, "float32") > 0, "float32")
    density = 0.5 * (density + hermitian_partner(density))
    rank = len(density.shape)
    for axis in (-2, -1):
        size = ops.shape(density)[axis]
        place = ops.cast(ops.arange(size), "float32") / (width * ops.cast(size, "float32"))
        kernel = ops.exp(-0.5 * ops.square(ops.expand_dims(place, -1) - place))
        kernel = kernel / ops.sum(kernel, axis=0)
        # tensordot puts the averaged axis last; moveaxis puts it back.
        density = ops.moveaxis(ops.tensordot(density, kernel, axes=[[rank + axis], [0]]), -1, axis)
    return density


def unseen_weights(density: Tensor, hold_out: Tensor) -> Tensor:
    """The weight of each sample of Λ: `(1 - p (1 - h)) / (p h)`; see the module.

    Args:
        density: p, float32 `[..., 1, H or 1, W]`, given or from `local_density`.
        hold_out: h, from `physics.partition.hold_out_probability`.

    Returns:
        float32 of both shapes, at least 1; zero where h is zero, as nothing is held out there.
    """
    density = ops.clip(density, LEAST_DENSITY, 1.0)
    possible = hold_out > 0
    hold_out = ops.where(possible, hold_out, 1.0)
    weights = (1.0 - density * (1.0 - hold_out)) / (density * hold_out)
    return ops.where(possible, weights, 0.0)
