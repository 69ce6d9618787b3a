"""Iterative solvers on callables: conjugate gradients, power iteration, FISTA, ADMM.

All are batched. `axes` names the axes that make up one item, the image axes `(-2, -1)` by default,
`(-3, -2, -1)` with map sets or a time series solved as a whole; every axis before them counts
items, and each item has its own step lengths and its own stop. An item that has stopped is left
bit for bit as it was while the others go on. The loops run inside the graph, so they trace once
and work with sizes that are known only at run time.

With `tolerance=0` the number of iterations is fixed and the result can be differentiated through;
with a positive tolerance the loop ends when every item has stopped, which has no reverse-mode
derivative on JAX (`layers.solve_normal` differentiates the exact solution instead).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import real_vdot

IMAGE_AXES = (-2, -1)
TINY = 1e-30
"""Below this a squared norm is taken as zero; float32 reaches down to 1e-38."""
EPSILON = 1e-7
"""The resolution of float32: what is smaller beside its largest companion is rounding noise."""

LinearMap = Callable[[Tensor], Tensor]


class SolverInfo(NamedTuple):
    """How a solver ended, for each item (the leading axes `[...]`).

    Attributes:
        iterations: int32 `[...]`, iterations done before the item stopped.
        residual: float32 `[...]`, what the solver's tolerance is compared with, at the end.
    """

    iterations: Tensor
    residual: Tensor


def conjugate_gradient(
    normal: LinearMap,
    rhs: Tensor,
    x0: Tensor | None = None,
    *,
    iterations: int = 30,
    tolerance: float = 1e-6,
    axes: Sequence[int] = IMAGE_AXES,
) -> tuple[Tensor, SolverInfo]:
    """Solves `normal(x) = rhs` for a Hermitian positive semidefinite `normal`.

    Hestenes & Stiefel, J. Res. NBS 49:409 (1952). An item stops when its residual norm is at most
    `tolerance` times the norm of its right-hand side, or when the operator does not act on its
    search direction any more: a singular operator gives the minimum-norm solution, and a
    right-hand side of zero (norm below 1e-15) gives zero.

    Args:
        normal: the operator, for instance `SenseOperator.normal` plus a multiple of its argument.
        rhs: complex64 `[..., *item]`.
        x0: where to start, zero if None.
        iterations: at most so many.
        tolerance: relative residual norm; 0 does all iterations and is differentiable.
        axes: the axes of one item.

    Returns:
        The solution, like `rhs`, and a `SolverInfo` whose residual is relative to `rhs`.
    """
    rhs = ops.convert_to_tensor(rhs, "complex64")
    if x0 is None:
        x, residual = ops.zeros_like(rhs), rhs
    else:
        x = ops.convert_to_tensor(x0, "complex64")
        residual = rhs - normal(x)
    rhs_squared = real_vdot(rhs, rhs, axes, keepdims=True)
    threshold = ops.maximum(rhs_squared * tolerance**2, TINY)
    squared = real_vdot(residual, residual, axes, keepdims=True)
    state = _CgState(
        x=x,
        residual=residual,
        direction=residual,
        squared=squared,
        direction_squared=squared,
        largest=ops.zeros_like(squared),
        active=squared > threshold,
        count=ops.zeros_like(squared, dtype="int32"),
    )

    def step(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(_cg_step(normal, _CgState(*state), threshold, axes))

    state = _CgState(*_loop(step, tuple(state), iterations, tolerance, lambda state: _CgState(*state).active))
    relative = _safe_sqrt(_ratio(state.squared, rhs_squared, rhs_squared > TINY))
    return state.x, SolverInfo(_per_item(state.count, axes), _per_item(relative, axes))


class _CgState(NamedTuple):
    """Where conjugate gradients are; scalars of an item keep its axes at length one."""

    x: Tensor
    residual: Tensor
    direction: Tensor
    squared: Tensor  # |residual|²
    direction_squared: Tensor
    largest: Tensor  # Rayleigh quotient seen so far
    active: Tensor
    count: Tensor


def _cg_step(normal: LinearMap, state: _CgState, threshold: Tensor, axes: Sequence[int]) -> _CgState:
    x, residual, direction, squared, direction_squared, largest, active, count = state
    image = normal(direction)
    curvature = real_vdot(direction, image, axes, keepdims=True)
    # A direction on which the operator does nothing, to float32, can only be noise or a part of the
    # right-hand side that the operator does not reach: a step along it would be all but infinite.
    largest = ops.maximum(largest, _ratio(curvature, direction_squared, active))
    active = active & (curvature > EPSILON * largest * direction_squared) & (curvature > TINY)
    alpha = ops.cast(_ratio(squared, curvature, active), "complex64")
    # A stopped item has alpha and beta zero, so x and the residual stay and the direction is finite.
    x, residual = x + alpha * direction, residual - alpha * image
    new_squared = ops.where(active, real_vdot(residual, residual, axes, keepdims=True), squared)
    beta = _ratio(new_squared, squared, active)
    direction = residual + ops.cast(beta, "complex64") * direction
    direction_squared = new_squared + ops.square(beta) * direction_squared  # residual ⊥ old direction
    count = count + ops.cast(active, "int32")
    return _CgState(
        x, residual, direction, new_squared, direction_squared, largest, active & (new_squared > threshold), count
    )


def power_iteration(
    operator: LinearMap,
    like: Tensor,
    seed: Tensor | None = None,
    *,
    iterations: int = 30,
    axes: Sequence[int] = IMAGE_AXES,
) -> tuple[Tensor, Tensor]:
    """The largest eigenvalue of a Hermitian positive semidefinite operator, for each item.

    The estimate is the Rayleigh quotient: it rises towards the eigenvalue from below.

    Args:
        operator: for instance `SenseOperator.normal`.
        like: a tensor of the operator's domain; only its shape is used.
        seed: of the random start (`util.rng.make_seed`); None takes a fixed one.
        iterations: so many applications of the operator, and one more for the quotient.
        axes: the axes of one item.

    Returns:
        float32 `[...]` eigenvalues, and unit-norm eigenvectors like `like`. An item on which the
        operator is zero has eigenvalue 0.
    """
    seed = rng.make_seed(0, purpose="power_iteration") if seed is None else seed

    def unit(vector: Tensor) -> Tensor:
        squared = real_vdot(vector, vector, axes, keepdims=True)
        return vector * ops.cast(_ratio(1.0, ops.sqrt(squared), squared > TINY), "complex64")

    start = ops.reshape(rng.complex_normal(seed, ops.shape(like)), ops.shape(like))
    vector = ops.fori_loop(0, iterations, lambda _, vector: unit(operator(vector)), unit(start))
    return real_vdot(vector, operator(vector), axes), vector


def fista(
    gradient: LinearMap,
    proximal: Callable[[Tensor, Tensor, Tensor], Tensor],
    x0: Tensor,
    step: Tensor | float,
    *,
    iterations: int = 50,
    tolerance: float = 0.0,
    restart: bool = True,
    axes: Sequence[int] = IMAGE_AXES,
) -> tuple[Tensor, SolverInfo]:
    """Minimises f + g for a smooth f and a g with a proximal map.

    FISTA (Beck & Teboulle, SIAM J. Imaging Sci. 2:183, 2009), with the gradient restart of
    O'Donoghue & Candès (Found. Comput. Math. 15:715, 2015): the momentum of an item is dropped
    when it points uphill.

    Args:
        gradient: of f; for `½|Ax - y|²` that is `A^H(Ax - y)`.
        proximal: `(x, step, iteration) -> argmin_u ½|u - x|² + step·g(u)`. `step` broadcasts
            against `x`; `iteration` is an int32 scalar (0 at first), from which random shifts of
            a wavelet frame, for instance, are derived.
        x0: complex64 `[..., *item]`, where to start.
        step: step length, at most one over the largest eigenvalue of the Hessian of f; a scalar,
            or float32 `[...]` with one for each item.
        iterations: at most so many.
        tolerance: an item stops when the norm of its change is at most this times its own norm;
            0 does all iterations.
        restart: whether to restart adaptively.
        axes: the axes of one item.

    Returns:
        The minimiser, like `x0`, and a `SolverInfo` whose residual is the last relative change.
    """
    x0 = ops.convert_to_tensor(x0, "complex64")
    step = broadcast_to_items(step, axes)
    ones = ops.ones_like(real_vdot(x0, x0, axes, keepdims=True))

    def iterate(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, ahead, momentum, change, count, iteration = state
        moved = proximal(ahead - ops.cast(step, "complex64") * gradient(ahead), step, iteration)
        difference = moved - x
        if restart:
            uphill = real_vdot(ahead - moved, difference, axes, keepdims=True) > 0
            momentum = ops.where(uphill, 1.0, momentum)
        new_momentum = 0.5 * (1.0 + ops.sqrt(1.0 + 4.0 * ops.square(momentum)))
        new_ahead = moved + ops.cast((momentum - 1.0) / new_momentum, "complex64") * difference
        new = (moved, new_ahead, new_momentum, _relative_norm(difference, moved, axes))
        if tolerance == 0:
            return (*new, count + 1, iteration + 1)
        active = change > tolerance
        kept = [ops.where(active, *pair) for pair in zip(new, (x, ahead, momentum, change), strict=True)]
        return (*kept, count + ops.cast(active, "int32"), iteration + 1)

    state = (x0, x0, ones, ones, ops.zeros_like(ones, dtype="int32"), ops.convert_to_tensor(0, "int32"))
    x, _, _, change, count, _ = _loop(iterate, state, iterations, tolerance, lambda state: state[3] > tolerance)
    return x, SolverInfo(_per_item(count, axes), _per_item(change, axes))


def admm(
    minimise: Callable[[Tensor, Tensor], Tensor],
    proximal: Callable[[Tensor, Tensor], Tensor],
    x0: Tensor,
    *,
    transform: LinearMap | None = None,
    rho: Tensor | float = 1.0,
    iterations: int = 30,
    relaxation: float = 1.0,
    axes: Sequence[int] = IMAGE_AXES,
    split_axes: Sequence[int] | None = None,
) -> tuple[Tensor, SolverInfo]:
    """Minimises f(x) + g(Kx) by splitting z = Kx (Boyd et al., Found. Trends ML 3:1, 2011).

    Args:
        minimise: `(target, x) -> argmin_u f(u) + ½ρ|Ku - target|²`, started at the current `x`;
            for `f = ½|Ax - y|²` a few conjugate gradients on `A^H A + ρ K^H K`. It knows ρ.
        proximal: `(v, 1/ρ) -> argmin_z ½|z - v|² + g(z)/ρ`; 1/ρ broadcasts against `v`.
        x0: complex64 `[..., *item]`, where to start.
        transform: K, for instance finite differences that add an axis; None is the identity.
        rho: the penalty ρ, a scalar, or float32 `[...]` with one for each item. It sets the
            speed, not the limit.
        iterations: done for all items.
        relaxation: over-relaxation of Kx, between 1 and 1.8.
        axes: the axes of one item.
        split_axes: the axes of one item of Kx; None if they are `axes`.

    Returns:
        The minimiser, like `x0`, and a `SolverInfo` whose residual is the primal one,
        `|Kx - z| / |z|`.
    """
    x0 = ops.convert_to_tensor(x0, "complex64")
    split_axes = tuple(axes) if split_axes is None else tuple(split_axes)
    transform = _identity if transform is None else transform
    inverse_rho = broadcast_to_items(1.0 / ops.convert_to_tensor(rho, "float32"), split_axes)

    def iterate(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, split, dual, _ = state
        x = minimise(split - dual, x)
        transformed = transform(x)
        relaxed = relaxation * transformed + (1.0 - relaxation) * split if relaxation != 1.0 else transformed
        split = proximal(relaxed + dual, inverse_rho)
        return x, split, dual + relaxed - split, _relative_norm(transformed - split, split, split_axes)

    split = transform(x0)
    residual = ops.ones_like(real_vdot(split, split, split_axes, keepdims=True))
    state = (x0, split, ops.zeros_like(split), residual)
    x, _, _, residual = _loop(iterate, state, iterations, 0.0, None)
    residual = _per_item(residual, split_axes)
    return x, SolverInfo(ops.full_like(residual, iterations, dtype="int32"), residual)


def broadcast_to_items(value: Tensor | float, axes: Sequence[int]) -> Tensor:
    """A scalar as it is; one value for each item `[...]` with the item's axes appended."""
    value = ops.convert_to_tensor(value, "float32")
    if len(value.shape) == 0:
        return value
    return ops.reshape(value, (*ops.shape(value), *(1 for _ in axes)))


