"""Trains a method on an accelerator that has JAX and no TensorFlow, from arrays.

Where TensorFlow is:     python tools/export_training_arrays.py --config=FILE.py --output=arrays
on the accelerator:      python tools/train_jax.py --arrays=arrays --workdir=runs/first --config.train.steps=20000
where TensorFlow is:     tfrecon reconstruct --workdir=runs/first --input=DATA --output=images

The experiment is that of the arrays, unless --config names another one. The same command goes on where an
earlier one stopped; Ctrl-C and SIGTERM end the run between two steps, with a checkpoint. The averaged weights
go to WORKDIR/final, a model folder like that of `tfrecon train`.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
from typing import TYPE_CHECKING

os.environ.setdefault("KERAS_BACKEND", "jax")

from absl import flags

from tfrecon.cli.config_flags import ConfigFlagValues
from tfrecon.util.errors import InputError

if TYPE_CHECKING:
    from tfrecon.train.config import Experiment

FLAGS = ConfigFlagValues()

flags.DEFINE_string("arrays", None, "folder of tools/export_training_arrays.py", flag_values=FLAGS)
flags.DEFINE_string("workdir", None, "folder of the run", flag_values=FLAGS)
flags.DEFINE_string(
    "config",
    None,
    "config file; without one that of the workdir, or of the arrays. --config.SECTION.KEY=VALUE changes a value",
    flag_values=FLAGS,
)

_DATA_KEYS = ("data.undersample", "data.mask_seed")
"""What is fixed in the arrays."""


def read_experiment(values: ConfigFlagValues) -> Experiment:
    """The experiment that the flags describe.

    Raises:
        InputError: it cannot be run on these arrays.
    """
    from tfrecon.train.config_file import differing_keys, read_experiment_file

    of_arrays = pathlib.Path(values.arrays) / "config.json"
    of_workdir = pathlib.Path(values.workdir) / "config.json"
    path = values.config or str(of_workdir if of_workdir.is_file() else of_arrays)
    experiment = read_experiment_file(path, values.overrides)
    for key in differing_keys(read_experiment_file(str(of_arrays)), experiment):
        if key.startswith(_DATA_KEYS):
            raise InputError(f"the arrays were made with another {key}", str(values.arrays), "export them again")
    return experiment


def main(words: list[str]) -> int:
    """Trains; the exit code is 0, 2 on bad input, or 128 + the signal that stopped it."""
    try:
        FLAGS(words)
        missing = [f"--{name}" for name in ("arrays", "workdir") if not FLAGS[name].value]
        if missing:
            raise InputError(f"{' and '.join(missing)} must be given")
        if os.environ["KERAS_BACKEND"] != "jax":
            raise InputError("KERAS_BACKEND is not jax", fix="unset it, or use tfrecon train")
        from tfrecon.train.jax_loop import train_on_jax
        from tfrecon.train.signals import StopOnSignal

        with StopOnSignal() as stop:
            summary = train_on_jax(read_experiment(FLAGS), FLAGS.arrays, FLAGS.workdir, stop)
    except (InputError, flags.Error, OSError) as error:
        print(f"train_jax: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if summary.step < summary.steps:
        print(f"stopped at step {summary.step} of {summary.steps}; the same command goes on")
        return 128 + (stop.received or signal.SIGTERM)
    print(f"wrote {FLAGS.workdir}: final/, checkpoints/, metrics.csv and log.txt; {summary.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    if any(word in ("-h", "--help") for word in sys.argv[1:]):
        print(f"{__doc__}\nflags:{FLAGS.get_help(include_special_flags=False)}")
        sys.exit(0)
    sys.exit(main(sys.argv))
