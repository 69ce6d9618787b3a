"""Trained models, ready to turn k-space into images; `serve.load.load` gives them."""

from __future__ import annotations

import abc
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.methods.base import Method, resolve_options
from tfrecon.physics.operators import collapse_lines
from tfrecon.serve.batches import Engine, flatten, in_own_units, join, take, unflatten
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.serve.pace import Pace
from tfrecon.serve.reconstruct import as_measurement
from tfrecon.serve.stepping import SteppedReconstruct
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.rng import make_seed
from tfrecon.util.settings import to_dictionary

BATCH_SIZE = 8
"""Slices that are reconstructed at once, unless said otherwise; more need more memory."""


class LearnedModel(abc.ABC):
    """A trained model. Calling it reconstructs arrays, as `tfrecon.reconstruct` does with classical methods.

    Attributes:
        name: of the method.
        settings: JSON-able, what the model is: "method", "options" (those in use by default) and "model" (the
            folder, which checkpoint, and a digest of its files).
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.name: str = self.settings["method"]
        self._engines: dict[str, Engine] = {}

    def __call__(
        self,
        kspace: np.ndarray,
        mask: np.ndarray | None = None,
        maps: np.ndarray | str | None = None,
        seed: int = 0,
        *,
        series: bool = False,
        noise_std: float | np.ndarray | None = None,
        label: Sequence[float] | np.ndarray | None = None,
        batch_size: int = BATCH_SIZE,
        **options: Any,
    ) -> np.ndarray:
        """Reconstructs undersampled k-space.

        Args:
            kspace: complex `[..., C, H, W]`, or `[H, W]` for one coil; leading axes are a batch of slices.
            mask: what was sampled, as in `tfrecon.reconstruct`.
            maps: coil sensitivities, or how to estimate them, as in `tfrecon.reconstruct`.
            seed: for methods that draw random numbers.
            series: whether the axis before the coils is time: one set of maps then serves all frames.
            noise_std: of the complex noise of a k-space sample in the units of k-space, one number or `[...]`,
                for models that use it.
            label: what is known of the image besides, `[L]` or `[..., L]`, for models trained with labels.
            batch_size: slices at a time, on which random numbers depend.
            **options: the method's own.

        Returns:
            complex64 image `[..., H, W]` in the units of the measurement.

        Raises:
            InputError: as `tfrecon.reconstruct`.
        """
        reconstructor = self.reconstructor(options, seed=seed, batch_size=batch_size)
        measurement = as_measurement(kspace, mask, maps, series=series)
        return reconstructor(measurement._replace(noise_std=noise_std, label=label), series=series).image

    def reconstructor(
        self, options: Mapping[str, Any] | None = None, *, seed: int = 0, batch_size: int = BATCH_SIZE
    ) -> LearnedReconstructor:
        """The model with options and a seed, for whoever has measurements (`serve.folder`).

        Raises:
            InputError: an unknown option, or one that cannot be changed any more.
        """
        resolved = self.resolve(options or {})
        key = json.dumps(resolved if isinstance(resolved, Mapping) else to_dictionary(resolved), sort_keys=True)
        if key not in self._engines:
            self._engines[key] = self._make_engine(resolved)
        settings = {**self.settings, "options": json.loads(key)}
        return LearnedReconstructor(
            self._engines[key],
            settings,
            seed=seed,
            batch_size=batch_size,
            in_steps=self.in_steps(resolved),
            check=functools.partial(self.check, resolved),
        )

    @abc.abstractmethod
    def resolve(self, options: Mapping[str, Any]) -> Any:
        """The options in use: the model's own with `options` on top."""

    def check(self, options: Any, measurement: Measurement, *, series: bool) -> None:
        """See `Method.check`; an exported model does not know what its method asks for."""
        del options, measurement, series

    def in_steps(self, options: Any) -> bool:
        """Whether a reconstruction with these options can be stopped between two of its steps."""
        del options
        return False

    @property
    @abc.abstractmethod
    def nfe_option(self) -> str | None:
        """See `Method.nfe_option`."""

    def network_calls(self, options: Mapping[str, Any] | None = None) -> int | None:
        """How many network calls each image takes (`Method.network_calls`); None where, as exported, nobody knows."""
        del options
        return None

    @property
    def parameters(self) -> int | None:
        """Numbers in all its networks, frozen ones too; None where, as exported, nobody knows."""
        return None

    @abc.abstractmethod
    def _make_engine(self, options: Any) -> Engine: ...