def _identity(x: Tensor) -> Tensor:
    return x


def _loop(
    step: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]],
    state: tuple[Tensor, ...],
    iterations: int,
    tolerance: float,
    active: Callable[[tuple[Tensor, ...]], Tensor] | None,
) -> tuple[Tensor, ...]:
    """Repeats `step`; with a tolerance, until no item is `active`."""
    if tolerance == 0 or active is None:
        return ops.fori_loop(0, iterations, lambda _, state: step(state), state)

    def go_on(iteration: Tensor, *state: Tensor) -> Tensor:
        return (iteration < iterations) & ops.any(active(state))

    def body(iteration: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return (iteration + 1, *step(state))

    return ops.while_loop(go_on, body, (ops.convert_to_tensor(0, "int32"), *state))[1:]


def _ratio(numerator: Tensor | float, denominator: Tensor, valid: Tensor) -> Tensor:
    """The quotient where `valid`, else 0, with a finite gradient everywhere."""
    return ops.where(valid, numerator / ops.where(valid, denominator, 1.0), 0.0)


def _relative_norm(difference: Tensor, value: Tensor, axes: Sequence[int]) -> Tensor:
    """|difference| / |value| for each item, with the item's axes kept at length one."""
    squared = real_vdot(value, value, axes, keepdims=True)
    return _safe_sqrt(_ratio(real_vdot(difference, difference, axes, keepdims=True), squared, squared > TINY))


def _safe_sqrt(value: Tensor) -> Tensor:
    """The square root with gradient 0 at 0."""
    positive = value > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, value, 1.0)), 0.0)


def _per_item(value: Tensor, axes: Sequence[int]) -> Tensor:
    """Drops the item's axes, which have length one."""
    return ops.squeeze(value, axis=tuple(axes))
