"""An experiment: which method, which data, how long. Read from config files and from `config.json`.

A config file is Python with a function `get_config()` that returns an `ml_collections.ConfigDict`;
it starts from `default_config(method)`, which holds every key there is, and changes what differs:

    from tfrecon.train.config import default_config

    def get_config():
        config = default_config("ssdiffrecon")
        config.data.train = "data/train"
        config.train.steps = 20_000
        return config

Nothing here needs TensorFlow, so that a run can be described on any backend.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, Literal

from ml_collections import ConfigDict

import tfrecon
from tfrecon.data.transforms import Undersampling
from tfrecon.methods.base import Method, method_type
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings, to_dictionary


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """What is trained on.

    Attributes:
        train: folder of the training dataset.
        validation: folder of the validation dataset; empty for no validation.
        batch_size: examples in a step, over all devices; with `buckets`, what the number of examples in every
            step is a multiple of.
        undersample: acquisitions to simulate on fully sampled records; each record gets one of them
            for ever, chosen by (mask_seed, record id). Empty: records are used as they were measured.
        mask_seed: of the simulated acquisitions.
        shuffle: whether each epoch has an order of its own.
        buckets: of methods that learn from images alone: images of several sizes share batches, padded with zeros to
            a height and width that are multiples of this, usually 32 or 64. 0: a batch holds one size.
        pixels_per_batch: with `buckets`, how many pixels a batch has at most, padding included. Every step costs
            about the same then, and its loss is the mean over its images, however many.
        pad_coils: records that differ in the number of their coils alone share batches; coils that one lacks are
            zeros in k-space and maps. They change no image, but a loss that averages over coils counts them.
    """

    train: str = ""
    validation: str = ""
    batch_size: int = 1
    undersample: tuple[Undersampling, ...] = ()
    mask_seed: int = 0
    shuffle: bool = True
    buckets: int = 0
    pixels_per_batch: int = 0
    pad_coils: bool = False

    def __post_init__(self) -> None:
        if self.buckets < 0 or self.pixels_per_batch < 0:
            raise InputError(
                "data.buckets and data.pixels_per_batch are 0 or more", fix="give for instance 32 and 500000"
            )
        if bool(self.buckets) != bool(self.pixels_per_batch):
            given, lacking = ("buckets", "pixels_per_batch") if self.buckets else ("pixels_per_batch", "buckets")
            raise InputError(f"data.{given} is set without data.{lacking}", fix="set both, or neither")
        if self.buckets and self.pad_coils:
            raise InputError("padded images have no coils to pad", fix="set either data.buckets or data.pad_coils")


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How weights are updated.

    Attributes:
        name: the Keras optimizer.
        learning_rate: at its highest, after the warm-up.
        beta_1: of Adam and AdamW.
        beta_2: of Adam and AdamW; of RMSprop the decay of the squares.
        momentum: of RMSprop and SGD.
        epsilon: added to the root of the second moment.
        weight_decay: of AdamW.
        warmup_steps: the learning rate rises linearly from 0 over so many.
        schedule: what it does afterwards, until the last step.
        final_fraction: where it ends, as a fraction of `learning_rate`.
        clip_norm: global norm to which gradients are scaled down; None leaves them.
    """

    name: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    momentum: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 0
    schedule: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    final_fraction: float = 0.01
    clip_norm: float | None = 1.0


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How long and how.

    Attributes:
        steps: optimizer steps.
        accumulate: each batch is worked on in so many equal parts, one after the other; the update
            is that of the whole batch, the memory that of a part.
        ema_decay: of the exponential moving average of the weights, which is what is validated and
            exported. It rises towards this value over the first steps.
        precision: "mixed_bfloat16" computes the networks, and nothing else, in bfloat16.
        nonfinite: what happens when the loss or a gradient is NaN or Inf. "skip" leaves weights,
            moments and average as they are; "zero" replaces such gradients by 0; "raise" stops.
        max_nonfinite: stops after so many such steps in a row.
        log_every: steps between two lines of `metrics.csv`.
        validate_every: steps between two validations; 0 for none.
        validation_records: how many records are reconstructed for one.
        images: how many of them TensorBoard shows.
        checkpoint_every: steps between two checkpoints.
        checkpoint_minutes: a checkpoint is also written after so many minutes.
        keep_checkpoints: the latest that are kept, besides the best.
        jit: compiles the step by XLA.
        start_from: model folder, or workdir whose best or final models are taken, from which the weights
            are at first; the architectures must agree, but weights that the other lacks begin as they are.
            Empty: weights drawn by `seed`.
    """

    steps: int = 1000
    accumulate: int = 1
    ema_decay: float = 0.999
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    nonfinite: Literal["skip", "zero", "raise"] = "skip"
    max_nonfinite: int = 10
    log_every: int = 50
    validate_every: int = 1000
    validation_records: int = 16
    images: int = 4
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    jit: bool = False
    start_from: str = ""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All that decides a training run.

    Attributes:
        method: a name of `methods.base.method_names()`.
        model: the method's `model_type`.
        objective: the method's `objective_type`.
        reconstruct: the method's `options_type`, used in validation and by default afterwards.
        data: what is trained on.
        optimizer: how weights are updated.
        train: how long and how.
        seed: of the initial weights, the order of the data and all noise.
    """

    method: str
    model: Any
    objective: Any
    reconstruct: Any
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    optimizer: OptimizerSettings = dataclasses.field(default_factory=OptimizerSettings)
    train: TrainSettings = dataclasses.field(default_factory=TrainSettings)
    seed: int = 0

    def make_method(self) -> Method:
        """The method with this experiment's settings."""
        return method_type(self.method)(self.model, self.objective)

    def to_json(self) -> dict[str, Any]:
        """As nested dictionaries, with the version of tfrecon; `resolve_experiment` reads them back."""
        return {"tfrecon": tfrecon.__version__, **to_dictionary(self)}


