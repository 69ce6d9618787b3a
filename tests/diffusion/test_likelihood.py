"""The flow in scaled units: its velocity, its trace, and the density that it carries, against a Gaussian's own."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.high_frequency import high_frequency_projector
from tfrecon.diffusion.likelihood import ScaledFlow, bits_per_dimension
from tfrecon.physics.fourier import fft2c, ifft2c
from tfrecon.util import rng

pytestmark = pytest.mark.mathematics

KINDS = ("ve", "vp", "subvp", "hfs")


def exact_estimate(path, kind):
    """E[x_0 | x_t] of the module's prior at any time; what a path does not diffuse is known."""
    projector = gaussian.projector_matrix(kind)
    law = gaussian.PRIOR
    if kind == "hfs":  # the law of the diffused part once the other is known
        rest = np.eye(gaussian.PIXELS) - projector
        gain, _ = law.estimate(rest, np.zeros_like(rest))
        covariance = law.covariance - gain @ rest @ law.covariance
    else:
        gain, covariance = np.zeros_like(projector), law.covariance
    values, vectors = np.linalg.eigh(covariance)
    to, back, known = (ops.convert_to_tensor(m, "complex64") for m in (vectors.conj(), vectors.T, gain.T))

    def conditional_mean(flat):
        mean = ops.convert_to_tensor(law.mean[None], "complex64")
        return mean + ops.matmul(flat - mean, known)

    def estimate(state, t):
        flat = ops.reshape(state, (-1, gaussian.PIXELS))
        mean = conditional_mean(flat)
        alpha, sigma = path.alpha(t), path.sigma(t)
        variances = ops.convert_to_tensor(np.maximum(values, 0), "float32")
        share = ops.cast(alpha * variances / (alpha**2 * variances + sigma**2 * path.noise_variance), "complex64")
        high = ops.convert_to_tensor(projector.T, "complex64")
        moved = flat - ops.cast(alpha, "complex64") * ops.matmul(mean, high)
        moved = moved - ops.matmul(flat, ops.convert_to_tensor((np.eye(gaussian.PIXELS) - projector).T, "complex64"))
        found = mean + ops.matmul(ops.matmul(moved, to) * share, back)
        return path.join(ops.reshape(found, ops.shape(state)), state)

    return estimate, covariance, gain


def make_flow(kind, images, noise_variance=2.0):
    # As wide as published: a path that ends earlier has not quite forgotten the mean of images.
    settings = PathSettings(kind, sigma_max=378.0, noise_variance=noise_variance)
    path = make_path(settings, high_frequency_projector(gaussian.LOW, fft2c, ifft2c))
    estimate, covariance, gain = exact_estimate(path, kind)
    dimensions = 2.0 * np.trace(gaussian.projector_matrix(kind)).real
    return ScaledFlow(estimate, path, 0.5, ops.convert_to_tensor(images), dimensions), covariance, gain


def exact_log_density(flow, covariance, gain, kind, images):
    """Of images with the noise of the first time in them, along what is diffused, given the rest; NumPy."""
    path = flow.path
    ratio = float(path.sigma(path.t_min)) / float(path.alpha(path.t_min))
    projector = gaussian.projector_matrix(kind)
    values, vectors = np.linalg.eigh(projector)
    basis = vectors[:, values > 0.5]
    law = basis.conj().T @ covariance @ basis + ratio**2 * path.noise_variance * np.eye(basis.shape[1])
    flat = ops.convert_to_numpy(images).reshape(-1, gaussian.PIXELS).astype(complex)
    mean = gaussian.PRIOR.mean + (flat - gaussian.PRIOR.mean) @ gain.T
    left = (flat - mean) @ basis.conj()
    distance = np.einsum("bi,ij,bj->b", left.conj(), np.linalg.inv(law), left).real
    return -distance - np.linalg.slogdet(np.pi * law)[1]


