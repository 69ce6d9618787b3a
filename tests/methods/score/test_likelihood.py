"""Likelihood by TensorFlow Probability's solver: laws with a known answer, the way to noise and back, bad input."""

import numpy as np
import pytest
import tensorflow as tf
from score_cases import Network, make_method, perturbed, tiny

from tfrecon.methods.score.likelihood import FlowOptions, PriorFlow
from tfrecon.util import rng
from tfrecon.util.complex import to_channels, to_complex
from tfrecon.util.errors import InputError

SIZE, PIXELS = 6, 36
X0 = {"output": "x0", "label": "log_snr", "data_std": 0.4}


def law():
    """A circular Gaussian of smooth images about a mean, and its principal axes."""
    generator = np.random.default_rng(5)
    axis = np.arange(SIZE)
    near = np.exp(-0.5 * ((axis[:, None] - axis) / 0.8) ** 2)
    amplitude = generator.uniform(0.3, 0.8, PIXELS)
    covariance = amplitude[:, None] * np.kron(near, near) * amplitude + 0.01 * np.eye(PIXELS)
    mean = 0.5 * np.exp(1j * np.linspace(0, 2, PIXELS))
    return mean, covariance.astype(complex)


def draw(count, mean, covariance, seed=0):
    generator = np.random.default_rng(seed)
    white = generator.normal(size=(count, PIXELS, 2)) @ np.array([1, 1j]) / np.sqrt(2)
    return (mean + white @ np.linalg.cholesky(covariance).T).reshape(count, SIZE, SIZE).astype("complex64")


def exact_network(mean, covariance, real=False):
    """The prior's estimate E[x_0 | x_t] of a VE prior as a network that is told the log-SNR."""
    values, vectors = np.linalg.eigh(covariance)
    to, back = (tf.constant(m, tf.complex64) for m in (vectors.conj(), vectors.T))
    middle = tf.constant(mean.reshape(1, -1), tf.complex64)
    unit = 1.0 if real else 2.0

    def call(inputs):
        image = inputs["image"]
        state = tf.complex(image[..., 0], tf.zeros_like(image[..., 0])) if real else to_complex(image)
        noise = unit * tf.exp(-inputs["time"][:, None])
        share = tf.cast(values, tf.float32) / (tf.cast(values, tf.float32) + noise)
        found = middle + ((tf.reshape(state, (-1, PIXELS)) - middle) @ to * tf.cast(share, tf.complex64)) @ back
        channels = to_channels(tf.reshape(found, tf.shape(state)))
        return channels[..., :1] if real else channels

    return Network(call)


def model_of(**changes):
    return tiny("ve", X0, {"sigma_max": 300.0}, **changes)


def likelihood(network, model, images, **options):
    """NumPy arrays of `PriorFlow.log_likelihood`."""
    found = PriorFlow(network, model, FlowOptions(**options)).log_likelihood(images, rng.make_seeds(0, 0, len(images)))
    return type(found)(*(np.asarray(field) for field in found))


def exact_nats(images, mean, covariance, noise):
    """ln p of complex images with noise of variance `noise` in each pixel."""
    with_noise = covariance + noise * np.eye(PIXELS)
    left = images.reshape(-1, PIXELS).astype(complex) - mean
    distance = np.einsum("bi,ij,bj->b", left.conj(), np.linalg.inv(with_noise), left).real
    return -distance - np.linalg.slogdet(np.pi * with_noise)[1]


def test_the_likelihood_of_a_gaussian_is_known():
    mean, covariance = law()
    images = draw(3, mean, covariance)
    images = np.concatenate([images, [2 * images[0]]])  # an unlikely one
    network = exact_network(mean, covariance)
    found = likelihood(network, model_of(), images, probes=64, dequantise="none", step=1.0)
    expected = exact_nats(images, mean, covariance, 2 * 0.005**2)
    spread = found.bits_error * found.dimensions * np.log(2)
    assert np.ptp(expected) > 30
    np.testing.assert_allclose(found.nats, expected, atol=0.01 * abs(expected).max())
    assert (abs(found.nats - expected) < 4 * spread + 0.1).all() and (spread < 0.05 * abs(expected).max()).all()
    np.testing.assert_allclose(found.bits, -found.nats / (2 * PIXELS) / np.log(2), rtol=1e-5)
    np.testing.assert_array_equal(found.dimensions, 2 * PIXELS)
    assert 20 < found.calls < 500
    assert len(network.calls) == 1  # compiled once


