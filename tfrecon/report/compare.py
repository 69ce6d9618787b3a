"""Several methods on the same undersampled records: one line of scores for each.

`evaluate` scores one folder of images with all its safeguards; this is for tables of methods and for
choosing the weight of a method on validation data, where nothing is written in between.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfrecon.data.transforms import Undersampling, retrospective_mask, to_measurement, undersample
from tfrecon.metrics import Convention, get_convention, score_volume
from tfrecon.physics.masks import achieved_acceleration
from tfrecon.records import Record
from tfrecon.serve.map_choice import MapChoice
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.typing import Measurement, Reconstruction
from tfrecon.util.errors import InputError
from tfrecon.util.progress import progress
from tfrecon.util.shapes import centre_crop

Reconstruct = Callable[..., Reconstruction]
"""`(measurement, series=, key=) -> Reconstruction` in the units of the measurement, as `Reconstructor` is."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """How one method did on some records.

    Attributes:
        method: its name in the table.
        psnr: dB, mean over the records.
        ssim: mean over the records.
        nmse: mean over the records.
        seconds: median time of one record, after compilation.
        slices: PSNR of each record, in their order.
    """

    method: str
    psnr: float
    ssim: float
    nmse: float
    seconds: float
    slices: tuple[float, ...]


def parse_mask(text: str) -> Undersampling:
    """KIND:ACCELERATION:ACS_LINES, as command lines have it.

    Raises:
        InputError: it is written otherwise.
    """
    try:
        kind, rate, lines = text.split(":")
        return Undersampling(kind, float(rate), acs_lines=int(lines))
    except ValueError:
        raise InputError(f"--mask={text} is not KIND:ACCELERATION:ACS_LINES", fix="write gaussian1d:4:20") from None


def undersampled(records: Sequence[Record], masks: Undersampling, seed: int = 0) -> list[Record]:
    """Simulates one acquisition of each fully sampled record, with maps from its own calibration block.

    Raises:
        InputError: the masks cannot be made, or calibrate too little for maps.
    """
    maps = MapChoice()
    made = []
    for index, record in enumerate(records):
        mask = retrospective_mask(masks, seed, record.record_id, record.kspace.shape)
        made.append(maps.apply(undersample(record, mask), index, len(records)))
    return made


def acceleration(records: Sequence[Record]) -> float:
    """The mean achieved acceleration of records."""
    return float(np.mean([achieved_acceleration(record.mask, record.kspace.shape[-2:]) for record in records]))


def score(name: str, reconstruct: Reconstruct, records: Sequence[Record], convention: str = "slice") -> Scores:
    """Reconstructs records and scores the magnitudes, slice by slice, against their references.

    Args:
        name: of the method in the table.
        reconstruct: the method.
        records: undersampled, with references and, for several coils, maps.
        convention: see `tfrecon.metrics`.
    """
    rules, found, seconds, seen = get_convention(convention), [], [], set()
    for record in progress(records, name):
        measurement = to_measurement(record)
        if record.kspace.shape not in seen:  # the first of a shape compiles
            _image(reconstruct, measurement, record)
            seen.add(record.kspace.shape)
        start = time.perf_counter()
        image = _image(reconstruct, measurement, record)
        seconds.append(time.perf_counter() - start)
        found += slice_scores(rules, image, record)
    means = {metric: float(np.mean([values[metric] for values in found])) for metric in ("psnr", "ssim", "nmse")}
    return Scores(name, **means, seconds=float(np.median(seconds)), slices=tuple(v["psnr"] for v in found))


def slice_scores(rules: Convention, image: np.ndarray, record: Record) -> list[dict[str, float]]:
    """Scores of the magnitude of a reconstruction against the record's reference, one for each frame.

    Args:
        rules: a convention.
        image: complex `[H, W]`, of a series `[T, H, W]`.
        record: with a reference, perhaps smaller than the image.

    Raises:
        InputError: the record has no reference.
    """
    if record.reference is None:
        raise InputError("has no reference image", f"record {record.record_id!r}", "take fully sampled data")
    reference = np.abs(record.reference)
    pair = (np.atleast_3d(x.T).T for x in (centre_crop(np.abs(image), reference.shape[-2:]), reference))
    return score_volume(rules, *pair).slices


def scan(records: Sequence[Record], method: str, option: str, values: Sequence[float]) -> list[tuple[float, Scores]]:
    """Scores a method at each of several values of one of its options.

    Returns:
        (value, scores), in the order of `values`.
    """
    return [(value, score(f"{method} {option}={value:g}", _with(method, option, value), records)) for value in values]


def _with(method: str, option: str, value: Any) -> Reconstructor:
    return Reconstructor(method, {option: value})


def _image(reconstruct: Reconstruct, measurement: Measurement, record: Record) -> np.ndarray:
    return np.asarray(reconstruct(measurement, series=record.is_series, key=record.record_id).image)
