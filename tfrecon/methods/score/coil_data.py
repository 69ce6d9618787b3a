"""What the data make of coil images: measured samples put into them, and SENSE steps between coils.

Coil images are `[N, C, H, W]` with N a multiple of the B measurements, several samples of the batch one after the
other. All works in the coordinates of the plain transform of a centred image, in which no array has to be shifted:
moving an image turns its k-space by phases, with which a mask commutes.
"""

from __future__ import annotations

from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.operators import combination_weight, measurement_operator
from tfrecon.typing import Measurement, Tensor
from tfrecon.util.complex import energy, make_complex

Level = Tensor | float


class CoilData:
    """The measured samples of each coil, `y_c = M F x_c`.

    Args:
        measurement: k-space `[B, C, H, W]`, mask `[B, 1, H or 1, W]`; maps `[B, C, H, W]` are needed by
            `sense_step` alone.
        real: whether images are real: samples then say what their opposites are, which are put in with them.
    """

    def __init__(self, measurement: Measurement, *, real: bool = False) -> None:
        mask = ops.cast(measurement.mask, "complex64")
        kspace = ops.cast(measurement.kspace, "complex64") * mask
        self._measurement, self._coil_images = measurement, fourier.ifft2c(kspace)
        self._mask = fourier.ifftshift(mask)
        self._samples = fourier.fft2(self._coil_images) * self._mask
        if real:
            self._complete()

    def _complete(self) -> None:
        """The samples and their opposites, `F x(-k) = conj(F x(k))`; the mean where both were measured."""
        times = self._mask + _opposite(self._mask)
        samples = self._samples + ops.conj(_opposite(self._samples))
        self._samples = samples / ops.cast(ops.maximum(ops.real(times), 1.0), "complex64")
        self._mask = ops.cast(ops.real(times) > 0, "complex64")

    def zero_filled(self) -> Tensor:
        """The images of the measured samples, complex64 `[B, C, H, W]`."""
        return self._coil_images

    def projected(self, images: Tensor, level: Level = 1.0) -> Tensor:
        """Coil images with the measured samples, times a level, in the place of their own.

        Args:
            images: complex64 `[N, C, H, W]`.
            level: how much of an image is left in what `images` are states of.
        """
        folded = self._folded(images)
        change = fourier.ifft2(_times(level, self._samples) - self._mask * fourier.fft2(folded))
        return ops.reshape(folded + change, ops.shape(images))

    def sense_step(self, images: Tensor, weight: Level, level: Level = 1.0) -> Tensor:
        """One SENSE step on the image that all coils see; what they see beside it stays.

        With the image m of least squares, `x_c + w S_c (S^H S)^-1 A^H (y - A m)`. Images that agree with maps and
        data are left as they are.

        Args:
            images: complex64 `[N, C, H, W]`.
            weight: w.
            level: as of `projected`.

        Raises:
            InputError: maps are missing or do not fit.
        """
        maps, weights = self._maps()
        folded = self._folded(images)
        image = weights * ops.sum(ops.conj(maps) * folded, axis=-3, keepdims=True)
        residual = _times(level, self._samples) - self._mask * fourier.fft2(maps * image)
        change = weights * ops.sum(ops.conj(maps) * fourier.ifft2(residual), axis=-3, keepdims=True)
        return ops.reshape(folded + _times(weight, maps * change), ops.shape(images))

    def published_sense_step(self, images: Tensor, weight: Level, level: Level = 1.0) -> Tensor:
        """score-MRI's step `x + w A^H (y - A x)`, which takes coil images for the image; arguments as `sense_step`.

        Maps are multiplied on a second time, and one image is added to all coils: the right images are moved.

        Raises:
            InputError: as `sense_step`.
        """
        maps, _ = self._maps()
        folded = self._folded(images)
        residual = _times(level, self._samples) - self._mask * fourier.fft2(maps * folded)
        change = ops.sum(ops.conj(maps) * fourier.ifft2(residual), axis=-3, keepdims=True)
        return ops.reshape(folded + _times(weight, change), ops.shape(images))

    def combined(self, images: Tensor) -> Tensor:
        """Coil images as one, by least squares, complex64 `[N, H, W]`; without maps that of the only coil."""
        maps, weights = self._maps()
        image = ops.sum(ops.conj(maps) * self._folded(images), axis=-3, keepdims=True) * weights
        return ops.reshape(image, (-1, *ops.shape(images)[-2:]))

    def _maps(self) -> tuple[Tensor, Tensor]:
        """Maps `[B, C, H, W]`, and one over their energy `[B, 1, H, W]`."""
        maps = measurement_operator(self._measurement).maps
        return maps, ops.cast(combination_weight(maps), "complex64")[:, None]

    def _folded(self, images: Tensor) -> Tensor:
        return ops.reshape(images, (-1, *ops.shape(self._samples)))


def root_sum_of_squares(images: Tensor) -> Tensor:
    """`sqrt(sum |x_c|²)`, complex64 `[N, H, W]` without imaginary part."""
    magnitude = ops.sqrt(ops.sum(energy(images), axis=-3))
    return make_complex(magnitude, ops.zeros_like(magnitude))


def root_sum_of_plain_squares(images: Tensor) -> Tensor:
    """`sqrt(sum x_c²)` as score-MRI publishes it, complex64 `[N, H, W]`: phases of coils cancel."""
    total = ops.sum(images * images, axis=-3)
    real, size = ops.real(total), ops.sqrt(energy(total))
    imag = ops.sqrt(ops.maximum(0.5 * (size - real), 0.0))
    return make_complex(ops.sqrt(ops.maximum(0.5 * (size + real), 0.0)), ops.where(ops.imag(total) < 0, -imag, imag))


def _opposite(kspace: Tensor) -> Tensor:
    """K-space at -k, in the coordinates of a plain transform; an axis of length one stays."""
    return ops.roll(ops.flip(kspace, axis=(-2, -1)), (1, 1), axis=(-2, -1))


def _times(factor: Level, array: Tensor) -> Tensor:
    return ops.cast(ops.convert_to_tensor(factor, "float32"), "complex64") * array
