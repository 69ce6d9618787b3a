"""Gaussian laws: how far one is from another, and how well one says what was seen."""

from __future__ import annotations

from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.complex import energy


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag(exp(log_variance))) ‖ N(0, 1)) in nats: `½ Σ (m² + e^l - 1 - l)`.

    Written out, since it is one line, differentiates on every backend and is summed for each example apart.
    TensorFlow Probability, which would tie training to one backend, is what the tests compare with.

    Args:
        mean: float32 `[B, ...]`.
        log_variance: likewise.

    Returns:
        float32 `[B]`.
    """
    terms = ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance
    return 0.5 * ops.sum(terms, axis=tuple(range(1, len(terms.shape))))


def complex_gaussian_loss(error: Tensor, log_variance: Tensor) -> Tensor:
    """`|e|² / s² + log s²`: the negative logarithm of a circular complex Gaussian's density, less log π.

    Its mean is least where s² is E|e|² (Kendall & Gal, NeurIPS 2017, equation 5, for complex errors).

    Args:
        error: complex64, of any shape.
        log_variance: log s², float32 like it.

    Returns:
        float32 like them.
    """
    return energy(error) * ops.exp(-log_variance) + log_variance
