"""The data as a term, `|A x - y|²`, of one complex image for each measurement: what steps towards them are made of.

All images are `[N, H, W]` with N a multiple of the B measurements: several samples of the batch, one after the other,
whose operators are not copied. With S sets of maps N is a multiple of B S: each measurement has an image for each set,
one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.operators import combination_weight, least_squares_image, measurement_operator
from tfrecon.physics.solvers import conjugate_gradient
from tfrecon.typing import Measurement, Tensor
from tfrecon.util.complex import energy

SOLVED = 1e-6
"""Relative residual at which conjugate gradients end. With one coil they need two iterations; more of them would take
rounding for what the data do not say, divided by a small weight."""

TINY = 1e-12
"""Added to |y - A x|², whose root has no gradient at zero."""


class DataTerm:
    """`|A x - y|²` of images: `y_c = M F S_c x`, or `M F sum_s S_{s,c} x_s` with several sets of maps.

    Images are zero where no coil sees anything, whatever they were before: there the data say nothing, and a prior of
    high frequencies says nothing of low ones, which would drift from step to step.

    Works in coordinates moved by `ifftshift`, where the transforms need no shifts of coil images.

    Args:
        measurement: k-space `[B, C, H, W]`, mask `[B, 1, H or 1, W]`, maps `[B, C, H, W]`, `[B, S, C, H, W]`, or None
            for one coil.

    Raises:
        InputError: coils without maps, or maps that do not fit.
    """

    def __init__(self, measurement: Measurement) -> None:
        kspace = ops.cast(measurement.kspace, "complex64") * ops.cast(measurement.mask, "complex64")
        self._operator = measurement_operator(measurement).pre_shifted()
        self._kspace = fourier.ifftshift(kspace)
        self._adjoint = self._operator.adjoint(self._kspace)
        self._item = tuple(range(1 - len(self._adjoint.shape), 0))
        self._seen = None
        if measurement.maps is not None:
            self._seen = ops.cast(combination_weight(self._operator.maps) > 0, "complex64")

    def zero_filled(self) -> Tensor:
        """The coils' images combined by least squares, complex64 `[B, H, W]`, or `[B S, H, W]`."""
        return self._flat(least_squares_image(self._operator, self._kspace))

    def least_squares(self, regularisation: float, iterations: int) -> Tensor:
        """The image of least `|A x - y|² + r |x|²`, by conjugate gradients from zero, as `zero_filled`.

        Args:
            regularisation: r, relative to the largest energy of the coils.
            iterations: so many; with r = 0 they are what regularises.
        """
        largest = ops.max(ops.sum(energy(self._operator.maps), axis=-3), axis=self._item)
        return self.near(self._flat(ops.zeros_like(self._adjoint)), regularisation * largest, iterations)

    def near(self, image: Tensor, weight: Tensor | float, iterations: int) -> Tensor:
        """The image of least `|A x - y|² + w |x - image|²`, by conjugate gradients from the image.

        Args:
            image: complex64 `[N, H, W]`.
            weight: w, a scalar or float32 `[B]`.
            iterations: of conjugate gradients.
        """
        weight = self._over_items(weight)

        def solve(x: Tensor) -> Tensor:
            # For the change: no weight times image, which would drown the data where the weight is large.
            change, _ = conjugate_gradient(
                lambda d: self._operator.normal(d) + weight * d,
                -self._slope(x),
                iterations=iterations,
                tolerance=SOLVED,
                axes=self._item,
            )
            return x + change

        return self._apply(solve, image)

    def projected(self, image: Tensor, part: Tensor | float = 1.0) -> Tensor:
        """The image with the measured samples in place of its own, in coil images combined by least squares.

        Args:
            image: complex64 `[N, H, W]`.
            part: how much of the way, a scalar or float32 `[B]`. With one coil and 1 the samples are exact.
        """
        part = self._over_items(part)

        def project(x: Tensor) -> Tensor:
            residual = self._kspace - self._operator.forward(x)
            return x + part * least_squares_image(self._operator, residual)

        return self._apply(project, image)

    def gradient(self, image: Tensor) -> Tensor:
        """`A^H (A x - y)`, the gradient of `|A x - y|² / 2`, complex64 like the image."""
        return self._apply(self._slope, image)

    def descended(self, image: Tensor, step: float) -> Tensor:
        """One step down `|A x - y|² / 2`, complex64 like the image."""
        return self._apply(lambda x: x - step * self._slope(x), image)

    def distance(self, image: Tensor) -> Tensor:
        """|y - A x|, float32 `[N]`, or `[N / S]`, differentiable everywhere."""

        def squared(x: Tensor) -> Tensor:
            return ops.sum(energy(self._kspace - self._operator.forward(x)), axis=(-3, -2, -1))

        return ops.sqrt(ops.reshape(squared(self._folded(image)), (-1,)) + TINY)

    def _slope(self, x: Tensor) -> Tensor:
        return self._operator.normal(x) - self._adjoint

    def _over_items(self, value: Tensor | float) -> Tensor:
        """A scalar, or a number of each measurement `[B]`, for arrays of images."""
        value = ops.cast(ops.convert_to_tensor(value, "float32"), "complex64")
        return ops.reshape(value, (-1, *[1] * len(self._item))) if len(value.shape) else value

    def _flat(self, images: Tensor) -> Tensor:
        """Images that were moved, moved back, `[N, H, W]`."""
        return ops.reshape(fourier.fftshift(images), (-1, *ops.shape(images)[-2:]))

    def _folded(self, image: Tensor) -> Tensor:
        """`[N, H, W]` as `[N / B, B, H, W]` or `[N / (B S), B, S, H, W]`, moved, without what no coil sees."""
        shape = ops.shape(self._adjoint)
        folded = ops.reshape(fourier.ifftshift(image), (-1, *shape))
        return folded if self._seen is None else folded * self._seen

    def _apply(self, function: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        return ops.reshape(self._flat(function(self._folded(image))), ops.shape(image))
