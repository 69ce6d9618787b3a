"""Checkpoints: all that a run needs to go on as if it had never stopped.

Each is a folder of its own, which appears under its name only when it is complete, so that a full disk
or a killed process never costs more than the steps since the last one:

    checkpoints/step-00001000/
      state.index, state.data-00000-of-00001    a `tf.train.Checkpoint`: weights, average, moments, counters
      facts.json                                the step, method and architecture, and unfinished means of the log
"""

from __future__ import annotations

import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfrecon.methods.base import Method
from tfrecon.train.config import Experiment
from tfrecon.train.model_folder import load_model_folder, read_experiment
from tfrecon.train.state import create_state
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError, reason_of
from tfrecon.util.files import atomic_folder, found_folder, read_json, write_json
from tfrecon.util.settings import to_dictionary

FACTS_FILE = "facts.json"
_STATE = "state"
_NAME = re.compile(r"step-(\d{8,})")


class Checkpoints:
    """The checkpoints of a workdir.

    Args:
        folder: from which is read.
        keep: the latest so many stay.
        output: to which is written; None for `folder`.
    """

    def __init__(self, folder: PathLike, keep: int = 2, output: PathLike | None = None) -> None:
        self.folder = pathlib.Path(folder)
        self.keep = max(keep, 1)
        self.output = self.folder if output is None else pathlib.Path(output)

    def steps(self) -> tuple[int, ...]:
        """The steps of which there is a complete checkpoint, in order."""
        return _steps_in(self.folder)

    def save(
        self, checkpoint: tf.train.Checkpoint, step: int, experiment: Experiment, facts: Mapping[str, Any]
    ) -> None:
        """Writes a checkpoint, whole or not at all, and removes those that are too old.

        Args:
            checkpoint: of the training's state.
            step: the steps made.
            experiment: what is trained.
            facts: more to remember, as JSON can hold it.

        Raises:
            InputError: the disk is full, or the folder cannot be written. Earlier checkpoints stay.
        """
        place = self.output / f"step-{step:08d}"
        with atomic_folder(place) as temporary:
            try:
                checkpoint.write(str(temporary / _STATE))
            except tf.errors.OpError as error:
                raise InputError(
                    f"checkpoint cannot be written ({reason_of(error).rsplit('; ', 1)[-1]})",
                    str(place),
                    "free some space; the same command goes on from the last checkpoint",
                ) from error
            write_json(temporary / FACTS_FILE, {"step": step, **_identity(experiment), **facts})
        for old in _steps_in(self.output)[: -self.keep]:
            shutil.rmtree(self.output / f"step-{old:08d}", ignore_errors=True)

    def restore(self, checkpoint: tf.train.Checkpoint, step: int, experiment: Experiment) -> dict[str, Any]:
        """Puts a checkpoint's values into a training's state.

        Args:
            checkpoint: of the state.
            step: of the checkpoint.
            experiment: what the state is of.

        Returns:
            What `save` was given as `facts`, and the step.

        Raises:
            InputError: there is no such checkpoint, it is damaged, or it is of another method or architecture.
        """
        self._check_exists(step)
        place = self.folder / f"step-{step:08d}"
        facts = read_json(place / FACTS_FILE)
        _check_identity(facts, experiment, place)
        try:
            checkpoint.read(str(place / _STATE)).assert_consumed()
        except (ValueError, AssertionError) as error:
            raise InputError(
                f"is a checkpoint of other variables ({reason_of(error)})", str(place), "use the workdir it is from"
            ) from error
        except (tf.errors.OpError, IndexError) as error:  # the latter of a data file that ends too early
            others = [other for other in self.steps() if other != step]
            advice = f"remove this folder to go on from step {others[-1]}" if others else "train again"
            raise InputError(f"is damaged ({reason_of(error)})", str(place), advice) from error
        return facts

    def _check_exists(self, step: int) -> None:
        steps = self.steps()
        if step not in steps:
            there = f"there are {', '.join(map(str, steps))}" if steps else "there are none"
            raise InputError(f"no checkpoint of step {step}", str(self.folder), there)


def load_checkpoint(workdir: PathLike, step: int | str | None = None) -> tuple[Experiment, Method, dict[str, Any]]:
    """Trained models of a workdir, with the averaged weights.

    Args:
        workdir: of a training run, perhaps still going on.
        step: of a checkpoint; "best" for the best validation, "final" for the end of training; None for
            the best if there is one, else the end, else the latest checkpoint.

    Returns:
        The experiment, its method, and the models by name.

    Raises:
        InputError: no such workdir or step; those that exist are listed.
    """
    folder = pathlib.Path(workdir)
    if not folder.is_dir():
        raise InputError("no such workdir", str(folder), "check the path")
    named = {name: found_folder(folder / name) for name in ("best", "final")}
    named = {name: place for name, place in named.items() if place.is_dir()}
    checkpoints = Checkpoints(folder / "checkpoints")
    choices = [*named, *map(str, reversed(checkpoints.steps()))]
    if step is None and choices:
        step = choices[0]
    if str(step) not in choices:
        there = f"there are {', '.join(choices)}" if choices else "train first, or check the path"
        what = "holds no trained weights" if step is None else f"no checkpoint {str(step)!r}"
        raise InputError(what, str(folder), there)
    if str(step) in named:
        return load_model_folder(named[str(step)])
    experiment = read_experiment(folder)
    method = experiment.make_method()
    state = create_state(experiment, method)
    checkpoints.restore(state.checkpoint(), int(step), experiment)
    return experiment, method, dict(state.ema)


def _steps_in(folder: pathlib.Path) -> tuple[int, ...]:
    names = [_NAME.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(int(name[1]) for name in names if name))


def _identity(experiment: Experiment) -> dict[str, Any]:
    return {"method": experiment.method, "model": to_dictionary(experiment.model)}


def _check_identity(facts: Mapping[str, Any], experiment: Experiment, place: pathlib.Path) -> None:
    wanted = _identity(experiment)
    if facts.get("method") != wanted["method"]:
        raise InputError(
            f"is a checkpoint of method {facts.get('method')!r}, not {wanted['method']!r}",
            str(place),
            "use the workdir it is from",
        )
    have = facts.get("model", {})
    other = [key for key in {**have, **wanted["model"]} if have.get(key) != wanted["model"].get(key)]
    if other:
        raise InputError(
            f"is a checkpoint of another architecture (model.{other[0]} is {have.get(other[0])!r}, "
            f"not {wanted['model'].get(other[0])!r})",
            str(place),
            "use the workdir it is from",
        )
