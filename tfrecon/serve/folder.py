"""Whole datasets and raw files to a folder of images: `reconstruct_folder` and `reference_folder`."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tfrecon.data.sources import RecordSource
from tfrecon.data.transforms import rss_image, to_measurement
from tfrecon.records import Record
from tfrecon.serve.intervals import Intervals
from tfrecon.serve.learned import LearnedModel, LearnedReconstructor
from tfrecon.serve.map_choice import AUTO, MapChoice
from tfrecon.serve.mask_choice import MaskChoice, is_fully_sampled, open_input
from tfrecon.serve.pace import Pace
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.serve.run import FolderRun, MakeImages, SliceImages
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

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
    intervals: Intervals | None = None,
    max_seconds: float | None = None,
) -> pathlib.Path:
    """Reconstructs every record of a dataset or raw file; goes on where an earlier run stopped.

    Beside the images go `zero_filled/`, `reference/` (where there is one), `mask/`, and how sure the method is, as far
    as it says: `std/`, and of several samples quantiles, `msd/` and `usd/`. `index.json` says which record each image
    came from. See docs/formats.md.

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
        intervals: which maps are made of several samples, and how they are scaled; None for the defaults.
        max_seconds: time for all records that are not done yet, after which iterative samplers stop with the best
            image there is; see `serve.run.FolderRun`. `stopped_early` tells of it.

    Returns:
        The folder.

    Raises:
        InputError: anything wrong with the input, the options or the output folder; or a budget of time for a method
            that cannot be stopped, or that is not enough for one step.
    """
    reconstructor = _reconstructor(method, options, seed, max_seconds)
    intervals = intervals or Intervals()
    _warn_of_differences(intervals, reconstructor.settings)
    choice = MapChoice(maps, map_sets)
    records, pending = open_input(source, masks, source_options)
    settings = {
        **reconstructor.settings,
        "undersampling": None if masks is None else masks.describe(),
        "maps": choice.describe(),
        "seed": seed,
        "source_options": dict(source_options or {}),
        "intervals": intervals.describe(),
    }
    make = functools.partial(_reconstruct, reconstructor, intervals, Reconstructor("zero_filled"), pending, choice)
    run = FolderRun(records, output, formats, complex_output, max_records, overwrite, max_seconds)
    return run.run(settings, make)


def stopped_early(folder: PathLike) -> str:
    """What a folder's images lack because time ran out, in words; empty if nothing."""
    index = read_json(pathlib.Path(folder) / "index.json")
    stopped = [image["stopped"] for image in index["images"] if "stopped" in image]
    said = []
    if stopped:
        least = min(stopped, key=lambda steps: steps["made"] / steps["of"])
        said.append(
            f"{len(stopped)} of {len(index['images'])} images were stopped early, after "
            f"{least['made']} of {least['of']} steps or more"
        )
    if index.get("not_begun"):
        said.append(f"for {index['not_begun']} more there was no time")
    return "; ".join(said)


def _reconstructor(
    method: str | LearnedModel, options: Mapping[str, Any] | None, seed: int, max_seconds: float | None
) -> Reconstruct:
    if isinstance(method, LearnedModel):
        learned = method.reconstructor(options, seed=seed)
        if learned.in_steps or max_seconds is None:
            return learned
    elif max_seconds is None:
        return Reconstructor(method, options, seed=seed)
    name = method if isinstance(method, str) else method.name
    raise InputError(
        f"method {name!r} cannot be stopped between steps as it is used here", fix="leave out --max_seconds"
    )


def _warn_of_differences(intervals: Intervals, settings: Mapping[str, Any]) -> None:
    changed = intervals.scale.differences(settings)
    if changed:
        warnings.warn(
            f"the interval scale was fitted with another {', '.join(changed)}: fit it again for this reconstruction",
            stacklevel=3,
        )


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
    intervals: Intervals,
    baseline: Reconstructor,
    pending: MaskChoice | None,
    maps: MapChoice,
    k: int,
    record: Record,
    count: int,
    pace: Pace,
) -> SliceImages:
    record = with_reference(record)
    reference = record.reference
    made = _zero_filled(baseline, pending, maps, k, record, count, pace)
    record = made.record
    measurement = to_measurement(record)
    start = time.perf_counter()
    if isinstance(reconstructor, LearnedReconstructor):
        result = reconstructor(measurement, series=record.is_series, key=record.record_id, pace=pace)
    else:
        result = reconstructor(measurement, series=record.is_series, key=record.record_id)
    seconds = time.perf_counter() - start
    images = {"": result.image, **intervals.maps(result, measurement)}
    return SliceImages(record, {**images, "zero_filled": made.images[""], "reference": reference}, seconds)


def _zero_filled(
    baseline: Reconstructor,
    pending: MaskChoice | None,
    maps: MapChoice,
    k: int,
    record: Record,
    count: int,
    pace: Pace,
) -> SliceImages:
    del pace  # what it takes is nothing
    record = maps.apply(pending.apply(record) if pending else record, k, count)
    start = time.perf_counter()
    image = baseline(to_measurement(record), series=record.is_series).image
    return SliceImages(record, {"": image}, time.perf_counter() - start)


def _ground_truth(k: int, record: Record, count: int, pace: Pace) -> SliceImages:
    del k, count, pace
    start = time.perf_counter()
    record = with_reference(record)
    if record.reference is None:
        raise InputError(
            "the record is undersampled and has no reference",
            fix="there is no ground truth: give --kind=zero_filled",
        )
    return SliceImages(record, {"": record.reference}, time.perf_counter() - start)
