"""What the regularised SENSE methods share: the problem `½|Ax - y|² + penalty(x)`, prepared and finished.

The work is done in pre-shifted coordinates (see `SenseOperator.pre_shifted`), and the weight of a
penalty that is homogeneous of degree one is made independent of how the maps are scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.operators import SenseOperator, combine_sets, measurement_operator
from tfrecon.physics.solvers import fista
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.complex import energy, safe_abs
from tfrecon.util.errors import InputError


class SenseProblem(NamedTuple):
    """A least-squares problem in pre-shifted coordinates.

    Attributes:
        operator: A; its images are `[..., H, W]`, or `[..., S, H, W]` with map sets.
        zero_filled: A^H y, complex64 like the images.
        bound: float32, at least the largest eigenvalue of A^H A; of the images' rank, the
            `item_axes` of length one.
        item_axes: the axes of what is solved for as a whole: the image's, its map sets' and, for a
            coupled series, time.
    """

    operator: SenseOperator
    zero_filled: Tensor
    bound: Tensor
    item_axes: tuple[int, ...]

    def gradient(self, x: Tensor) -> Tensor:
        """The gradient of ½|Ax - y|²."""
        return self.operator.normal(x) - self.zero_filled

    def weight(self, regularisation: float) -> Tensor:
        """λ in the units of this problem, relative to the square root of `bound`.

        With maps c times as large the image is c times smaller, and so is a penalty of degree one;
        √bound grows by c. With maps of unit norm it is one.
        """
        return regularisation * ops.sqrt(self.bound)

    def minimise(self, proximal: Callable[[Tensor, Tensor, Tensor], Tensor], iterations: int) -> Reconstruction:
        """Solves by FISTA from the scaled zero-filled image.

        Args:
            proximal: of the penalty; see `physics.solvers.fista`.
            iterations: a fixed number.

        Returns:
            The image in centred coordinates, its map sets combined.
        """
        start = self.zero_filled / ops.cast(self.bound, "complex64")
        step = ops.squeeze(1.0 / self.bound, self.item_axes)
        image, _ = fista(self.gradient, proximal, start, step, iterations=iterations, axes=self.item_axes)
        return Reconstruction(combine_sets(fourier.fftshift(image), self.operator.map_sets))


def sense_problem(measurement: Measurement, coupled_frames: bool = False) -> SenseProblem:
    """The problem of a measurement.

    Args:
        measurement: k-space, mask and maps with any leading axes.
        coupled_frames: whether the penalty ties the frames of a series together; the axis before
            the coils is then time.

    Raises:
        InputError: frames are to be coupled where there is no such axis; and as
            `physics.operators.measurement_operator`.
    """
    if coupled_frames and len(measurement.kspace.shape) < 4:
        raise InputError(
            f"a temporal weight needs a series, but k-space is {tuple(measurement.kspace.shape)}",
            fix="give [..., T, C, H, W], or no temporal weight",
        )
    operator = measurement_operator(measurement).pre_shifted()
    kspace = fourier.ifftshift(ops.convert_to_tensor(measurement.kspace, "complex64"))
    axes = (-3, -2, -1) if operator.map_sets else (-2, -1)
    bound = eigenvalue_bound(operator)
    if coupled_frames:
        axes = (axes[0] - 1, *axes)
        bound = ops.max(bound, axis=axes[0], keepdims=True)
    return SenseProblem(operator, operator.adjoint(kspace), bound, axes)


def eigenvalue_bound(operator: SenseOperator) -> Tensor:
    """An upper bound of the largest eigenvalue of A^H A for each image.

    The orthonormal Fourier transform and a 0/1 mask lengthen nothing, so A^H A is at most the Gram
    matrix of the map sets' coil vectors, pixel by pixel, and Gershgorin's circles bound that.
    Unlike the estimate of a power iteration it is never too small, which would make a gradient
    method diverge; with unit-norm maps and a sampled centre of k-space it is tight.

    Returns:
        float32 of the images' rank, their axes of length one. One where all maps are zero.
    """
    maps = operator.maps
    if operator.map_sets:
        gram = ops.sum(ops.conj(ops.expand_dims(maps, -4)) * ops.expand_dims(maps, -5), axis=-3)
        bound = ops.max(ops.sum(safe_abs(gram), axis=-3), axis=(-3, -2, -1), keepdims=True)
    else:
        bound = ops.max(ops.sum(energy(maps), axis=-3), axis=(-2, -1), keepdims=True)
    return ops.where(bound > 0, bound, ops.ones_like(bound))
