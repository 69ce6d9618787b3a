"""The discrete chain against its definition and against the values of SSDiffRecon's published chain."""

import diffusion_numpy
import improved_ddpm_numpy
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath, make_betas, rebuilt_path
from tfrecon.diffusion.path import posterior
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

PUBLISHED = ChainSettings()


def neighbours(path, falling):
    """The posterior of each step along falling times, NumPy, in rising order of the times."""
    rising = falling[::-1]
    alpha, sigma = (ops.convert_to_numpy(level(rising)) for level in (path.alpha, path.sigma))
    law = posterior(alpha, sigma, np.r_[1, alpha[:-1]].astype("float32"), np.r_[0, sigma[:-1]].astype("float32"))
    return [ops.convert_to_numpy(part) for part in law]


def test_the_published_short_chain_has_its_known_values():
    path = rebuilt_path(PUBLISHED, 5)
    times = path.all_times()
    assert times.tolist() == [4, 3, 2, 1, 0]
    c1, c2, _, large = neighbours(path, times)
    np.testing.assert_allclose(path.alphas, [0.99995, 0.99741, 0.99238, 0.98490, 0.97500], atol=6e-6)
    np.testing.assert_allclose(path.sigmas, [0.0100, 0.0719, 0.1232, 0.1731, 0.2222], atol=6e-5)
    np.testing.assert_allclose(c1, [1, 0.98072, 0.66067, 0.49752, 0.39899], atol=6e-6)
    np.testing.assert_allclose(c2, [0, 0.01928, 0.33933, 0.50245, 0.60094], atol=6e-6)
    np.testing.assert_allclose(large[1:] ** 2, np.linspace(1e-4, 0.02, 5)[1:], rtol=1e-4)


def test_the_published_short_chain_does_not_have_the_noise_of_the_trained_one():
    trained, short = DiscretePath.from_settings(PUBLISHED), rebuilt_path(PUBLISHED, 5)
    assert short.sigmas[4] / trained.sigmas[4] == pytest.approx(8, abs=0.5)
    times = trained.respaced(5)
    np.testing.assert_allclose(ops.convert_to_numpy(trained.sigma(times)), trained.sigmas[times], rtol=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "quad", "warmup10", "warmup50", "const", "jsd"])
def test_schedules(schedule):
    betas = make_betas(ChainSettings(100, schedule, 1e-3, 0.05))
    assert betas.shape == (100,) and betas.dtype == np.float64
    assert (np.diff(betas) >= 0).all()
    if schedule == "jsd":
        np.testing.assert_allclose(betas, [1 / (100 - i) for i in range(100)])
        return
    assert betas[0] == pytest.approx(0.05 if schedule == "const" else 1e-3)
    assert betas[-1] == pytest.approx(0.05)
    assert np.count_nonzero(betas < 0.05 - 1e-12) == {"linear": 99, "quad": 99, "warmup10": 9, "warmup50": 49}.get(
        schedule, 0
    )
    if schedule == "quad":
        np.testing.assert_allclose(np.diff(np.sqrt(betas), 2), 0, atol=1e-12)


@pytest.mark.parametrize("steps", [20, 100, 1000, 4000])
def test_schedules_of_improved_ddpm(steps):
    linear, cosine = (make_betas(ChainSettings(steps, schedule)) for schedule in ("linear_scaled", "cosine"))
    np.testing.assert_allclose(linear, improved_ddpm_numpy.linear_betas(steps), rtol=1e-12)
    np.testing.assert_allclose(cosine, improved_ddpm_numpy.cosine_betas(steps), rtol=1e-9)
    assert cosine[-1] == 0.999 and (cosine[:-1] < 0.999).all() and (np.diff(cosine) >= 0).all()
    half = DiscretePath(cosine).alphas[steps // 2 - 1] ** 2
    assert half == pytest.approx(np.cos(0.508 / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2)
    if steps == 1000:
        np.testing.assert_array_equal(linear, make_betas(PUBLISHED))
    if steps >= 1000:  # chains of all lengths end in about the same noise
        assert DiscretePath(linear).alphas[-1] ** 2 == pytest.approx(4.1e-5, rel=0.05)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"steps": 0}, "0 steps"),
        ({"beta_start": 0.03}, "betas from 0.03 to 0.02"),
        ({"beta_start": 0.0}, "betas from 0 "),
        ({"noise_variance": 0.0}, "noise variance"),
        ({"schedule": "cubic"}, "no schedule 'cubic'"),
        ({"schedule": "linear_scaled", "steps": 19}, "at least 20 steps"),
    ],
)
def test_wrong_chains(wrong, message):
    with pytest.raises(InputError, match=message):
        ChainSettings(**wrong)


