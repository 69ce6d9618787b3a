"""How far an image is from its reference in k-space, with fine detail weighted up."""

from __future__ import annotations

from keras import ops

from tfrecon.physics import fourier
from tfrecon.typing import Tensor
from tfrecon.util.complex import safe_abs


def radial_spectrum_loss(image: Tensor, reference: Tensor, power: float = 1.0) -> Tensor:
    """The mean of |F (image - reference)| over k-space, weighted by `radius^power`.

    The radius is `sqrt(u² + v²)` with u and v from -1 to 1 along the axes. Images are smooth, so that a distance of
    pixels is one of low frequencies nearly alone; here the many high ones count, each as much as its radius.

    Args:
        image: complex64 `[..., H, W]`.
        reference: likewise.
        power: 0 for equal weights.

    Returns:
        float32 `[...]`, on the scale of `losses.image.image_loss`: the transform is orthonormal, and weights have
        a mean of one. Gradients are finite where the difference is zero.
    """
    error = safe_abs(fourier.fft2c(image - reference))
    size = ops.shape(error)[-2:]
    rows, columns = (ops.square(_frequencies(n)) for n in size)
    weight = (rows[:, None] + columns) ** (0.5 * power)
    return ops.mean(weight * error, axis=(-2, -1)) / ops.mean(weight)


def _frequencies(size: int | Tensor) -> Tensor:
    """From -1 to below 1 (at most 1 where the size is odd), zero at index n//2."""
    place = ops.cast(ops.arange(size, dtype="int32") - size // 2, "float32")
    return 2.0 * place / ops.cast(size, "float32")