def integrate(function, first, last, state, count):
    """Runge and Kutta's classical method in equal steps, for pairs of a state and an integral."""
    step, (w, total) = (float(last) - float(first)) / count, state
    for number in range(count):
        level = float(first) + number * step
        a, ra = function(level, w)
        b, rb = function(level + step / 2, w + step / 2 * a)
        c, rc = function(level + step / 2, w + step / 2 * b)
        d, rd = function(level + step, w + step * c)
        w = w + step / 6 * (a + 2 * b + 2 * c + d)
        total = total + step / 6 * (ra + 2 * rb + 2 * rc + rd)
    return w, total


def probes():
    """Every direction of an image once, so that the mean over them, times their number, is a trace."""
    basis = np.eye(gaussian.PIXELS).reshape(-1, *gaussian.SHAPE)
    return np.concatenate([basis, 1j * basis]).astype("complex64")


@pytest.mark.parametrize("kind", KINDS)
def test_the_velocity_is_the_slope_of_the_flow(kind):
    """Against the difference quotient of a small step of DDIM without noise, which follows the flow."""
    images, width = gaussian.PRIOR.draw(3), 1e-2
    flow, _, _ = make_flow(kind, images)
    path, level = flow.path, ops.convert_to_tensor(-0.5, "float32")
    noise = path.noise(rng.make_seed(0), images.shape)
    states = []
    u = images + ops.cast(ops.exp(level), "complex64") * noise
    t = path.time_of_log_snr(-2.0 * level)
    x0_hat = flow.denoiser(path.join(ops.cast(path.alpha(t), "complex64") * u, u), t)
    for side in (level - width, level + width):
        ratio = ops.cast(ops.exp(side - level), "complex64")
        moved = path.join(x0_hat + ratio * (u - x0_hat), u)
        states.append(ops.convert_to_numpy(flow.state_of(moved, side)))
    flow = ScaledFlow(flow.denoiser, path, flow.data_std, u, flow.dimensions)
    velocity = ops.convert_to_numpy(flow.velocity(level, flow.state_of(u, level)))
    np.testing.assert_allclose(velocity, (states[1] - states[0]) / (2 * width), atol=2e-3)
    assert abs(velocity).max() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_of_all_directions_is_exact(kind):
    directions = probes()
    image = np.tile(gaussian.PRIOR.draw(1), (len(directions), 1, 1))
    flow, _, _ = make_flow(kind, image)
    level = ops.convert_to_tensor(-1.0, "float32")
    state = flow.state_of(image, level)
    projected = flow.path.project(ops.convert_to_tensor(directions))
    velocity, divergence = flow.velocity_and_divergence(level, state, projected)
    np.testing.assert_allclose(
        ops.convert_to_numpy(velocity), ops.convert_to_numpy(flow.velocity(level, state)), atol=1e-6
    )
    _, covariance, _ = exact_estimate(flow.path, kind)
    noise = np.exp(-2.0) * flow.path.noise_variance
    exact = 1.0 - growth(noise)
    found = np.sum(exact - ops.convert_to_numpy(divergence))  # the trace of d x0_hat / du, over the dimensions
    values = np.linalg.eigvalsh(covariance)
    expected = 2 * np.sum(values / (values + noise)) / flow.dimensions
    assert found == pytest.approx(expected, rel=1e-4)


def growth(noise):
    """What the units add to the divergence, for noise of that variance in a pixel and a `data_std` of 0.5."""
    return noise / (noise + 2 * 0.5**2)


