"""Denoising score matching against its formulas."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.objectives import (
    WEIGHTINGS,
    ScoreMatching,
    denoising_losses,
    draw_times,
    loss_weight,
    random_denoising_losses,
)
from tfrecon.diffusion.parameterization import OUTPUTS, Parameterization, coefficients
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

TIMES = np.array([0.05, 0.3, 0.7, 0.95], np.float32)
X0 = gaussian.PRIOR.draw(4)
GUESS = gaussian.PRIOR.draw(4, seed=5)


def answering(output, path, settings):
    """A network whose x0_hat is GUESS whatever it is asked, and so the same for every parameterisation."""

    def network(image, label):
        of = [ops.convert_to_numpy(part)[:, None, None] for part in coefficients(settings, path, TIMES)]
        return (GUESS - of[1] * ops.convert_to_numpy(image) / of[0]) / of[2]

    return network


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp", "hfs"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("variance", [1.0, 2.0])
def test_losses_equal_their_formulas_for_every_parameterization(kind, weighting, variance):
    path = gaussian.make(kind, variance)
    noise = path.noise(rng.make_seed(0), X0.shape)
    projector = gaussian.projector_matrix(kind).T
    alpha, sigma, g = (ops.convert_to_numpy(of(TIMES)).astype(float) for of in (path.alpha, path.sigma, path.g))
    error = np.sum(abs((GUESS - X0).reshape(4, -1) @ projector) ** 2, axis=-1)  # of x0_hat
    unit, data = np.sqrt(variance / 2), 0.4
    ratio = alpha / sigma
    expected = {
        "noise": ratio**2,  # |sigma s + n|² = |alpha (x0_hat - x0) / sigma|²
        "likelihood": ratio**2 * g**2 / sigma**2,
        "edm": (alpha**2 * data**2 + (sigma * unit) ** 2) / (sigma * unit * data) ** 2,
        "min_snr": ratio**2 * np.minimum(1, 5 / (ratio * data / unit) ** 2),
    }[weighting]
    for output in OUTPUTS:
        settings = Parameterization(output, data_std=data)
        for reduction, share in (("mean", 1 / (2 * gaussian.PIXELS)), ("sum", 0.5)):
            objective = ScoreMatching(weighting, reduction)
            network = answering(output, path, settings)
            losses = ops.convert_to_numpy(denoising_losses(network, objective, settings, path, X0, TIMES, noise))
            assert losses.dtype == np.float32 and losses.shape == (4,)
            np.testing.assert_allclose(losses, share * expected * error, rtol=5e-3)


def test_hfs_compares_high_frequencies_only():
    """As published, `|sigma P s + P n|²`, whatever the network says of low frequencies."""
    path, settings = gaussian.make("hfs", 2.0), Parameterization("score", "std")
    noise = path.noise(rng.make_seed(0), X0.shape)
    low = (np.eye(gaussian.PIXELS) - gaussian.projector_matrix("hfs")).T
    strange = (GUESS.reshape(4, -1) @ low).reshape(GUESS.shape).astype("complex64")
    losses = [
        ops.convert_to_numpy(
            denoising_losses(lambda image, _, s=shift: GUESS + s, ScoreMatching(), settings, path, X0, TIMES, noise)
        )
        for shift in (0, 10 * strange)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    sigma = ops.convert_to_numpy(path.sigma(TIMES))[:, None, None]
    high = (sigma * GUESS).reshape(4, -1) @ gaussian.projector_matrix("hfs").T
    expected = np.sum(abs(high + ops.convert_to_numpy(noise).reshape(4, -1)) ** 2, axis=-1) / (2 * gaussian.PIXELS)
    np.testing.assert_allclose(losses[0], expected, rtol=1e-3)


def test_the_best_estimate_has_the_smallest_loss():
    path, t = gaussian.make("vp"), np.float32([0.4])
    x0 = gaussian.PRIOR.draw(4000, seed=8)
    best = gaussian.estimate(gaussian.PRIOR, path, t, "vp")
    settings, noise = Parameterization("x0"), path.noise(rng.make_seed(2), x0.shape)

    def mean_loss(change):
        losses = denoising_losses(
            lambda image, _: best(image, t[0]) * change, ScoreMatching(), settings, path, x0, np.repeat(t, 4000), noise
        )
        return float(ops.mean(losses))

    assert mean_loss(1.0) < min(mean_loss(1.1), mean_loss(0.9), mean_loss(1 + 0.1j))


def test_real_images_count_one_channel():
    path = make_path(PathSettings(kind="vp", noise_variance=1.0, real=True))
    noise = path.noise(rng.make_seed(0), X0.shape)
    losses = denoising_losses(
        lambda image, _: ops.zeros_like(image), ScoreMatching(), Parameterization(), path, X0.real + 0j, TIMES, noise
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(losses), np.mean(ops.convert_to_numpy(noise).real ** 2, axis=(-2, -1)), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["ve", "vp", "hfs"])
def test_uniform_times(kind):
    path = gaussian.make(kind)
    times = ops.convert_to_numpy(
        gaussian.compiled(lambda: draw_times(ScoreMatching(), path, rng.make_seeds(0, 0, 4000)))
    )
    assert times.dtype == np.float32 and times.min() >= 1e-5 and times.max() <= 1
    assert np.mean(times) == pytest.approx(0.5, abs=0.02) and np.var(times) == pytest.approx(1 / 12, abs=0.005)


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_log_normal_times(kind):
    path, objective = gaussian.make(kind, 2.0), ScoreMatching(times="log_normal", log_mean=-0.5, log_std=0.6)
    times = gaussian.compiled(lambda: draw_times(objective, path, rng.make_seeds(0, 0, 4000)))
    ratios = -0.5 * ops.convert_to_numpy(path.log_snr(times))
    assert np.mean(ratios) == pytest.approx(-0.5, abs=0.04) and np.std(ratios) == pytest.approx(0.6, abs=0.04)


def test_times_of_a_chain():
    path = DiscretePath.from_settings(ChainSettings(5))
    for rule in ("uniform", "log_normal"):
        times = ops.convert_to_numpy(draw_times(ScoreMatching(times=rule), path, rng.make_seeds(0, 0, 100)))
        assert times.dtype == np.int32 and set(times) <= set(range(5))
        assert rule == "log_normal" or np.bincount(times).min() > 8


def test_an_image_has_its_own_time_and_noise():
    path, seeds = gaussian.make("hfs"), rng.make_seeds(3, 1, 4)
    arguments = (lambda image, label: image, ScoreMatching(), Parameterization("v"), path)
    losses, times = random_denoising_losses(*arguments, X0, seeds)
    alone, own = random_denoising_losses(*arguments, X0[2:3], seeds[2:3])
    np.testing.assert_allclose(ops.convert_to_numpy(losses)[2:3], ops.convert_to_numpy(alone), rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(times)[2:3], ops.convert_to_numpy(own))
    assert len(set(ops.convert_to_numpy(times).tolist())) == 4


def test_edm_weighs_its_own_network_equally():
    weight = loss_weight(ScoreMatching("edm"), Parameterization("edm"), gaussian.make("ve"), TIMES)
    np.testing.assert_allclose(ops.convert_to_numpy(weight), 1)


@pytest.mark.parametrize(
    "wrong", [{"weighting": "none"}, {"reduction": "max"}, {"times": "even"}, {"t_min": 0.0}, {"log_std": 0.0}]
)
def test_wrong_objectives(wrong):
    with pytest.raises(InputError):
        ScoreMatching(**wrong)
