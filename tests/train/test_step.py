import keras
import numpy as np
import pytest
import tensorflow as tf
import toy_method
import train_steps
from keras import ops

from tfrecon.train import step as step_module
from tfrecon.train.config import DataSettings
from tfrecon.train.state import create_state
from tfrecon.util.errors import InputError
from tfrecon.util.rng import make_seeds

COUNTERS = ("step", "skipped", "consecutive")


class Poisoned(toy_method.Toy):
    """The toy method, going wrong where "spoil_loss", "spoil_infinite" and "spoil_nan" `[B]` say so.

    The first is added to the loss behind the back of the gradients. Where a field of the others is 0,
    the loss stays finite and the gradient of the gain's kernel alone is infinite or NaN.
    """

    traces = 0

    def loss(self, models, batch, seeds, training):
        self.traces += 1
        losses, logs = super().loss(models, batch, seeds, training)
        kernel = ops.sum(ops.convert_to_tensor(models["gain"].trainable_variables[0]))
        zero = kernel - ops.stop_gradient(kernel)
        infinite = ops.sqrt(zero + batch["spoil_infinite"])
        nan = ops.sqrt(ops.square(zero + batch["spoil_nan"]))
        return losses + batch["spoil_loss"] + infinite + nan, logs


def poisoned_batch(count=4, **changes):
    arrays = toy_method.toy_batch(count)
    arrays |= {"spoil_loss": np.zeros(count, "float32")}
    arrays |= {key: np.ones(count, "float32") for key in ("spoil_infinite", "spoil_nan")}
    for key, (place, value) in changes.items():
        arrays[key] = arrays[key].copy()
        arrays[key][place] = value
    return {key: tf.convert_to_tensor(value) for key, value in arrays.items()}


def clean_batch(count=4, **sizes):
    return {key: tf.convert_to_tensor(value) for key, value in toy_method.toy_batch(count, **sizes).items()}


def changed(before, after):
    return {key for key in before if before[key].tobytes() != after[key].tobytes()}


SLOW_JIT = pytest.param({"jit": True}, marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[{"accumulate": 2}, {"nonfinite": "raise"}, SLOW_JIT], ids=str)
def trained(request):
    """A state with moments and an average of their own, and its step."""
    experiment = train_steps.toy_experiment(**request.param)
    state, step = train_steps.start(experiment, method=Poisoned(experiment.model, experiment.objective))
    for _ in range(2):
        assert bool(step(poisoned_batch()).finite)
    return state, step


# 0 * NaN is NaN: NaN data spoil every gradient. The kernel of "gain" is the fifth variable.
@pytest.mark.parametrize(
    ("where", "place", "value", "examples", "variable"),
    [
        ("kspace", (1, 0, 3, 2), np.nan, [1], "denoiser/inner/kernel"),
        ("kspace", (2, 1, 0, 0), np.inf, [2], "denoiser/inner/kernel"),
        ("reference", (3, 0, 0), complex(0, -np.inf), [3], "denoiser/inner/kernel"),
        ("spoil_loss", 0, np.nan, [0], None),
        ("spoil_loss", 2, np.inf, [2], None),
        ("spoil_infinite", 1, 0.0, [], "gain/gain/kernel"),
        ("spoil_nan", 1, 0.0, [], "gain/gain/kernel"),
    ],
)
def test_a_bad_step_changes_nothing_but_its_counters(trained, where, place, value, examples, variable):
    state, step = trained
    before = train_steps.everything(state)
    for number in (1, 2):
        result = step(poisoned_batch(**{where: (place, value)}))
        after = train_steps.everything(state)
        assert changed(before, after) == set(COUNTERS)
        assert [int(after[key] - before[key]) for key in COUNTERS] == [number, number, number]
    assert not bool(result.finite)
    assert np.flatnonzero(~result.example_finite.numpy()).tolist() == examples
    bad = int(result.bad_variable)
    assert (state.variable_names[bad] if bad >= 0 else None) == variable
    assert bool(step(poisoned_batch()).finite)
    last = train_steps.everything(state)
    assert changed(after, last) == set(last) - {"skipped"}
    assert last["consecutive"] == 0 and last["step"] == after["step"] + 1


def test_a_bad_step_is_skipped_by_control_flow():
    experiment = train_steps.toy_experiment()
    method = experiment.make_method()
    state = create_state(experiment, method)
    compiled = tf.function(step_module._Step(experiment, method, state, tf.distribute.get_strategy()))
    batch = clean_batch()
    del batch["record_id"]
    operations = compiled.get_concrete_function(batch).graph.get_operations()
    writes = [operation for operation in operations if operation.type.startswith("Assign")]
    assert len(writes) == len(COUNTERS) and "If" in {operation.type for operation in operations}


