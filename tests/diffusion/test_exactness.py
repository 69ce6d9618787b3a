"""All samplers on all paths against a Gaussian prior and its posterior, whose laws are known."""

import gaussian_diffusion as gaussian
import keras
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.guided import diffpir, dps
from tfrecon.diffusion.ode import dpm_solver, probability_flow
from tfrecon.diffusion.parameterization import Parameterization, make_denoiser
from tfrecon.diffusion.path import residual_variance
from tfrecon.diffusion.samplers import ancestral, ddim
from tfrecon.diffusion.stochastic import PredictorCorrector, predictor_corrector
from tfrecon.util import rng
from tfrecon.util.complex import energy

pytestmark = pytest.mark.mathematics

KINDS = ("ve", "vp", "subvp", "hfs")


def _scores(**rules):
    def sampler(denoiser, path, data_step, times, seed, start):
        return predictor_corrector(denoiser, path, data_step, times, seed, start, rules=PredictorCorrector(**rules))

    return sampler


SAMPLERS = {
    "ancestral": ancestral,
    "ddim": ddim,
    "ddim noisy": lambda *a: ddim(*a, eta=0.5, eta_of="level"),
    "dds": lambda *a: ddim(*a, eta=0.5, eta_of="level", direction="before_data"),
    "reverse diffusion": _scores(corrector_steps=0),
    "euler-maruyama": _scores(predictor="euler_maruyama", corrector_steps=0),
    "ancestral score": _scores(predictor="ancestral", corrector_steps=0),
    "predictor-corrector": _scores(snr=0.03),
    "predictor first": _scores(snr=0.03, order="predictor_first"),
    "euler": lambda d, p, s, t, seed, x: probability_flow(d, p, s, t, x, order=1),
    "heun": lambda d, p, s, t, seed, x: probability_flow(d, p, s, t, x),
    "dpm-solver": lambda d, p, s, t, seed, x: dpm_solver(d, p, s, t, x),
    "dps": lambda d, p, s, t, seed, x: dps(d, p, _distance, t, seed, x),
    "diffpir": lambda d, p, s, t, seed, x: diffpir(
        d, p, gaussian.proximal, t, seed, x, noise_std=gaussian.NOISE_STD, xi=1.0
    ),
}
EXACT = tuple(name for name in SAMPLERS if name not in ("dds", "dps", "diffpir"))
CALLS = {"predictor-corrector": 2, "predictor first": 2}
QUICK = {
    *(("vp", name) for name in ("ancestral", "ddim", "euler-maruyama", "heun", "dpm-solver", "predictor-corrector")),
    *(("hfs", name) for name in ("ancestral", "dpm-solver", "predictor-corrector")),
    ("ve", "reverse diffusion"),
}
"""Pairs of path and sampler that are tried each time; the others are slow tests."""

TOLERANCE = {"dpm-solver": 0.04, "heun": 0.04, "euler-maruyama": 0.09, "ddim": 0.2, "euler": 0.2}
"""Of the covariance at 50 steps, spaced as `spacing` says; others 0.25. 4000 draws leave 0.03."""


def _distance(x0_hat):
    matrix = ops.convert_to_tensor(gaussian.MATRIX.T, "complex64")
    residual = ops.matmul(ops.reshape(x0_hat, (-1, gaussian.PIXELS)), matrix) - gaussian.DATA.astype("complex64")
    return ops.sqrt(ops.sum(energy(residual), axis=-1) + 1e-12)


def spacing(name):
    return "log_snr" if name == "dpm-solver" else "linear"


def run(name, path, denoiser, data_step, times, start, seed=1):
    return SAMPLERS[name](denoiser, path, data_step, times, rng.make_seed(seed), start)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXACT)
def test_samplers_reproduce_the_prior(name, kind):
    path, law = gaussian.make(kind), gaussian.PRIOR
    times = make_times(path, 50, spacing(name))
    denoiser = gaussian.estimate(law, path, times, kind)
    mean, covariance = gaussian.errors(run(name, path, denoiser, None, times, gaussian.starts(path, law)), law)
    assert mean < 0.05 and covariance < TOLERANCE.get(name, 0.25)


