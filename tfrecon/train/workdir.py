"""A workdir: all that a training run writes, and all that it needs to go on.

- `config.json`: the experiment, every key
- `checkpoints/`: the latest of them, a folder each: weights, average, moments, counters
- `best/`: a model folder, the weights of the best validation so far
- `final/`: a model folder, the weights when training ended
- `metrics.csv`: losses and speed over the steps
- `validation.csv`: scores over the steps
- `tb/`: the same for TensorBoard, with images
- `log.txt`: what happened when
"""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from tfrecon.train.config import Experiment
from tfrecon.train.config_file import differing_keys
from tfrecon.train.model_folder import CONFIG_FILE, read_experiment
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import explain_os_error, write_json

_LOCK = ".lock"

MAY_CHANGE = (
    "train.steps",
    "train.log_every",
    "train.validate_every",
    "train.validation_records",
    "train.images",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
    "train.keep_checkpoints",
)
"""The keys in which a run that goes on may differ from what its workdir says."""


class Workdir:
    """The places in a workdir.

    Args:
        folder: the workdir, from which is read.
        output: to which is written: the same folder, or for workers other than the chief a temporary one.

    Attributes:
        folder: see above.
        output: see above.
    """

    def __init__(self, folder: PathLike, output: PathLike | None = None) -> None:
        self.folder = pathlib.Path(folder)
        self.output = self.folder if output is None else pathlib.Path(output)

    @property
    def is_own(self) -> bool:
        """Whether this process writes into the workdir itself."""
        return self.output == self.folder

    @property
    def checkpoints(self) -> pathlib.Path:
        """Where checkpoints are written."""
        return self.output / "checkpoints"

    @property
    def best(self) -> pathlib.Path:
        """The model folder of the best validation."""
        return self.output / "best"

    @property
    def final(self) -> pathlib.Path:
        """The model folder of the end."""
        return self.output / "final"


@contextlib.contextmanager
def open_workdir(folder: PathLike, chief: bool = True) -> Iterator[Workdir]:
    """A workdir that nobody else trains in.

    Args:
        folder: made if it does not exist.
        chief: whether this process writes to it. What others write goes to a temporary folder that is
            removed afterwards, so that all workers may run the same code.

    Raises:
        InputError: another process trains in it, it is a file, or it cannot be written.
    """
    if not chief:
        temporary = pathlib.Path(tempfile.mkdtemp(prefix="tfrecon-worker-"))
        try:
            yield Workdir(folder, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return
    workdir = Workdir(folder)
    try:
        workdir.folder.mkdir(parents=True, exist_ok=True)
        (workdir.folder / _LOCK).touch()
    except FileExistsError as error:
        raise InputError("is a file, not a folder", str(folder), "choose another --workdir") from error
    except OSError as error:
        raise explain_os_error(error, folder) from error
    with open(workdir.folder / _LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it, however the process ends
        except OSError as error:
            raise InputError("another process is training in it", str(folder), "wait for it or stop it") from error
        yield workdir


def config_path(folder: PathLike) -> str:
    """The `config.json` of a workdir.

    Raises:
        InputError: there is none.
    """
    path = pathlib.Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise InputError(f"has no {CONFIG_FILE} to go on with", str(folder), "give --config=FILE.py")
    return str(path)


def settle_config(workdir: Workdir, experiment: Experiment | None) -> Experiment:
    """Agrees on the experiment with what the workdir says.

    Args:
        workdir: perhaps empty.
        experiment: what is to run; None for what the workdir says.

    Returns:
        The experiment that runs; `write_config` puts it down.

    Raises:
        InputError: the workdir says nothing and nothing was given, or the two differ in a key that
            decides the course of the run.
    """
    where = str(workdir.folder)
    results = [name for name in ("checkpoints", "best", "final") if (workdir.folder / name).exists()]
    if experiment is None:
        config_path(workdir.folder)
        return read_experiment(workdir.folder)
    if results:  # else nothing came of an earlier run
        if not (workdir.folder / CONFIG_FILE).is_file():
            raise InputError(f"has {results[0]}/ of a run but no {CONFIG_FILE}", where, "choose another --workdir")
        _check_same_run(read_experiment(workdir.folder), experiment, where)
    return experiment


def write_config(workdir: Workdir, experiment: Experiment) -> None:
    """Writes `config.json`."""
    write_json(workdir.output / CONFIG_FILE, experiment.to_json())


def _check_same_run(known: Experiment, experiment: Experiment, where: str) -> None:
    if experiment.method != known.method:
        raise InputError(f"is of method {known.method!r}, not {experiment.method!r}", where, "choose another --workdir")
    changed = [key for key in differing_keys(known, experiment) if key not in MAY_CHANGE]
    if changed:
        raise InputError(
            f"its run has other values of {', '.join(changed)}", where, "choose another --workdir, or its values"
        )
