"""How good the averaged weights are on records that are not trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrecon.data.pipeline import Batch, dataset
from tfrecon.methods.base import Method, get_method, resolve_options
from tfrecon.metrics import get_convention, score_volume
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.train.config import Experiment
from tfrecon.typing import Measurement, Tensor
from tfrecon.util.rng import make_seed, make_seeds

CONVENTION = "slice"
SCORES = ("psnr", "ssim", "nmse")


@dataclasses.dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        scores: means over the slices: those of `SCORES`, or "loss" where records have no reference.
        panels: (record id, image): reference (if there is one), zero-filled image and
            reconstruction side by side, uint8 `[H, n W]`.
    """

    scores: dict[str, float]
    panels: list[tuple[str, np.ndarray]]

    @property
    def criterion(self) -> float:
        """What is highest at the best weights."""
        return criterion(self.scores)


def criterion(scores: Mapping[str, float]) -> float:
    """PSNR, or the negative loss where there is none: highest is best."""
    return scores["psnr"] if "psnr" in scores else -scores["loss"]


class Validator:
    """Validates the same records with the same random numbers each time it is called.

    Which records is drawn once, by the experiment's seed, so that they are of many volumes.

    Args:
        experiment: names dataset, number of records and options of reconstruction.
        method: of the experiment.
        models: the averaged ones.

    Raises:
        InputError: the dataset cannot be read, or lacks what the method needs.
    """

    def __init__(self, experiment: Experiment, method: Method, models: Mapping[str, Any]) -> None:
        self._experiment, self._method, self._models = experiment, method, models
        data, self._count = experiment.data, experiment.train.validation_records
        batch_size = max(1, min(data.batch_size, self._count))
        self._batches = dataset(
            data.validation,
            batch_size=batch_size,
            seed=experiment.seed,
            undersample=None if method.fully_sampled else data.undersample or None,
            mask_seed=data.mask_seed,
            shuffle=True,
        )
        self._has_reference = "reference" in self._batches.element_spec
        self._reconstruct = compiled_reconstruct(method, experiment.reconstruct, models)
        zero_filled = get_method("zero_filled")
        self._zero_filled = compiled_reconstruct(zero_filled, resolve_options(zero_filled, {}))
        self._loss = tf.function(self._losses, autograph=False)

    def __call__(self) -> Validation:
        """Validates the weights as they are now."""
        scores: list[dict[str, float]] = []
        panels: list[tuple[str, np.ndarray]] = []
        for number, batch in self._numbered():
            measurement = Measurement(**{key: batch[key] for key in Measurement._fields if key in batch})
            wanted = self._experiment.train.images - len(panels)
            if self._has_reference or wanted > 0:
                seed = make_seed(self._experiment.seed, number, purpose="validation")
                image = np.abs(self._reconstruct(measurement, seed).image)
            if self._has_reference:
                scores += _score(image, np.abs(batch["reference"]))
            else:
                scores += self._objective(number, batch)
            if wanted > 0:
                panels += self._panels(measurement, image, batch)[:wanted]
        return Validation({name: _mean(score[name] for score in scores) for name in scores[0]}, panels)

    def _numbered(self) -> Iterator[tuple[int, Batch]]:
        left = self._count
        # Batches hold records of one size, so there may be more of them than full ones would be.
        for number, batch in enumerate(self._batches):
            yield number, {key: value[:left] for key, value in batch.items()}
            left -= len(batch["record_id"])
            if left <= 0:
                return

    def _losses(self, seeds: Tensor, batch: Batch) -> Tensor:
        return self._method.loss(self._models, batch, seeds, training=False)[0]

    def _objective(self, number: int, batch: Batch) -> list[dict[str, float]]:
        seeds = make_seeds(self._experiment.seed, number, len(batch["record_id"]), purpose="validation")
        losses = self._loss(seeds, {key: value for key, value in batch.items() if value.dtype != tf.string})
        return [{"loss": float(loss)} for loss in losses.numpy()]

    def _panels(self, measurement: Measurement, image: np.ndarray, batch: Batch) -> list[tuple[str, np.ndarray]]:
        columns = [np.abs(self._zero_filled(measurement).image), image]
        if self._has_reference:
            columns.insert(0, np.abs(batch["reference"]))
        names = [record.decode(errors="replace") for record in batch["record_id"].numpy()]
        return [(name, _panel([column[k] for column in columns])) for k, name in enumerate(names)]


def _score(images: np.ndarray, references: np.ndarray) -> list[dict[str, float]]:
    """Scores of each slice of `[B, (T,) H, W]` magnitudes."""
    shape = (-1, *images.shape[-2:])
    found = score_volume(get_convention(CONVENTION), images.reshape(shape), references.reshape(shape))
    return [{name: score[name] for name in SCORES} for score in found.units]


def _mean(values: Iterator[float]) -> float:
    """Of the numbers that are defined and finite; NaN if none is."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _panel(images: list[np.ndarray]) -> np.ndarray:
    """Images `[(T,) H, W]` side by side in one window of grey values; of series the middle frame."""
    frames = [image[len(image) // 2] if image.ndim == 3 else image for image in images]
    peak = float(frames[0].max()) or 1.0
    values = np.nan_to_num(np.concatenate(frames, axis=1) / peak, nan=0.0, posinf=1.0)
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
