import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax_training
import numpy as np
import pytest
import tensorflow as tf

from tfrecon.train.state import create_state
from tfrecon.train.step import make_train_step

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")

SCRIPT = pathlib.Path(jax_training.__file__)


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """All that the experiments give on JAX, by name."""
    path = tmp_path_factory.mktemp("jax") / "found.npz"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"tensorflow": False, "weights": "float32"}
    return dict(np.load(path))


def train_on_tensorflow(name):
    experiment = jax_training.experiment_of(name)
    method = experiment.make_method()
    state, found = create_state(experiment, method), {}
    step = make_train_step(experiment, method, state)
    for number, batch in enumerate(jax_training.batches()):
        result = step({key: tf.constant(value) for key, value in batch.items()})
        found |= jax_training.flat(name, number, result)
    groups = {key: [v for m in models.values() for v in m.variables] for key, models in
              (("models", state.models), ("average", state.ema))}  # fmt: skip
    groups |= {"optimizer": state.optimizer.variables, "counters": [state.step, state.skipped, state.consecutive]}
    for group, values in groups.items():
        found |= {f"{name}/{group}/{k}": np.asarray(value) for k, value in enumerate(values)}
    return found


@pytest.mark.parametrize("name", list(jax_training.EXPERIMENTS))
def test_a_step_on_jax_is_the_step_on_tensorflow(on_jax, monkeypatch, name):
    jax_training.without_chance(monkeypatch.setattr)
    expected = train_on_tensorflow(name)
    found = {key: value for key, value in on_jax.items() if key.startswith(f"{name}/")}
    assert found.keys() == expected.keys() and len(found) > 30
    for key, value in expected.items():
        assert found[key].shape == value.shape, key
        np.testing.assert_allclose(
            found[key].astype("float64"), value.astype("float64"), rtol=1e-5, atol=1e-6, err_msg=key
        )
    bad = f"{name}/{jax_training.BAD_BATCH}"
    assert not found[f"{bad}/finite"] and list(found[f"{bad}/example_finite"]) == [True, False, True, True]
    skips = name != "zero"
    assert found[f"{name}/counters/1"] == 1 and found[f"{name}/optimizer/0"] == jax_training.BATCHES - skips
    moved = np.abs(found[f"{name}/models/0"] - 0.3 * jax_training.numbers_of((3, 3, 2, 4), 4)).max()
    assert 1e-4 < moved < 1, "the steps must have moved the weights"
