"""The probability flow: its velocity, its solution for a Gaussian, and the order of its solvers."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.ode import dpm_solver, flow_velocity, probability_flow
from tfrecon.diffusion.samplers import ddim
from tfrecon.util import rng

pytestmark = pytest.mark.mathematics


def flow_map(law, path, state, t):
    """Where the flow of a Gaussian takes states of time t at the image: each principal axis by itself, NumPy."""
    alpha, sigma = float(path.alpha(t)), float(path.sigma(t))
    values, vectors = np.linalg.eigh(law.covariance)
    scale = np.sqrt(values / (alpha**2 * values + sigma**2 * path.noise_variance))
    centred = ops.convert_to_numpy(state).reshape(-1, gaussian.PIXELS) - alpha * law.mean
    return law.mean + (centred @ vectors.conj() * scale) @ vectors.T


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
@pytest.mark.parametrize("name, order", [("euler", 1), ("heun", 2), ("dpm-solver", 2)])
def test_the_order_of_solvers(kind, name, order):
    path, law = gaussian.make(kind), gaussian.PRIOR
    start, errors = gaussian.starts(path, law, 20), []
    for count in (20, 40):
        times = make_times(path, count, "log_snr")
        denoiser = gaussian.estimate(law, path, times, kind)
        if name == "dpm-solver":
            result = dpm_solver(denoiser, path, None, times, start)
        else:
            result = probability_flow(denoiser, path, None, times, start, order=order)
        exact = flow_map(law, path, start, times[0])
        errors.append(np.sqrt(np.mean(abs(ops.convert_to_numpy(result).reshape(20, -1) - exact) ** 2)))
    assert errors[0] / errors[1] > {1: 1.6, 2: 2.8}[order]
    assert errors[1] < {1: 0.1, 2: 0.02}[order]


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp", "hfs"])
def test_euler_is_ddim_without_noise(kind):
    path = gaussian.make(kind)
    times = make_times(path, 7)
    denoiser, start = gaussian.estimate(gaussian.PRIOR, path, times, kind), gaussian.starts(path, gaussian.PRIOR, 3)
    data_step = gaussian.exact_data_step(gaussian.PRIOR, path, times, kind)
    np.testing.assert_allclose(
        ops.convert_to_numpy(probability_flow(denoiser, path, data_step, times, start, order=1)),
        ops.convert_to_numpy(ddim(denoiser, path, data_step, times, rng.make_seed(0), start)),
        atol=2e-4,
    )


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp", "hfs"])
def test_the_velocity_is_the_slope_of_the_flow(kind):
    """Against the difference quotient of a small step of `ddim`, which follows the flow in another variable."""
    path, width = gaussian.make(kind), 2e-3
    t = np.float32(0.5)
    denoiser = gaussian.estimate(gaussian.PRIOR, path, np.float32([0.5]), kind)
    state = path.perturb(gaussian.PRIOR.draw(3), t, path.noise(rng.make_seed(0), (3, *gaussian.SHAPE)))
    velocity = ops.convert_to_numpy(flow_velocity(denoiser, path, state, t))
    estimate, state = ops.convert_to_numpy(denoiser(state, t)), ops.convert_to_numpy(state)
    slopes = []
    for side in (t - width, t + width):
        alpha, sigma = (float(level(np.float32(side))) for level in (path.alpha, path.sigma))
        here = [float(level(t)) for level in (path.alpha, path.sigma)]
        moved = alpha * estimate + sigma / here[1] * (state - here[0] * estimate)
        slopes.append(ops.convert_to_numpy(path.join(moved, state)))
    np.testing.assert_allclose(velocity, (slopes[1] - slopes[0]) / (2 * width), rtol=0.02, atol=0.02)
