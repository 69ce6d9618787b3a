"""How likely a trained prior takes the images of a dataset to be, in bits for each dimension."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfrecon.methods.score.likelihood import FlowOptions, PriorFlow
from tfrecon.methods.score.method import Score
from tfrecon.methods.score.model import ScoreModel
from tfrecon.records import Record
from tfrecon.serve.learned import TrainedModel
from tfrecon.serve.load import load
from tfrecon.typing import PathLike
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.progress import progress


@dataclasses.dataclass(frozen=True)
class ImageLikelihood:
    """One image under a prior.

    Attributes:
        record_id: whose.
        bits: for each dimension; see `FlowOptions.step`.
        bits_error: standard error of the trace's estimate; None with one probe.
        nats: ln p of the whole image.
        dimensions: how many real numbers it has that are diffused.
        round_trip: |decoded - image| over |image|, on the way to noise and back; None if that was not asked for.
        noise_power: mean |n|² of the noise that the image became, over that of noise: 1 for a prior that knows it well;
            None likewise.
        calls: of the network, all ways together.
        seconds: likewise, with compilation.
    """

    record_id: str
    bits: float
    bits_error: float | None
    nats: float
    dimensions: int
    round_trip: float | None
    noise_power: float | None
    calls: int
    seconds: float


def measure_likelihoods(
    folder: PathLike,
    records: Sequence[Record],
    options: FlowOptions,
    *,
    checkpoint: int | str | None = None,
    seed: int = 0,
    round_trip: bool = False,
) -> Iterable[ImageLikelihood]:
    """Yields the likelihood of each record's reference, one after the other.

    Args:
        folder: a workdir or a model folder of method "score".
        records: slices with references that the prior is one of: complex images, or magnitudes.
        options: see there.
        checkpoint: of a workdir; see `serve.load.load`.
        seed: of noise and probes, which so are a function of (seed, record id).
        round_trip: also takes each image to noise and back, twice as many calls.

    Raises:
        InputError: no prior, a record without an image that it is one of, or a flow that cannot be solved.
    """
    method, network = _prior_in(folder, checkpoint)
    flow = PriorFlow(network, method.model, options)
    for record in progress(records, "likelihood"):
        start = time.perf_counter()
        image = normalised_image(record, method.model)[np.newaxis]
        seeds = rng.make_seed(seed, purpose=f"likelihood {record.record_id}")[None]
        try:
            yield _measure(flow, method.model, record.record_id, image, seeds, round_trip, start)
        except InputError as error:
            raise InputError(error.what, f"record {record.record_id!r}", error.fix) from error


def normalised_image(record: Record, model: ScoreModel) -> np.ndarray:
    """The reference of a record over its scale, as a prior sees it, complex64 `[H, W]`.

    Raises:
        InputError: there is none, a series, or magnitudes for a prior of complex images.
    """
    where = f"record {record.record_id!r}"
    if record.reference is None:
        raise InputError("has no reference image", where, "take records of fully sampled data")
    if record.reference.ndim != 2:
        raise InputError("is a series, and the prior is one of slices", where, "take slices")
    image = record.reference / np.float32(record.scale)
    if model.channels == "magnitude":
        image = np.abs(image)
    elif not np.iscomplexobj(image):
        raise InputError("has a magnitude, and the prior is one of complex images", where, "take complex references")
    return image.astype(np.complex64)


def summary(found: Sequence[ImageLikelihood]) -> str:
    """One line for people."""
    bits = np.array([one.bits for one in found])
    spread = f" ± {bits.std(ddof=1):.3f} (standard deviation over images)" if len(bits) > 1 else ""
    line = f"{len(found)} images, {bits.mean():.3f} bits/dim{spread}"
    trips = [one.round_trip for one in found if one.round_trip is not None]
    return f"{line}; largest error of the way to noise and back {max(trips):.1e}" if trips else line


def _prior_in(folder: PathLike, checkpoint: int | str | None) -> tuple[Score, Any]:
    model = load(folder, checkpoint)
    if not isinstance(model, TrainedModel) or not isinstance(model.method, Score):
        raise InputError(
            f"holds {model.name!r} without its network's gradient, or no diffusion prior",
            str(folder),
            "give a workdir or a model folder of method 'score'",
        )
    return model.method, model.models["network"]


def _measure(
    flow: PriorFlow, model: ScoreModel, record_id: str, image: np.ndarray, seeds: Any, round_trip: bool, start: float
) -> ImageLikelihood:
    found = flow.log_likelihood(image, seeds)
    calls, back, power = found.calls, None, None
    if round_trip:
        noise, there = flow.encode(image)
        decoded, again = flow.decode(noise, image)
        back = float(np.linalg.norm(decoded - image) / np.linalg.norm(image))
        path = model.training_path()
        numbers = float(found.dimensions[0]) / (1 if path.real else 2)
        power = float(np.sum(np.abs(noise) ** 2)) / numbers / path.noise_variance
        calls += there + again
    error = float(found.bits_error[0])
    return ImageLikelihood(
        record_id,
        float(found.bits[0]),
        error if np.isfinite(error) else None,
        float(found.nats[0]),
        round(float(found.dimensions[0])),
        back,
        power,
        calls,
        time.perf_counter() - start,
    )
