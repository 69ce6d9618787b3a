"""Training on JAX from arrays, into a workdir that TensorFlow reads: steps, log, checkpoints, model folder.

    summary = train_on_jax(experiment, "arrays", "runs/first")

As in `train.loop`, what happens in step n is a function of the experiment and n, so that a run which is
interrupted and goes on is the run that was not. There is no validation: that needs the records.

The workdir is that of `train.workdir` with checkpoints of its own kind, `checkpoints/jax-00001000.npz`.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import pathlib
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import tqdm

import tfrecon
from tfrecon.train.arrays import TrainingArrays
from tfrecon.train.beginning import begin_run
from tfrecon.train.config import Experiment
from tfrecon.train.csv_log import CsvLog, StepMeans
from tfrecon.train.guard import check_consecutive, describe_bad_step
from tfrecon.train.jax_step import JaxState, JaxStep
from tfrecon.train.model_folder import save_model_folder
from tfrecon.train.result import StepResult
from tfrecon.train.workdir import Workdir, open_workdir, settle_config, write_config
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path, explain_os_error
from tfrecon.util.progress import progress
from tfrecon.util.settings import to_dictionary

_NAME = re.compile(r"jax-(\d{8,})\.npz")
_FACTS = "facts"


@dataclasses.dataclass(frozen=True)
class JaxSummary:
    """How a run ended.

    Attributes:
        step: the steps made, those of earlier processes included.
        steps: how many there were to be.
        skipped: steps whose loss or gradients were not finite.
        seconds: time of this process in steps.
    """

    step: int
    steps: int
    skipped: int
    seconds: float


def train_on_jax(
    experiment: Experiment | None, arrays: PathLike, workdir: PathLike, stop: Callable[[], bool] = lambda: False
) -> JaxSummary:
    """Trains, from the beginning or from where the workdir's last checkpoint is.

    Args:
        experiment: what to run; None for what the workdir's `config.json` says.
        arrays: folder of `train.arrays`.
        workdir: nobody else may train in it meanwhile.
        stop: asked after each step; True writes a checkpoint and ends the run.

    Raises:
        InputError: the experiment cannot be run, or not in this workdir; damaged arrays or checkpoint; a
            full disk; or too many steps that were not finite.
    """
    data = TrainingArrays(arrays)
    with open_workdir(workdir) as places:
        experiment = settle_config(places, experiment)
        return _Run(experiment, data, arrays, places).train(stop)


class _Run:
    """One run in one process."""

    def __init__(self, experiment: Experiment, data: TrainingArrays, arrays: PathLike, workdir: Workdir) -> None:
        self.experiment, self.settings, self.workdir = experiment, experiment.train, workdir
        method = experiment.make_method()
        data.require(method.fields(), arrays)
        self.train_step = JaxStep(experiment, method)
        if not _checkpoints(workdir):
            for line in begin_run(experiment, method, self.train_step.models, _some_batches(data, experiment)):
                self._say(line)
        self.state, facts = _restore(workdir, experiment, self.train_step.initial_state())
        self.step = self.saved_step = int(self.state.step)
        self.consecutive = int(self.state.consecutive)
        self.means = StepMeans(facts.get("means"))
        self.metrics = CsvLog(workdir.output / "metrics.csv", self.step)
        self.batches = data.batches(
            experiment.data.batch_size, experiment.seed, shuffle=experiment.data.shuffle, first=self.step
        )
        self.unseen: tuple[int, StepResult, list[str]] | None = None

    def train(self, stop: Callable[[], bool]) -> JaxSummary:
        write_config(self.workdir, self.experiment)
        weights = sum(int(np.prod(variable.shape)) for variable in self.train_step.trainable)
        self._say(
            f"tfrecon {tfrecon.__version__}, JAX {jax.__version__} on {jax.devices()[0].platform}: "
            f"{self.experiment.method} with {weights} weights, from step {self.step} until step {self.settings.steps}"
        )
        began = time.monotonic()
        if self.step < self.settings.steps:
            self._loop(stop)
            self._look_at_result()
            self._save()
        seconds = time.monotonic() - began
        save_model_folder(self.workdir.final, self.experiment, self.train_step.averaged_models(self.state))
        self._say(f"ended at step {self.step} of {self.settings.steps}")
        return JaxSummary(self.step, self.settings.steps, int(self.state.skipped), seconds)

    def _loop(self, stop: Callable[[], bool]) -> None:
        settings, saved_at, speed = self.settings, time.monotonic(), _Speed(self.step)
        with progress(None, "train", total=settings.steps, initial=self.step, unit="step") as bar:
            while self.step < settings.steps:
                batch, names = next(self.batches)
                self.state, result = self.train_step(self.state, batch)
                self.step += 1
                # The step before is looked at while the device works on this one.
                self._look_at_result()
                self.unseen = (self.step, result, names)
                bar.update()
                if self._is_due(settings.log_every):
                    self._look_at_result()
                    row = {"step": self.step, **self.means.take(), "skipped": int(self.state.skipped)}
                    self.metrics.write({**row, "steps_per_second": speed.since_last(self.step)})
                    bar.set_postfix(loss=f"{row['loss']:.4g}", refresh=False)
                if stop():
                    return
                overdue = time.monotonic() - saved_at >= 60 * settings.checkpoint_minutes
                if overdue or self._is_due(settings.checkpoint_every):
                    self._save()
                    saved_at = time.monotonic()

    def _is_due(self, every: int) -> bool:
        return self.step == self.settings.steps or (every > 0 and self.step % every == 0)

    def _look_at_result(self) -> None:
        """Adds the latest step to the means, and sees whether it was finite."""
        if self.unseen is None:
            return
        (step, result, names), self.unseen = self.unseen, None
        self.means.add(result)
        if bool(result.finite):
            self.consecutive = 0
            return
        self.consecutive += 1
        description = describe_bad_step(step, result, dict(enumerate(names)), self.train_step.names)
        self._say(description)
        check_consecutive(self.consecutive, self.settings, description)

    def _save(self) -> None:
        """Writes a checkpoint, whole or not at all, and removes those that are too old."""
        if self.saved_step == self.step:
            return
        self._look_at_result()
        facts = {**_identity(self.experiment), "means": self.means.to_json()}
        arrays = {str(number): np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(self.state))}
        with atomic_path(self.workdir.checkpoints / f"jax-{self.step:08d}.npz") as temporary:
            np.savez(temporary, **arrays, **{_FACTS: json.dumps(facts)})
        self.saved_step = self.step
        for old in _checkpoints(self.workdir)[: -max(self.settings.keep_checkpoints, 1)]:
            old.unlink()

    def _say(self, text: str) -> None:
        """Writes a line into log.txt and onto the terminal."""
        path = self.workdir.output / "log.txt"
        try:
            with open(path, "a") as file:
                file.write(f"{datetime.datetime.now().isoformat(sep=' ', timespec='seconds')} {text}\n")
        except OSError as error:
            raise explain_os_error(error, path) from error
        tqdm.tqdm.write(text, file=sys.stderr)


class _Speed:
    """Steps per second since it was last asked."""

    def __init__(self, step: int) -> None:
        self._time, self._step = time.monotonic(), step

    def since_last(self, step: int) -> float:
        now = time.monotonic()
        speed = (step - self._step) / max(now - self._time, 1e-9)
        self._time, self._step = now, step
        return speed


def _checkpoints(workdir: Workdir) -> list[pathlib.Path]:
    """In the order of their steps."""
    found = [path for path in workdir.checkpoints.glob("jax-*.npz") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(_NAME.fullmatch(path.name)[1]))


def _some_batches(data: TrainingArrays, experiment: Experiment) -> Iterator[dict[str, np.ndarray]]:
    """Those of `train.validation_records` records at least."""
    count = -(-experiment.train.validation_records // experiment.data.batch_size)
    batches = data.batches(experiment.data.batch_size, experiment.seed, shuffle=experiment.data.shuffle)
    return (batch for batch, _ in itertools.islice(batches, max(count, 1)))


def _restore(workdir: Workdir, experiment: Experiment, state: JaxState) -> tuple[JaxState, dict[str, Any]]:
    """The state of the last checkpoint with what was unfinished, or `state` where there is none."""
    checkpoints = _checkpoints(workdir)
    if not checkpoints:
        if any(workdir.checkpoints.glob("step-*")):
            raise InputError("has checkpoints of TensorFlow", str(workdir.folder), "go on with tfrecon train")
        return state, {}
    path, leaves = checkpoints[-1], jax.tree.leaves(state)
    try:
        with np.load(path, allow_pickle=False) as file:
            facts = json.loads(str(file[_FACTS]))
            stored = [file[str(number)] for number in range(len(file.files) - 1)]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError("is a damaged checkpoint", str(path), "remove it to go on from the one before") from error
    same = [array.shape for array in stored] == [leaf.shape for leaf in leaves]
    if not same or {key: facts.get(key) for key in _identity(experiment)} != _identity(experiment):
        raise InputError("is a checkpoint of another architecture", str(path), "use the workdir it is from")
    new = [jax.numpy.asarray(array, leaf.dtype) for array, leaf in zip(stored, leaves, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(state), new), facts


def _identity(experiment: Experiment) -> dict[str, Any]:
    return {"method": experiment.method, "model": to_dictionary(experiment.model)}
