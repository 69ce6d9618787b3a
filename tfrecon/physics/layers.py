"""Data consistency as Keras layers: an image in, an image that agrees better with the data out.

Each layer takes the current image and the *measured* k-space, never a re-projection of an image.
Its inputs are a dictionary with the keys "image", "kspace", "mask" and, if there are any, "maps",
or a tuple in that order:

- image: complex64 `[..., H, W]`; `[..., S, H, W]` with S map sets; `[..., C, H, W]`, of
  k-space's rank, without maps: coil images, made consistent one by one.
- kspace: complex64 `[..., C, H, W]`, mask: 0/1 `[..., 1, H or 1, W]`.
- weight: optional, in a dictionary alone: a float32 scalar in the place of the layer's own weight.
- maps: complex64 `[..., C, H, W]` or `[..., S, C, H, W]`; left out or None for one coil or for
  coil images.

The output is like the image. Precision policies do not reach these layers: they compute in
complex64 and float32 and cast what they are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.operators import LinearOperator, SenseOperator, measurement_operator
from tfrecon.physics.solvers import IMAGE_AXES, broadcast_to_items, conjugate_gradient
from tfrecon.typing import Measurement, Tensor
from tfrecon.util.complex import energy, to_channels, to_complex
from tfrecon.util.errors import InputError

_INPUTS = ("image", "kspace", "mask", "maps")


def solve_normal(
    operator: LinearOperator,
    rhs: Tensor,
    weight: Tensor | float,
    *,
    iterations: int = 10,
    tolerance: float = 0.0,
    axes: Sequence[int] = IMAGE_AXES,
) -> Tensor:
    """Solves `(A^H A + weight I) x = rhs` by conjugate gradients, with the derivative of the exact solution.

    The derivative is implicit: with an incoming gradient e, one more solve gives
    q = (A^H A + weight I)^-1 e, which is the gradient for `rhs`; `-Re<q, x>` is the one for
    `weight`, and whatever else the operator is made of (maps, for instance) gets
    `-Re<q, d(A^H A) x>`. Memory does not grow with the iterations. The derivative is as exact as
    the two solves are.

    Args:
        operator: A; of it only `normal` and `frozen` are used.
        rhs: complex64 `[..., *item]`.
        weight: real and positive; a scalar, or float32 `[...]` with one for each item.
        iterations: conjugate gradients of each solve, at most.
        tolerance: relative residual at which an item stops.
        axes: the axes of one item.

    Returns:
        x, complex64 like `rhs`.
    """
    rhs = ops.convert_to_tensor(rhs, "complex64")
    weight = ops.cast(broadcast_to_items(weight, axes), "complex64")

    frozen, frozen_weight = operator.frozen(), ops.stop_gradient(weight)

    def solve(right: Tensor) -> Tensor:
        settings = {"iterations": iterations, "tolerance": tolerance, "axes": axes}
        return conjugate_gradient(lambda x: frozen.normal(x) + frozen_weight * x, right, **settings)[0]

    solution = ops.stop_gradient(solve(ops.stop_gradient(rhs)))

    # The residual is all but zero; it is there for its derivative alone. Real channels, because
    # TensorFlow and JAX disagree on the gradient of complex tensors.
    @ops.custom_gradient
    def attach(residual: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        def gradient(upstream: Tensor) -> Tensor:
            return to_channels(solve(to_complex(upstream)))

        return to_channels(solution) + ops.zeros_like(residual), gradient

    residual = rhs - operator.normal(solution) - weight * solution
    return to_complex(attach(to_channels(residual)))


class _DataConsistency(keras.layers.Layer):
    """What the layers share: inputs, the operator, and one positive weight that may be learned."""

    given_weight = True
    """Whether the inputs may have one."""

    def __init__(self, weight: float | None = None, learnable: bool = False, **kwargs: Any) -> None:
        kwargs = {key: value for key, value in kwargs.items() if key not in ("dtype", "autocast")}
        super().__init__(dtype="float32", autocast=False, **kwargs)
        if weight is not None and not weight > 0:
            raise InputError(f"the weight of {type(self).__name__} is {weight}", fix="give a positive number")
        self._initial_weight, self.learnable = weight, learnable
        self._raw_weight = None

    def build(self, input_shape: Any) -> None:
        del input_shape
        if self.learnable:
            # Softplus keeps the weight positive whatever the optimizer does; this is its inverse.
            raw = self._initial_weight + math.log(-math.expm1(-self._initial_weight))
            self._raw_weight = self.add_weight(shape=(), initializer=keras.initializers.Constant(raw), name="weight")
        self.built = True

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(_unpack(inputs, self.given_weight)[0].shape, dtype="complex64")

    def _weight(self) -> Tensor | None:
        if self._initial_weight is None:
            return None
        if self._raw_weight is None:
            return ops.convert_to_tensor(self._initial_weight, "float32")
        return ops.softplus(ops.convert_to_tensor(self._raw_weight))

    def call(self, inputs: Mapping[str, Tensor] | Sequence[Tensor]) -> Tensor:
        image, kspace, mask, maps, weight = _unpack(inputs, self.given_weight)
        image, kspace = _cast(image), _cast(kspace)
        mask = ops.cast(mask, "float32")
        coil_images = maps is None and len(image.shape) == len(kspace.shape)
        if coil_images:  # coils become items, each measured by one coil
            kspace, mask = ops.expand_dims(kspace, -3), ops.expand_dims(mask, -3)
        operator = measurement_operator(Measurement(kspace, mask, None if maps is None else _cast(maps)))
        weight = self._weight() if weight is None else ops.cast(weight, "float32")
        return self._make_consistent(image, kspace, operator, weight)

    def _make_consistent(self, image: Tensor, kspace: Tensor, operator: SenseOperator, weight: Tensor) -> Tensor:
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="tfrecon")
class HardDataConsistency(_DataConsistency):
    """Puts the measured samples in place of the image's own.

    The coil images `S_c z` are transformed, sampled values replaced by the measured ones, and
    combined again by least squares: `x = z - (S^H S)^-1 A^H (A z - y)`. With one coil the result
    has exactly the measured samples. Pixels that no coil sees stay. With several map sets each is
    divided by its own energy, which is exact for the orthogonal sets of ESPIRiT.

    Args:
        **kwargs: name and the like; a dtype is ignored.
    """

    given_weight = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def _make_consistent(self, image: Tensor, kspace: Tensor, operator: SenseOperator, weight: None) -> Tensor:
        del weight
        correction = _gradient(operator, image, kspace)
        coil_energy = ops.sum(energy(operator.maps), axis=-3)
        seen = coil_energy > 0
        weight = ops.where(seen, 1.0 / ops.where(seen, coil_energy, 1.0), 0.0)
        return image - ops.cast(weight, "complex64") * correction


@keras.saving.register_keras_serializable(package="tfrecon")
class GradientDataConsistency(_DataConsistency):
    """One step down the gradient of the data term: `x = z - step A^H (A z - y)`.

    Args:
        step: step length; below 2 over the largest coil energy (1 for unit-norm maps) it converges.
        learnable: whether it is a weight, kept positive by a softplus.
        **kwargs: name and the like; a dtype is ignored.
    """

    def __init__(self, step: float = 1.0, learnable: bool = True, **kwargs: Any) -> None:
        super().__init__(step, learnable, **kwargs)

    @property
    def step(self) -> Tensor:
        """The step length as it is now, a float32 scalar."""
        return self._weight()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step": self._initial_weight, "learnable": self.learnable}

    def _make_consistent(self, image: Tensor, kspace: Tensor, operator: SenseOperator, weight: Tensor) -> Tensor:
        return image - ops.cast(weight, "complex64") * _gradient(operator, image, kspace)


@keras.saving.register_keras_serializable(package="tfrecon")
class ProximalDataConsistency(_DataConsistency):
    """The image that fits the data and stays near z: `argmin_x |Ax - y|² + mu |x - z|²`.

    Conjugate gradients on `(A^H A + mu) x = A^H y + mu z` from z. Aggarwal et al., IEEE TMI 38:394
    (2019). The nearer z is to the data, the fewer iterations it takes.

    Args:
        mu: weight of staying near z; with unit-norm maps the eigenvalues of A^H A lie in [0, 1].
        learnable: whether it is a weight, kept positive by a softplus.
        iterations: conjugate gradients, at most.
        tolerance: relative residual at which an item stops; 0 does all iterations.
        derivative: "implicit" differentiates the exact solution (`solve_normal`) and needs memory for one
            iteration only, but iterations enough to converge: after a few, its sign is wrong in
            directions that the iterations have not reached, and a network trained by it runs away.
            "unrolled" differentiates the iterations themselves, however few, with tolerance 0.
        **kwargs: name and the like; a dtype is ignored.

    Raises:
        InputError: an unknown derivative, or an unrolled one with a tolerance.
    """

    def __init__(
        self,
        mu: float = 0.05,
        learnable: bool = True,
        iterations: int = 10,
        tolerance: float = 0.0,
        derivative: Literal["implicit", "unrolled"] = "implicit",
        **kwargs: Any,
    ) -> None:
        super().__init__(mu, learnable, **kwargs)
        if derivative not in ("implicit", "unrolled"):
            raise InputError(f"there is no derivative {derivative!r}", fix="take 'implicit' or 'unrolled'")
        if derivative == "unrolled" and tolerance > 0:
            raise InputError("unrolled iterations do not stop early", fix="set tolerance=0, or derivative='implicit'")
        self.iterations, self.tolerance, self.derivative = iterations, tolerance, derivative

    @property
    def mu(self) -> Tensor:
        """The weight as it is now, a float32 scalar."""
        return self._weight()

    def get_config(self) -> dict[str, Any]:
        own = {"mu": self._initial_weight, "learnable": self.learnable}
        own |= {"iterations": self.iterations, "tolerance": self.tolerance, "derivative": self.derivative}
        return {**super().get_config(), **own}

    def _make_consistent(self, image: Tensor, kspace: Tensor, operator: SenseOperator, weight: Tensor) -> Tensor:
        operator = operator.pre_shifted()
        image = fourier.ifftshift(image)
        rhs = operator.adjoint(fourier.ifftshift(kspace)) - operator.normal(image)
        return fourier.fftshift(image + self._solve(operator, rhs, weight))

    def _solve(self, operator: SenseOperator, rhs: Tensor, mu: Tensor) -> Tensor:
        axes = (-3, -2, -1) if operator.map_sets else IMAGE_AXES
        settings = {"iterations": self.iterations, "tolerance": self.tolerance, "axes": axes}
        if self.derivative == "implicit":
            return solve_normal(operator, rhs, mu, **settings)
        mu = ops.cast(mu, "complex64")
        return conjugate_gradient(lambda x: operator.normal(x) + mu * x, rhs, **settings)[0]


def _gradient(operator: SenseOperator, image: Tensor, kspace: Tensor) -> Tensor:
    """`A^H (A z - y)` as `A^H A z - A^H y`.

    The normal operator shifts images instead of all coils and transforms sampled lines along W alone,
    and where a network has this step several times a compiled graph works `A^H y` out once.
    """
    return operator.normal(image) - operator.adjoint(kspace)


def _unpack(inputs: Mapping[str, Tensor] | Sequence[Tensor], given_weight: bool) -> tuple[Tensor, ...]:
    """Image, k-space, mask, maps and weight (None if there are none)."""
    weight = None
    if isinstance(inputs, Mapping):
        values, weight = [inputs.get(name) for name in _INPUTS], inputs.get("weight")
        extra = set(inputs) - set(_INPUTS) - ({"weight"} if given_weight else set())
    else:
        values = [*inputs, *[None] * (len(_INPUTS) - len(inputs))]
        extra = set(range(len(_INPUTS), len(inputs)))
    missing = [name for name, value in zip(_INPUTS[:3], values, strict=False) if value is None]
    if missing or extra:
        raise InputError(
            f"data consistency lacks {missing} and got {sorted(extra)} too many",
            fix="give image, kspace, mask and, if there are any, maps",
        )
    return (*values, weight)


def _cast(tensor: Tensor) -> Tensor:
    return ops.cast(tensor, "complex64")
