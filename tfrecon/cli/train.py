"""Trains a method on a dataset of records, and goes on where an earlier run stopped.

tfrecon train --config=configs/ssdiffrecon/demo.py --workdir=runs/demo --config.train.steps=2000
tfrecon train --workdir=runs/demo                    goes on from the last checkpoint
tfrecon train --config=FILE.py --dry_run             builds, takes a step, writes nothing

Every key of the config can be given anew as --config.SECTION.KEY=VALUE. Ctrl-C and SIGTERM end the run
between two steps, with a checkpoint.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from absl import flags

from tfrecon.cli.config_flags import ConfigFlagValues
from tfrecon.util.errors import InputError

if TYPE_CHECKING:
    from tfrecon.train.config import Experiment
    from tfrecon.train.loop import TrainSummary

FLAGS = ConfigFlagValues()

flags.DEFINE_string(
    "config",
    None,
    "file with get_config(): FILE.py, or FILE.py:WORD for get_config('WORD'), or a config.json; without one the run "
    "of the workdir goes on. --config.SECTION.KEY=VALUE changes a value",
    flag_values=FLAGS,
)
flags.DEFINE_string("workdir", None, "folder of the run: checkpoints, logs, trained models", flag_values=FLAGS)
flags.DEFINE_enum(
    "distribute",
    "",
    ["", "mirrored", "multi_worker"],
    "several devices: mirrored (all of this machine), or multi_worker (machines listed in TF_CONFIG)",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "dry_run",
    False,
    "builds, takes one step, prints parameters, memory and the time to expect; writes nothing",
    flag_values=FLAGS,
)


def main(args: flags.FlagValues) -> int:
    """Runs the verb; the exit code is 0, or 128 + the signal that stopped it."""
    if args.workdir is None and not args.dry_run:
        raise InputError("--workdir must be given", fix="see tfrecon train --help")
    from tfrecon.train.distribute import is_chief, make_strategy

    strategy = make_strategy(args.distribute)  # before anything else uses TensorFlow
    experiment = _read_experiment(args)
    if args.dry_run:
        from tfrecon.train.dry_run import dry_run

        print(dry_run(experiment, strategy).describe())
        return 0
    from tfrecon.train.loop import train
    from tfrecon.train.signals import StopOnSignal

    with StopOnSignal() as stop:
        summary = train(experiment, args.workdir, strategy=strategy, stop=stop)
    if is_chief(strategy):
        print(_outcome(summary))
    return 128 + (stop.received or signal.SIGTERM) if summary.stopped else 0


def _outcome(summary: TrainSummary) -> str:
    """What there is now, and what to do with it."""
    if summary.stopped:
        go_on = f"go on with: tfrecon train --workdir={summary.workdir}"
        return f"stopped at step {summary.step} of {summary.steps}; {go_on}"
    best = "" if summary.best is None else f", best/ (step {summary.best['step']:.0f})"
    return (
        f"wrote {summary.workdir}: final/{best}, checkpoints/, metrics.csv, tb/ and log.txt\n"
        f"next: tfrecon reconstruct --workdir={summary.workdir} --input=DATA --output=images"
    )


def _read_experiment(args: flags.FlagValues) -> Experiment:
    """What is to run: the config file's, or what the workdir says, with what the command line changes."""
    from tfrecon.train.config_file import read_experiment_file
    from tfrecon.train.workdir import config_path

    path = args.config
    if path is None:
        path = None if args.workdir is None else config_path(args.workdir)
    if path is None:
        raise InputError("--config must be given", fix="name a config file, or the --workdir of a run to go on with")
    return read_experiment_file(path, args.overrides)