@pytest.mark.parametrize("kind, noise_variance", [("ve", 2.0), ("vp", 1.0), ("hfs", 2.0)])
def test_the_density_of_a_gaussian_is_its_own(kind, noise_variance):
    """By Runge and Kutta's method and the exact trace; what is left is the mean at the end of the path."""
    images = gaussian.PRIOR.draw(2, 5)
    directions = probes()
    copies = np.repeat(images, len(directions), axis=0)
    flow, covariance, gain = make_flow(kind, copies, noise_variance)
    probe = flow.path.project(ops.convert_to_tensor(np.tile(directions, (len(images), 1, 1))))
    first, last = flow.ends()
    begin = flow.state_of(copies, first), ops.zeros(len(copies))
    state, integral = integrate(lambda level, w: flow.velocity_and_divergence(level, w, probe), first, last, begin, 40)
    every = ops.convert_to_numpy(integral).reshape(len(images), -1)
    # What does not depend on the direction, once; what does, summed over directions of length one.
    std = [0.5**2 + 0.5 * noise_variance * np.exp(2 * float(end)) for end in (first, last)]
    known = float(last) - float(first) - 0.5 * np.log(std[1] / std[0])
    total = known + np.sum(every - known, axis=1)
    total = ops.convert_to_tensor(np.repeat(total, len(directions)), "float32")
    found = ops.convert_to_numpy(flow.log_density(state, total))
    found = found.reshape(len(images), -1)[:, 0] * flow.dimensions
    expected = exact_log_density(flow, covariance, gain, kind, images)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert np.ptp(expected) > 0.3


def test_white_images_do_not_move():
    path, std = gaussian.make("vp", 2.0), 0.5

    def denoiser(state, t):
        alpha, sigma = path.alpha(t), path.sigma(t)
        return ops.cast(alpha * std**2 / (alpha**2 * std**2 + sigma**2), "complex64") * state

    images = gaussian.PRIOR.draw(2)
    flow = ScaledFlow(denoiser, path, std, ops.convert_to_tensor(images), 8.0)
    probe = flow.draw_probe(rng.make_seed(0), images.shape)
    for level in (-4.0, 0.0, 4.0):
        level = ops.convert_to_tensor(level, "float32")
        velocity, divergence = flow.velocity_and_divergence(level, flow.state_of(images, level), probe)
        np.testing.assert_allclose(ops.convert_to_numpy(velocity), 0, atol=3e-5)
        np.testing.assert_allclose(ops.convert_to_numpy(divergence), 0, atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_states_and_images_are_each_other(kind):
    images = gaussian.PRIOR.draw(3)
    flow, _, _ = make_flow(kind, images)
    first, last = flow.ends()
    assert float(first) < float(last)
    found = ops.convert_to_numpy(flow.image_of(flow.state_of(images, first), first))
    np.testing.assert_allclose(found, images, atol=1e-6)
    noise = flow.path.noise(rng.make_seed(0), images.shape)
    found = ops.convert_to_numpy(flow.noise_of(flow.state_of_noise(noise)))
    np.testing.assert_allclose(found, ops.convert_to_numpy(noise), atol=1e-6)
    t = flow.path.t_max
    x_t = ops.convert_to_numpy(flow.path.prior(noise)) / float(flow.path.alpha(t))
    high = ops.convert_to_numpy(flow.path.project(ops.convert_to_tensor(x_t.astype("complex64"))))
    low = ops.convert_to_numpy(flow.path.join(ops.zeros_like(images), ops.convert_to_tensor(images)))
    found = ops.convert_to_numpy(flow.image_of(flow.state_of_noise(noise), last))
    np.testing.assert_allclose(found, high + (low if kind == "hfs" else 0), rtol=1e-4, atol=1e-3)


def test_probes_are_signs():
    flow, _, _ = make_flow("ve", gaussian.PRIOR.draw(2))
    seeds = rng.make_seeds(0, 0, 2)
    probe = ops.convert_to_numpy(flow.draw_probe(seeds, (2, *gaussian.SHAPE)))
    np.testing.assert_array_equal(abs(probe.real), 1)
    np.testing.assert_array_equal(abs(probe.imag), 1)
    assert (probe[0] != probe[1]).any()
    np.testing.assert_array_equal(ops.convert_to_numpy(flow.draw_probe(seeds[1:], (1, *gaussian.SHAPE)))[0], probe[1])


def test_bits():
    """A uniform number between 0 and 1, to the nearest 1/256, takes eight bits."""
    assert float(bits_per_dimension(np.float32(0.0), 1 / 256)) == pytest.approx(8)
    assert float(bits_per_dimension(np.float32(np.log(2)), 1.0)) == pytest.approx(-1)
