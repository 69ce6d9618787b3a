"""Continuous paths: closed forms against their differential equations, and the path of high frequencies."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.high_frequency import HighFrequency, high_frequency_projector
from tfrecon.diffusion.path import residual_variance
from tfrecon.diffusion.variance_exploding import VarianceExploding
from tfrecon.diffusion.variance_preserving import VariancePreserving
from tfrecon.physics.fourier import fft2c, ifft2c
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

KINDS = ("ve", "vp", "subvp", "hfs")
TIMES = np.array([1e-3, 0.1, 0.3, 0.5, 0.8, 1.0], np.float32)


def numbers(values):
    return ops.convert_to_numpy(values).astype(float)


def images(*shape, seed=0):
    return (np.random.default_rng(seed).normal(size=(*shape, 2)) @ np.array([1, 1j])).astype("complex64")


def test_published_levels_of_vp():
    path = make_path(PathSettings(kind="vp"))
    np.testing.assert_allclose(numbers(path.alpha(TIMES[1:])), [0.947, 0.630, 0.281, 0.040, 0.0066], atol=6e-4)
    np.testing.assert_allclose(numbers(path.sigma(TIMES[1:])), [0.322, 0.777, 0.960, 0.9992, 0.99998], atol=6e-4)
    np.testing.assert_allclose(
        numbers(make_path(PathSettings(kind="subvp")).sigma(TIMES)), numbers(path.sigma(TIMES)) ** 2, rtol=1e-5
    )


def test_published_levels_of_ve():
    path = make_path(PathSettings())
    np.testing.assert_allclose(numbers(path.sigma(np.float32([0, 0.5, 1]))), [0.01, np.sqrt(3.78), 378], rtol=1e-5)
    assert (numbers(path.alpha(TIMES)) == 1).all() and (path.t_min, path.noise_variance) == (1e-5, 2.0)
    np.testing.assert_allclose(ops.convert_to_numpy(path.prior(np.ones(1, "complex64"))), 378)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_follow_the_equation(kind):
    """dm = f m dt and dV = (2 f V + g²) dt, integrated with small steps from t = 0."""
    path = gaussian.make(kind)
    t = np.linspace(0, 1, 20001, dtype=np.float32)
    f, g = numbers(path.f(t)), numbers(path.g(t))
    middle = np.append(0, np.cumsum(0.5 * (f[1:] + f[:-1]) * np.diff(t.astype(float))))
    np.testing.assert_allclose(np.exp(middle), numbers(path.alpha(t)), rtol=2e-4)
    growth = g**2 * np.exp(-2 * middle)
    variance = numbers(path.sigma(t[:1])) ** 2 + np.append(0, np.cumsum(0.5 * (growth[1:] + growth[:-1]) * np.diff(t)))
    np.testing.assert_allclose(np.sqrt(variance) * np.exp(middle), numbers(path.sigma(t)), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_marginals_are_those_of_simulated_paths(kind):
    """Euler steps of the forward equation on many copies of one image."""
    path, until, count, chains = gaussian.make(kind, noise_variance=2.0), 0.4, 200, 3000
    image = gaussian.PRIOR.draw(1)
    projector = gaussian.projector_matrix(kind).T
    generator = np.random.default_rng(1)
    t = np.linspace(0, until, count + 1, dtype=np.float32)[:-1]
    f, g = numbers(path.f(t)), numbers(path.g(t))
    state = np.tile(image.reshape(1, -1), (chains, 1)).astype(complex)
    state = state + numbers(path.sigma(t[0])) * generator.normal(size=(*state.shape, 2)) @ np.array([1, 1j]) @ projector
    for step in range(count):
        noise = generator.normal(size=(*state.shape, 2)) @ np.array([1, 1j])
        state = state + (f[step] * state * until / count + g[step] * np.sqrt(until / count) * noise) @ projector
    stacked = np.tile(image, (chains, 1, 1))
    drawn = path.perturb(stacked, np.float32(until), path.noise(rng.make_seed(2), stacked.shape))
    (mean, covariance), (own_mean, own_covariance) = gaussian.moments(state), gaussian.moments(drawn)
    spread = np.sqrt(np.trace(covariance).real)
    np.testing.assert_allclose(own_mean, mean, atol=0.05 * spread)
    np.testing.assert_allclose(own_covariance, covariance, atol=0.06 * spread**2)
    if kind == "hfs":
        low = np.eye(gaussian.PIXELS) - gaussian.projector_matrix(kind)
        assert np.trace(low @ own_covariance).real < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_log_snr_and_its_inverse(kind):
    path = gaussian.make(kind)
    expected = 2 * np.log(numbers(path.alpha(TIMES)) / numbers(path.sigma(TIMES)))
    found = numbers(path.log_snr(TIMES))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(numbers(path.time_of_log_snr(found)), TIMES, rtol=2e-4, atol=1e-6)


def test_the_chain_of_ve_adds_up_to_its_largest_variance():
    path = VarianceExploding()
    sigmas = path.chain_sigmas(2000)
    added = np.diff(np.append(0, sigmas) ** 2)
    assert (added > 0).all() and np.sum(added) == pytest.approx(378**2, rel=1e-9)
    times = np.linspace(0, 1, 2000, dtype=np.float32)
    np.testing.assert_allclose(numbers(path.sigma(times)), sigmas, rtol=1e-4)


def test_the_chain_of_vp_is_the_path_for_many_steps():
    path = VariancePreserving()
    chain = path.chain(1000)
    np.testing.assert_allclose(chain.betas[[0, -1]], [1e-4, 0.02])
    assert chain.noise_variance == path.noise_variance
    times = (np.arange(1000, dtype=np.float32) + 1) / 1000
    np.testing.assert_allclose(chain.alphas, numbers(path.alpha(times)), atol=4e-3)
    with pytest.raises(InputError, match="19 steps"):
        path.chain(19)


@pytest.mark.parametrize("shape", [(6, 8), (7, 9), (5, 6)])
@pytest.mark.parametrize("layout", ["lines", "square", "each"])
def test_the_projector_is_orthogonal(shape, layout):
    mask = np.zeros(shape, np.float32)
    mask[:, shape[1] // 2 - 1 : shape[1] // 2 + 2] = 1
    if layout == "square":
        mask[: shape[0] // 2 - 1] = mask[shape[0] // 2 + 1 :] = 0
    given = {"lines": mask[:1], "square": mask, "each": np.stack([mask, 0 * mask])}[layout]
    project = high_frequency_projector(given, fft2c, ifft2c)
    a, b = images(2, *shape), images(2, *shape, seed=1)
    pa, pb = (ops.convert_to_numpy(project(x)) for x in (a, b))
    np.testing.assert_allclose(ops.convert_to_numpy(project(pa)), pa, atol=1e-5)
    np.testing.assert_allclose(np.vdot(a, pb), np.vdot(pa, b), atol=1e-4)
    low = ops.convert_to_numpy(fft2c(a - pa)) * (1 - np.broadcast_to(given, a.shape))
    np.testing.assert_allclose(low, 0, atol=1e-5)
    if layout == "each":
        np.testing.assert_allclose(pa[1], a[1], atol=1e-5)


def test_what_a_path_diffuses():
    x, y = images(2, *gaussian.SHAPE), images(2, *gaussian.SHAPE, seed=1)
    for kind in ("ve", "vp", "subvp"):
        path = gaussian.make(kind)
        assert path.project(x) is x and path.join(x, y) is x
    path = gaussian.make("hfs")
    assert isinstance(path, HighFrequency)
    joined = ops.convert_to_numpy(path.join(x, y))
    expected = (x.reshape(2, -1) - y.reshape(2, -1)) @ gaussian.projector_matrix("hfs").T + y.reshape(2, -1)
    np.testing.assert_allclose(joined.reshape(2, -1), expected, atol=1e-5)


@pytest.mark.parametrize("settings, power", [({}, 2), ({"noise_variance": 1.0}, 1), ({"real": True}, 2)])
def test_units_of_noise(settings, power):
    path = make_path(PathSettings(**settings))
    noise = ops.convert_to_numpy(path.noise(rng.make_seed(0), (60, 20, 20)))
    assert noise.dtype == np.complex64 and np.mean(abs(noise) ** 2) == pytest.approx(power, rel=0.03)
    assert np.std(noise.real) == pytest.approx(path.channel_std, rel=0.02)
    assert (noise.imag == 0).all() == path.real
    each = ops.convert_to_numpy(path.noise(rng.make_seeds(0, 0, 3), (3, 2, 2)))
    alone = ops.convert_to_numpy(path.noise(rng.make_seeds(0, 0, 3)[1:2], (1, 2, 2)))
    np.testing.assert_array_equal(each[1:2], alone)


@pytest.mark.parametrize("kind", KINDS)
def test_residual_variance_is_that_of_the_best_estimate(kind):
    path, t = gaussian.make(kind, noise_variance=2.0), np.float32(0.3)
    law = gaussian.Gaussian([0], [[0.4]])
    alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
    after = law.given(np.array([[alpha]]), np.array([0.0]), sigma * np.sqrt(2.0))
    assert float(residual_variance(path, t, 0.4)) == pytest.approx(after.covariance[0, 0].real, rel=1e-4)


def test_a_chain_finds_the_time_of_a_log_snr():
    path = DiscretePath.from_settings(ChainSettings(100, "linear", 1e-3, 0.1))
    times = np.array([0, 1, 40, 98, 99])
    np.testing.assert_array_equal(ops.convert_to_numpy(path.time_of_log_snr(path.log_snr(times))), times)
    assert (path.t_min, path.t_max) == (0, 99)
    np.testing.assert_array_equal(ops.convert_to_numpy(path.time_of_log_snr(np.float32([90, -90]))), [0, 99])
    np.testing.assert_allclose(numbers(path.fraction(times)), times / 99, rtol=1e-6)
    ends_in_noise = DiscretePath.from_settings(ChainSettings(10, "jsd"))
    assert int(ends_in_noise.time_of_log_snr(np.float32(-90))) == 8  # the last is infinitely far


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"kind": "cosine"}, "no path 'cosine'"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "noise from 2 to 1"),
        ({"kind": "vp", "beta_min": 0.0}, "beta from 0 to 20"),
        ({"t_min": 1.0}, "t_min is 1"),
        ({"noise_variance": 0.0}, "noise variance"),
    ],
)
def test_wrong_paths(wrong, message):
    with pytest.raises(InputError, match=message):
        PathSettings(**wrong)


def test_high_frequencies_need_a_projector():
    with pytest.raises(InputError, match="without a projector"):
        make_path(PathSettings(kind="hfs"))
