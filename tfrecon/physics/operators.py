"""Linear operators from image to k-space.

An operator is immutable: it is made inside the step from the tensors of the batch. Leading axes are
free, so batches, time frames and posterior samples need nothing of their own.
"""

from __future__ import annotations

import abc
import copy
import functools
import operator
from typing import Self

import numpy as np
from keras import ops

from tfrecon.physics import fourier
from tfrecon.typing import Measurement, Tensor
from tfrecon.util.complex import energy, safe_abs
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import map_set_axis

FAINT = 1e-6
"""Where the maps' energy is below this part of its maximum, no coil sees anything."""

CACHED_SAMPLES, MOST_BLOCKS = 4 * 320 * 320, 8
"""How many samples of coil images the normal operator works on at once, and in how many parts at most.

Measured on 15 coils of 320×320 and two cores with 1 MB of cache each: four coils at a time take two
thirds of the time of all at once.
"""


class LinearOperator(abc.ABC):
    """A linear map A with its adjoint A^H under the Hermitian inner product `sum(conj(a) * b)`."""

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x."""

    @abc.abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^H y."""

    def normal(self, x: Tensor) -> Tensor:
        """A^H A x; subclasses may have a cheaper way than one after the other."""
        return self.adjoint(self.forward(x))

    def frozen(self) -> Self:
        """The same operator with its tensors as constants: no gradient flows into them."""
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if ops.is_tensor(value):
                setattr(twin, name, ops.stop_gradient(value))
        return twin


class FourierOperator(LinearOperator):
    """Undersampled Fourier transform of (coil) images: `y = M F x`, shapes alike.

    Args:
        mask: float 0/1, broadcastable to the images; None samples everything.
    """

    def __init__(self, mask: Tensor | None = None) -> None:
        self.mask = None if mask is None else ops.cast(mask, "complex64")

    def forward(self, x: Tensor) -> Tensor:
        kspace = fourier.fft2c(x)
        return kspace if self.mask is None else kspace * self.mask

    def adjoint(self, y: Tensor) -> Tensor:
        return fourier.ifft2c(y if self.mask is None else y * self.mask)


