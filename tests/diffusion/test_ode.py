"""The probability flow: its solution for a Gaussian, the order of its solvers, and their rounding errors."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.ode import dpm_solver, probability_flow
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


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_rounding_errors_of_noise_do_not_stay_in_the_image(order, count):
    """Where a network is right, the image is what it says to the last bit, though states were 378 times as large."""
    path = make_path(PathSettings("ve", sigma_min=0.01, sigma_max=378.0))
    image = gaussian.PRIOR.draw(50)
    start = path.prior(path.noise(rng.make_seed(0), image.shape))
    truth = ops.convert_to_tensor(image)
    result = probability_flow(lambda x_t, t: truth, path, None, make_times(path, count, "karras"), start, order=order)
    np.testing.assert_array_equal(ops.convert_to_numpy(result), image)


def test_two_steps_of_heun_are_the_rule_in_double_precision():
    """Over the whole range of the published noise, with an estimate that depends on the state."""
    path = make_path(PathSettings("ve", sigma_min=0.01, sigma_max=378.0))
    times = make_times(path, 2)
    start = path.prior(path.noise(rng.make_seed(0), (50, *gaussian.SHAPE)))

    def denoiser(x_t, t):
        return ops.cast(0.3 / (0.3 + ops.square(path.sigma(t))), "complex64") * x_t

    found = ops.convert_to_numpy(probability_flow(denoiser, path, None, times, start))
    high, low = (float(sigma) for sigma in ops.convert_to_numpy(path.sigma(times)).astype(float))
    state = ops.convert_to_numpy(start).astype(complex)
    first = (state - 0.3 / (0.3 + high**2) * state) / high
    ahead = state + (low - high) * first
    second = (ahead - 0.3 / (0.3 + low**2) * ahead) / low
    state = state + (low - high) * (first + second) / 2
    np.testing.assert_allclose(found, 0.3 / (0.3 + low**2) * state, rtol=2e-5, atol=2e-3)
