import dataclasses
import math

import keras
import numpy as np
import pytest
from keras import ops

from tfrecon.train import optim
from tfrecon.train.config import OptimizerSettings
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

RATE, STEPS, WARMUP, FINAL = 2e-3, 50, 10, 0.05


def closed_form(kind, number):
    """The learning rate of update 1, 2, ..."""
    if number < WARMUP:
        return RATE * number / WARMUP
    p = min((number - WARMUP) / (STEPS - WARMUP), 1)
    factor = {
        "constant": 1.0,
        "linear": 1 - (1 - FINAL) * p,
        "cosine": FINAL + (1 - FINAL) * (1 + math.cos(math.pi * p)) / 2,
        "exponential": FINAL**p,
    }[kind]
    return RATE * factor


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine", "exponential"])
def test_a_schedule_is_its_closed_form(kind):
    schedule = optim.WarmupSchedule(RATE, STEPS, WARMUP, kind, FINAL)
    got = [float(schedule(step)) for step in range(STEPS + 5)]
    np.testing.assert_allclose(got, [closed_form(kind, step + 1) for step in range(STEPS + 5)], rtol=2e-6)
    assert got[0] > 0 and got[WARMUP - 1] == pytest.approx(RATE)
    assert got[STEPS - 1] == pytest.approx(RATE if kind == "constant" else RATE * FINAL)
    assert got[STEPS + 4] == got[STEPS - 1]


def test_a_schedule_without_warmup_and_one_that_never_ends_it():
    assert float(optim.WarmupSchedule(RATE, 10)(0)) == pytest.approx(RATE)
    assert float(optim.WarmupSchedule(RATE, 1, 100, "cosine")(0)) == pytest.approx(RATE / 100)
    assert float(optim.WarmupSchedule(RATE, 10, 10, "linear")(9)) == pytest.approx(RATE)


def test_a_schedule_goes_through_its_config_within_the_optimizer():
    settings = OptimizerSettings(warmup_steps=3, schedule="cosine")
    optimizer = optim.make_optimizer(settings, STEPS)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert optim.WarmupSchedule.from_config(again._learning_rate.get_config())(7) == optimizer._learning_rate(7)


def adam_numpy(weights, gradients, settings, rates):
    """Kingma and Ba's Adam with decoupled weight decay, in float64."""
    first = second = np.zeros_like(weights)
    for number, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        weights = weights - rate * settings.weight_decay * weights
        first = settings.beta_1 * first + (1 - settings.beta_1) * gradient
        second = settings.beta_2 * second + (1 - settings.beta_2) * gradient**2
        root = math.sqrt(1 - settings.beta_2**number)
        step = rate * root / (1 - settings.beta_1**number)
        weights = weights - step * first / (np.sqrt(second) + settings.epsilon)
    return weights


def rmsprop_numpy(weights, gradients, settings, rates):
    square = velocity = np.zeros_like(weights)
    for gradient, rate in zip(gradients, rates, strict=True):
        square = settings.beta_2 * square + (1 - settings.beta_2) * gradient**2
        velocity = settings.momentum * velocity + rate * gradient / np.sqrt(square + settings.epsilon)
        weights = weights - velocity
    return weights


def sgd_numpy(weights, gradients, settings, rates):
    velocity = np.zeros_like(weights)
    for gradient, rate in zip(gradients, rates, strict=True):
        velocity = settings.momentum * velocity - rate * gradient
        weights = weights + velocity
    return weights


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (OptimizerSettings(), adam_numpy),
        (OptimizerSettings("adamw", weight_decay=0.1, beta_1=0.8, beta_2=0.95, epsilon=1e-4), adam_numpy),
        (OptimizerSettings("rmsprop", beta_2=0.95, epsilon=1e-4), rmsprop_numpy),
        (OptimizerSettings("sgd"), sgd_numpy),
    ],
)
def test_an_optimizer_is_its_equations(settings, reference):
    settings = dataclasses.replace(settings, learning_rate=0.01, warmup_steps=2, schedule="linear")
    random = np.random.default_rng(0)
    start, gradients = random.standard_normal((3, 2)), random.standard_normal((5, 3, 2))
    variable = keras.Variable(start.astype("float32"), name="weights")
    optimizer = optim.make_optimizer(settings, len(gradients))
    optimizer.build([variable])
    rates = []
    for gradient in gradients:
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([ops.convert_to_tensor(gradient.astype("float32"))])
    expected = reference(start, gradients, settings, rates)
    np.testing.assert_allclose(ops.convert_to_numpy(variable.value + 0), expected, rtol=0, atol=2e-6)
    assert abs(expected - start).max() > 1e-3


@pytest.mark.parametrize(("limit", "norm"), [(1.0, 1.0), (13.0, 13.0), (20.0, 13.0), (None, 13.0)])
def test_gradients_are_clipped_together(limit, norm):
    gradients = [ops.convert_to_tensor([[3.0, 0.0]]), ops.convert_to_tensor([4.0, 12.0])]
    clipped, before = optim.clip_by_global_norm(gradients, limit)
    assert float(before) == pytest.approx(13.0) and float(optim.global_norm(clipped)) == pytest.approx(norm)
    np.testing.assert_allclose(clipped[1], np.array([4.0, 12.0]) * norm / 13, rtol=1e-6)


def test_zero_gradients_are_clipped_to_zero():
    clipped, before = optim.clip_by_global_norm([ops.zeros((2, 2))], 1.0)
    assert float(before) == 0 and not ops.convert_to_numpy(clipped[0]).any()


def test_the_averages_decay_rises():
    got = [float(optim.average_decay(0.95, n)) for n in (0, 1, 8, 170, 171, 10_000)]
    np.testing.assert_allclose(got, [1 / 10, 2 / 11, 9 / 18, 171 / 180, 0.95, 0.95], rtol=1e-6)
    assert float(optim.average_decay(0.0, 5)) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0; give a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"beta_1": 1.0}, "beta_1 is 1; give a number at least 0 and below 1"),
        ({"beta_2": -0.1}, "beta_2"),
        ({"momentum": 1.5}, "momentum"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"final_fraction": 1.1}, "final_fraction is 1.1; give a number between 0 and 1"),
        ({"final_fraction": 0.0, "schedule": "exponential"}, "exponential decay never is"),
        ({"schedule": "step"}, "schedule is 'step'; choose one of constant"),
        ({"clip_norm": 0.0}, "clip_norm is 0; give a number above 0, or none"),
        ({"weight_decay": 0.1}, "adam has no weight decay; choose adamw"),
        ({"weight_decay": -0.1, "name": "adamw"}, "weight_decay"),
    ],
)
def test_settings_out_of_range_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        optim.make_optimizer(dataclasses.replace(OptimizerSettings(), **changes), STEPS)


def test_a_training_has_a_step():
    with pytest.raises(InputError, match="steps is 0; give a number 1 or more"):
        optim.make_optimizer(OptimizerSettings(), 0)
