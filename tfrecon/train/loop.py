"""The one trainer: steps, logs, validations and checkpoints, until the end or until it is told to stop.

    summary = train(experiment, "runs/first")

What happens in step n is a function of the experiment and n: which records, in which order, with which
random numbers. A checkpoint therefore holds the state alone, and a run that was interrupted at any
step and goes on is the run that was not.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

import tfrecon
from tfrecon.data.buckets import ImageBuckets, describe_buckets, plan_buckets
from tfrecon.data.dataset_info import read_dataset_info
from tfrecon.data.pipeline import choose_fields, dataset
from tfrecon.methods.base import Method
from tfrecon.train.beginning import begin_run
from tfrecon.train.checkpoints import Checkpoints
from tfrecon.train.config import Experiment
from tfrecon.train.csv_log import StepMeans
from tfrecon.train.distribute import distribute_dataset, is_chief, record_ids
from tfrecon.train.guard import check_consecutive, describe_bad_step
from tfrecon.train.logs import RunLog
from tfrecon.train.model_folder import save_model_folder
from tfrecon.train.result import StepResult
from tfrecon.train.state import create_state
from tfrecon.train.step import make_train_step
from tfrecon.train.stopping import Agreement
from tfrecon.train.validation import Validation, Validator, criterion
from tfrecon.train.workdir import Workdir, open_workdir, settle_config, write_config
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError, reason_of
from tfrecon.util.progress import progress


@dataclasses.dataclass(frozen=True)
class TrainSummary:
    """How a run ended.

    Attributes:
        workdir: of the run.
        step: the steps made, those of earlier processes included.
        steps: how many there were to be.
        skipped: steps whose loss or gradients were not finite.
        seconds: time in training steps, validations and checkpoints apart.
        best: scores and step of the best validation; None without one.
    """

    workdir: pathlib.Path
    step: int
    steps: int
    skipped: int
    seconds: float
    best: dict[str, float] | None

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop before the end."""
        return self.step < self.steps