class TrainedModel(LearnedModel):
    """A model whose method is at hand.

    Args:
        method: with the settings the model was built with.
        models: its Keras models.
        options: an instance of its `options_type`.
        source: JSON-able, where the weights are from.
    """

    def __init__(self, method: Method, models: Mapping[str, Any], options: Any, source: Mapping[str, Any]) -> None:
        super().__init__({"method": method.name, "options": to_dictionary(options), "model": dict(source)})
        self.method, self.models, self.options = method, dict(models), options

    def resolve(self, options: Mapping[str, Any]) -> Any:
        return resolve_options(self.method, {**to_dictionary(self.options), **options})

    def check(self, options: Any, measurement: Measurement, *, series: bool) -> None:
        self.method.check(measurement, options, series=series)

    def in_steps(self, options: Any) -> bool:
        return self.method.stepwise(options) is not None

    @property
    def nfe_option(self) -> str | None:
        return self.method.nfe_option

    def network_calls(self, options: Mapping[str, Any] | None = None) -> int | None:
        return self.method.network_calls(self.resolve(options or {}))

    @property
    def parameters(self) -> int | None:
        return sum(math.prod(v.shape) for model in self.models.values() for v in model.weights)

    def _make_engine(self, options: Any) -> Engine:
        stepwise = self.method.stepwise(options)
        if stepwise is None:
            return self._whole_engine(options)
        stepped = SteppedReconstruct(self.method, options, self.models, stepwise)

        def engine(measurement: Measurement, seed: Tensor, pace: Pace) -> Reconstruction:
            return in_own_units(lambda normalised, seed: stepped(normalised, seed, pace), measurement, seed)

        return engine

    def _whole_engine(self, options: Any) -> Engine:
        compiled = compiled_reconstruct(self.method, options, self.models)

        def checked(measurement: Measurement, seed: Tensor) -> Reconstruction:
            result = compiled(measurement, seed)
            self.method.require_finite(self.models, measurement, seed, options, result)
            return result

        def engine(measurement: Measurement, seed: Tensor, pace: Pace) -> Reconstruction:
            del pace
            return in_own_units(checked, measurement, seed)

        return engine


class LearnedReconstructor:
    """A trained model with options, called as `serve.reconstruct.Reconstructor`.

    Each slice and each frame of a series is an image of its own, with its own scale: what the networks
    were trained on.

    Args:
        engine: reconstructs batches.
        settings: JSON-able, all that decides the images besides seed and measurement.
        seed: for methods that draw random numbers.
        batch_size: slices or frames at a time.
        in_steps: whether a pace with a deadline can stop it.
        check: looks at each measurement first; see `LearnedModel.check`.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Mapping[str, Any],
        *,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        in_steps: bool = False,
        check: Callable[..., None] | None = None,
    ) -> None:
        self.settings, self.seed, self.batch_size = dict(settings), seed, batch_size
        self.in_steps = in_steps
        self._engine, self._check = engine, check

    def __call__(
        self, measurement: Measurement, *, series: bool = False, key: str = "", pace: Pace | None = None
    ) -> Reconstruction:
        """Reconstructs one measurement with any leading axes, `batch_size` images at a time.

        Args:
            measurement: not normalised; see `typing.Measurement`.
            series: whether the axis before the coils is time. Frames are images like others.
            key: what random numbers depend on besides the seed, for instance the record id.
            pace: when to stop, and who hears how far it is; None for all the time it takes.

        Returns:
            NumPy arrays in the units of the measurement.

        Raises:
            InputError: several sets of maps, or none where there are several coils; what the method refuses; an
                image is not finite.
            OutOfTime: not one step fits the pace.
        """
        if self._check is not None:
            self._check(measurement, series=series)
        pace = Pace() if pace is None else pace
        batch = flatten(measurement._replace(mask=collapse_lines(measurement.mask)))
        parts, starts = [], range(0, len(batch.kspace), self.batch_size)
        for number, start in enumerate(starts):
            pace.enter(number, len(starts))
            seed = make_seed(self.seed, number, purpose=f"reconstruct {key}")
            parts.append(self._engine(take(batch, slice(start, start + self.batch_size)), seed, pace))
        return unflatten(join(parts), measurement.kspace.shape[:-3])

    def warm_up(self, measurement: Measurement, *, series: bool = False) -> None:
        """Compiles for measurements of this shape; of a sampler that goes in steps one step is made.

        Raises:
            InputError: as a call.
        """
        self(measurement, series=series, pace=Pace(most=1))
