import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_method
import train_steps

from tfrecon.methods.base import get_method
from tfrecon.train.config import resolve_experiment
from tfrecon.train.state import create_state, dtype_policy
from tfrecon.util.errors import InputError


def make_state(**settings):
    experiment = train_steps.toy_experiment(**settings)
    return create_state(experiment, experiment.make_method())


def test_the_average_begins_as_the_weights_in_models_of_its_own():
    state = make_state()
    assert state.models.keys() == state.ema.keys() == {"denoiser", "gain"}
    for average, variable in state.averaged:
        assert average is not variable and average.path == variable.path
        np.testing.assert_array_equal(average.numpy(), variable.numpy())
    state.trainable[0].assign_add(tf.ones_like(state.trainable[0]))
    assert not np.array_equal(state.averaged[0][0].numpy(), state.trainable[0].numpy())


def test_gradients_have_names_and_the_optimizer_is_built():
    state = make_state()
    assert len(state.variable_names) == len(state.trainable) == 6
    assert state.variable_names[0] == "denoiser/inner/kernel" and state.variable_names[-1] == "gain/gain/bias"
    assert state.optimizer.built and len(state.optimizer.variables) == 1 + 2 * 6
    assert [int(counter) for counter in (state.step, state.skipped, state.consecutive)] == [0, 0, 0]


def test_mixed_precision_reaches_the_trained_networks_alone():
    before = keras.config.dtype_policy()
    state = make_state(precision="mixed_bfloat16")
    assert keras.config.dtype_policy() == before
    trained, average = state.models["denoiser"].get_layer("inner"), state.ema["denoiser"].get_layer("inner")
    assert trained.compute_dtype == "bfloat16" and average.compute_dtype == "float32"
    variables = [*state.trainable, *(average for average, _ in state.averaged), *state.optimizer.variables[1:]]
    assert {variable.dtype for variable in variables} == {"float32"}


def test_a_dtype_policy_ends_with_its_block_even_in_an_error():
    before = keras.config.dtype_policy()
    with pytest.raises(RuntimeError), dtype_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise RuntimeError
    assert keras.config.dtype_policy() == before


def test_a_classical_method_has_nothing_to_train():
    with pytest.raises(InputError, match="'zero_filled' has nothing to train"):
        create_state(resolve_experiment({"method": "zero_filled"}), get_method("zero_filled"))


def test_a_checkpoint_holds_everything(tmp_path):
    state = make_state()
    random = np.random.default_rng(0)
    variables = [*state.trainable, *(pair[0] for pair in state.averaged), *state.optimizer.variables]
    for variable in [*variables, state.step, state.skipped, state.consecutive]:
        variable.assign(random.integers(1, 1000, variable.shape))
    path = state.checkpoint().write(str(tmp_path / "state"))
    again = make_state(seed=9)
    again.checkpoint().read(path).assert_consumed()
    expected, got = train_steps.everything(state), train_steps.everything(again)
    assert expected.keys() == got.keys() and expected["step"] > 0
    for key, value in expected.items():
        np.testing.assert_array_equal(got[key], value, err_msg=key)


@pytest.mark.parametrize(
    "changes", [{"optimizer": {"name": "rmsprop"}}, {"model": toy_method.ToyModel(features=5)}], ids=str
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, changes):
    path = make_state().checkpoint().write(str(tmp_path / "state"))
    with pytest.raises((AssertionError, ValueError)):
        make_state(**changes).checkpoint().read(path).assert_consumed()
