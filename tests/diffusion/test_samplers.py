"""Samplers against NumPy, and against the exact law of a chain whose prior is Gaussian."""

import diffusion_numpy
import gaussian_diffusion as gaussian
import keras
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.path import Path
from tfrecon.diffusion.samplers import ancestral, ddim
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

PATH = DiscretePath.from_settings(ChainSettings(200, "linear", 1e-3, 0.1))
MEAN = np.array([0.7 - 0.2j, -0.3 + 0.5j])
COVARIANCE = np.array([[0.30, 0.12 + 0.1j], [0.12 - 0.1j, 0.2]])
CHAINS = 20000


class Estimate:
    """E[x0 | x_t] of a Gaussian prior over two pixels, for images [B, 1, 2] and times of a path; counts its calls."""

    def __init__(self, path=PATH, mean=MEAN, covariance=COVARIANCE):
        laws = [
            diffusion_numpy.best_estimate(mean, covariance, alpha, sigma)
            for alpha, sigma in zip(path.alphas, path.sigmas, strict=True)
        ]
        self.gains = np.stack([gain for gain, _ in laws])
        self.offsets = np.stack([offset for _, offset in laws])
        self.calls = 0

    def __call__(self, state, t):
        self.calls += 1
        gain = ops.take(ops.convert_to_tensor(self.gains, "complex64"), t, axis=0)
        offset = ops.take(ops.convert_to_tensor(self.offsets, "complex64"), t, axis=0)
        return ops.sum(state[..., None, :] * gain, axis=-1) + offset

    def numpy(self, state, t):
        return np.einsum("ij,...j->...i", self.gains[t], state) + self.offsets[t]


def moments(samples):
    flat = ops.convert_to_numpy(samples)[:, 0].astype(complex)
    mean = flat.mean(0)
    return mean, (flat - mean).T @ (flat - mean).conj() / len(flat)


def start(count=CHAINS, seed=5):
    return PATH.noise(rng.make_seed(seed), (count, 1, 2))


