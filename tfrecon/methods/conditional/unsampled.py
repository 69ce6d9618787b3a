"""Unsampled k-space: a chain that diffuses nothing else, and how large its samples are.

With U the 0/1 mask of what was sampled, `P = F^-1 (1 - U) F` is an orthogonal projector, and

    x_t = x_0 + (alpha(t) - 1) P x_0 + sigma(t) P n:

in k-space `U k_0 + (1 - U)(alpha k_0 + sigma n)`, because F is unitary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.diffusion.path import along
from tfrecon.physics import fourier
from tfrecon.physics.calibration_block import block_mask, calibration_blocks
from tfrecon.typing import Tensor
from tfrecon.util.complex import energy, to_channels

NoiseLevel = Literal["unsampled", "sampled"]


class UnsampledPath(DiscretePath):
    """A chain on what a mask did not sample; what it sampled never moves.

    A state begins as `path.join(path.prior(noise), image)` with an image whose sampled part is known, or as
    `path.perturb(image, t, noise)`. `alpha` and `sigma` are those of the unsampled part.

    Args:
        betas: see `DiscretePath`.
        mask: U, float 0/1 `[N, H or 1, W]`, one for each image.
        noise_variance: see `DiscretePath`.
    """

    def __init__(self, betas: Sequence[float] | np.ndarray, mask: Tensor, noise_variance: float = 1.0) -> None:
        super().__init__(betas, noise_variance)
        self._unsampled = ops.cast(1.0 - ops.cast(mask, "float32"), "complex64")

    def project(self, x: Tensor) -> Tensor:
        return fourier.ifft2c(self._unsampled * fourier.fft2c(x))

    def join(self, moved: Tensor, image: Tensor) -> Tensor:
        return image + self.project(moved - image)

    def perturb(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return x0 + self.project((along(self.alpha(t), x0) - 1.0) * x0 + along(self.sigma(t), x0) * noise)


def unsampled_level(kspace: Tensor, mask: Tensor, level: NoiseLevel = "unsampled") -> Tensor:
    """How large one unsampled sample of k-space is thought to be, sqrt(E|k|²), from those that were sampled.

    Args:
        kspace: complex64 `[B, C, H, W]`; the energy of the coils is added up.
        mask: float 0/1 `[B, 1, H or 1, W]`.
        level: "unsampled", of the samples outside of the calibration block, which are as high in frequency as those
            that are missing; all samples where there are no such. "sampled", the published statistics: the standard
            deviation, about the mean, of real and imaginary parts of all entries of `U k`, zeros among them.

    Returns:
        float32 `[B]`, 1 where nothing but zeros was sampled.
    """
    size = ops.shape(kspace)[-2:]
    mask = ops.cast(mask, "float32")
    sampled = ops.cast(mask, "complex64") * kspace
    if level == "sampled":
        parts = to_channels(sampled)
        centred = parts - ops.mean(parts, axis=(1, 2, 3, 4), keepdims=True)
        found = 2.0 * ops.sum(ops.mean(ops.square(centred), axis=(2, 3, 4)), axis=1)
    else:
        seen = ops.broadcast_to(mask[:, 0], (ops.shape(mask)[0], *size))
        outside = seen * (1.0 - block_mask(calibration_blocks(mask, size[0]), size))
        some = ops.sum(outside, axis=(-2, -1), keepdims=True) > 0
        outside = ops.where(some, outside, seen)
        total = ops.sum(outside * ops.sum(energy(sampled), axis=1), axis=(-2, -1))
        found = total / ops.maximum(ops.sum(outside, axis=(-2, -1)), 1.0)
    return ops.where(found > 0, ops.sqrt(found), 1.0)