def train(
    experiment: Experiment | None,
    workdir: PathLike,
    *,
    strategy: tf.distribute.Strategy | None = None,
    stop: Callable[[], bool] | None = None,
) -> TrainSummary:
    """Trains, from the beginning or from where the workdir's last checkpoint is.

    Args:
        experiment: what to run; None for what the workdir's `config.json` says.
        workdir: see `train.workdir`; nobody else may train in it meanwhile.
        strategy: from `distribute.make_strategy`; None for one device. All workers call this function.
        stop: asked after each step; True writes a checkpoint and ends the run.

    Returns:
        How it ended.

    Raises:
        InputError: the experiment cannot be run, or not in this workdir; a damaged checkpoint or record;
            a full disk; or too many steps that were not finite.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with open_workdir(workdir, is_chief(strategy)) as places:
        experiment = settle_config(places, experiment)
        run = _Run(experiment, places, strategy)
        try:
            return run.train(stop or (lambda: False))
        except tf.errors.DataLossError as error:
            raise InputError(
                f"a record is damaged ({reason_of(error)})", experiment.data.train, "convert the data again"
            ) from error
        except tf.errors.ResourceExhaustedError as error:
            raise InputError(
                f"the device's memory does not suffice ({reason_of(error)})",
                fix="give a smaller data.batch_size (with data.buckets pixels_per_batch), or a larger train.accumulate",
            ) from error


def training_batches(experiment: Experiment, method: Method, strategy: tf.distribute.Strategy, step: int) -> Any:
    """An iterable of the (distributed) batches of steps `step`, `step` + 1, ..., without end.

    Args:
        experiment: what is trained on.
        method: whose loss is to be computed.
        strategy: of `tf.distribute`.
        step: at which to begin.

    Raises:
        InputError: no such dataset, or records without what the method needs.
    """
    data, fields, images = experiment.data, training_fields(experiment, method), training_buckets(experiment, method)

    def make(part: tuple[int, int], replicas: int) -> tf.data.Dataset:
        return dataset(
            data.train,
            batch_size=data.batch_size,
            seed=experiment.seed,
            undersample=data.undersample or None,
            mask_seed=data.mask_seed,
            training=True,
            shuffle=data.shuffle,
            fields=fields,
            skip_batches=step,
            part=part,
            replicas=replicas,
            images=images,
            pad_coils=data.pad_coils,
        )

    return distribute_dataset(strategy, make)


def preparation_batches(experiment: Experiment, method: Method) -> Iterator[dict[str, Any]]:
    """Batches of one size each for `Method.prepare`, of `train.validation_records` records at least.

    Raises:
        InputError: no such dataset, or records without what the method needs.
    """
    data, left = experiment.data, experiment.train.validation_records
    folder = data.validation or data.train
    available = choose_fields(read_dataset_info(folder, verify=False), None)
    batches = dataset(
        folder,
        batch_size=max(1, min(data.batch_size, left)),
        seed=experiment.seed,
        undersample=data.undersample or None,
        mask_seed=data.mask_seed,
        shuffle=True,
        fields=tuple(dict.fromkeys([*method.fields(), *({"maps"} & set(available))])),
    )
    for batch in batches:
        yield batch
        left -= len(batch["record_id"])
        if left <= 0:
            return


def training_fields(experiment: Experiment, method: Method) -> tuple[str, ...]:
    """The optional fields of training batches: what the method asks for, and maps where all records have them.

    Raises:
        InputError: no such dataset.
    """
    if not experiment.data.train:
        raise InputError("config.data.train names no dataset", fix="give --config.data.train=FOLDER")
    available = choose_fields(read_dataset_info(experiment.data.train, verify=False), None)
    return tuple(dict.fromkeys([*method.fields(), *({"maps"} & set(available))]))


def training_buckets(experiment: Experiment, method: Method) -> ImageBuckets | None:
    """How images of several sizes share batches; None where batches hold one size.

    Raises:
        InputError: the method does not learn from images alone.
    """
    data = experiment.data
    if not data.buckets:
        return None
    images = method.training_images()
    if images is None:
        raise InputError(
            f"method {method.name!r} as configured learns from measurements, which cannot be padded to one size",
            fix="set data.buckets=0 and data.pixels_per_batch=0",
        )
    return ImageBuckets(data.buckets, data.pixels_per_batch, images.size_of, images.make, images.grid)


@dataclasses.dataclass
class _Clock:
    """Time in training steps: in all, and since the last line of the log."""

    seconds: float
    window: float = 0.0
    window_steps: int = 0
    _since: float = dataclasses.field(default_factory=time.monotonic)

    def stop(self) -> None:
        """What follows is not training."""
        elapsed = time.monotonic() - self._since
        self.seconds, self.window = self.seconds + elapsed, self.window + elapsed

    def go_on(self) -> None:
        self._since = time.monotonic()

    def take_speed(self) -> float:
        """Steps per second of the stopped clock since it was last asked."""
        speed = self.window_steps / max(self.window, 1e-9)
        self.window, self.window_steps = 0.0, 0
        return speed


class _Run:
    """One process's part of a run."""

    def __init__(self, experiment: Experiment, workdir: Workdir, strategy: tf.distribute.Strategy) -> None:
        self.experiment, self.settings = experiment, experiment.train
        self.workdir, self.strategy = workdir, strategy
        self.method = method = experiment.make_method()
        self.state = create_state(experiment, method, strategy)
        self.checkpoints = Checkpoints(
            workdir.folder / "checkpoints", self.settings.keep_checkpoints, workdir.checkpoints
        )
        self.beginning: list[str] = []
        facts = self._restore()
        self.step = self.saved_step = int(facts.get("step", 0))
        self.means, self.clock = StepMeans(facts.get("means")), _Clock(facts.get("seconds", 0.0))
        self.consecutive = int(self.state.consecutive.numpy())
        self.train_step = make_train_step(experiment, method, self.state, strategy)
        self.batches = training_batches(experiment, method, strategy, self.step)
        self.validator = None
        if experiment.data.validation and self.settings.validate_every:
            self.validator = Validator(experiment, method, self.state.ema)
        self.agreement = Agreement(strategy)
        self.unseen: tuple[int, StepResult, Any] | None = None

    def _restore(self) -> dict[str, Any]:
        steps = self.checkpoints.steps()
        if not steps:
            # Of the averaged models, which compute as they will in use; the trained ones begin with the same.
            batches = preparation_batches(self.experiment, self.method)
            self.beginning = begin_run(self.experiment, self.method, self.state.ema, batches)
            with self.strategy.scope():
                for average, variable in (*self.state.averaged, *self.state.copied):
                    variable.assign(average)
            return {}
        return self.checkpoints.restore(self.state.checkpoint(), steps[-1], self.experiment)

    def train(self, stop: Callable[[], bool]) -> TrainSummary:
        write_config(self.workdir, self.experiment)
        with RunLog(self.workdir, self.step) as log:
            self.log = log
            self._say_hello()
            if self.step < self.settings.steps:
                self._loop(stop)
                self._save_checkpoint()
            save_model_folder(self.workdir.final, self.experiment, self.state.ema)
            summary = self._summary()
            log.line(self._last_words(summary))
        self.agreement.any([False])  # all leave together, or TensorFlow takes the first to go for crashed
        return summary

    def _loop(self, stop: Callable[[], bool]) -> None:
        settings, saved_at = self.settings, time.monotonic()
        batches = iter(self.batches)
        shown = {"unit": "step", "disable": not self.workdir.is_own}
        with progress(None, "train", total=settings.steps, initial=self.step, **shown) as bar:
            self.clock.go_on()
            while self.step < settings.steps:
                self._make_step(next(batches))
                bar.update()
                overdue = time.monotonic() - saved_at >= 60 * settings.checkpoint_minutes
                told, overdue = self.agreement.any([stop(), overdue])
                if self._is_due(settings.log_every):
                    self._log_means(bar)
                if self.validator and self._is_due(settings.validate_every):
                    self._validate(self.validator)
                if told:
                    return
                if overdue or self._is_due(settings.checkpoint_every):
                    self._save_checkpoint()
                    saved_at = time.monotonic()

    def _is_due(self, every: int) -> bool:
        return self.step == self.settings.steps or (every > 0 and self.step % every == 0)

    def _make_step(self, batch: Any) -> None:
        result = self.train_step(batch)
        self.step += 1
        self.clock.window_steps += 1
        # The step before is looked at while the device works on this one.
        self._look_at_result()
        self.unseen = (self.step, result, batch)

    def _look_at_result(self) -> None:
        """Adds the latest step to the means, and sees whether it was finite."""
        if self.unseen is None:
            return
        (step, result, batch), self.unseen = self.unseen, None
        self.means.add(result)
        if bool(result.finite):
            self.consecutive = 0
            return
        self.consecutive += 1
        names = self.state.variable_names
        description = describe_bad_step(step, result, record_ids(self.strategy, batch), names)
        self.log.line(description)
        check_consecutive(self.consecutive, self.settings, description)

    def _log_means(self, bar: Any) -> None:
        self._look_at_result()
        self.clock.stop()
        row = {"step": self.step, **self.means.take(), "skipped": int(self.state.skipped.numpy())}
        self.log.training({**row, "steps_per_second": self.clock.take_speed(), "seconds": self.clock.seconds})
        bar.set_postfix(loss=f"{row['loss']:.4g}", refresh=False)
        self.clock.go_on()

    def _validate(self, validator: Validator) -> None:
        self._look_at_result()
        self.clock.stop()
        best = self._best_row()
        began = time.monotonic()
        found = validator()
        row = {"step": self.step, **found.scores, "seconds": time.monotonic() - began}
        is_best = np.isfinite(found.criterion) and (best is None or found.criterion > criterion(best))
        if is_best:
            save_model_folder(self.workdir.best, self.experiment, self.state.ema)
        self.log.validated(row, found.panels)
        self.log.line(_describe_validation(self.step, found, is_best))
        self.clock.go_on()

    def _best_row(self) -> dict[str, float] | None:
        """The validation with the highest criterion so far."""
        rows = [{name: float(value) for name, value in row.items() if value} for row in self.log.validation.rows]
        finite = [row for row in rows if np.isfinite(criterion(row))]
        return max(finite, key=criterion, default=None)

    def _save_checkpoint(self) -> None:
        if self.saved_step == self.step:
            return
        self._look_at_result()
        self.clock.stop()
        facts = {"means": self.means.to_json(), "seconds": self.clock.seconds}
        self.checkpoints.save(self.state.checkpoint(), self.step, self.experiment, facts)
        self.saved_step = self.step
        self.clock.go_on()

    def _say_hello(self) -> None:
        weights = sum(int(np.prod(variable.shape)) for variable in self.state.trainable)
        begin = f"goes on from step {self.step}" if self.step else "begins"
        self.log.line(
            f"tfrecon {tfrecon.__version__}, TensorFlow {tf.__version__}: {self.experiment.method} with {weights} "
            f"weights on {self.strategy.num_replicas_in_sync} device(s); {begin}, until step {self.settings.steps}"
        )
        for line in self.beginning:
            self.log.line(line)
        images, data = training_buckets(self.experiment, self.method), self.experiment.data
        if images is not None:
            groups = read_dataset_info(data.train).groups
            self.log.line(describe_buckets(plan_buckets(groups, images, data.batch_size, data.train)))

    def _summary(self) -> TrainSummary:
        return TrainSummary(
            workdir=self.workdir.folder,
            step=self.step,
            steps=self.settings.steps,
            skipped=int(self.state.skipped.numpy()),
            seconds=self.clock.seconds,
            best=self._best_row(),
        )

    def _last_words(self, summary: TrainSummary) -> str:
        if summary.stopped:
            return f"stopped at step {self.step}; go on with: tfrecon train --workdir={self.workdir.folder}"
        return f"finished step {self.step} after {summary.seconds:.0f} s of training"


def _describe_validation(step: int, found: Validation, is_best: bool) -> str:
    scores = ", ".join(f"{name} {value:.4g}" for name, value in found.scores.items())
    return f"step {step}: validation {scores}{', the best so far' if is_best else ''}"
