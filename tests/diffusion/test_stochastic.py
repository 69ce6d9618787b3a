"""Predictors and correctors against transcriptions of what was published."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.parameterization import Parameterization, make_denoiser
from tfrecon.diffusion.stochastic import PredictorCorrector, predictor_corrector, steered_along
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

COUNT = 6
SEED = rng.make_seed(5)


def flat(images):
    return ops.convert_to_numpy(images).astype(complex).reshape(-1, gaussian.PIXELS)


def norm(images):
    return np.linalg.norm(images, axis=-1, keepdims=True)


def noise_of(path, index, part, count):
    seed = rng.fold_in(rng.fold_in(SEED, index), part)
    return flat(path.noise(seed, (count, *gaussian.SHAPE)))


def case(kind, count=3):
    path = gaussian.make(kind, 2.0)
    times = make_times(path, COUNT)
    return (
        path,
        times,
        gaussian.estimate(gaussian.PRIOR, path, times, kind),
        gaussian.starts(path, gaussian.PRIOR, count),
    )


def score_in(path, denoiser, state, t):
    alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
    image = state.reshape(-1, *gaussian.SHAPE).astype("complex64")
    return (alpha * flat(denoiser(image, t)) - state) / sigma**2


@pytest.mark.parametrize("order", ["corrector_first", "predictor_first"])
@pytest.mark.parametrize("result", ["mean", "state"])
def test_score_mri_as_published(order, result):
    """VE, SMLD steps, one or two Langevin steps with r = 0.16, and a projection after each half."""
    path, times, denoiser, start = case("ve")
    half = np.diag([1, 1, 0.5, 1])

    def corrected(state, t, index, quiet):
        for number in (0, 1):
            z, s = noise_of(path, index, number + 1, 3), score_in(path, denoiser, state, t)
            length = 2 * (0.16 * norm(z) / norm(s)) ** 2
            state = state + length * s + (0 if quiet and number else np.sqrt(2 * length) * z)
        return state @ half

    sigmas = np.append(ops.convert_to_numpy(path.sigma(times)).astype(float), 0)
    state = flat(start)
    for index, t in enumerate(times):
        last = index == COUNT - 1 and result == "mean"
        if order == "corrector_first":
            state = corrected(state, t, index, False)
        added = sigmas[index] ** 2 - sigmas[index + 1] ** 2
        quiet = last and order == "corrector_first"
        mean = state + added * score_in(path, denoiser, state, t)
        state = (mean + (0 if quiet else np.sqrt(added) * noise_of(path, index, 0, 3))) @ half
        if order == "predictor_first":
            state = corrected(state, t, index, last)
    seen = []

    def project_state(x, t):
        seen.append(t)
        return ops.reshape(ops.matmul(ops.reshape(x, (-1, 4)), half.astype("complex64")), ops.shape(x))

    rules = PredictorCorrector(corrector_steps=2, order=order, result=result)
    found = predictor_corrector(denoiser, path, None, times, SEED, start, rules=rules, project_state=project_state)
    np.testing.assert_allclose(flat(found), state, rtol=2e-3, atol=2e-3)
    assert len(seen) >= 2


def test_hfs_as_published():
    """Euler-Maruyama of width 1/N with unprojected predictor score, both scores bent towards the data."""
    path, times, _, start = case("hfs")
    projector = gaussian.projector_matrix("hfs").T
    denoiser = make_denoiser(lambda image, _: image * 0.4 + 0.1, Parameterization("score"), path, locked=False)
    towards = np.diag([0.2, 0.1, 0.3, 0.4]) + 0.05j

    def bent(s, x, strength):
        g = x @ towards
        return s - strength * norm(s) * g / norm(g)

    state, width = flat(start), 1 / COUNT
    for index, t in enumerate(times):
        after = times[index + 1] if index + 1 < COUNT else None
        kept = float(path.alpha(t)) ** 2 / (float(path.alpha(after)) ** 2 if after is not None else 1.0)
        z, s = noise_of(path, index, 1, 3), (0.4 * state + 0.1) @ projector
        length = 2 * kept * (0.16 * norm(z) / norm(s)) ** 2
        state = state + length * bent(s, state, 0.1) + np.sqrt(2 * length) * z
        beta = 0.1 + 19.9 * float(t)
        s = bent(0.4 * state + 0.1, state, 2.5)
        state = state + width * (0.5 * beta * state @ projector + beta * s)
        if index < COUNT - 1:
            state = state + np.sqrt(beta * width) * noise_of(path, index, 0, 3)

    def gradient(x, t):
        return ops.reshape(ops.matmul(ops.reshape(x, (-1, 4)), towards.astype("complex64")), ops.shape(x))

    rules = PredictorCorrector("euler_maruyama", widths="uniform", locked=False)
    steering = {"steer_predictor": steered_along(gradient, 2.5), "steer_corrector": steered_along(gradient, 0.1)}
    found = predictor_corrector(denoiser, path, None, times, SEED, start, rules=rules, **steering)
    np.testing.assert_allclose(flat(found), state, rtol=2e-3, atol=2e-3)
    locked = predictor_corrector(
        denoiser, path, None, times, SEED, start, rules=PredictorCorrector("euler_maruyama"), **steering
    )
    low = (np.eye(4) - gaussian.projector_matrix("hfs")).T
    np.testing.assert_allclose((flat(locked) - flat(start)) @ low, 0, atol=1e-5)
    assert abs((flat(found) - flat(start)) @ low).max() > 0.05


def test_the_published_last_step_overshoots_where_steps_are_few():
    """At t_min a step of 1/N is many times the noise that is left; a grid's last step is the estimate."""
    path = gaussian.make("vp")
    known = gaussian.Gaussian(gaussian.PRIOR.mean, 1e-8 * np.eye(gaussian.PIXELS))
    times, found = make_times(path, 100), {}
    denoiser = gaussian.estimate(known, path, times, "vp")
    for widths in ("grid", "uniform"):
        rules = PredictorCorrector("euler_maruyama", corrector_steps=0, widths=widths)
        start = gaussian.starts(path, known, 200)
        samples = predictor_corrector(denoiser, path, None, times, rng.make_seed(1), start, rules=rules)
        found[widths] = np.sqrt(np.mean(abs(flat(samples) - known.mean) ** 2))
    assert found["grid"] < 2e-3 and found["uniform"] > 0.05


