"""Training steps of the toy method, in this process or, as a program, in one that may be one of several.

    python train_steps.py DISTRIBUTION OUTPUT DATA '{"accumulate": 2}'

trains on a dataset folder under `make_strategy(DISTRIBUTION)` and writes what came out to OUTPUT
(`.npz`). With "mirrored" the CPU is cut into two logical devices.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import toy_memory  # noqa: F401  (makes the method known)
import toy_method

from tfrecon.data.pipeline import dataset
from tfrecon.train import distribute
from tfrecon.train.config import DataSettings, Experiment, OptimizerSettings, TrainSettings
from tfrecon.train.state import create_state
from tfrecon.train.step import make_train_step

BATCH = 4


def toy_experiment(optimizer=None, data=None, model=None, objective=None, seed=5, method="toy", **train):
    """An experiment with a toy method; `train` are fields of `TrainSettings`."""
    return Experiment(
        method,
        model or toy_method.ToyModel(),
        objective or toy_method.ToyObjective(noise=0.3),
        toy_method.ToyOptions(),
        data or DataSettings(batch_size=BATCH),
        dataclasses.replace(OptimizerSettings(learning_rate=1e-2, warmup_steps=2), **(optimizer or {})),
        TrainSettings(**{"steps": 20, **train}),
        seed,
    )


def start(experiment, strategy=None, method=None):
    """(state, step) at the beginning."""
    method = method or experiment.make_method()
    state = create_state(experiment, method, strategy)
    return state, make_train_step(experiment, method, state, strategy)


def everything(state):
    """Every number of a state, by name."""
    values = {"step": state.step, "skipped": state.skipped, "consecutive": state.consecutive}
    for name, models in (("models", state.models), ("ema", state.ema)):
        for key, model in models.items():
            values |= {f"{name}/{key}/{i}": variable for i, variable in enumerate(model.variables)}
    values |= {f"optimizer/{i}": variable for i, variable in enumerate(state.optimizer.variables)}
    return {key: value.numpy() for key, value in values.items()}


def train(distribution, path, steps=4, spoil="", **settings):
    """Steps on a dataset, with NaN in the record `spoil`; the state afterwards, results and record ids."""
    strategy = distribute.make_strategy(distribution)
    experiment = toy_experiment(**settings)
    state, step = start(experiment, strategy)

    def make(part, replicas):
        pieces = dataset(path, batch_size=BATCH, seed=1, training=True, part=part, replicas=replicas, verify=False)
        return pieces.map(spoiled)

    def spoiled(batch):
        factor = tf.where(batch["record_id"] == spoil, np.nan, 1.0)[:, None, None, None]
        return {**batch, "kspace": batch["kspace"] * tf.cast(factor, tf.complex64)}

    batches, told, ids = iter(distribute.distribute_dataset(strategy, make)), [], []
    for _ in range(steps):
        batch = next(batches)
        ids.append(distribute.record_ids(strategy, batch))
        told.append(step(batch))
    outcome = everything(state)
    for field in ("loss", "gradient_norm", "learning_rate", "finite", "example_finite", "bad_variable"):
        outcome[f"result/{field}"] = np.stack([getattr(result, field).numpy() for result in told])
    for key in told[0].logs:
        outcome[f"logs/{key}"] = np.stack([result.logs[key].numpy() for result in told])
    outcome["ids"] = np.array(json.dumps(ids))
    outcome["chief"] = np.array(distribute.is_chief(strategy))
    outcome["replicas"] = np.array(strategy.num_replicas_in_sync)
    return outcome


if __name__ == "__main__":
    distribution, output, data, settings = sys.argv[1:]
    if distribution == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    np.savez(output, **train(distribution, data, **json.loads(settings)))
