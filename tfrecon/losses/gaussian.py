"""Distances of Gaussian laws."""

from __future__ import annotations

from keras import ops

from tfrecon.typing import Tensor


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
