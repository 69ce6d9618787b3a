"""Losses on measured samples of k-space, one number for each example.

The residual is complex, and its magnitude is what is penalised: not the real and imaginary part
apart, which would prefer some phases. All are means over the samples in the loss mask and the coils,
so that they depend neither on the size of the image nor on how many samples were held out, and all
have finite gradients where the residual, the data or the mask is zero.
"""

from __future__ import annotations

from typing import Literal

from keras import ops

from tfrecon.physics import fourier
from tfrecon.typing import Tensor
from tfrecon.util.complex import energy, safe_abs

Distance = Literal["l1", "l2", "l1_l2"]
Average = Literal["samples", "all"]

SMALLEST = 1e-6
"""Below this mean magnitude, in units of the normalised data, `l1_l2` no longer divides by the data."""

_AXES = (-3, -2, -1)


def sample_loss(
    predicted: Tensor,
    measured: Tensor,
    mask: Tensor,
    *,
    distance: Distance = "l1",
    average: Average = "samples",
    weights: Tensor | None = None,
) -> Tensor:
    """How far predicted k-space is from measured k-space on the samples of a mask.

    - "l1": mean of w |e|, with e the complex residual.
    - "l2": mean of w |e|².
    - "l1_l2": `|w^½ e|_2 / |w^½ y|_2 + |w e|_1 / |w y|_1`, each norm over all samples of the example (Yaman et
      al., MRM 84:3172, 2020, who have no weights).

    A mean over an empty mask is zero.

    Args:
        predicted: complex64 `[..., C, H, W]`.
        measured: complex64 `[..., C, H, W]`; anything where the mask is zero.
        mask: 0/1 `[..., 1, H or 1, W]`, the samples that count.
        distance: see above.
        average: "samples" divides by the number of samples in the mask times the coils (with weights: by
            their sum); "all" by H·W·C, after scaling as the unnormalised Fourier transform does:
            what SSDiffRecon published. It has no effect on "l1_l2".
        weights: float32 like the mask, non-negative (`losses.weights`); None for ones.

    Returns:
        float32 `[...]`.
    """
    chosen = ops.cast(ops.cast(mask, "float32") > 0, "float32") * ops.ones_like(ops.real(measured[..., :1, :, :]))
    # `where`, not a product: what was never measured may hold anything, and must not reach the gradient.
    residual = ops.where(chosen > 0, predicted - measured, ops.zeros_like(measured))
    weights = chosen if weights is None else chosen * weights
    coils = ops.cast(ops.shape(measured)[-3], "float32")
    total = ops.sum(weights, axis=_AXES) * coils
    if distance == "l1_l2":
        kept = ops.where(chosen > 0, measured, ops.zeros_like(measured))
        return _relative(residual, kept, weights, total)
    magnitude = safe_abs(residual) if distance == "l1" else energy(residual)
    summed = ops.sum(weights * magnitude, axis=_AXES)
    if average == "samples":
        return summed / ops.where(total > 0, total, 1.0)
    scale = fourier.root_of_size(measured) ** (1 if distance == "l1" else 2)
    return summed * scale / (coils * fourier.root_of_size(measured) ** 2)


def _relative(residual: Tensor, measured: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """The sum of the relative errors in the 2-norm and in the 1-norm."""
    count = ops.maximum(total, 1.0)
    ones = ops.sum(weights * safe_abs(residual), axis=_AXES)
    of_ones = ops.maximum(ops.sum(weights * safe_abs(measured), axis=_AXES), SMALLEST * count)
    twos = _safe_root(ops.sum(weights * energy(residual), axis=_AXES))
    of_twos = ops.maximum(_safe_root(ops.sum(weights * energy(measured), axis=_AXES)), SMALLEST * ops.sqrt(count))
    return twos / of_twos + ones / of_ones


def _safe_root(x: Tensor) -> Tensor:
    """The square root, whose gradient is zero where x is zero."""
    positive = x > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0)
