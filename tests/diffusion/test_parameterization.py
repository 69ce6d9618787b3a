"""What networks predict: targets, estimates, labels."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.parameterization import (
    LABELS,
    OUTPUTS,
    Parameterization,
    coefficients,
    estimate_of,
    make_denoiser,
    network_output,
    score_of,
    target_of,
    time_label,
)
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

KINDS = ("ve", "vp", "subvp", "hfs")
TIMES = np.array([0.05, 0.3, 0.7, 1.0], np.float32)
X0 = gaussian.PRIOR.draw(4)


def noised(path, t=TIMES):
    noise = path.noise(rng.make_seed(1), X0.shape)
    return noise, path.perturb(X0, t, noise)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variance", [1.0, 2.0])
def test_the_right_output_gives_the_image(output, kind, variance):
    path, settings = gaussian.make(kind, variance), Parameterization(output)
    noise, state = noised(path)
    target = target_of(settings, path, X0, noise, TIMES)
    estimate = ops.convert_to_numpy(estimate_of(target, settings, path, state, TIMES))
    np.testing.assert_allclose(estimate, X0, atol=3e-4 if kind != "ve" else 1e-4)


def test_outputs_are_what_they_are_called():
    path = gaussian.make("vp", 2.0)
    noise, state = noised(path)
    noise, state = ops.convert_to_numpy(noise), ops.convert_to_numpy(state)
    alpha, sigma = (ops.convert_to_numpy(level(TIMES))[:, None, None] for level in (path.alpha, path.sigma))
    expected = {
        "eps": noise,
        "x0": X0,
        "v": alpha * noise - sigma * X0,
        "score": -noise / sigma,
        "scaled_score": -noise,
        "edm": (X0 - alpha * 0.25 / (alpha**2 / 4 + sigma**2) * state) * np.sqrt(alpha**2 / 4 + sigma**2) / sigma / 0.5,
    }
    for output in OUTPUTS:
        found = ops.convert_to_numpy(target_of(Parameterization(output), path, X0, noise, TIMES))
        np.testing.assert_allclose(found, expected[output], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
@pytest.mark.parametrize("variance", [1.0, 2.0])
def test_edm_has_inputs_and_targets_of_variance_one(kind, variance):
    path, settings, count = gaussian.make(kind, variance), Parameterization("edm", data_std=0.3), 20000
    generator = np.random.default_rng(0)
    x0 = (0.3 * generator.normal(size=(count, 1, 1, 2)) @ np.array([1, 1j])).astype("complex64")
    for t in TIMES:
        noise = path.noise(rng.make_seed(3), x0.shape)
        seen = coefficients(settings, path, t).of_input * ops.real(path.perturb(x0, t, noise))
        target = ops.convert_to_numpy(target_of(settings, path, x0, noise, t))
        assert np.std(ops.convert_to_numpy(seen)) == pytest.approx(1, abs=0.02)
        assert np.std(target.real) == pytest.approx(1, abs=0.02) and np.std(target.imag) == pytest.approx(1, abs=0.02)


def test_edm_is_the_published_one_on_ve():
    path, settings = gaussian.make("ve", 2.0), Parameterization("edm", "c_noise", data_std=0.5)
    sigma = ops.convert_to_numpy(path.sigma(TIMES)).astype(float)
    of = [ops.convert_to_numpy(part) for part in coefficients(settings, path, TIMES)[:3]]
    np.testing.assert_allclose(of[0], 1 / np.sqrt(sigma**2 + 0.25), rtol=1e-5)
    np.testing.assert_allclose(of[1], 0.25 / (sigma**2 + 0.25), rtol=1e-5)
    np.testing.assert_allclose(of[2], sigma * 0.5 / np.sqrt(sigma**2 + 0.25), rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(time_label(settings, path, TIMES)), np.log(sigma) / 4, atol=1e-5)


@pytest.mark.parametrize("kind", ["ve", "vp", "hfs"])
def test_labels(kind):
    path = gaussian.make(kind, 2.0)
    alpha, sigma = (ops.convert_to_numpy(level(TIMES)).astype(float) for level in (path.alpha, path.sigma))
    expected = {
        "ln_sigma": np.log(sigma),
        "999t": 999 * TIMES,
        "log_snr": 2 * np.log(alpha / sigma),
        "std": sigma,
        "c_noise": np.log(sigma / alpha) / 4,
    }
    for label in LABELS:
        found = ops.convert_to_numpy(time_label(Parameterization(label=label), path, TIMES))
        np.testing.assert_allclose(found, expected[label], rtol=1e-4, atol=1e-4)
    chain = DiscretePath.from_settings(ChainSettings())
    np.testing.assert_allclose(
        ops.convert_to_numpy(time_label(Parameterization(), chain, np.array([0, 7, 999]))), [0, 7, 999]
    )


def test_a_network_sees_scaled_states_and_one_label_for_each_image():
    path, settings = gaussian.make("ve"), Parameterization("edm", "ln_sigma")
    seen = {}

    def network(image, label):
        seen.update(image=ops.convert_to_numpy(image), label=ops.convert_to_numpy(label))
        return image

    t = np.float32(0.4)
    network_output(network, settings, path, X0, t)
    np.testing.assert_allclose(seen["image"], X0 * float(coefficients(settings, path, t).of_input), rtol=1e-5)
    np.testing.assert_allclose(seen["label"], np.full(4, np.log(float(path.sigma(t)))), rtol=1e-5)
    expected = estimate_of(seen["image"], settings, path, X0, t)
    np.testing.assert_allclose(
        ops.convert_to_numpy(make_denoiser(network, settings, path)(X0, t)), ops.convert_to_numpy(expected)
    )


def test_low_frequencies_of_an_estimate_are_those_of_the_state_unless_unlocked():
    path, low = gaussian.make("hfs"), np.eye(gaussian.PIXELS) - gaussian.projector_matrix("hfs")
    _, state = noised(path)

    def network(image, label):
        return image * 0 + 1.0

    for locked in (True, False):
        estimate = make_denoiser(network, Parameterization(), path, locked=locked)(state, np.float32(0.5))
        moved = (ops.convert_to_numpy(estimate) - ops.convert_to_numpy(state)).reshape(4, -1) @ low.T
        assert (abs(moved).max() < 1e-5) == locked


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_the_gradient_of_the_log_density(kind):
    """For one image: minus the unit noise over sigma. For the Gaussian law: by its covariance."""
    path = gaussian.make(kind, 2.0)
    noise, state = noised(path)
    score = ops.convert_to_numpy(score_of(path, state, X0, TIMES))
    sigma = ops.convert_to_numpy(path.sigma(TIMES))[:, None, None]
    np.testing.assert_allclose(score * sigma, -ops.convert_to_numpy(noise), atol=1e-3)
    if kind == "hfs":
        return
    t = TIMES[1:2]
    alpha, sigma = float(path.alpha(t)[0]), float(path.sigma(t)[0])
    _, state = noised(path, t[0])
    estimate = gaussian.estimate(gaussian.PRIOR, path, t, kind)(state, t[0])
    centred = ops.convert_to_numpy(state).reshape(4, -1) - alpha * gaussian.PRIOR.mean
    covariance = alpha**2 * gaussian.PRIOR.covariance / 2 + sigma**2 * np.eye(gaussian.PIXELS)
    expected = -centred @ np.linalg.inv(covariance).T
    found = ops.convert_to_numpy(score_of(path, state, estimate, t[0])).reshape(4, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("wrong", [{"output": "noise"}, {"label": "t"}, {"data_std": 0.0}])
def test_wrong_parameterizations(wrong):
    with pytest.raises(InputError):
        Parameterization(**wrong)