@pytest.mark.parametrize("snr", [0.16, 0.3])
def test_langevin_steps_reach_the_law_of_their_level(snr):
    """From elsewhere. Steps of finite length widen the variance V of independent pixels to V (1 + r²)."""
    path, t, variance = gaussian.make("vp"), np.float32(0.35), 0.3
    alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
    expected = alpha**2 * variance + sigma**2
    times = np.repeat(t, 150)

    def denoiser(state, _):
        return alpha * variance / expected * (state - alpha * 0.7) + 0.7

    rules = PredictorCorrector("none", snr=snr, result="state")
    samples = gaussian.compiled(
        lambda state: predictor_corrector(denoiser, path, None, times, rng.make_seed(2), state, rules=rules),
        path.noise(rng.make_seed(0), (50, 16, 16)) * 1.3,
    )
    samples = ops.convert_to_numpy(samples)
    assert samples.mean() == pytest.approx(alpha * 0.7, abs=0.03)
    assert np.var(samples) == pytest.approx(expected * (1 + snr**2), rel=0.04)


def test_an_image_without_score_stays_finite():
    path = gaussian.make("vp")
    times, start = make_times(path, 3), gaussian.starts(path, gaussian.PRIOR, 2)

    def still(state, t):
        return state / ops.cast(path.alpha(t), "complex64")

    result = predictor_corrector(still, path, None, times, SEED, start, rules=PredictorCorrector(result="state"))
    assert np.isfinite(flat(result)).all() and abs(flat(result)).max() < 1e3


def test_steering_leaves_images_alone_that_agree_with_the_data():
    state = gaussian.PRIOR.draw(3)
    agree = np.array([1, 0, 1], np.float32)[:, None, None]
    steered = steered_along(lambda x, t: x * agree, 2.0)(state, state + 1, 0.5)
    np.testing.assert_array_equal(ops.convert_to_numpy(steered)[1], state[1] + 1)
    removed = flat(state + 1)[0] - flat(steered)[0]
    np.testing.assert_allclose(np.linalg.norm(removed), 2 * np.linalg.norm(flat(state + 1)[0]), rtol=1e-4)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"predictor": "heun"}, "no predictor 'heun'"),
        ({"corrector_steps": -1}, "without predictor or corrector"),
        ({"predictor": "none", "corrector_steps": 0}, "without predictor or corrector"),
        ({"snr": 0.0}, "snr is 0"),
    ],
)
def test_wrong_rules(wrong, message):
    with pytest.raises(InputError, match=message):
        PredictorCorrector(**wrong)
