"""A path that diffuses only the high frequencies (HFS-SDE; Cao et al., IEEE TMI 43:1853, 2024).

The centre of k-space is always measured, so noise is never put there. With M the 0/1 mask of the low
frequencies, `P = F^-1 (1 - M) F` is an orthogonal projector, and

    x_t = x_0 + (alpha(t) - 1) P x_0 + sigma(t) P n.

The projector comes in as a function: this layer knows no Fourier transform.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.path import along
from tfrecon.typing import Tensor

Transform = Callable[[Tensor], Tensor]


def high_frequency_projector(low_frequencies: Tensor, transform: Transform, inverse: Transform) -> Transform:
    """P of the module.

    Args:
        low_frequencies: M, 0/1 and broadcastable to k-space, in the layout that `transform` gives: lines `[1, W]`,
            a square `[H, W]`, or a mask for each image `[B, H or 1, W]`. Zero frequency is at index n//2 for
            a centred transform.
        transform: image to k-space, orthonormal up to a factor that `inverse` undoes.
        inverse: k-space to image.
    """
    kept = 1.0 - ops.cast(low_frequencies, "float32")

    def project(x: Tensor) -> Tensor:
        return inverse(transform(x) * ops.cast(kept, "complex64"))

    return project


class HighFrequency(ContinuousPath):
    """The part of a path that acts on what a projector keeps; everything else of an image never moves.

    A state begins as `path.join(path.prior(noise), image)` with an image whose low frequencies are known, or as
    `path.perturb(image, t, noise)`. `alpha`, `sigma`, `f` and `g` are those of the diffused part.

    Args:
        inner: the path of the diffused part; VP as published.
        projector: P, from `high_frequency_projector`, or any other orthogonal projector.
    """

    def __init__(self, inner: ContinuousPath, projector: Transform) -> None:
        super().__init__(inner.t_min, inner.noise_variance, inner.real)
        self.inner, self._projector = inner, projector

    def alpha(self, t: Tensor) -> Tensor:
        return self.inner.alpha(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.inner.sigma(t)

    def f(self, t: Tensor) -> Tensor:
        return self.inner.f(t)

    def g(self, t: Tensor) -> Tensor:
        return self.inner.g(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return self.inner.log_snr(t)

    def time_of_log_snr(self, log_snr: Tensor) -> Tensor:
        return self.inner.time_of_log_snr(log_snr)

    def prior(self, noise: Tensor) -> Tensor:
        return self.inner.prior(noise)

    def project(self, x: Tensor) -> Tensor:
        return self._projector(x)

    def join(self, moved: Tensor, image: Tensor) -> Tensor:
        # One projection instead of two; rounding errors are those of the difference, which is small at the end.
        return image + self.project(moved - image)

    def perturb(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return x0 + self.project((along(self.alpha(t), x0) - 1.0) * x0 + along(self.sigma(t), x0) * noise)
