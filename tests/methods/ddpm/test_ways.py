"""At once, in parts, with a budget that the graph is told, and exported: the same bits."""

import numpy as np
import pytest
import tensorflow as tf
from ddpm_cases import batch_of, make_method, options_of, talking
from score_cases import measurement_of, models_of

from tfrecon.serve import pace as pace_module
from tfrecon.serve.compile import as_tensors, compiled_reconstruct
from tfrecon.serve.pace import Pace
from tfrecon.serve.stepping import SteppedReconstruct
from tfrecon.util import rng
from tfrecon.util.errors import InputError

SEED = rng.make_seed(3)


@pytest.mark.parametrize("sampler", ["dds", pytest.param("ancestral", marks=pytest.mark.slow)])
def test_parts_and_budgets_give_the_same_bits(monkeypatch, sampler):
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.0)  # a part for each step
    method, measurement = make_method(heteroscedastic=True), measurement_of(batch_of())
    options, models = options_of(sampler=sampler, samples=2, nfe=5), models_of(talking(0.3))
    whole = compiled_reconstruct(method, options, models)(measurement, SEED)
    parts = SteppedReconstruct(method, options, models, method.stepwise(options))(measurement, SEED, Pace())
    budgeted = method.budgeted(options)
    told = tf.function(lambda given, nfe: budgeted.reconstruct(models, given, SEED, nfe), autograph=False)
    given = as_tensors(measurement)  # constants would be worked out beforehand, rounded in another way
    for other in (parts, told(given, tf.constant(5))):
        for name in ("image", "std", "samples"):
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))
    three = compiled_reconstruct(method, options_of(sampler=sampler, samples=2, nfe=3), models)(measurement, SEED)
    np.testing.assert_array_equal(told(given, tf.constant(3)).image, three.image)
    assert told.experimental_get_tracing_count() == 1 and np.abs(whole.image).max() > 0.1


@pytest.mark.slow
def test_a_stopped_run_has_the_deviation_of_where_it_stopped(monkeypatch):
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.0)
    times = iter(range(10**6))
    monkeypatch.setattr(pace_module, "now", lambda: float(next(times)))
    method, measurement = make_method(heteroscedastic=True), measurement_of(batch_of())
    options, models = options_of(nfe=30), models_of(talking(0.0))
    pace = Pace(deadline=12.0)
    stepped = SteppedReconstruct(method, options, models, method.stepwise(options))
    stopped = stepped(measurement, SEED, pace)
    assert pace.stopped and 0 < pace.made < 30
    whole = compiled_reconstruct(method, options, models)(measurement, SEED)
    assert np.isfinite(stopped.image).all() and np.min(stopped.std) > 2 * np.max(whole.std)


def test_what_is_not_finite_is_named():
    method, batch = make_method(), batch_of()
    batch["maps"][0, 0, 0, 0] = np.nan
    models, options = models_of(talking()), options_of()
    result = method.reconstruct(models, measurement_of(batch), SEED, options)
    with pytest.raises(InputError, match="image 0 of 2 is not finite, first in step"):
        method.require_finite(models, measurement_of(batch), SEED, options, result)


def test_the_denoiser_that_is_exported():
    method, models = make_method(), models_of(talking())
    denoise = method.serving_functions(models, options_of())["denoise"]
    x_t = np.ones((2, 9, 8), np.complex64) * np.complex64(0.3 + 0.2j)
    found = np.asarray(denoise.call(x_t, np.int32([5, 40])))
    assert found.shape == x_t.shape and abs(found[0] - found[1]).max() > 1e-3
    assert method.serving_fields(options_of()) == ("noise_std",) and method.serving_fields(options_of(noise=0.1)) == ()
