"""The contract every reconstruction method keeps, and the registry through which they are known.

The trainer and the server know methods only through this module. A method is added by writing a
module with one `Method` subclass and naming it in `_MODULES`; nothing else changes.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from tfrecon.methods.offers import Budgeted, ServingFunction, Stepwise, TrainingImages
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.settings import from_dotted, make_settings

_MODULES = {
    "zero_filled": "tfrecon.methods.classical.zero_filled",
    "cg_sense": "tfrecon.methods.classical.cg_sense",
    "l1_wavelet": "tfrecon.methods.classical.l1_wavelet",
    "tv": "tfrecon.methods.classical.tv",
    "ssdiffrecon": "tfrecon.methods.ssdiffrecon.method",
    "score": "tfrecon.methods.score.method",
    "ddpm": "tfrecon.methods.ddpm.method",
    "autoencoder": "tfrecon.methods.autoencoder.method",
    "latent": "tfrecon.methods.latent.method",
    "conditional": "tfrecon.methods.conditional.method",
}
"""Where each method lives; a module is imported when its method is first asked for."""

_REGISTRY: dict[str, type[Method]] = {}


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Nothing to configure."""


class Method(abc.ABC):
    """A way from a measurement to an image.

    Measurements arrive normalised: k-space is divided by its own scale (`physics.scale`), and the
    caller multiplies the image back. A method keeps no state besides its configuration; what is
    trained lives in the dictionary of models that `build` returns.

    Args:
        model: what is built, a `model_type` instance; None takes the defaults.
        objective: what is minimised in training, an `objective_type` instance; None takes the defaults.

    Attributes:
        name: the name on the command line.
        model_type: a dataclass of the architecture, all that is needed to build the models again.
        objective_type: a dataclass of the training objective.
        options_type: a dataclass of the reconstruction's options with defaults and docstring.
        xla: whether `reconstruct` is compiled by XLA. On a CPU it helps where much elementwise work
            lies between Fourier transforms, and hurts convolutions: measure, then choose.
        nfe_option: the option that says how many network calls are made for each image; None where none does.
        fully_sampled: whether only fully sampled measurements can be reconstructed, as by an autoencoder, which
            reproduces images. It is then validated on records as they were measured.
        first_stage: names of models that are not trained here but taken from an earlier run (`train.start_from`);
            training does not begin without them.
    """

    name: ClassVar[str]
    model_type: ClassVar[type] = NoSettings
    objective_type: ClassVar[type] = NoSettings
    options_type: ClassVar[type]
    xla: ClassVar[bool] = False
    nfe_option: ClassVar[str | None] = None
    fully_sampled: ClassVar[bool] = False
    first_stage: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Any = None, objective: Any = None) -> None:
        self.model = self.model_type() if model is None else model
        self.objective = self.objective_type() if objective is None else objective

    def fields(self) -> tuple[str, ...]:
        """The optional fields ("maps", "reference", "noise_std", "label") that every batch of `loss` must have."""
        return ()

    @property
    def label_width(self) -> int:
        """How many numbers a label has that the networks are conditioned on; 0 where they take none."""
        return 0

    def training_images(self) -> TrainingImages | None:
        """What `loss` learns from, if that is images alone; None where it needs the measurement.

        Images of several sizes can be padded into one batch, which no measurement can. `loss` is then given "image"
        and "valid" in the place of "kspace", "mask", "maps" and "reference", and compares what is valid.
        `TrainingImages.of` takes both kinds of batches.
        """
        return None

    def build(self, seed: int = 0) -> dict[str, Any]:
        """Makes the Keras models, built and with their initial weights; a classical method has none.

        Args:
            seed: of the initial weights; the same seed gives the same weights.

        Returns:
            Keras models by name. What is not to be trained has `trainable = False`.
        """
        del seed
        return {}

    def prepare(self, models: Mapping[str, Any], batches: Iterable[Mapping[str, Tensor]]) -> str:
        """Measures what the models need to know, before the first step of a run; a resumed one has it already.

        Args:
            models: what `build` returned, with the weights that the run starts from. Variables that are not trained
                may be changed.
            batches: a few, as `loss` takes them, of the validation dataset, or the training dataset where there is
                none. They are read when they are asked for.

        Returns:
            What is to be told of it in one line; empty for nothing.

        Raises:
            InputError: training would be in vain.
        """
        del models, batches
        return ""

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seeds: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The training loss of each example of a batch.

        An example's loss must not depend on which others are in its batch (methods whose loss
        compares examples apart): the trainer splits batches between devices and in time, and the sum
        has to come out the same.

        Args:
            models: what `build` returned.
            batch: tensors by field name, as `data.pipeline` yields them; of padded images only with `training_images`.
            seeds: one seed for each example, `[B, 2]` (`util.rng.make_seeds`); the functions of
                `util.rng` take such a batch of seeds.
            training: whether dropout and the like are active.

        Returns:
            float32 `[B]` losses, and what is to be logged: float32 `[B]` or scalars by name.

        Raises:
            InputError: the method has nothing to train.
        """
        raise InputError(f"method {self.name!r} has nothing to train", fix="reconstruct with it directly")

    def updates(self, models: Mapping[str, Any], logs: Mapping[str, Tensor]) -> list[tuple[Any, Tensor]]:
        """What a step changes besides the weights, for instance which losses were seen at which times.

        The trainer applies it once for each step, behind its guard against NaN and Inf, and keeps the variables in
        checkpoints as they belong to the models.

        Args:
            models: what `build` returned.
            logs: what `loss` gave of all examples of the global batch, in their order, as float32.

        Returns:
            Variables of the models that are not trained, each with its new value.
        """
        del models, logs
        return []

    @abc.abstractmethod
    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: Any
    ) -> Reconstruction:
        """Images of a normalised measurement with any leading axes.

        Args:
            models: what `build` returned.
            measurement: k-space `[..., C, H, W]`, mask and maps; see `typing.Measurement`.
            seed: from `util.rng.make_seed`; deterministic methods ignore it.
            options: an `options_type` instance.

        Returns:
            The image in the units of the measurement, `[..., H, W]`.
        """

    def complete(self, options: Any) -> Any:
        """Options with numbers in the place of what they leave to the model; `resolve_options` gives them so."""
        return options

    def check(self, measurement: Measurement, options: Any, *, series: bool = False) -> None:
        """Looks at a measurement before it is reconstructed, for what shapes do not tell.

        Args:
            measurement: NumPy arrays, not normalised, with any leading axes.
            options: an `options_type` instance.
            series: whether the axis before the coils is time.

        Raises:
            InputError: the method cannot reconstruct it, or not rightly.
        """
        del measurement, options, series

    def network_calls(self, options: Any) -> int | None:
        """How many network calls a reconstruction makes for each image, those of all samples together.

        Args:
            options: an `options_type` instance.

        Returns:
            None where no number is known.
        """
        if self.nfe_option is None:
            return None
        return getattr(options, self.nfe_option) * getattr(options, "samples", 1)

    def stepwise(self, options: Any) -> Stepwise | None:
        """The reconstruction in steps; None for methods, or options, whose reconstruction is one piece."""
        del options
        return None

    def require_finite(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor, options: Any, result: Reconstruction
    ) -> None:
        """Raises an error that says what is known of where a reconstruction ceased to be finite, if it did.

        Args:
            models: what it was run with; so are the following.
            measurement: normalised, `[B, C, H, W]`.
            seed: see `reconstruct`.
            options: see `reconstruct`.
            result: what it gave.

        Raises:
            InputError: an image holds NaN or Inf.
        """
        del models, measurement, seed, options
        require_finite_result(result)

    def budgeted(self, options: Any) -> Budgeted | None:
        """The reconstruction with a number of network calls that its graph is told; None where it cannot be told."""
        del options
        return None

    def serving_fields(self, options: Any) -> tuple[str, ...]:
        """The optional fields of a measurement ("noise_std", "label") that an exported `reconstruct` is given.

        Those that `fields` does not name may be unknown: a noise below zero, labels of zeros.
        """
        del options
        return (*(name for name in self.fields() if name == "noise_std"), *(("label",) if self.label_width else ()))

    def serving_functions(self, models: Mapping[str, Any], options: Any) -> dict[str, ServingFunction]:
        """What an exported model offers beside `reconstruct`, for instance a diffusion model's denoiser.

        Whoever calls them gives k-space as it was measured: an input "kspace" `[B, C, H, W]` comes with
        "mask" `[B, 1, H, W]` and reaches the function divided by its scale, as in `reconstruct`. All
        other tensors, and what is returned, are in the units of normalised images.

        Args:
            models: what `build` returned.
            options: an `options_type` instance.
        """
        del models, options
        return {}


def require_finite_result(result: Reconstruction, place: str = "", fix: str = "") -> None:
    """Raises an error that names the images which are not finite.

    Args:
        result: of any leading axes.
        place: where they ceased to be, as far as it is known.
        fix: what else to try.

    Raises:
        InputError: an image holds NaN or Inf.
    """
    finite = np.isfinite(np.asarray(result.image)).all(axis=(-2, -1)).ravel()
    if finite.all():
        return
    images = ", ".join(map(str, np.flatnonzero(~finite)[:8]))
    raise InputError(
        f"reconstruction of image {images} of {finite.size} is not finite{place}",
        fix="check k-space, maps and noise_std of the slice" + (f"; {fix}" if fix else ""),
    )


def register_method(cls: type[Method]) -> type[Method]:
    """Class decorator: makes a method known by its `name`."""
    _REGISTRY[cls.name] = cls
    return cls


def method_names() -> tuple[str, ...]:
    """All methods that `get_method` knows."""
    return tuple(dict.fromkeys([*_MODULES, *_REGISTRY]))


def untrained_names() -> tuple[str, ...]:
    """The methods that give an image without a trained model."""
    return tuple(name for name in method_names() if method_type(name).build is Method.build)


def method_type(name: str) -> type[Method]:
    """The class of the method of that name.

    Raises:
        InputError: there is none.
    """
    if name not in _REGISTRY and name in _MODULES:
        importlib.import_module(_MODULES[name])
    if name not in _REGISTRY:
        raise InputError(f"no method {name!r}", fix=f"choose one of {', '.join(method_names())}")
    return _REGISTRY[name]


def get_method(name: str, model: Any = None, objective: Any = None) -> Method:
    """The method of that name, with the settings given or its defaults; see `Method`.

    Raises:
        InputError: there is none.
    """
    return method_type(name)(model, objective)


def resolve_options(method: Method, given: Mapping[str, Any]) -> Any:
    """An `options_type` instance of the defaults with `given` on top.

    Strings, as the command line has them, are converted to the type of the option; "group.name" is an option of a
    group.

    Raises:
        InputError: an unknown option or a value of the wrong type.
    """
    return method.complete(make_settings(method.options_type, from_dotted(given), f"method {method.name!r}"))
