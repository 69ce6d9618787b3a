"""A run with importance sampling that was interrupted is the run that was not, and what it hands over is the same."""

import itertools

import numpy as np
import pytest
import toy_data
from ddpm_cases import batch_of
from score_cases import measurement_of

from tfrecon.train.checkpoints import Checkpoints
from tfrecon.train.config import resolve_experiment
from tfrecon.train.loop import train
from tfrecon.train.model_folder import load_model_folder
from tfrecon.train.state import create_state
from tfrecon.util import rng

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

STEPS = 6


def experiment_of(folder):
    """Three times of which two losses are kept, so that all have been seen soon."""
    return resolve_experiment(
        {
            "method": "ddpm",
            "model": {
                "chain": {"steps": 3, "schedule": "jsd"},
                "network": {"width": 4, "multipliers": [1], "blocks": 1},
                "heteroscedastic": True,
            },
            "objective": {"schedule_sampler": "loss-second-moment", "loss": "vlb", "importance": {"history": 2}},
            "data": {"train": str(folder), "batch_size": 4, "undersample": [toy_data.LINES]},
            "train": {
                "steps": STEPS,
                "accumulate": 2,
                "checkpoint_every": 0,
                "validate_every": 0,
                "keep_checkpoints": 9,
            },
        }
    )


def everything(workdir, experiment):
    """All variables at the end of a run, by name."""
    method = experiment.make_method()
    state = create_state(experiment, method)
    Checkpoints(workdir / "checkpoints").restore(state.checkpoint(), STEPS, experiment)
    groups = {"models": state.models, "ema": state.ema}
    found = {
        f"{group}/{name}/{number}": np.asarray(variable.numpy())
        for group, models in groups.items()
        for name, model in models.items()
        for number, variable in enumerate(model.variables)
    }
    return found | {f"optimizer/{i}": variable.numpy() for i, variable in enumerate(state.optimizer.variables)}


def test_resume_is_bit_exact_with_importance_sampling(tmp_path):
    experiment = experiment_of(toy_data.write_toy_dataset(tmp_path / "data", 8))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(experiment, whole).skipped == 0
    counter = itertools.count(1)
    assert train(experiment, parts, stop=lambda: next(counter) >= 3).step == 3
    assert train(None, parts).step == STEPS
    expected, found = everything(whole, experiment), everything(parts, experiment)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].tobytes() == value.tobytes(), key
    counts = expected["models/history/1"]
    assert counts.sum() == 4 * STEPS and counts.min() >= 2, "the last steps drew by losses"
    assert np.isfinite(expected["models/history/0"]).all() and abs(expected["models/history/0"]).min() > 0
    np.testing.assert_array_equal(expected["ema/history/1"], counts)
    assert_alike_after_loading(whole / "final", experiment, expected)


def assert_alike_after_loading(folder, experiment, expected):
    read, method, models = load_model_folder(folder)
    assert read == experiment
    for name, model in models.items():
        for number, variable in enumerate(model.variables):
            np.testing.assert_array_equal(np.asarray(variable.numpy()), expected[f"ema/{name}/{number}"])
    options = method.complete(method.options_type(nfe=2, cg_iterations=2))
    first, again = (
        method.reconstruct(own, measurement_of(batch_of(1)), rng.make_seed(0), options)
        for own in (models, load_model_folder(folder)[2])
    )
    assert first.std.shape == (1, 15, 17) and np.isfinite(first.image).all()
    for one, other in zip(first[:2], again[:2], strict=True):
        np.testing.assert_array_equal(one, other)