class SenseOperator(LinearOperator):
    """Parallel imaging, `y_c = M F sum_s S_{s,c} x_s` (SENSE; soft-SENSE with several map sets).

    Pruessmann et al., MRM 42:952 (1999); Uecker et al., MRM 71:990 (2014) for map sets.

    Args:
        maps: complex64 `[..., C, H, W]`, or `[..., S, C, H, W]` with `map_sets`.
        mask: float 0/1, broadcastable to k-space with one coil; None samples everything. With a
            statically known height of 1 the normal operator transforms along W alone, exactly
            and at half the cost.
        map_sets: whether maps (and images) have a set axis. Images are then `[..., S, H, W]`.
        centred: False treats images, maps and mask as already moved by `ifftshift`; iterative
            solvers use this form (`pre_shifted`) to save two shifts per coil and iteration.
    """

    def __init__(
        self, maps: Tensor, mask: Tensor | None = None, *, map_sets: bool = False, centred: bool = True
    ) -> None:
        self.maps = ops.convert_to_tensor(maps, "complex64")
        self.mask = None if mask is None else ops.cast(mask, "complex64")
        self.map_sets = map_sets
        self.centred = centred
        self._lines = self.mask is not None and len(self.mask.shape) >= 2 and self.mask.shape[-2] == 1

    def pre_shifted(self) -> SenseOperator:
        """The same operator on arrays moved by `fourier.ifftshift` (image and k-space side)."""
        if not self.centred:
            return self
        mask = self.mask
        if mask is not None:
            mask = fourier.ifftshift(mask, (-1,) if self._lines else (-2, -1))
        return SenseOperator(fourier.ifftshift(self.maps), mask, map_sets=self.map_sets, centred=False)

    def forward(self, x: Tensor) -> Tensor:
        kspace = self._coil_images(x)
        if self.centred:
            kspace = fourier.fft2c(kspace)
        else:
            kspace = fourier.fft2(kspace) * ops.cast(1.0 / fourier.root_of_size(kspace), "complex64")
        return kspace if self.mask is None else kspace * self.mask

    def adjoint(self, y: Tensor) -> Tensor:
        kspace = y if self.mask is None else y * self.mask
        if self.centred:
            return self._combine(fourier.ifft2c(kspace))
        return self._combine(fourier.ifft2(kspace)) * ops.cast(fourier.root_of_size(kspace), "complex64")

    def normal(self, x: Tensor) -> Tensor:
        if self.mask is None:
            return self._combine(self._coil_images(x))
        if self.centred:
            return fourier.fftshift(self.pre_shifted().normal(fourier.ifftshift(x)))
        forward, inverse = (fourier.fft1, fourier.ifft1) if self._lines else (fourier.fft2, fourier.ifft2)
        parts = (block._combine(inverse(forward(block._coil_images(x)) * self.mask)) for block in self._coil_blocks())
        return functools.reduce(operator.add, parts)

    def _coil_blocks(self) -> list[SenseOperator]:
        """The operator of a few coils each: their images stay in a CPU's cache between the transforms.

        Sizes that are not known statically leave one block.
        """
        coils, height, width = self.maps.shape[-3:]
        if None in (coils, height, width):
            return [self]
        size = max(CACHED_SAMPLES // (height * width), -(-coils // MOST_BLOCKS), 1)
        if size >= coils:
            return [self]
        cuts = (self.maps[..., start : start + size, :, :] for start in range(0, coils, size))
        return [SenseOperator(maps, self.mask, map_sets=self.map_sets, centred=False) for maps in cuts]

    def _coil_images(self, x: Tensor) -> Tensor:
        if self.map_sets:
            return ops.sum(self.maps * ops.expand_dims(x, -3), axis=-4)
        return self.maps * ops.expand_dims(x, -3)

    def _combine(self, coil_images: Tensor) -> Tensor:
        if self.map_sets:
            coil_images = ops.expand_dims(coil_images, -4)
        # As sum(conj(maps) * images), but a compiler cannot move this conjugate out of a solver's loop:
        # a second array as large as the maps would crowd the cache (measured: a fifth slower).
        return ops.conj(ops.sum(self.maps * ops.conj(coil_images), axis=-3))


def measurement_operator(measurement: Measurement) -> SenseOperator:
    """The SENSE operator of a measurement; without maps, one coil and a map of ones.

    Raises:
        InputError: maps do not fit, or are missing with more than one coil.
    """
    kspace, mask, maps = measurement.kspace, measurement.mask, measurement.maps
    if maps is None:
        if kspace.shape[-3] != 1:
            raise InputError(
                f"k-space has {kspace.shape[-3]} coils but no sensitivity maps were given",
                fix="give maps, or estimate them (--maps=espirit or --maps=walsh)",
            )
        maps = ops.ones_like(kspace)
    return SenseOperator(maps, mask, map_sets=map_set_axis(kspace, maps))


def least_squares_image(operator: SenseOperator, kspace: Tensor) -> Tensor:
    """`(S^H S)^-1 A^H y`: the coil images combined by least squares (Roemer et al., MRM 16:192, 1990).

    With maps of unit energy, as ESPIRiT and Walsh give, it is `A^H y` itself; with any others it does not
    depend on their norm. Map sets are divided by their own energy each.

    Args:
        operator: of the measurement.
        kspace: complex64 `[..., C, H, W]`.

    Returns:
        complex64 images, zero where no coil sees anything.
    """
    return operator.adjoint(kspace) * ops.cast(combination_weight(operator.maps), "complex64")


def combination_weight(maps: Tensor) -> Tensor:
    """`(S^H S)^-1` of each pixel, zero where no coil sees anything, float32 `[..., H, W]`.

    Args:
        maps: complex64 `[..., C, H, W]`.
    """
    coil_energy = ops.sum(energy(maps), axis=-3)
    seen = coil_energy > FAINT * ops.max(coil_energy, axis=(-2, -1), keepdims=True)
    return ops.where(seen, 1.0 / ops.where(seen, coil_energy, 1.0), 0.0)


def combine_sets(image: Tensor, map_sets: bool) -> Tensor:
    """Root-sum-of-squares magnitude with the first set's phase, over the set axis; else the image.

    The first set carries the object; later sets hold what folds over it.
    """
    if not map_sets:
        return image
    first = image[..., 0, :, :]
    magnitude = ops.sqrt(ops.sum(energy(image), axis=-3))
    norm = safe_abs(first)
    phase = first / ops.cast(ops.where(norm > 0, norm, 1.0), "complex64")
    phase = ops.where(norm > 0, phase, ops.ones_like(phase))
    return phase * ops.cast(magnitude, "complex64")


def collapse_lines(mask: np.ndarray) -> np.ndarray:
    """Gives a mask that is the same in every row the height 1; any other mask as it is.

    `SenseOperator` then knows that whole lines along H are sampled and transforms along W alone in
    its normal operator. Whether they are must be known before a graph is traced, so this is for
    NumPy arrays on the host.

    Args:
        mask: `[..., H, W]`, any dtype.

    Returns:
        A view of `mask`, `[..., 1, W]` if no two rows of an item differ, else `[..., H, W]`.
    """
    mask = np.asarray(mask)
    first = mask[..., :1, :]
    return first if np.array_equal(np.broadcast_to(first, mask.shape), mask) else mask
