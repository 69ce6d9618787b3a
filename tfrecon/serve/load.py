"""Finds out what kind of trained model a folder holds, and loads it: `tfrecon.load`."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrecon.methods.base import Method
from tfrecon.serve.learned import LearnedModel, TrainedModel
from tfrecon.train.config import Experiment
from tfrecon.train.model_folder import CONFIG_FILE, SUFFIX, load_model_folder
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import found_folder, sha256_of

_SAVED_MODEL = "saved_model.pb"
_KINDS = "a workdir of tfrecon train, a model folder, or a SavedModel of tfrecon export"


def load(folder: PathLike, checkpoint: int | str | None = None) -> LearnedModel:
    """Loads a trained model.

    Args:
        folder: a workdir of `tfrecon train`, a model folder, or a SavedModel of `tfrecon export`.
        checkpoint: of a workdir: "best" (by validation), "final" (where training ended), or the step of a
            checkpoint; always the averaged weights. None takes the best, else the end, else the latest
            checkpoint.

    Returns:
        A callable `(kspace, mask=None, maps=None, seed=0, **options) -> image`; see
        `serve.learned.LearnedModel`.

    Raises:
        InputError: the folder is none of the three, is damaged, or lacks the checkpoint.
    """
    path = found_folder(folder)
    if not path.is_dir():
        raise InputError("no such folder", str(folder), f"give {_KINDS}")
    saved, configured = (path / _SAVED_MODEL).is_file(), (path / CONFIG_FILE).is_file()
    handed_over = configured and any(path.glob(f"*{SUFFIX}"))
    if (saved or handed_over) and checkpoint is not None:
        raise InputError(f"has no checkpoint {str(checkpoint)!r}: it is no workdir", str(path), "leave it out")
    if saved:
        from tfrecon.serve.saved import SavedModel

        return SavedModel(path, {"folder": str(folder), "sha256": _digest_of_files(path)})
    if handed_over:
        return _trained(*load_model_folder(path), source={"folder": str(folder)})
    if configured:
        from tfrecon.train.checkpoints import load_checkpoint

        source = {"folder": str(folder), "checkpoint": None if checkpoint is None else str(checkpoint)}
        return _trained(*load_checkpoint(path, checkpoint), source=source)
    raise InputError("holds no trained model", str(path), f"give {_KINDS}")


def _trained(
    experiment: Experiment, method: Method, models: Mapping[str, Any], source: Mapping[str, Any]
) -> TrainedModel:
    return TrainedModel(method, models, experiment.reconstruct, {**source, "sha256": _digest_of_weights(models)})


def _digest_of_weights(models: Mapping[str, Any]) -> str:
    """SHA-256 of all weights: it is the same wherever and in whatever form they are kept."""
    digest = hashlib.sha256()
    for name in sorted(models):
        for variable in models[name].variables:
            digest.update(f"{name} {variable.shape} {variable.dtype}".encode())
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()


def _digest_of_files(folder: pathlib.Path) -> str:
    """SHA-256 over names and contents of the files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
