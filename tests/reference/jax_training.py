"""Training steps of the toy method that can be compared between backends; run as a script, they are made on JAX.

Initial weights and random numbers are replaced by functions of their shapes alone, since the backends
draw from different generators.
"""

import json
import sys

import numpy as np
import toy_memory  # noqa: F401  (makes the method known)
import toy_method
from keras import ops

from tfrecon.train.config import resolve_experiment
from tfrecon.util import rng

EXPERIMENTS = {
    "plain": {},
    "adamw": {
        "method": "toy_with_memory",
        "train": {"accumulate": 2, "ema_decay": 0.9},
        "optimizer": {
            "name": "adamw",
            "weight_decay": 0.01,
            "warmup_steps": 2,
            "schedule": "cosine",
            "clip_norm": 0.05,
        },
        "objective": {"supervised": False},
    },
    "zero": {"train": {"nonfinite": "zero", "steps": 9}, "optimizer": {"name": "rmsprop", "schedule": "linear"}},
}
"""By name; each differs from `plain` in the parts of the trainer that it goes through."""

BATCHES = 4
BAD_BATCH = 2
"""One example of this batch is infinite."""


def numbers_of(shape, phase=0.0):
    """float32 numbers in [-1, 1] that depend on the shape alone."""
    count = int(np.prod([int(n) for n in shape]))
    return np.sin(0.7 + phase + 1.37 * np.arange(count)).reshape([int(n) for n in shape]).astype("float32")


def without_chance(setattr_on=setattr):
    """Replaces all randomness; `setattr_on` may be a monkeypatch's, which undoes it."""
    build = toy_method.Toy.build

    def same_build(self, seed=0):
        models = build(self, seed)
        for model in models.values():
            for variable in model.variables:
                variable.assign(0.3 * numbers_of(variable.shape, len(variable.shape)))
        return models

    setattr_on(toy_method.Toy, "build", same_build)
    setattr_on(rng, "normal", lambda seed, shape: ops.convert_to_tensor(numbers_of(shape)))
    setattr_on(rng, "uniform", lambda seed, shape: ops.convert_to_tensor(np.abs(numbers_of(shape, 0.3))))


def experiment_of(name):
    """An experiment of `EXPERIMENTS`, on batches of four."""
    return resolve_experiment({"method": "toy", "data": {"batch_size": 4}, **EXPERIMENTS[name]})


def batches():
    """NumPy batches without strings."""
    made = [toy_method.toy_batch(4, 8, 6, 2, seed=k) for k in range(BATCHES)]
    for batch in made:
        del batch["record_id"]
        batch["slice_index"] = np.array(batch["slice_index"])
    for key in ("reference", "kspace"):
        made[BAD_BATCH][key] = made[BAD_BATCH][key].copy()
        made[BAD_BATCH][key][1] = np.inf
    return made


def flat(name, number, result):
    """What a step told, as arrays by name."""
    values = {key: value for key, value in result._asdict().items() if key != "logs"} | result.logs
    return {f"{name}/{number}/{key}": np.asarray(value) for key, value in values.items()}


def train_on_jax(name):
    """All that changes in `BATCHES` steps, as arrays by name."""
    from tfrecon.train.jax_step import JaxStep

    experiment = experiment_of(name)
    step = JaxStep(experiment, experiment.make_method())
    state, found = step.initial_state(), {}
    for number, batch in enumerate(batches()):
        state, result = step(state, batch)
        found |= flat(name, number, result)
    average = [v for model in step.averaged_models(state).values() for v in model.variables]
    groups = {"models": [*state.trainable, *state.fixed], "average": average, "optimizer": state.optimizer}
    groups["counters"] = [state.step, state.skipped, state.consecutive]
    for group, values in groups.items():
        found |= {f"{name}/{group}/{k}": ops.convert_to_numpy(value) for k, value in enumerate(values)}
    return found


if __name__ == "__main__":
    without_chance()
    results = {}
    for experiment_name in EXPERIMENTS:
        results |= train_on_jax(experiment_name)
    np.savez(sys.argv[1], **results)
    print(json.dumps({"tensorflow": "tensorflow" in sys.modules, "weights": str(results["plain/models/0"].dtype)}))
