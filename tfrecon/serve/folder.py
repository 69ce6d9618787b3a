"""Whole datasets and raw files to a folder of images: `reconstruct_folder` and `reference_folder`."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tfrecon.data.sources import RecordSource
from tfrecon.data.transforms import rss_image, to_measurement
from tfrecon.records import Record
from tfrecon.serve.learned import LearnedModel, LearnedReconstructor
from tfrecon.serve.map_choice import AUTO, MapChoice
from tfrecon.serve.mask_choice import MaskChoice, is_fully_sampled, open_input
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.serve.run import FolderRun, MakeImages, SliceImages
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError

REFERENCE_KINDS = ("ground_truth", "zero_filled")

Reconstruct = Reconstructor | LearnedReconstructor


def reconstruct_folder(
    source: PathLike | RecordSource,
    output: PathLike,
    method: str | LearnedModel = "cg_sense",
    options: Mapping[str, Any] | None = None,
    *,
    masks: MaskChoice | None = None,
    maps: PathLike = AUTO,
    map_sets: int = 1,
    formats: Sequence[str] = ("npy",),
    complex_output: bool = False,
    max_records: int | None = None,
    overwrite: bool = False,
    seed: int = 0,
    source_options: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Reconstructs every record of a dataset or raw file; goes on where an earlier run stopped.

    Beside the images go `zero_filled/`, `reference/` (where there is one), `mask/`, and `std/` (where the
    method gives a standard deviation); `index.json` says which record each image came from. See
    docs/formats.md.

    Args:
        source: whatever `data.sources.open_source` opens, or a source that is open already.
        output: the folder of the images.
        method: a name of `methods.base.method_names()`, or a trained model from `tfrecon.load`.
        options: the method's own.
        masks: how fully sampled records are undersampled first; None leaves them as they
            are. Records that are undersampled already are always used as they are.
        maps: "auto" (the record's own, else ESPIRiT where there are several coils), "espirit" or
            "walsh" (estimated anew), or an `.npy` file.
        map_sets: sets of maps to estimate; 2 is soft-SENSE.
        formats: any of "npy", "h5", "nifti".
        complex_output: complex64 images rather than float32 magnitudes.
        max_records: stops after that many.
        overwrite: replaces the images of an earlier run with other settings.
        seed: for methods that draw random numbers.
        source_options: how raw input is read, see `data.volumes.SourceOptions`; "source" names its
            format.

    Returns:
        The folder.

    Raises:
        InputError: anything wrong with the input, the options or the output folder.
    """
    if isinstance(method, LearnedModel):
        reconstructor: Reconstruct = method.reconstructor(options, seed=seed)
    else:
        reconstructor = Reconstructor(method, options, seed=seed)
    choice = MapChoice(maps, map_sets)
    records, pending = open_input(source, masks, source_options)
    settings = {
        **reconstructor.settings,
        "undersampling": None if masks is None else masks.describe(),
        "maps": choice.describe(),
        "seed": seed,
        "source_options": dict(source_options or {}),
    }
    make = functools.partial(_reconstruct, reconstructor, Reconstructor("zero_filled"), pending, choice)
    run = FolderRun(records, output, formats, complex_output, max_records, overwrite)
    return run.run(settings, make)


def reference_folder(
    source: PathLike | RecordSource,
    output: PathLike,
    kind: str = "ground_truth",
    *,
    masks: MaskChoice | None = None,
    maps: PathLike = AUTO,
    formats: Sequence[str] = ("npy",),
    complex_output: bool = False,
    max_records: int | None = None,
    overwrite: bool = False,
    source_options: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes reference images in the order and under the names that `reconstruct_folder` uses.

    Args:
        source: as in `reconstruct_folder`.
        output: the folder of the images.
        kind: "ground_truth" (the record's own reference, or the image of its full sampling) or
            "zero_filled".
        masks: as in `reconstruct_folder`; for "zero_filled" alone.
        maps: as in `reconstruct_folder`; for "zero_filled" alone.
        formats: as in `reconstruct_folder`.
        complex_output: complex images where the reference is complex.
        max_records: stops after that many.
        overwrite: replaces what another run left.
        source_options: how raw input is read, see `data.volumes.SourceOptions`; "source" names its
            format.

    Returns:
        The folder.

    Raises:
        InputError: as in `reconstruct_folder`; or a record without any ground truth.
    """
    if kind not in REFERENCE_KINDS:
        raise InputError(f"no kind of reference {kind!r}", fix=f"choose one of {', '.join(REFERENCE_KINDS)}")
    choice = MapChoice(maps)
    records, pending = open_input(source, masks, source_options)
    settings: dict[str, Any] = {"method": kind, "source_options": dict(source_options or {})}
    make: MakeImages = _ground_truth
    if kind == "zero_filled":
        settings |= {"undersampling": None if masks is None else masks.describe(), "maps": choice.describe()}
        make = functools.partial(_zero_filled, Reconstructor("zero_filled"), pending, choice)
    run = FolderRun(records, output, formats, complex_output, max_records, overwrite)
    return run.run(settings, make)


def with_reference(record: Record) -> Record:
    """The record with a reference: its own, else the image of its k-space if that is fully sampled.

    The latter is the root of the coils' sum of squares, fastMRI's reference.
    """
    if record.reference is not None or not is_fully_sampled(record):
        return record
    attrs = {**record.attrs, "reference_type": "rss"}
    return dataclasses.replace(record, reference=rss_image(record.kspace), attrs=attrs)


def _reconstruct(
    reconstructor: Reconstruct,
    baseline: Reconstructor,
    pending: MaskChoice | None,
    maps: MapChoice,
    k: int,
    record: Record,
    count: int,
) -> SliceImages:
    record = with_reference(record)
    reference = record.reference
    made = _zero_filled(baseline, pending, maps, k, record, count)
    record = made.record
    start = time.perf_counter()
    result = reconstructor(to_measurement(record), series=record.is_series, key=record.record_id)
    seconds = time.perf_counter() - start
    images = {"": result.image, "std": result.std, "zero_filled": made.images[""], "reference": reference}
    return SliceImages(record, images, seconds)


def _zero_filled(
    baseline: Reconstructor, pending: MaskChoice | None, maps: MapChoice, k: int, record: Record, count: int
) -> SliceImages:
    record = maps.apply(pending.apply(record) if pending else record, k, count)
    start = time.perf_counter()
    image = baseline(to_measurement(record), series=record.is_series).image
    return SliceImages(record, {"": image}, time.perf_counter() - start)


def _ground_truth(k: int, record: Record, count: int) -> SliceImages:
    del k, count
    start = time.perf_counter()
    record = with_reference(record)
    if record.reference is None:
        raise InputError(
            "the record is undersampled and has no reference",
            fix="there is no ground truth: give --kind=zero_filled",
        )
    return SliceImages(record, {"": record.reference}, time.perf_counter() - start)