@pytest.mark.parametrize(
    "name, kind",
    [
        pytest.param(name, kind, marks=() if (kind, name) in QUICK else pytest.mark.slow)
        for name in EXACT
        for kind in KINDS
    ],
)
def test_samplers_reproduce_the_posterior_through_the_data_step(name, kind):
    path, law = gaussian.make(kind), gaussian.POSTERIOR
    times = make_times(path, 50, spacing(name))
    denoiser = gaussian.estimate(gaussian.PRIOR, path, times, kind)
    data_step = gaussian.exact_data_step(gaussian.PRIOR, path, times, kind)
    samples = run(name, path, denoiser, data_step, times, gaussian.starts(path, law))
    mean, covariance = gaussian.errors(samples, law)
    assert mean < 0.05 and covariance < TOLERANCE.get(name, 0.25)


@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpm-solver", "heun", "euler-maruyama"])
def test_errors_fall_with_the_number_of_steps(name):
    path, law = gaussian.make("vp"), gaussian.POSTERIOR
    found = []
    for count in (6, 24):
        times = make_times(path, count, spacing(name))
        denoiser = gaussian.estimate(law, path, times, "vp")
        found.append(gaussian.errors(run(name, path, denoiser, None, times, gaussian.starts(path, law)), law)[1])
    assert found[1] < 0.65 * found[0]


def test_the_proximal_data_step_is_exact_for_independent_pixels():
    variance = 0.4
    law = gaussian.Gaussian(gaussian.PRIOR.mean, variance * np.eye(gaussian.PIXELS))
    after = law.given(gaussian.MATRIX, gaussian.DATA, gaussian.NOISE_STD)
    for kind in ("ve", "vp"):
        path = gaussian.make(kind, 2.0)
        times = make_times(path, 7)
        best = gaussian.estimate(after, path, times, kind)
        prior = gaussian.estimate(law, path, times, kind)
        for t in times[1:]:
            state = path.perturb(law.draw(5), t, path.noise(rng.make_seed(0), (5, *gaussian.SHAPE)))
            weight = gaussian.NOISE_STD**2 / residual_variance(path, t, variance)
            found = gaussian.proximal(prior(state, t), weight)
            np.testing.assert_allclose(
                ops.convert_to_numpy(found), ops.convert_to_numpy(best(state, t)), rtol=2e-3, atol=2e-3
            )


