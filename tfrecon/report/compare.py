"""Several methods on the same undersampled records: one line of scores for each.

`evaluate` scores one folder of images with all its safeguards; this is for tables of methods and for
choosing the weight of a method on validation data, where nothing is written in between.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.data.transforms import Undersampling, retrospective_mask, to_measurement, undersample
from tfrecon.metrics import Convention, get_convention, score_volume
from tfrecon.physics.masks import achieved_acceleration
from tfrecon.records import Record
from tfrecon.serve.learned import LearnedReconstructor
from tfrecon.serve.map_choice import MapChoice
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.util.errors import InputError
from tfrecon.util.progress import progress
from tfrecon.util.shapes import centre_crop

Reconstruct = Reconstructor | LearnedReconstructor
"""`(measurement, series=, key=) -> Reconstruction` in the units of the measurement."""


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """A trained model as a command line names it.

    Attributes:
        name: in the table.
        folder: what `tfrecon.load` opens.
        options: of its reconstruction, as words.
    """

    name: str
    folder: str
    options: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Scores:
    """How one method did on some records.

    Attributes:
        method: its name in the table.
        psnr: dB, mean over the records.
        ssim: mean over the records.
        nmse: mean over the records.
        seconds: median time of one record, after compilation.
        slices: PSNR of each slice, in the order of the records; a series has one for each frame.
        records: the record id of each slice.
    """

    method: str
    psnr: float
    ssim: float
    nmse: float
    seconds: float
    slices: tuple[float, ...]
    records: tuple[str, ...]


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


def parse_model(text: str) -> ModelChoice:
    """NAME=FOLDER[:OPTION=VALUE…], for instance "prior=runs/prior:nfe=50:samples=4".

    Raises:
        InputError: it is written otherwise, or has an option twice.
    """
    (name, _, folder), *pairs = (word.partition("=") for word in text.split(":"))
    options = {option: value for option, _, value in pairs}
    if not (name and folder) or not all(option and equals for option, equals, _ in pairs):
        raise InputError(f"--model={text} is not NAME=FOLDER:OPTION=VALUE", fix="write prior=runs/prior:nfe=50")
    if len(options) < len(pairs):
        raise InputError(f"--model={text} has an option twice", fix="give it once")
    return ModelChoice(name, folder, options)


def parse_models(texts: Sequence[str], taken: Sequence[str] = ()) -> list[ModelChoice]:
    """Several models with names of their own.

    Args:
        texts: see `parse_model`.
        taken: other names of the table.

    Raises:
        InputError: one is written otherwise, or a name is there twice.
    """
    models = [parse_model(text) for text in texts]
    names = [*taken, *(model.name for model in models)]
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if twice:
        raise InputError(f"two methods are called {twice[0]!r}", fix="give each --model a name of its own")
    return models


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
        if record.kspace.shape not in seen:
            reconstruct.warm_up(measurement, series=record.is_series)
            seen.add(record.kspace.shape)
        start = time.perf_counter()
        image = np.asarray(reconstruct(measurement, series=record.is_series, key=record.record_id).image)
        seconds.append(time.perf_counter() - start)
        found += [(record.record_id, scores) for scores in slice_scores(rules, image, record)]
    means = {metric: float(np.mean([scores[metric] for _, scores in found])) for metric in ("psnr", "ssim", "nmse")}
    slices, ids = tuple(scores["psnr"] for _, scores in found), tuple(record_id for record_id, _ in found)
    return Scores(name, **means, seconds=float(np.median(seconds)), slices=slices, records=ids)


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
