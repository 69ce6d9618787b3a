"""What a method changes besides the weights: once for each step, behind the guard, in checkpoints and the average."""

import numpy as np
import pytest
import tensorflow as tf
import toy_memory  # noqa: F401  (makes the method known)
import toy_method
import train_steps

from tfrecon.train.model_folder import save_model_folder, take_weights

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def clean_batch():
    return {key: tf.convert_to_tensor(value) for key, value in toy_method.toy_batch(4).items()}


def experiment_with(**settings):
    return train_steps.toy_experiment(method="toy_with_memory", **settings)


@pytest.mark.parametrize("settings", [{"accumulate": 2}, pytest.param({"jit": True}, marks=pytest.mark.slow)], ids=str)
def test_updates_are_made_once_for_each_good_step(settings):
    state, step = train_steps.start(experiment_with(**settings))
    bad = {**clean_batch(), "kspace": clean_batch()["kspace"] * np.nan}
    expected = np.zeros(4, "float32")
    for number, batch in enumerate([clean_batch(), bad, clean_batch(), clean_batch()]):
        result = step(batch)
        if number != 1:
            expected = np.float32(0.5) * expected + result.logs["t"].numpy()
        for models in (state.models, state.ema):
            np.testing.assert_array_equal(models["memory"].times.numpy(), expected)
    assert int(state.models["memory"].updates.numpy()) == 3 and int(state.skipped) == 1
    assert expected.min() > 0 and len(set(expected)) == 4


def test_they_come_back_with_a_checkpoint(tmp_path):
    experiment = experiment_with()
    state, step = train_steps.start(experiment)
    for number in range(4):
        if number == 2:
            path = state.checkpoint().write(str(tmp_path / "state"))
        step(clean_batch())
    again, step = train_steps.start(experiment)
    again.checkpoint().read(path).assert_consumed()
    for _ in range(2):
        step(clean_batch())
    expected = train_steps.everything(state)
    for key, value in train_steps.everything(again).items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_weights_may_be_taken_from_a_model_that_remembers_nothing(tmp_path):
    plain, remembering = (train_steps.toy_experiment(method=name) for name in ("toy", "toy_with_memory"))
    models = plain.make_method().build(7)
    folder = save_model_folder(tmp_path / "plain", plain, models)
    taking = remembering.make_method().build(1)
    assert take_weights(taking, folder) == ["memory/times", "memory/updates"]
    for own, other in zip(taking["denoiser"].variables, models["denoiser"].variables, strict=True):
        np.testing.assert_array_equal(own.numpy(), other.numpy())