@pytest.mark.parametrize("kind", ["ve", pytest.param("vp", marks=pytest.mark.slow), "hfs"])
def test_images_come_back_from_noise(kind):
    """With a network of random weights; with "hfs" the low frequencies come from the image."""
    method, images = make_method(kind), draw(2, *law())
    options = FlowOptions(tolerance=1e-5, centre=0.2)
    untrained, _ = PriorFlow(method.build(3)["network"], method.model, options).encode(images)
    flow = PriorFlow(perturbed(method.build(3), 0.02)["network"], method.model, options)
    noise, calls = flow.encode(images)
    assert np.isfinite(noise).all() and calls > 6
    assert np.linalg.norm(noise - untrained) > 1e-2 * np.linalg.norm(noise)
    found, _ = flow.decode(noise, images)
    assert np.linalg.norm(found - images) < 2e-3 * np.linalg.norm(images)


def test_typical_images_become_unit_noise_and_noise_becomes_typical_images():
    mean, covariance = law()
    flow = PriorFlow(exact_network(mean, covariance), model_of())
    noise, _ = flow.encode(draw(200, mean, covariance))
    assert np.mean(abs(np.asarray(noise)) ** 2) == pytest.approx(2, rel=0.03)
    drawn, _ = flow.decode(rng.complex_normal(rng.make_seed(0), (200, SIZE, SIZE)) * np.sqrt(2))
    flat = np.asarray(drawn).reshape(200, PIXELS)
    assert np.linalg.norm(flat.mean(0) - mean) < 0.25 * np.linalg.norm(mean)
    variance = np.var(flat, axis=0)
    assert np.mean(variance) == pytest.approx(np.trace(covariance).real / PIXELS, rel=0.1)


def white_nats(images, std, real=False):
    """ln p of images of independent pixels with standard deviation `std` in each channel."""
    numbers = PIXELS * (1 if real else 2)
    return -0.5 * np.sum(abs(images) ** 2, axis=(1, 2)) / std**2 - 0.5 * numbers * np.log(2 * np.pi * std**2)


@pytest.mark.parametrize("changes", [{}, {"patch": 8}])
def test_an_untrained_network_is_the_law_of_independent_pixels(changes):
    """Its output is nearly zero, so its estimate is EDM's: white images of `data_std`."""
    method, images = make_method("ve", {"patches": 0}, **changes), draw(2, *law())
    found = likelihood(method.build(0)["network"], method.model, images, dequantise="none", step=1 / 256)
    nats = white_nats(images, np.hypot(0.25, 0.005))
    np.testing.assert_allclose(found.nats, nats, rtol=2e-3)
    np.testing.assert_allclose(found.bits, 8 - nats / (2 * PIXELS) / np.log(2), rtol=2e-3)
    assert np.isnan(found.bits_error).all()


def test_priors_of_magnitudes_count_real_numbers():
    method, images = make_method("ve", channels="magnitude"), abs(draw(2, *law()))
    found = likelihood(method.build(0)["network"], method.model, images + 3j, dequantise="none")
    np.testing.assert_array_equal(found.dimensions, PIXELS)
    np.testing.assert_allclose(found.nats, white_nats(images, np.hypot(0.25, 0.005), real=True), rtol=2e-3)


def test_high_frequencies_alone_are_counted():
    method, images = make_method("hfs"), draw(2, *law())
    network = method.build(0)["network"]
    options = {"dequantise": "none", "centre": 0.34}  # 2 of 6 lines
    found = likelihood(network, method.model, images, **options)
    np.testing.assert_allclose(found.dimensions, 2 * SIZE * 4, rtol=1e-5)
    again = likelihood(network, method.model, images + 7, **options)  # low frequencies are known
    np.testing.assert_allclose(found.nats, again.nats, rtol=1e-3)


def test_noise_of_the_first_level():
    """Gaussian noise is that of the path, uniform noise one step wide; both are a function of the seed."""
    method, images = make_method("ve", path={"sigma_min": 0.05}), np.zeros((1, SIZE, SIZE), "complex64")
    network = method.build(0)["network"]
    nats = {
        name: likelihood(network, method.model, images, dequantise=name, step=0.5).nats[0]
        for name in ("gaussian", "uniform", "none")
    }
    lost = {name: 2 * (0.25**2 + 0.05**2) * (nats["none"] - nats[name]) for name in nats}  # |noise|²
    assert lost["gaussian"] == pytest.approx(2 * PIXELS * 0.05**2, rel=0.5)
    assert lost["uniform"] == pytest.approx(2 * PIXELS * 0.5**2 / 12, rel=0.4)


def test_what_cannot_be_worked_out():
    for wrong in ({"tolerance": 0}, {"probes": 0}, {"step": 0}, {"centre": 1.0}, {"dequantise": "more"}):
        with pytest.raises(InputError):
            FlowOptions(**wrong)
    network = Network(lambda inputs: np.nan * inputs["image"])
    with pytest.raises(InputError, match="not solved in 9 steps"):
        likelihood(network, make_method("ve").model, np.zeros((1, SIZE, SIZE), "complex64"), max_steps=9)
