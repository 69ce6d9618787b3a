"""The zero-filled image: what the measured samples give without any reconstruction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from keras import ops

from tfrecon.methods.base import Method, register_method
from tfrecon.physics import fourier
from tfrecon.physics.operators import combine_sets, least_squares_image, measurement_operator
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.complex import energy


@dataclasses.dataclass(frozen=True)
class ZeroFilledOptions:
    """The zero-filled image has no options."""


@register_method
class ZeroFilled(Method):
    """Inverse Fourier transform of the measured samples, with the coils combined.

    With maps: `A^H y` divided by the coils' energy `sum_c |S_c|²`, the least-squares combination of
    the coil images (Roemer et al., MRM 16:192, 1990); with maps of unit energy, as ESPIRiT and
    Walsh give, that is `A^H y` itself. Fully sampled data thus gives the image at its true
    intensity whatever the norm of the maps. Missing samples are not compensated for.
    Without maps: the image itself for one coil, else the root of the coils' sum of squares, which
    is a magnitude.
    """

    name: ClassVar[str] = "zero_filled"
    options_type: ClassVar[type] = ZeroFilledOptions

    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: ZeroFilledOptions
    ) -> Reconstruction:
        del models, seed, options
        if measurement.maps is None:
            return Reconstruction(_without_maps(measurement))
        operator = measurement_operator(measurement)
        image = least_squares_image(operator, ops.convert_to_tensor(measurement.kspace, "complex64"))
        return Reconstruction(combine_sets(image, operator.map_sets))


def _without_maps(measurement: Measurement) -> Tensor:
    mask = ops.cast(measurement.mask, "complex64")
    coil_images = fourier.ifft2c(ops.convert_to_tensor(measurement.kspace, "complex64") * mask)
    if coil_images.shape[-3] == 1:
        return coil_images[..., 0, :, :]
    return ops.cast(ops.sqrt(ops.sum(energy(coil_images), axis=-3)), "complex64")
