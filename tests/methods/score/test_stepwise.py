"""Reconstruction in parts, and with a budget that the graph is told, against reconstruction at once."""

import numpy as np
import pytest
import tensorflow as tf
from score_cases import Network, make_method, measurement_of, models_of, perturbed
from ssdiffrecon_cases import make_batch

from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.stepwise import MOST_STEPS
from tfrecon.serve import pace as pace_module
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.serve.pace import Pace
from tfrecon.serve.stepping import SteppedReconstruct
from tfrecon.util import rng

SEED = rng.make_seed(3)
OTHERS = ("ancestral", "ddim", "pc", "reverse_diffusion", "euler_maruyama", "dps", "diffpir", "ode", "dpm_solver")
SAMPLERS = ["dds", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]


def options_of(sampler, **changes):
    return ScoreOptions(**{"sampler": sampler, "nfe": 6, "cg_iterations": 2, "samples": 2, **changes})


def in_parts(method, options, models, measurement, pace):
    stepped = SteppedReconstruct(method, options, models, method.stepwise(options))
    return stepped(measurement, SEED, pace)


@pytest.mark.parametrize("kind", ["ve", pytest.param("hfs", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_parts_and_budgets_give_the_same_bits(monkeypatch, kind, sampler):
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.0)  # a part for each step
    method, measurement, options = make_method(kind), measurement_of(make_batch(lines=True)), options_of(sampler)
    models = perturbed(method.build(0))
    whole = compiled_reconstruct(method, options, models)(measurement, SEED)
    parts = in_parts(method, options, models, measurement, Pace())
    budgeted = method.budgeted(options)
    told = tf.function(lambda nfe: budgeted.reconstruct(models, measurement, SEED, nfe), autograph=False)
    for other in (parts, told(tf.constant(options.nfe))):
        for name in ("image", "std", "samples"):
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))
    assert np.abs(whole.image).max() > 0.1


def test_a_budget_is_the_option_of_that_value():
    method, measurement, options = make_method(), measurement_of(make_batch(1)), options_of("dds", samples=1)
    models, budgeted = models_of(Network(lambda i: 0.5 * i["image"][..., :2])), method.budgeted(options)
    told = tf.function(lambda nfe: budgeted.reconstruct(models, measurement, SEED, nfe), autograph=False)
    for nfe in (1, 4, 11):
        given = options_of("dds", samples=1, nfe=nfe)
        expected = compiled_reconstruct(method, given, models)(measurement, SEED).image
        np.testing.assert_array_equal(told(tf.constant(nfe)).image, expected)
    assert told.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("sampler", ["dds", "pc", "reverse_diffusion", "diffpir"])
def test_a_stopped_run_has_an_image_that_agrees_with_the_data(monkeypatch, sampler):
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.0)
    times = iter(range(10**6))
    method = make_method(parameterization={"output": "x0", "label": "std"})
    batch = make_batch(coils=3, rate=0.9)
    models = models_of(Network(lambda i: 0.0 * i["image"][..., :2]))
    monkeypatch.setattr(pace_module, "now", lambda: float(next(times)))
    pace = Pace(deadline=20.0)
    options = options_of(sampler, nfe=60, samples=1, noise=0.001, cg_iterations=8)
    image = in_parts(method, options, models, measurement_of(batch), pace).image
    assert pace.stopped and 0 < pace.made < pace.steps == options.steps
    # The network says nothing: what is right of the image is from the data alone.
    error = np.linalg.norm(np.asarray(image) - batch["reference"]) / np.linalg.norm(batch["reference"])
    assert error < 0.5


def test_published_state_projections_reach_the_image_of_a_stopped_run(monkeypatch):
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.0)
    times = iter(range(10**6))
    monkeypatch.setattr(pace_module, "now", lambda: float(next(times)))
    method, batch = make_method(parameterization={"output": "x0", "label": "std"}), make_batch(coils=1)
    models = models_of(Network(lambda i: 0.0 * i["image"][..., :2]))
    options = options_of("pc", nfe=60, samples=1, data_step="projection", data_at="state")
    image = np.asarray(in_parts(method, options, models, measurement_of(batch), Pace(deadline=15.0)).image)
    from sense_numpy import fft2c

    error = batch["mask"] * (fft2c(image[:, None]) - batch["kspace"])
    assert np.linalg.norm(error) < 1e-4 * np.linalg.norm(batch["kspace"])


def test_what_budgets_there_are():
    method = make_method()
    heun = method.budgeted(options_of("ode"))
    assert (heun.least, heun.most) == (1, 2 * MOST_STEPS - 1)
    budgeted = method.budgeted(options_of("pc", corrector_steps=2))
    assert (budgeted.least, budgeted.most) == (3, 3 * MOST_STEPS)
    assert method.budgeted(options_of("dds", nfe=500)).most == 500
    assert method.serving_fields(options_of("dds")) == ("noise_std",)
    assert method.serving_fields(options_of("dds", noise=0.1)) == ()


def test_a_noise_below_zero_is_one_that_nobody_knows():
    method, measurement = make_method(), measurement_of(make_batch(noise=0.05))
    models, options = models_of(Network(lambda i: 0.5 * i["image"][..., :2])), options_of("dds", samples=1)
    images = [
        np.asarray(method.reconstruct(models, measurement._replace(noise_std=noise), SEED, options).image)
        for noise in (None, np.float32([-1, -1]), np.float32([-1, 0.05]))
    ]
    np.testing.assert_array_equal(images[1], images[0])
    np.testing.assert_array_equal(images[2][0], images[0][0])
    assert np.abs(images[2][1] - images[0][1]).max() > 1e-3