def gradients_by_hand(state, method, batch, number):
    """Losses and gradients of step `number` over the whole batch, as NumPy."""
    seeds = make_seeds(5, number, 4, 0, "training")
    with tf.GradientTape() as tape:
        losses, _ = method.loss(state.models, batch, seeds, True)
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, [variable.value for variable in state.trainable])
    return losses.numpy(), [gradient.numpy() for gradient in gradients]


def norm_of(gradients):
    return np.sqrt(sum((gradient.astype(float) ** 2).sum() for gradient in gradients))


def test_zero_replaces_bad_entries_and_goes_on():
    optimizer = {"name": "sgd", "momentum": 0.0, "clip_norm": 0.01}
    experiment = train_steps.toy_experiment(optimizer, nonfinite="zero", ema_decay=0.5)
    method = Poisoned(experiment.model, experiment.objective)
    state, step = train_steps.start(experiment, method=method)
    before = [variable.numpy() for variable in state.trainable]
    batch = poisoned_batch(spoil_infinite=(1, 0.0), spoil_loss=(3, np.nan))
    _, gradients = gradients_by_hand(state, method, batch, 0)
    assert [bool(np.isfinite(gradient).all()) for gradient in gradients] == [True] * 4 + [False, True]
    gradients = [np.where(np.isfinite(gradient), gradient, 0) for gradient in gradients]
    norm, rate = norm_of(gradients), 1e-2 / 2
    result = step(batch)
    assert not bool(result.finite) and float(result.gradient_norm) == pytest.approx(norm, rel=1e-5) and norm > 0.01
    assert int(result.bad_variable) == 4 and float(result.learning_rate) == pytest.approx(rate)
    for variable, old, gradient in zip(state.trainable, before, gradients, strict=True):
        np.testing.assert_allclose(variable.numpy(), old - rate * gradient * 0.01 / norm, rtol=0, atol=1e-7)
    assert [int(counter) for counter in (state.step, state.skipped, state.consecutive)] == [1, 1, 1]
    assert int(state.optimizer.iterations) == 1
    step(poisoned_batch())
    assert [int(counter) for counter in (state.step, state.skipped, state.consecutive)] == [2, 1, 0]


def test_a_step_is_clipping_adam_and_the_average():
    experiment = train_steps.toy_experiment({"clip_norm": 0.1}, ema_decay=0.15)
    method, batch = experiment.make_method(), clean_batch()
    state, step = train_steps.start(experiment)
    weights = [variable.numpy().astype(float) for variable in state.trainable]
    average, first, second = list(weights), [0.0] * 6, [0.0] * 6
    for n in range(3):
        losses, gradients = gradients_by_hand(state, method, batch, n)
        norm = norm_of(gradients)
        rate = 1e-2 * min((n + 1) / 2, 1)
        alpha = rate * np.sqrt(1 - 0.999 ** (n + 1)) / (1 - 0.9 ** (n + 1))
        decay = min(0.15, (1 + n) / (10 + n))
        for k, gradient in enumerate(gradients):
            gradient = gradient * min(1.0, 0.1 / norm)
            first[k] = 0.9 * first[k] + 0.1 * gradient
            second[k] = 0.999 * second[k] + 0.001 * gradient**2
            weights[k] = weights[k] - alpha * first[k] / (np.sqrt(second[k]) + 1e-8)
            average[k] = decay * average[k] + (1 - decay) * weights[k]
        result = step(batch)
        assert float(result.loss) == pytest.approx(losses.mean(), rel=1e-6)
        assert float(result.gradient_norm) == pytest.approx(norm, rel=1e-5) and norm > 0.1
        assert float(result.learning_rate) == pytest.approx(rate)
        assert result.logs["t"].shape == (4,) and int(result.bad_variable) == -1
        for k, (own, variable) in enumerate(state.averaged):
            np.testing.assert_allclose(variable.numpy(), weights[k], rtol=0, atol=3e-6)
            np.testing.assert_allclose(own.numpy(), average[k], rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    "settings", [{"accumulate": 4}, pytest.param({"accumulate": 2, "jit": True}, marks=pytest.mark.slow)], ids=str
)
def test_parts_make_the_update_of_the_whole_batch(settings):
    whole = {**settings, "accumulate": 1}
    outcomes = []
    for own in (whole, settings):
        state, step = train_steps.start(train_steps.toy_experiment(**own))
        results = [step(clean_batch()) for _ in range(3)]
        outcomes.append((train_steps.everything(state), results))
    (expected, one), (got, other) = outcomes
    for key, value in expected.items():
        tolerance = (1e-5 if key.startswith("optimizer") else 1e-6) * (abs(value).max() or 1)
        np.testing.assert_allclose(got[key], value, rtol=0, atol=tolerance, err_msg=key)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.logs["t"], b.logs["t"])
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-6)


