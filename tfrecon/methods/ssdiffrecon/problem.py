"""A batch of measurements as SSDiffRecon works on them, in training and in reconstruction alike."""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from tfrecon.physics.batches import repeat_batch
from tfrecon.physics.operators import SenseOperator, least_squares_image, measurement_operator
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex
from tfrecon.util.errors import InputError


class Problem(NamedTuple):
    """Normalised measurements of one batch axis.

    Attributes:
        kspace: complex64 `[B, C, H, W]`, zero where the mask is.
        mask: float32 0/1 `[B, 1, H or 1, W]`.
        maps: complex64 `[B, C, H, W]`, or None for one coil.
    """

    kspace: Tensor
    mask: Tensor
    maps: Tensor | None

    def operator(self) -> SenseOperator:
        """A, from images to the samples of the mask."""
        return measurement_operator(Measurement(*self))

    def image(self) -> Tensor:
        """The zero-filled image, its coils combined by least squares: complex64 `[B, H, W]`."""
        return least_squares_image(self.operator(), self.kspace)

    def masked(self, mask: Tensor) -> Problem:
        """With the samples of a smaller mask, and nothing of the others."""
        return Problem(self.kspace * ops.cast(mask, "complex64"), mask, self.maps)

    def reprojected(self) -> Problem:
        """With the samples that the zero-filled image would have given in the place of those measured."""
        return self._replace(kspace=self.operator().forward(self.image()))

    def noisier(self, std: Tensor, seeds: Tensor) -> Problem:
        """With complex Gaussian noise of standard deviation `std`, float32 `[B]`, on each sample."""
        noise = rng.complex_normal(seeds, ops.shape(self.kspace)) * ops.cast(self.mask, "complex64")
        return self._replace(kspace=self.kspace + ops.cast(std, "complex64")[:, None, None, None] * noise)

    def repeated(self, count: int) -> Problem:
        """The batch `count` times in a row."""
        return Problem(*(repeat_batch(field, count) for field in self))


def make_problem(kspace: Tensor, mask: Tensor, maps: Tensor | None) -> Problem:
    """Checks and casts the tensors of a batch; k-space outside the mask does not count.

    Args:
        kspace: complex `[B, C, H, W]`.
        mask: `[B, 1, H or 1, W]`; whatever is above zero was sampled.
        maps: complex `[B, C, H, W]`, or None.

    Raises:
        InputError: a series, several map sets, or many coils without maps.
    """
    kspace = ops.cast(kspace, "complex64")
    if len(kspace.shape) != 4:
        raise InputError(f"ssdiffrecon trains on slices, not k-space {tuple(kspace.shape)}", fix="give [B, C, H, W]")
    if maps is not None:
        maps = ops.cast(maps, "complex64")
        if len(maps.shape) != 4:
            raise InputError(
                f"ssdiffrecon takes one set of maps, not {tuple(maps.shape)}", fix="estimate maps with one set"
            )
    mask = ops.cast(ops.cast(mask, "float32") > 0, "float32")
    problem = Problem(kspace * ops.cast(mask, "complex64"), mask, maps)
    problem.operator()  # refuses coils without maps
    return problem


def shifted(problem: Problem) -> Problem:
    """The measurements of `2 u - 1 - i`, if `problem` has those of u; published for one coil, where u ∈ [0, 1]."""
    operator = problem.operator()
    return problem._replace(kspace=2.0 * problem.kspace - operator.forward(_offset(problem.image())))


def unshifted(image: Tensor) -> Tensor:
    """The image u of `2 u - 1 - i`."""
    return 0.5 * (image + _offset(image))


def _offset(image: Tensor) -> Tensor:
    ones = ops.ones_like(ops.real(image))
    return make_complex(ones, ones)
