"""Magnitude (or complex) images as simulated acquisitions, for the readers of image formats.

An image is not a measurement: phase, coils and noise are simulated, as a function of
(seed, record id), and `attrs["simulated"]` says so in every record.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from tfrecon.data.synthetic import simulate_acquisition
from tfrecon.data.volumes import Skipped, SourceOptions, record_name, subject_name, volume_name
from tfrecon.records import Record
from tfrecon.util.errors import InputError

_BRIGHT = 0.999
"""The quantile that stands for a volume's brightness: robust against single hot pixels."""

_FOREGROUND = 0.1
"""Pixels above this fraction of the brightness are the object rather than noise."""

_MOST_NEGATIVE = 0.25
"""Resampling leaves small negative values in a magnitude; larger ones mean that it is none."""


@dataclasses.dataclass(frozen=True)
class SliceNames:
    """What a slice is called and where it is from.

    Attributes:
        record_id: of its record.
        volume_id: of its volume.
        subject: who was scanned.
        slice_index: its position in the volume.
        source: its file's name.
    """

    record_id: str
    volume_id: str
    subject: str
    slice_index: int
    source: str


def check_volume(volume: np.ndarray, where: str) -> np.ndarray:
    """An image volume as float32 or complex64.

    Raises:
        InputError: not numbers, NaN or Inf, zero everywhere, or clearly negative values.
    """
    if volume.dtype.kind not in "buifc":
        raise InputError(f"holds values of type {volume.dtype}", where, "give magnitude or complex images")
    volume = volume.astype(np.complex64 if volume.dtype.kind == "c" else np.float32)
    bad = volume.size - int(np.isfinite(volume).sum())
    if bad:
        raise InputError(f"image {volume.shape} holds {bad} NaN or Inf values", where, "repair or leave out this file")
    if not volume.any():
        raise InputError(f"image {volume.shape} is zero everywhere", where, "leave out this file")
    if volume.dtype.kind == "f" and volume.min() < -_MOST_NEGATIVE * volume.max():
        raise InputError(
            f"image holds values from {volume.min():g} to {volume.max():g}",
            where,
            "a magnitude is not negative: give magnitude images, not phase or contrast differences",
        )
    return volume


def brightness(volume: np.ndarray) -> float:
    """What a volume is divided by, so that images of all volumes are of about the same level."""
    magnitude = np.abs(volume)
    return float(np.quantile(magnitude, _BRIGHT)) or float(magnitude.max())


def simulated_record(
    image: np.ndarray, bright: float, file: pathlib.Path, index: int, options: SourceOptions, attrs: dict[str, Any]
) -> Record | Skipped:
    """The simulated acquisition of one slice.

    Args:
        image: real or complex `[H, W]`.
        bright: `brightness` of its volume.
        file: where it comes from; its name gives volume and subject.
        index: position in its volume.
        options: what to simulate, and when a slice counts as empty.
        attrs: more facts for the record.
    """
    name = volume_name(file)
    names = SliceNames(record_name(name, index), name, subject_name(name), index, file.name)
    return simulate_slice(image, bright, names, options, attrs)


def simulate_slice(
    image: np.ndarray, bright: float, names: SliceNames, options: SourceOptions, attrs: dict[str, Any]
) -> Record | Skipped:
    """`simulated_record` of a slice whose names are known.

    The image is divided by `bright` and by nothing else: no value is cut off, none is shifted.

    Args:
        image: real or complex `[H, W]`.
        bright: `brightness` of its volume.
        names: ids and source.
        options: what to simulate, and when a slice counts as empty.
        attrs: more facts for the record.
    """
    if not image.any():
        return Skipped(names.record_id, "every pixel is zero")
    if float((np.abs(image) > _FOREGROUND * bright).mean()) < options.min_foreground:
        return Skipped(names.record_id, f"less than {100 * options.min_foreground:g} % of its pixels are bright")
    return simulate_acquisition(
        image / np.float32(bright),
        record_id=names.record_id,
        volume_id=names.volume_id,
        slice_index=names.slice_index,
        coils=options.coils,
        noise=options.noise,
        seed=options.seed,
        phase=options.phase,
        attrs={
            "source": names.source,
            "subject": names.subject,
            "divided_by": bright,
            **_origin(image, options),
            **attrs,
        },
    )


def _origin(image: np.ndarray, options: SourceOptions) -> dict[str, Any]:
    """What of the k-space was measured and what was not.

    Samples k and -k of a real image are conjugates, so one of them tells the other: a sample held
    out of training is then no secret to the network.
    """
    if np.iscomplexobj(image):
        return {"kspace_origin": "simulated from a complex image: coils and noise were not measured"}
    if options.phase:
        return {"kspace_origin": "simulated from a magnitude image: phase, coils and noise were not measured"}
    origin = "simulated from a magnitude image without phase: coils and noise were not measured"
    symmetric = options.coils == 1
    return {
        "kspace_origin": f"{origin}; conjugate-symmetric but for the noise" if symmetric else origin,
        "conjugate_symmetric": symmetric,
    }