@pytest.mark.slow
@pytest.mark.parametrize("name, least", [("dps", 0.1), ("diffpir", 0.4), ("ancestral", 0.0)])
def test_guided_samplers_are_biased_by_design(name, least):
    """With the prior's exact estimate and 300 steps, their covariance stays away from the posterior's.

    Measured: DPS 0.16, DiffPIR with all noise new 0.52; ancestral sampling with the exact data step 0.05.
    """
    path = gaussian.make("vp")
    times = make_times(path, 300)
    denoiser = gaussian.estimate(gaussian.PRIOR, path, times, "vp")
    data_step = gaussian.exact_data_step(gaussian.PRIOR, path, times, "vp") if name == "ancestral" else None
    samples = run(name, path, denoiser, data_step, times, gaussian.starts(path, gaussian.PRIOR))
    mean, covariance = gaussian.errors(samples, gaussian.POSTERIOR)
    prior_mean, _ = gaussian.errors(gaussian.PRIOR.draw(4000), gaussian.POSTERIOR)
    assert least < covariance < (0.8 if least else 0.1)
    assert mean < 0.6 * prior_mean  # they do move towards the data


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("count", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_low_frequencies_are_left_alone(name, count):
    """Whatever the network says, and however many steps there are."""
    path = gaussian.make("hfs")
    low = np.eye(gaussian.PIXELS) - gaussian.projector_matrix("hfs")
    start = gaussian.starts(path, gaussian.PRIOR, 3)
    denoiser = make_denoiser(lambda image, label: image * (0.3 + 0.2j) + 0.1, Parameterization("v"), path)
    if name == "diffpir":  # its data step changes low frequencies, as it should
        result = ddim(denoiser, path, None, make_times(path, count), rng.make_seed(0), start, eta=0.5, eta_of="level")
    else:
        result = run(name, path, denoiser, None, make_times(path, count), start)
    moved = (ops.convert_to_numpy(result) - ops.convert_to_numpy(start)).reshape(3, -1) @ low.T
    assert np.isfinite(ops.convert_to_numpy(result)).all()
    np.testing.assert_allclose(moved, 0, atol=1e-5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_image_depends_on_its_own_seed_alone(name):
    path = gaussian.make("hfs")
    times, seeds = make_times(path, 4), rng.make_seeds(0, 1, 3)
    denoiser = gaussian.estimate(gaussian.PRIOR, path, times, "hfs")
    start = gaussian.starts(path, gaussian.PRIOR, 3)
    together = ops.convert_to_numpy(SAMPLERS[name](denoiser, path, None, times, seeds, start))
    again = ops.convert_to_numpy(SAMPLERS[name](denoiser, path, None, times, seeds, start))
    alone = ops.convert_to_numpy(SAMPLERS[name](denoiser, path, None, times, seeds[1:2], start[1:2]))
    np.testing.assert_array_equal(together, again)
    np.testing.assert_allclose(together[1:2], alone, atol=2e-5)


@pytest.mark.parametrize("name", SAMPLERS)
def test_network_calls_are_as_many_as_stated(name):
    if keras.backend.backend() == "jax":
        pytest.skip("JAX traces a loop instead of running it in Python")
    path = gaussian.make("vp")
    for count in (1, 5):
        times = make_times(path, count)
        denoiser = gaussian.estimate(gaussian.PRIOR, path, times, "vp")
        SAMPLERS[name](denoiser, path, None, times, rng.make_seed(0), gaussian.starts(path, gaussian.PRIOR, 2))
        assert denoiser.calls == (2 * count - 1 if name == "heun" else CALLS.get(name, 1) * count)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_step_gives_the_estimate(kind):
    path = gaussian.make(kind)
    times = make_times(path, 1)
    denoiser = gaussian.estimate(gaussian.PRIOR, path, times, kind)
    start = gaussian.starts(path, gaussian.PRIOR, 2)
    for name in ("ancestral", "ddim", "dds", "reverse diffusion", "euler-maruyama", "heun", "dpm-solver"):
        result = SAMPLERS[name](denoiser, path, None, times, rng.make_seed(0), start)
        np.testing.assert_allclose(
            ops.convert_to_numpy(result), ops.convert_to_numpy(denoiser(start, times[0])), atol=2e-4
        )


@pytest.mark.parametrize("name", ["ancestral", "dds", "dpm-solver", "predictor-corrector"])
def test_a_warm_start_needs_fewer_steps(name):
    """From images of the law that are noised half way, and the same steps per time: as good as from noise."""
    path, law = gaussian.make("vp"), gaussian.PRIOR
    times = make_times(path, 25, spacing(name), start=0.4)
    images = law.draw(4000, 6)
    start = path.perturb(images, times[0], path.noise(rng.make_seed(4), images.shape))
    mean, covariance = gaussian.errors(
        run(name, path, gaussian.estimate(law, path, times, "vp"), None, times, start), law
    )
    assert mean < 0.05 and covariance < 0.25


@pytest.mark.parametrize("eta", [pytest.param(0.55, marks=pytest.mark.slow), 1.0])
def test_noise_that_is_a_part_of_the_level_narrows_the_law(eta):
    """With many steps the variance of independent pixels goes to (1 + sqrt(1 - eta²)) / 2 of the right one."""
    path, variance = gaussian.make("vp"), 0.3
    times = make_times(path, 1000)  # with 300 the steps themselves narrow it by 4 %

    def denoiser(state, t):
        alpha, sigma = path.alpha(t), path.sigma(t)
        return ops.cast(alpha * variance / (alpha**2 * variance + sigma**2), "complex64") * state

    start = path.noise(rng.make_seed(0), (60, 8, 8))
    for kind, expected in (("level", 0.5 * (1 + np.sqrt(1 - eta**2))), ("posterior", 1.0)):
        samples = ddim(denoiser, path, None, times, rng.make_seed(1), start, eta=eta, eta_of=kind)
        assert np.var(ops.convert_to_numpy(samples)) == pytest.approx(expected * variance, rel=0.06)
