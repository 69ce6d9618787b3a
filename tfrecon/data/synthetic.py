"""Synthetic measurements: an image goes in, the record of a simulated acquisition comes out.

The entry to everything simulated; the parts live beside it: `phantoms` (objects with closed-form
k-space), `coil_simulation` (sensitivities, phase, noise), `motion` (2D+t). All of it is NumPy and a
function of its seeds.

The acquisition is computed on the image's own pixel grid, so it has no Gibbs ringing and no
intravoxel effects; `phantoms.ellipses_kspace` gives data free of that agreement.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from tfrecon.data.coil_simulation import (
    birdcage_maps,
    complex_noise,
    random_covariance,
    random_maps,
    smooth_phase,
)
from tfrecon.data.motion import beating_heart, deform_cine
from tfrecon.data.phantoms import (
    Ellipse,
    ellipse_phantom,
    ellipses_image,
    ellipses_kspace,
    random_ellipses,
    shepp_logan_image,
    shepp_logan_kspace,
)
from tfrecon.physics import fourier
from tfrecon.physics.scale import QUANTILE, measurement_scale
from tfrecon.records import Record, validate_record
from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator

__all__ = [
    "Ellipse",
    "beating_heart",
    "birdcage_maps",
    "complex_noise",
    "deform_cine",
    "ellipse_phantom",
    "ellipses_image",
    "ellipses_kspace",
    "random_covariance",
    "random_ellipses",
    "random_maps",
    "shepp_logan_image",
    "shepp_logan_kspace",
    "simulate_acquisition",
    "smooth_phase",
]

REFERENCE_TYPE = "simulated complex image"


def simulate_acquisition(
    image: np.ndarray,
    *,
    record_id: str,
    volume_id: str,
    slice_index: int = 0,
    coils: int = 8,
    noise: float = 0.01,
    seed: int = 0,
    phase: bool = True,
    attrs: dict[str, Any] | None = None,
    coil_kind: str = "random",
    noise_correlation: float = 0.0,
    store_maps: bool = False,
) -> Record:
    """Measures an image with simulated coils, phase and noise; every sample of k-space is taken.

    Args:
        image: real or complex `[H, W]`, or `[T, H, W]` for a series.
        record_id: of the record; with `seed` it decides phase, coils and noise.
        volume_id: of the record.
        slice_index: of the record.
        coils: receive coils; one coil has a map of ones.
        noise: standard deviation sqrt(E|n|²) of a k-space sample, as a fraction of the 99 %
            quantile of |image|. With the orthonormal transform and maps of unit norm, the fully
            sampled image has the same noise.
        seed: of the whole simulation.
        phase: whether a real image gets a smooth random phase (the same in all frames); a complex
            one keeps its own.
        attrs: more facts for the record.
        coil_kind: "random" (surface loops) or "birdcage".
        noise_correlation: correlation coefficient of the noise of neighbouring coils; 0 is white.
        store_maps: whether the true sensitivities go into the record; methods then need no
            estimated ones.

    Returns:
        A fully sampled record. `reference` is the noise-free complex64 image in the units of a
        SENSE combination; `noise_std` is in the units of k-space; `attrs["simulated"]` says what
        was simulated.

    Raises:
        InputError: an image that is empty, zero or not finite, a negative noise, unknown coils.
    """
    image = _check_image(image, noise, record_id)
    truth, phase_kind = _with_phase(image, phase, seed, record_id)
    maps = _make_maps(coil_kind, coils, image.shape[-2:], numpy_generator(seed, record_id, "coils"))
    noise_std = noise * (float(np.quantile(np.abs(image), QUANTILE)) or float(np.abs(image).max()))
    kspace = np.array(ops.convert_to_numpy(fourier.fft2c(maps * truth[..., None, :, :])))
    kspace += _noise(kspace.shape, noise_std, noise_correlation, seed, record_id)
    mask = np.ones((1,) * (kspace.ndim - 1) + kspace.shape[-1:], np.uint8)
    facts = {
        "seed": seed,
        "coils": {"kind": coil_kind if coils > 1 else "one, uniform", "count": coils},
        "phase": phase_kind,
        "noise": {"relative": noise, "std": noise_std, "correlation": noise_correlation},
    }
    scale = measurement_scale(kspace, mask, series=image.ndim == 3)
    attrs = {**(attrs or {}), "reference_type": REFERENCE_TYPE, "simulated": facts}
    record = Record(kspace, mask, record_id, volume_id, slice_index, float(ops.convert_to_numpy(scale)), attrs=attrs)
    record.reference, record.noise_std = truth, noise_std
    if store_maps:
        record.maps = maps[None] if image.ndim == 3 else maps
        record.attrs["maps"] = {"method": "simulated (the true ones)"}
    return validate_record(record)


def _with_phase(image: np.ndarray, phase: bool, seed: int, record_id: str) -> tuple[np.ndarray, str]:
    """The complex64 image and where its phase is from."""
    if np.iscomplexobj(image):
        return image.astype(np.complex64), "of the image"
    if not phase:
        return image.astype(np.complex64), "none"
    radians = smooth_phase(image.shape[-2:], numpy_generator(seed, record_id, "phase"))
    return image * np.exp(1j * radians).astype(np.complex64), "smooth random"


def _check_image(image: np.ndarray, noise: float, where: str) -> np.ndarray:
    if not (np.isfinite(noise) and noise >= 0):
        raise InputError(f"noise {noise} is not a level", where, "give a number from 0 up, such as 0.01")
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.size == 0:
        raise InputError(f"an image of shape {image.shape} cannot be measured", where, "give [H, W] or [T, H, W]")
    if image.dtype.kind not in "buifc" or not np.isfinite(image).all():
        raise InputError(f"the image ({image.dtype}) is not all finite numbers", where, "leave it out or repair it")
    if not image.any():
        raise InputError("the image is zero everywhere", where, "leave it out")
    return image if image.dtype.kind == "c" else image.astype(np.float32)


def _make_maps(kind: str, coils: int, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    if kind not in ("random", "birdcage"):
        raise InputError(f"no coils {kind!r} to simulate", fix="choose random or birdcage")
    if coils == 1:
        return np.ones((1, *shape), np.complex64)
    if kind == "birdcage":
        return birdcage_maps(coils, shape)
    return random_maps(coils, shape, generator)


def _noise(shape: tuple[int, ...], std: float, correlation: float, seed: int, record_id: str) -> np.ndarray:
    covariance = None
    if correlation > 0:
        generator = numpy_generator(seed, record_id, "covariance")
        covariance = random_covariance(shape[-3], generator, correlation=correlation)
    return complex_noise(shape, std, numpy_generator(seed, record_id, "noise"), covariance=covariance)