def default_config(method: str, preset: Any = None) -> ConfigDict:
    """Every key of an experiment with a method, at its default.

    Args:
        method: its name.
        preset: settings that belong together instead of the method's defaults: anything with the attributes
            `model`, `objective` and `reconstruct`.

    Raises:
        InputError: there is no such method.
    """
    kind = method_type(method)
    if preset is None:
        settings = {"model": kind.model_type(), "objective": kind.objective_type(), "reconstruct": kind.options_type()}
    else:
        settings = {key: getattr(preset, key) for key in ("model", "objective", "reconstruct")}
    values = to_dictionary(Experiment(method, **settings))
    return ConfigDict(values, convert_dict=True, allow_dotted_keys=True)


def resolve_experiment(config: Mapping[str, Any] | ConfigDict, where: str = "") -> Experiment:
    """The experiment that a config describes: defaults, with what the config says on top.

    Args:
        config: what `get_config()` returned, or the content of a `config.json`.
        where: the file it is from, for messages.

    Raises:
        InputError: a key that does not exist (the nearest known one is named), a value of the wrong
            type, no method, or a method that does not exist.
    """
    given = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    given.pop("tfrecon", None)
    name = given.pop("method", None)
    if not isinstance(name, str):
        raise InputError("config names no method", where, 'set config.method, for instance "ssdiffrecon"')
    try:
        kind = method_type(name)
    except InputError as error:
        raise InputError(error.what, where, error.fix) from error
    own = {"model": kind.model_type, "objective": kind.objective_type, "reconstruct": kind.options_type}
    shared = {"data": DataSettings, "optimizer": OptimizerSettings, "train": TrainSettings}
    values: dict[str, Any] = {}
    for key, settings_type in {**own, **shared}.items():
        section = given.pop(key, {})
        if not isinstance(section, Mapping):
            raise InputError(f"config: {key!r} is a dictionary of settings, not {section!r}", where)
        values[key] = make_settings(settings_type, section, f"config.{key}", where)
    seed = make_settings(_Seed, {key: given.pop(key) for key in ("seed",) if key in given}, "config", where).seed
    if given:
        key, known = next(iter(given)), ["method", "seed", *own, *shared]
        near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"its keys are: {', '.join(known)}"
        raise InputError(f"config has no key {key!r}", where, advice)
    return Experiment(method=name, seed=seed, **values)


@dataclasses.dataclass(frozen=True)
class _Seed:
    seed: int = 0
