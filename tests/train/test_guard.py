import types

import numpy as np
import pytest
from keras import ops

from tfrecon.train import guard, optim
from tfrecon.train.config import TrainSettings
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

NAMES = ["net/a/kernel", "net/a/bias", "net/b/kernel"]


def gradients_with(value=0.0, where=None):
    arrays = [np.ones((2, 3), np.float32), np.zeros(3, np.float32), np.full((3, 1), -2.0, np.float32)]
    for number in where or ():
        arrays[number].flat[-1] = value
    return [ops.convert_to_tensor(array) for array in arrays]


def inspect(losses, gradients):
    return guard.inspect(ops.convert_to_tensor(np.array(losses, "float32")), optim.squared_norms(gradients))


def test_finite_is_finite():
    found = inspect([0.0, 1e30], gradients_with())
    assert bool(found.finite) and int(found.bad_variable) == -1
    assert ops.convert_to_numpy(found.example_finite).tolist() == [True, True]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize(("where", "first"), [((0,), 0), ((2,), 2), ((1, 2), 1)])
def test_the_first_bad_gradient_is_found(value, where, first):
    found = inspect([1.0], gradients_with(value, where))
    assert not bool(found.finite) and int(found.bad_variable) == first
    assert ops.convert_to_numpy(found.example_finite).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_loss_is_found(value):
    found = inspect([1.0, value, 2.0], gradients_with())
    assert not bool(found.finite) and int(found.bad_variable) == -1
    assert ops.convert_to_numpy(found.example_finite).tolist() == [True, False, True]


def test_large_finite_gradients_are_finite():
    assert bool(inspect([1.0], gradients_with(1e18, (1,))).finite)


def test_only_bad_entries_become_zero():
    gradients = [ops.convert_to_tensor(np.array([[1.0, np.nan], [-np.inf, 4.0]], "float32")), ops.ones(2)]
    zeroed = guard.zero_nonfinite(gradients)
    np.testing.assert_array_equal(zeroed[0], [[1, 0], [0, 4]])
    np.testing.assert_array_equal(zeroed[1], [1, 1])


def result(losses_finite, bad, **logs):
    return types.SimpleNamespace(example_finite=np.array(losses_finite), bad_variable=np.int32(bad), logs=logs)


IDS = {0: "s1/000", 1: "s1/001", 2: "s2/000"}


def test_a_bad_step_is_described():
    text = guard.describe_bad_step(7, result([True, False, False], 1, t=np.array([0.1, 0.25, 9.0])), IDS, NAMES)
    assert text == (
        "step 7: not finite: loss of record 's1/001' at t = 0.25, record 's2/000' at t = 9; "
        "gradient of net/a/bias (the first of those)"
    )


def test_a_bad_gradient_alone_names_the_batch():
    text = guard.describe_bad_step(3, result([True, True], 0, t=np.float32(0.5)), {1: "b"}, NAMES)
    assert text == (
        "step 3: not finite: gradient of net/a/kernel (the first of those); "
        "batch: example 0 of the batch at t = 0.5, record 'b' at t = 0.5"
    )


def test_a_description_names_a_few_records():
    text = guard.describe_bad_step(1, result([False] * 9, -1), {}, NAMES)
    assert text.endswith("example 3 of the batch, 5 more")


def test_training_stops_after_so_many_in_a_row():
    settings = TrainSettings(nonfinite="skip", max_nonfinite=3)
    guard.check_consecutive(2, settings, "step 5: not finite")
    with pytest.raises(InputError, match="3 steps in a row were not finite; the last, step 6: not finite; look at"):
        guard.check_consecutive(3, settings, "step 6: not finite")


def test_the_policy_raise_stops_at_the_first():
    settings = TrainSettings(nonfinite="raise")
    guard.check_consecutive(0, settings, "")
    with pytest.raises(InputError, match=r"^step 1: not finite; look at these records"):
        guard.check_consecutive(1, settings, "step 1: not finite")