@pytest.mark.parametrize("sampler", ["small", "large", "ddim 0", "ddim 0.7"])
@pytest.mark.parametrize("times", [PATH.respaced(6), PATH.respaced(4, 0.4), np.array([7], np.int32)])
def test_samplers_equal_their_transcription(sampler, times):
    estimate, seed, state = Estimate(), rng.make_seed(1), start(3)
    noises = [ops.convert_to_numpy(PATH.noise(rng.fold_in(seed, i), (3, 1, 2))) for i in range(len(times))]
    betas, rising = diffusion_numpy.shortened(PATH.betas, times[::-1]), times[::-1]
    arguments = (lambda x, i: estimate.numpy(x, rising[i]), betas, ops.convert_to_numpy(state), noises)
    if sampler.startswith("ddim"):
        eta = float(sampler.split()[1])
        result = ddim(estimate, PATH, None, times, seed, state, eta=eta)
        expected = diffusion_numpy.ddim(*arguments, eta=eta)
    else:
        result = ancestral(estimate, PATH, None, times, seed, state, variance=sampler)
        expected = diffusion_numpy.ancestral(*arguments, large=sampler == "large")
    result = ops.convert_to_numpy(result)
    assert result.dtype == np.complex64
    np.testing.assert_allclose(result, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("count", [5, 40])
def test_the_law_of_the_samples_is_that_of_the_chain(variance, count):
    times = PATH.respaced(count)
    samples = ancestral(Estimate(), PATH, None, times, rng.make_seed(2), start(), variance=variance)
    mean, covariance = moments(samples)
    betas = diffusion_numpy.shortened(PATH.betas, times[::-1])
    exact = diffusion_numpy.chain_moments(MEAN, COVARIANCE, betas, np.zeros(2), np.eye(2), variance == "large")
    np.testing.assert_allclose(mean, exact[0], atol=0.02)
    np.testing.assert_allclose(covariance, exact[1], atol=0.02)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_many_steps_sample_the_prior(variance):
    samples = ancestral(Estimate(), PATH, None, PATH.all_times(), rng.make_seed(2), start(), variance=variance)
    mean, covariance = moments(samples)
    np.testing.assert_allclose(mean, MEAN, atol=0.02)
    np.testing.assert_allclose(covariance, COVARIANCE, atol=0.025)


def test_an_estimate_that_knows_the_data_samples_the_posterior():
    """The second pixel is measured with noise; the chain then samples the first from what that says of it."""
    row, noise, measured = np.array([[0.0, 1.0]]), 0.1, np.array([0.4 + 0.9j])
    gain = COVARIANCE @ row.T @ np.linalg.inv(row @ COVARIANCE @ row.T + noise**2)
    mean, covariance = MEAN + gain @ (measured - row @ MEAN), COVARIANCE - gain @ row @ COVARIANCE
    estimate = Estimate(mean=mean, covariance=covariance)
    found = moments(ancestral(estimate, PATH, None, PATH.all_times(), rng.make_seed(4), start()))
    np.testing.assert_allclose(found[0], mean, atol=0.02)
    np.testing.assert_allclose(found[1], covariance, atol=0.02)


def test_without_noise_the_chain_follows_the_probability_flow():
    """For one Gaussian pixel the flow is affine and known; its error falls as the steps get smaller."""
    mean, variance = np.array([0.7 - 0.2j]), np.array([[0.3]])
    estimate = Estimate(mean=np.r_[mean, mean], covariance=np.eye(2) * 0.3)
    state = start(200)
    last = PATH.respaced(2)[0]
    alpha, sigma = PATH.alphas[last], PATH.sigmas[last]
    spread = np.sqrt(variance[0, 0] / (alpha**2 * variance[0, 0] + sigma**2))
    exact = mean + spread * (ops.convert_to_numpy(state) - alpha * mean)
    errors = []
    for count in (5, 20, 200):
        result = ops.convert_to_numpy(ddim(estimate, PATH, None, PATH.respaced(count), rng.make_seed(0), state))
        errors.append(np.sqrt(np.mean(abs(result - exact) ** 2)))
    assert errors[0] > 3 * errors[1] > 9 * errors[2] and errors[2] < 0.01


def test_ddim_with_all_its_noise_is_ancestral():
    arguments = (Estimate(), PATH, None, PATH.respaced(8), rng.make_seed(9), start(5))
    np.testing.assert_allclose(
        ops.convert_to_numpy(ddim(*arguments, eta=1.0)), ops.convert_to_numpy(ancestral(*arguments)), atol=1e-5
    )


@pytest.mark.parametrize("sampler", [ancestral, ddim])
def test_the_data_step_has_the_last_word_and_sees_every_estimate(sampler):
    times, seed = PATH.respaced(4), rng.make_seed(0)

    def data_step(x0_hat, t):
        return x0_hat * 0 + ops.cast(t, "complex64") + 2.5

    result = sampler(lambda x, t: x, PATH, data_step, times, seed, start(2))
    np.testing.assert_array_equal(ops.convert_to_numpy(result), np.full((2, 1, 2), 2.5))


@pytest.mark.parametrize("sampler", [ancestral, ddim])
def test_one_image_does_not_depend_on_its_batch(sampler):
    seeds, state = rng.make_seeds(0, 3, 4, purpose="steps"), start(4)
    options = {"eta": 0.5} if sampler is ddim else {}
    together = sampler(Estimate(), PATH, None, PATH.respaced(5), seeds, state, **options)
    alone = sampler(Estimate(), PATH, None, PATH.respaced(5), seeds[2:3], state[2:3], **options)
    np.testing.assert_allclose(ops.convert_to_numpy(together)[2:3], ops.convert_to_numpy(alone), atol=1e-6)


def test_a_sampler_needs_a_step():
    with pytest.raises(InputError, match="without a single step"):
        ancestral(Estimate(), PATH, None, np.zeros(0, np.int32), rng.make_seed(0), start(1))


class VarianceExploding(Path):
    """A continuous path, as samplers may meet it: sigma is the time itself."""

    def alpha(self, t):
        return ops.ones_like(ops.cast(t, "float32"))

    def sigma(self, t):
        return ops.cast(t, "float32")

    def f(self, t):
        return ops.zeros_like(ops.cast(t, "float32"))

    def g(self, t):
        return ops.sqrt(2.0 * ops.cast(t, "float32"))

    def prior(self, noise):
        return 10.0 * noise


def test_samplers_know_nothing_of_the_kind_of_path():
    path, mean, variance = VarianceExploding(), 0.4 - 0.3j, 0.25

    def denoiser(state, t):
        gain = ops.cast(variance / (variance + t**2), "complex64")
        return mean + gain * (state - mean)

    noise = path.noise(rng.make_seed(1), (CHAINS, 1, 1))
    assert abs(ops.convert_to_numpy(path.prior(noise))).mean() > 8
    state = path.perturb(np.full((CHAINS, 1, 1), mean, "complex64"), 10.0, noise)
    times = np.geomspace(10, 0.01, 150).astype("float32")
    for samples in (
        ancestral(denoiser, path, None, times, rng.make_seed(0), state),
        ddim(denoiser, path, None, times, rng.make_seed(0), state),
    ):
        samples = ops.convert_to_numpy(samples)
        assert samples.mean() == pytest.approx(mean, abs=0.02)
        # 150 steps narrow the law by a few per cent.
        assert np.mean(abs(samples - samples.mean()) ** 2) == pytest.approx(variance, rel=0.1)


def test_the_loop_is_traced_once():
    estimate = Estimate()
    times = PATH.respaced(50)

    def run(state):
        return ancestral(estimate, PATH, None, times, rng.make_seed(0), state)

    if keras.backend.backend() == "jax":
        import jax

        jax.jit(run)(start(2))
    else:
        import tensorflow as tf

        tf.function(run, autograph=False)(start(2))
    assert estimate.calls <= 2  # JAX looks at a body twice to find its types


@pytest.mark.parametrize("kind", ["ve", "vp", "hfs"])
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_the_decomposed_sampler_equals_its_formula(kind, eta):
    """DDS: x_s = alpha_s x0 + sigma_s (sqrt(1 - eta²) eps + eta n), eps from the denoiser before the data step."""
    path = gaussian.make(kind, 2.0)
    times, seed, shape = make_times(path, 5), rng.make_seed(3), (3, *gaussian.SHAPE)
    denoiser, start = gaussian.estimate(gaussian.PRIOR, path, times, kind), gaussian.starts(path, gaussian.PRIOR, 3)
    data_step = gaussian.exact_data_step(gaussian.PRIOR, path, times, kind)
    alphas, sigmas = (
        np.append(ops.convert_to_numpy(of(times)).astype(float), end)
        for of, end in ((path.alpha, 1.0), (path.sigma, 0.0))
    )
    state = ops.convert_to_numpy(start)
    for k, t in enumerate(times):
        estimate = ops.convert_to_numpy(denoiser(state, t))
        image = ops.convert_to_numpy(data_step(estimate, t))
        eps = (state - alphas[k] * estimate) / sigmas[k]
        noise = ops.convert_to_numpy(path.noise(rng.fold_in(seed, k), shape))
        moved = alphas[k + 1] * image + sigmas[k + 1] * (np.sqrt(1 - eta**2) * eps + eta * noise)
        state = ops.convert_to_numpy(path.join(moved.astype("complex64"), image))
    found = ddim(denoiser, path, data_step, times, seed, start, eta=eta, eta_of="level", direction="before_data")
    np.testing.assert_allclose(ops.convert_to_numpy(found), state, rtol=2e-3, atol=2e-3)


def test_eta_is_a_part():
    with pytest.raises(InputError, match=r"eta is 1\.5"):
        ddim(Estimate(), PATH, None, PATH.respaced(3), rng.make_seed(0), start(1), eta=1.5)