@pytest.mark.parametrize("interrupted", [1, 3])
def test_a_resumed_training_is_the_uninterrupted_one(tmp_path, interrupted):
    bad = {**clean_batch(), "kspace": clean_batch()["kspace"] * np.nan}
    batches = [clean_batch(), bad, clean_batch(), clean_batch(), clean_batch()]
    experiment = train_steps.toy_experiment(accumulate=2)
    state, step = train_steps.start(experiment)
    for number, batch in enumerate(batches):
        if number == interrupted:
            path = state.checkpoint().write(str(tmp_path / "state"))
        step(batch)
    resumed, step = train_steps.start(experiment)
    resumed.checkpoint().read(path).assert_consumed()
    for batch in batches[interrupted:]:
        step(batch)
    assert changed(train_steps.everything(state), train_steps.everything(resumed)) == set()
    assert int(resumed.step) == 5 and int(resumed.skipped) == 1 and int(resumed.optimizer.iterations) == 4


@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_each_shape_is_traced_once_and_without_a_warning(caplog, accumulate):
    experiment = train_steps.toy_experiment(accumulate=accumulate)
    method = Poisoned(experiment.model, experiment.objective)
    state, step = train_steps.start(experiment, method=method)
    spoil = {key: value for key, value in poisoned_batch().items() if key.startswith("spoil")}
    for sizes in ({}, {"width": 7}, {"coils": 1}) * 2:
        assert step({**clean_batch(**sizes), **spoil}).logs["change"].shape == (4,)
    assert method.traces == 3 and int(state.step) == 6
    assert "retracing" not in caplog.text


def test_mixed_precision_keeps_weights_and_loss_in_float32():
    results, states = [], []
    for precision in ("float32", "mixed_bfloat16"):
        state, step = train_steps.start(train_steps.toy_experiment(precision=precision))
        results.append(step(clean_batch()))
        states.append(state)
    assert results[1].loss.dtype == results[1].gradient_norm.dtype == tf.float32
    assert {variable.dtype for variable in states[1].trainable} == {"float32"}
    assert float(results[0].loss) != float(results[1].loss) == pytest.approx(float(results[0].loss), rel=0.02)
    for one, other in zip(*(state.trainable for state in states), strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=0.02)


class Partly(toy_method.Toy):
    """With a frozen network that the loss uses, and a trainable one that it does not."""

    def build(self, seed=0):
        models = super().build(seed)
        frozen, idle = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name=name) for name in "ab")
        frozen.trainable = False
        return {**models, "frozen": frozen, "idle": idle}

    def loss(self, models, batch, seeds, training):
        losses, logs = super().loss(models, batch, seeds, training)
        return losses + ops.mean(models["frozen"](ops.ones((1, 1)))), {**logs, "frozen": ops.ones(())}


def test_what_is_frozen_stays_and_what_is_unused_only_decays(caplog):
    experiment = train_steps.toy_experiment({"name": "adamw", "weight_decay": 0.1}, accumulate=2)
    state, step = train_steps.start(experiment, method=Partly(experiment.model, experiment.objective))
    frozen, idle = (state.models[name].get_weights()[0] for name in ("frozen", "idle"))
    state.models["frozen"].variables[1].assign([3.0])
    result = step(clean_batch())
    assert float(result.logs["frozen"]) == 1 and bool(result.finite)
    assert "the loss does not depend on idle/b/dense" in caplog.text
    np.testing.assert_array_equal(state.models["frozen"].get_weights()[0], frozen)
    assert state.ema["frozen"].get_weights()[1].tolist() == [3.0]
    np.testing.assert_allclose(state.models["idle"].get_weights()[0], idle * (1 - 0.1 * 5e-3), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ema_decay": 1.0}, "ema_decay is 1; give a number at least 0 and below 1"),
        ({"accumulate": 0}, "accumulate is 0; give 1 or more"),
        ({"max_nonfinite": 0}, "max_nonfinite is 0"),
        ({"accumulate": 3}, "batch_size 4 cannot be cut for 1 devices and accumulate=3; give a multiple of 3"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        train_steps.start(train_steps.toy_experiment(**settings))


def test_a_batch_of_another_size_must_have_equal_parts_too():
    experiment = train_steps.toy_experiment(data=DataSettings(batch_size=2), accumulate=2)
    _, step = train_steps.start(experiment)
    with pytest.raises(InputError, match="3 examples cannot be cut into 2 equal parts"):
        step(clean_batch(3))