def test_marginals_are_those_of_the_forward_steps():
    path = DiscretePath.from_settings(ChainSettings(50, "quad", 1e-3, 0.3))
    f, g = (ops.convert_to_numpy(part(np.arange(50))) for part in (path.f, path.g))
    alpha, variance = 1.0, 0.0
    for i in range(50):
        alpha, variance = (1 + f[i]) * alpha, (1 + f[i]) ** 2 * variance + g[i] ** 2
        np.testing.assert_allclose([path.alphas[i], path.sigmas[i] ** 2], [alpha, variance], rtol=1e-4)


@pytest.mark.parametrize("schedule", ["linear", "jsd", "const"])
def test_posterior_of_all_neighbours(schedule):
    settings = ChainSettings(1000, schedule)
    path = DiscretePath.from_settings(settings)
    for own, expected in zip(
        neighbours(path, path.all_times())[:3], diffusion_numpy.coefficients(make_betas(settings))[:3], strict=True
    ):
        np.testing.assert_allclose(own, expected, atol=2e-5)


@pytest.mark.parametrize("count, depth", [(1, 1.0), (2, 1.0), (5, 1.0), (7, 0.3), (1000, 1.0)])
def test_a_respaced_chain_keeps_trained_times_and_recomputes_its_posterior(count, depth):
    path = DiscretePath.from_settings(PUBLISHED)
    times = path.respaced(count, depth)
    assert times.dtype == np.int32 and times.shape == (count,)
    assert times[-1] == 0 and (np.diff(times) < 0).all()
    if count > 1:
        assert times[0] == round(depth * 999)
    short = diffusion_numpy.shortened(path.betas, times[::-1])
    for own, expected in zip(neighbours(path, times)[:3], diffusion_numpy.coefficients(short)[:3], strict=True):
        np.testing.assert_allclose(own, expected, atol=2e-5)


@pytest.mark.parametrize("count, depth", [(0, 1.0), (1001, 1.0), (5, 0.001), (5, 0.0), (5, 1.5)])
def test_impossible_respacing(count, depth):
    with pytest.raises(InputError, match=r"steps|depth"):
        DiscretePath.from_settings(PUBLISHED).respaced(count, depth)


def test_perturb_takes_a_time_for_each_image_or_one_for_all():
    path = DiscretePath.from_settings(PUBLISHED)
    image = (np.arange(24.0) - 3j).reshape(4, 2, 3).astype("complex64")
    noise = ops.convert_to_numpy(path.noise(rng.make_seed(0), (4, 2, 3)))
    times = np.array([0, 10, 500, 999], np.int32)
    each = ops.convert_to_numpy(path.perturb(image, times, noise))
    assert each.dtype == np.complex64
    for i, time in enumerate(times):
        expected = path.alphas[time] * image[i] + path.sigmas[time] * noise[i]
        np.testing.assert_allclose(each[i], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(each[i], ops.convert_to_numpy(path.perturb(image[i], time, noise[i])))


@pytest.mark.parametrize("variance", [1.0, 2.0])
def test_noise_has_the_variance_it_says_in_both_channels(variance):
    path = DiscretePath([0.1, 0.2], variance)
    noise = ops.convert_to_numpy(path.noise(rng.make_seed(3), (40000,)))
    assert np.mean(abs(noise) ** 2) == pytest.approx(variance, rel=0.02)
    assert np.var(noise.real) == pytest.approx(variance / 2, rel=0.03)
    assert abs(np.mean(noise**2)) < 0.03 * variance  # circular
    np.testing.assert_array_equal(ops.convert_to_numpy(path.prior(noise)), noise)
