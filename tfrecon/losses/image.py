"""Losses against a reference image, one number for each example."""

from __future__ import annotations

from typing import Literal

from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.complex import energy, safe_abs


def image_loss(
    image: Tensor, reference: Tensor, *, distance: Literal["l1", "l2", "l1_l2"] = "l1", magnitude: bool = False
) -> Tensor:
    """How far an image is from its reference.

    Args:
        image: complex64 `[..., H, W]`.
        reference: complex64 `[..., H, W]`.
        distance: "l1", the mean of |difference|; "l2", the mean of its square; "l1_l2", their sum.
        magnitude: whether magnitudes are compared; where the reference is a magnitude (root of the sum
            of squares), the phase of the image is free.

    Returns:
        float32 `[...]`. Gradients are finite where the difference is zero.
    """
    if magnitude:
        difference = safe_abs(image) - safe_abs(reference)
        first, second = ops.abs(difference), ops.square(difference)
    else:
        first, second = safe_abs(image - reference), energy(image - reference)
    terms = {"l1": first, "l2": second, "l1_l2": first + second}
    return ops.mean(terms[distance], axis=(-2, -1))
