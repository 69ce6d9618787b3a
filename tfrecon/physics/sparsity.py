"""Sparsity of images: soft thresholds, finite differences and the proximal map of total variation.

Images are complex64 `[..., H, W]`. Differences are periodic, as the discrete Fourier transform
behind the measurement is, so they commute with the shifts of pre-shifted coordinates; across the
edge of the field of view lies air on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util.complex import energy


def soft_threshold(x: Tensor, threshold: Tensor | float, joint_axes: Sequence[int] = ()) -> Tensor:
    """The proximal map of `threshold · |x|₁`: shortens every complex number, keeping its phase.

    Args:
        x: complex64 or float32, any shape.
        threshold: float32 ≥ 0, broadcastable to `x`.
        joint_axes: numbers along these axes are shortened as one vector (the proximal map of the
            l1 norm of their l2 norms): map sets or the parts of a gradient.

    Returns:
        Like `x`. Zero maps to zero, and gradients are finite everywhere.
    """
    x = ops.convert_to_tensor(x)
    squared = energy(x) if "complex" in str(x.dtype) else ops.square(x)
    if joint_axes:
        squared = ops.sum(squared, axis=tuple(joint_axes), keepdims=True)
    threshold = ops.convert_to_tensor(threshold, "float32")
    outside = squared > ops.square(threshold)
    # The root is taken only where it is used, so that no 1/0 enters the gradient.
    length = ops.sqrt(ops.where(outside, squared, 1.0))
    factor = ops.where(outside, 1.0 - threshold / length, 0.0)
    return x * ops.cast(factor, x.dtype)


def gradient(image: Tensor) -> Tensor:
    """Periodic forward differences along H and W.

    Args:
        image: complex64 `[..., H, W]`.

    Returns:
        `[2, ..., H, W]`: x[i+1, j] - x[i, j], then x[i, j+1] - x[i, j].
    """
    return ops.stack([ops.roll(image, -1, -2) - image, ops.roll(image, -1, -1) - image])


def gradient_adjoint(field: Tensor) -> Tensor:
    """Adjoint of `gradient`, the negative divergence: `[2, ..., H, W]` to `[..., H, W]`."""
    return ops.roll(field[0], 1, -2) - field[0] + ops.roll(field[1], 1, -1) - field[1]


def changes(series: Tensor, axis: int) -> Tensor:
    """Differences of consecutive entries along `axis`, one fewer than entries: time is not periodic."""
    return _part(series, axis, 1, None) - _part(series, axis, 0, -1)


def changes_adjoint(steps: Tensor, axis: int) -> Tensor:
    """Adjoint of `changes`: n - 1 entries along `axis` to n."""
    edge = ops.zeros_like(_part(steps, axis, 0, 1))
    return ops.concatenate([edge, steps], axis) - ops.concatenate([steps, edge], axis)


def total_variation(image: Tensor, temporal: float = 0.0, time_axis: int = -3) -> Tensor:
    """Isotropic total variation of each image: float32 `[...]`, the sum over H and W of |gradient|.

    Args:
        image: complex64 `[..., H, W]`.
        temporal: weight of the changes along `time_axis`; not 0, a series then counts as one image
            and the time axis is gone from the result.
        time_axis: see `temporal`.
    """
    lengths = ops.sqrt(ops.sum(energy(gradient(image)), axis=0))
    spatial = ops.sum(lengths, axis=(-2, -1))
    if not temporal:
        return spatial
    steps = ops.sum(ops.abs(changes(image, time_axis)), axis=(time_axis, -2, -1))
    return ops.sum(spatial, axis=time_axis + 2) + temporal * steps


def tv_denoise(
    image: Tensor,
    weight: Tensor | float,
    *,
    temporal: float = 0.0,
    time_axis: int = -3,
    iterations: int = 20,
) -> Tensor:
    """The proximal map of total variation, `argmin_x ½|x - image|² + weight·TV(x)`.

    The accelerated projected gradient on the dual of Beck & Teboulle (IEEE Trans. Image Process.
    18:2419, 2009), where x = image - weight·D^H p and every vector of the field p is at most one long.

    Args:
        image: complex64 `[..., H, W]`.
        weight: float32, broadcastable to `image`, constant over each image (and series).
        temporal: see `total_variation`.
        time_axis: see `total_variation`.
        iterations: a fixed number, from p = 0.

    Returns:
        Like `image`.
    """
    weight = ops.convert_to_tensor(weight, "float32")
    positive = weight > 0
    bound = 8.0 + 4.0 * temporal**2  # of |D|²: 4 for each axis along which differences are taken
    rate = ops.where(positive, 1.0 / (bound * ops.where(positive, weight, 1.0)), 0.0)
    weight, rate = ops.cast(weight, image.dtype), ops.cast(rate, image.dtype)

    def primal(dual: tuple[Tensor, ...]) -> Tensor:
        lengthened = gradient_adjoint(dual[0])
        if temporal:
            lengthened = lengthened + temporal * changes_adjoint(dual[1], time_axis)
        return image - weight * lengthened

    def climb(dual: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = primal(dual)
        ascended = [_into_unit_ball(dual[0] + rate * gradient(x), (0,))]
        if temporal:
            ascended.append(_into_unit_ball(dual[1] + temporal * rate * changes(x, time_axis), ()))
        return tuple(ascended)

    def step(_: Tensor, state: tuple[Any, ...]) -> tuple[Any, ...]:
        dual, ahead, momentum = state
        moved = climb(ahead)
        new_momentum = 0.5 * (1.0 + ops.sqrt(1.0 + 4.0 * ops.square(momentum)))
        push = ops.cast((momentum - 1.0) / new_momentum, image.dtype)
        return moved, tuple(m + push * (m - d) for m, d in zip(moved, dual, strict=True)), new_momentum

    start = [ops.zeros_like(gradient(image))]
    if temporal:
        start.append(ops.zeros_like(changes(image, time_axis)))
    state = (tuple(start), tuple(start), ops.ones((), "float32"))
    return primal(ops.fori_loop(0, iterations, step, state)[0])


def _into_unit_ball(field: Tensor, joint_axes: tuple[int, ...]) -> Tensor:
    """Shortens every vector over `joint_axes` to a length of at most one."""
    squared = energy(field)
    if joint_axes:
        squared = ops.sum(squared, axis=joint_axes, keepdims=True)
    return field * ops.cast(ops.rsqrt(ops.maximum(squared, 1.0)), field.dtype)


def _part(x: Tensor, axis: int, start: int, stop: int | None) -> Tensor:
    """`x[start:stop]` along a negative axis."""
    return x[(..., slice(start, stop), *(slice(None) for _ in range(-axis - 1)))]
