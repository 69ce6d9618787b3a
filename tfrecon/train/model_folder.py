"""A model folder: trained weights as they are handed over, with all that is needed to use them.

    FOLDER/
      config.json       the experiment: method, architecture, objective, options, data
      NAME.keras        one file for each model of the method, with the averaged (EMA) weights

Nothing here needs TensorFlow: the files are Keras', and load on any of its backends.
"""

from __future__ import annotations

import pathlib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from tfrecon.methods.base import Method
from tfrecon.train.config import Experiment, resolve_experiment
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError, reason_of
from tfrecon.util.files import atomic_folder, found_folder, read_json, write_json

CONFIG_FILE = "config.json"
SUFFIX = ".keras"


def save_model_folder(folder: PathLike, experiment: Experiment, models: Mapping[str, Any]) -> pathlib.Path:
    """Writes a model folder, whole or not at all; it takes the place of an older one.

    Args:
        folder: where to.
        experiment: of which the models are.
        models: Keras models by name, with the weights to hand over.

    Returns:
        `folder`.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    with atomic_folder(folder) as temporary:
        for name, model in models.items():
            with warnings.catch_warnings():
                # Keras 3.15 writes weights through a call that NumPy 2 deprecates.
                warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
                model.save(temporary / f"{name}{SUFFIX}")
        write_json(temporary / CONFIG_FILE, experiment.to_json())
    return pathlib.Path(folder)


def load_model_folder(folder: PathLike) -> tuple[Experiment, Method, dict[str, Any]]:
    """Reads a model folder.

    The models are built anew by the method and get the weights of the files, so no code is
    taken from the files.

    Args:
        folder: that `save_model_folder` wrote.

    Returns:
        The experiment, its method, and the models by name.

    Raises:
        InputError: no such folder, a file is missing or damaged, or the weights are not those of the
            architecture in `config.json`.
    """
    folder = found_folder(folder)
    if not folder.is_dir():
        raise InputError("no such model folder", str(folder), "train first, or check the path")
    experiment = read_experiment(folder)
    method = experiment.make_method()
    models = method.build(experiment.seed)
    if not models:
        raise InputError(f"method {experiment.method!r} has no weights", str(folder), "reconstruct with --method")
    for name, model in models.items():
        _load_weights(folder / f"{name}{SUFFIX}", model, experiment.method)
    return experiment, method, models


def take_weights(models: Mapping[str, Any], folder: PathLike, required: Sequence[str] = ()) -> list[str]:
    """Gives models the weights of others of the same architecture, or of one that lacks some of the weights.

    A network with a learned data consistency can so begin with one whose consistency learns nothing, and a second
    stage with the models of the first.

    Args:
        models: Keras models by name.
        folder: a model folder, or a workdir, of which the best or else the final models are taken.
        required: names of models that the others must have; of the rest they need one.

    Returns:
        Paths of the weights that the others lack, and names of models that they lack whole; these stay as they are.

    Raises:
        InputError: there are no such models, or they have weights that are not to be trained here.
    """
    folder = pathlib.Path(folder)
    parts = [part for part in (folder, folder / "best", folder / "final") if any(part.glob(f"*{SUFFIX}"))]
    if not parts:
        raise InputError("holds no trained models to start from", str(folder), "give a model folder or a workdir")
    others = load_model_folder(parts[0])[2]
    missing = [name for name in required if name not in others]
    if missing:
        raise InputError(f"holds no {missing[0]!r}", str(parts[0]), f"give a trained {missing[0]}")
    found, lacking = [], []
    for name, model in models.items():
        if name not in others and required and model.trainable_variables:
            lacking.append(name)
            continue
        if name not in others and not model.trainable_variables:  # what a method remembers of its training
            lacking += [variable.path for variable in model.variables]
            continue
        pairs = _counterparts(model.variables, others[name].variables if name in others else [])
        if not pairs:
            raise InputError(
                f"its {name!r} has another architecture than the one to be trained",
                str(parts[0]),
                "use its config.model",
            )
        filled = {id(own) for own, _ in pairs}
        lacking += [variable.path for variable in model.variables if id(variable) not in filled]
        found += pairs
    for own, theirs in found:
        own.assign(theirs)
    return lacking


def _counterparts(own: Sequence[Any], theirs: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pairs of variables: by place where all have equal shapes, else by path; none if one of theirs has no place."""
    if [tuple(variable.shape) for variable in own] == [tuple(variable.shape) for variable in theirs]:
        return list(zip(own, theirs, strict=True))
    by_path = {variable.path: variable for variable in own}
    pairs = [(by_path.get(variable.path), variable) for variable in theirs]
    fits = all(mine is not None and tuple(mine.shape) == tuple(other.shape) for mine, other in pairs)
    return pairs if fits else []


def read_experiment(folder: PathLike) -> Experiment:
    """The experiment that the `config.json` of a model folder or workdir describes.

    Raises:
        InputError: there is none, or it is not one of this version.
    """
    path = pathlib.Path(folder) / CONFIG_FILE
    config = read_json(path)
    if not isinstance(config, dict):
        raise InputError("is not the config of an experiment", str(path), "train again, or check the path")
    return resolve_experiment(config, str(path))


def _load_weights(path: pathlib.Path, model: Any, method: str) -> None:
    if not path.is_file():
        raise InputError(f"lacks a model of method {method!r}", str(path), "copy the whole folder")
    if not zipfile.is_zipfile(path):
        raise InputError("is truncated or not a Keras file", str(path), "copy it again")
    try:
        with warnings.catch_warnings():
            # Keras only warns where it leaves layers at their initial weights.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except (ValueError, KeyError, OSError, UserWarning, zipfile.BadZipFile) as error:
        raise InputError(
            f"does not hold the weights of the architecture in {CONFIG_FILE} ({reason_of(error)})",
            str(path),
            "copy both again",
        ) from error
