"""Images from measurements: one array at a time (`reconstruct`), any method of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrecon.methods.base import Method, get_method, resolve_options
from tfrecon.physics.coils import MAP_METHODS, estimate_maps
from tfrecon.physics.operators import collapse_lines
from tfrecon.serve.batches import in_own_units
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.serve.inputs import check_measurement
from tfrecon.typing import Measurement, Reconstruction
from tfrecon.util.errors import InputError
from tfrecon.util.rng import make_seed
from tfrecon.util.settings import to_dictionary


def reconstruct(
    kspace: np.ndarray,
    mask: np.ndarray | None = None,
    maps: np.ndarray | str | None = None,
    method: str = "cg_sense",
    *,
    series: bool = False,
    seed: int = 0,
    **options: Any,
) -> np.ndarray:
    """Reconstructs undersampled k-space.

    Args:
        kspace: complex `[..., C, H, W]`, or `[H, W]` for one coil; leading axes are a batch of slices.
        mask: what was sampled, 0/1 of any dtype: `[W]`, `[H, W]` or `[..., 1, H or 1, W]`. None says that
            every sample was measured: a mask is never guessed from zeros in k-space.
        maps: complex coil sensitivities `[..., C, H, W]`, or `[..., S, C, H, W]` with S map sets; or
            "espirit" or "walsh" to estimate them from the calibration samples, which is what None
            does ("espirit") where there is more than one coil.
        method: a name of `methods.base.method_names()`.
        series: whether the axis before the coils is time: one scale and one set of maps then serve
            all frames.
        seed: for methods that draw random numbers.
        **options: the method's own, for instance `iterations=30`.

    Returns:
        complex64 image `[..., H, W]` in the units of the measurement: it scales as k-space does.

    Raises:
        InputError: arrays that do not fit or are not finite, nothing measured, too few calibration
            samples to estimate maps, or an unknown method or option.
    """
    reconstructor = Reconstructor(method, options, seed=seed)
    return reconstructor(as_measurement(kspace, mask, maps, series=series), series=series).image


def as_measurement(
    kspace: np.ndarray, mask: np.ndarray | None, maps: np.ndarray | str | None, *, series: bool = False
) -> Measurement:
    """The arrays of `reconstruct` as a measurement: checked, with maps where there are several coils.

    Raises:
        InputError: see `reconstruct`.
    """
    given = None if maps is None or isinstance(maps, str) else maps
    measurement = check_measurement(kspace, mask, given, series=series)
    if given is None and (maps is not None or measurement.kspace.shape[-3] > 1):
        return with_estimated_maps(measurement, maps or MAP_METHODS[0], series=series)
    return measurement


def with_estimated_maps(measurement: Measurement, estimator: str, *, series: bool = False) -> Measurement:
    """The measurement with sensitivities estimated from its own calibration samples.

    Args:
        measurement: NumPy arrays as `serve.inputs.check_measurement` returns them.
        estimator: "espirit" or "walsh".
        series: whether the axis before the coils is time.

    Raises:
        InputError: an unknown estimator, or too few calibration samples.
    """
    item_rank = 4 if series else 3
    kspace, mask = measurement.kspace, measurement.mask
    lead = kspace.shape[:-item_rank]
    mask = np.broadcast_to(mask, (*lead, *mask.shape[-item_rank:]))
    maps = [estimate_maps(kspace[index], mask[index], estimator) for index in np.ndindex(lead)]
    return measurement._replace(maps=np.reshape(np.stack(maps), (*lead, *maps[0].shape)))


class Reconstructor:
    """One method with its options, ready to turn measurements into images.

    Args:
        method: a name of `methods.base.method_names()`.
        options: the method's own; strings are converted to the option's type.
        seed: for methods that draw random numbers.

    Attributes:
        settings: JSON-able, all that decides the images besides seed and measurement.

    Raises:
        InputError: an unknown method or option, or a method that has to be trained.
    """

    def __init__(self, method: str, options: Mapping[str, Any] | None = None, *, seed: int = 0) -> None:
        implementation = get_method(method)
        if type(implementation).build is not Method.build:
            raise InputError(
                f"method {method!r} is learned, its name alone gives no image",
                fix="load a trained model: --workdir or --model, in Python tfrecon.load",
            )
        self.options = resolve_options(implementation, options or {})
        self.settings = {"method": method, "options": to_dictionary(self.options)}
        self.seed = seed
        self._compiled = compiled_reconstruct(implementation, self.options)

    def __call__(self, measurement: Measurement, *, series: bool = False, key: str = "") -> Reconstruction:
        """Reconstructs one measurement with any leading axes.

        Args:
            measurement: not normalised; see `typing.Measurement`.
            series: whether the axis before the coils is time.
            key: what random numbers depend on besides the seed, for instance the record id.

        Returns:
            NumPy arrays in the units of the measurement.
        """
        measurement = measurement._replace(mask=collapse_lines(measurement.mask))
        seed = make_seed(self.seed, purpose=f"reconstruct {key}")
        return in_own_units(self._compiled, measurement, seed, series)

    def warm_up(self, measurement: Measurement, *, series: bool = False) -> None:
        """Compiles for measurements of this shape."""
        self(measurement, series=series)
