"""Ancestral sampling with learned variance: against its transcription, and against `ancestral` where they agree."""

import improved_ddpm_numpy as reference
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.learned_variance import (
    learned_ancestral,
    make_learned_denoiser,
    split_output,
    without_variance,
)
from tfrecon.diffusion.parameterization import Parameterization
from tfrecon.diffusion.respacing import respaced_times
from tfrecon.diffusion.samplers import ancestral, ddim
from tfrecon.diffusion.steps import SomeSteps
from tfrecon.util import rng
from tfrecon.util.complex import to_channels, to_complex

pytestmark = pytest.mark.mathematics

SHAPE = (2, 3, 4)


def chain(noise_variance=1.0):
    return DiscretePath.from_settings(ChainSettings(1000, "linear_scaled", noise_variance=noise_variance))


def start(path, seed=5):
    return path.noise(rng.make_seed(seed), SHAPE)


def identity(share):
    """An estimate that is the state itself, and v as given."""
    return lambda x_t, t: (x_t, ops.broadcast_to(ops.convert_to_tensor(np.float32(share)), (*SHAPE, 2)))


def network(image, label):
    """Noise and v that depend on every channel and on the time."""
    channels = to_channels(image)
    time = ops.cast(label, "float32")[:, None, None, None] / 1000.0
    output = ops.concatenate([0.8 * channels + 0.1 * time, ops.tanh(channels) - time], axis=-1)
    return split_output(output)


def network_numpy(channels, time):
    return 0.8 * channels + 0.1 * time / 1000, np.tanh(channels) - time / 1000


@pytest.mark.parametrize("notation", ["5", "3,6", "ddim4", "1"])
@pytest.mark.parametrize("noise_variance", [1.0, 2.0])
def test_the_sampler_equals_its_transcription(notation, noise_variance):
    """On a chain that is built anew from the betas of the kept steps, the network being told the original times."""
    path, seed = chain(noise_variance), rng.make_seed(1)
    times, unit = respaced_times(notation, path.steps), np.sqrt(noise_variance / 2)
    state = start(path)
    noises = [to_channels(path.noise(rng.fold_in(seed, i), SHAPE)) for i in range(len(times))]
    expected = reference.sample(
        lambda x, time: tuple(part / (unit if k == 0 else 1) for k, part in enumerate(network_numpy(unit * x, time))),
        path.betas,
        times[::-1],
        ops.convert_to_numpy(to_channels(state)).astype(float) / unit,
        [ops.convert_to_numpy(noise) / unit for noise in noises],
    )
    denoiser = make_learned_denoiser(network, Parameterization("eps", "999t"), path)
    result = ops.convert_to_numpy(learned_ancestral(denoiser, path, None, times, seed, state))
    assert result.dtype == np.complex64
    found = np.stack([result.real, result.imag], axis=-1)
    np.testing.assert_allclose(found, unit * expected, atol=1e-3 * abs(expected).max())


@pytest.mark.parametrize("share, variance", [(0.0, "small"), (1.0, "large")])
def test_its_ends_are_the_two_fixed_variances(share, variance):
    path, seed = chain(), rng.make_seed(2)
    times = respaced_times("6", path.steps)
    fixed = ancestral(lambda x, t: x, path, None, times, seed, start(path), variance=variance)
    learned = learned_ancestral(identity(share), path, None, times, seed, start(path))
    np.testing.assert_allclose(ops.convert_to_numpy(learned), ops.convert_to_numpy(fixed), rtol=1e-4, atol=1e-5)


def test_each_channel_has_its_own_variance():
    """With an estimate that is the state, real and imaginary parts are sampled apart."""
    path, seed = chain(), rng.make_seed(2)
    times = respaced_times("6", path.steps)
    small, large = (
        ops.convert_to_numpy(ancestral(lambda x, t: x, path, None, times, seed, start(path), variance=variance))
        for variance in ("small", "large")
    )
    found = ops.convert_to_numpy(learned_ancestral(identity([0.0, 1.0]), path, None, times, seed, start(path)))
    np.testing.assert_allclose(found, small.real + 1j * large.imag, rtol=1e-4, atol=1e-5)
    assert abs(small - large).max() > 0.1


def test_the_data_step_has_the_last_word_and_parts_make_the_whole():
    path, times, seeds = chain(), respaced_times("5", 1000), rng.make_seeds(0, 0, SHAPE[0])

    def data_step(x0_hat, t):
        return 0.5 * x0_hat + ops.cast(t, "complex64") * 1e-3 + 2.5

    denoiser = make_learned_denoiser(network, Parameterization("v"), path)
    arguments = denoiser, path, data_step, times, seeds, start(path)
    whole = ops.convert_to_numpy(learned_ancestral(*arguments))
    carried = None
    for first, last in ((0, 2), (2, 5)):
        loop = SomeSteps(*(ops.convert_to_tensor(number, "int32") for number in (first, last)), carried)
        carried = learned_ancestral(*arguments, loop=loop)
    np.testing.assert_array_equal(ops.convert_to_numpy(carried.image), whole)
    constant = learned_ancestral(denoiser, path, lambda x0_hat, t: 0 * x0_hat + 2.5, times, seeds, start(path))
    np.testing.assert_array_equal(ops.convert_to_numpy(constant), np.full(SHAPE, 2.5))


def test_one_image_does_not_depend_on_its_batch():
    path, times, seeds = chain(), respaced_times("4", 1000), rng.make_seeds(0, 3, SHAPE[0])
    denoiser = make_learned_denoiser(network, Parameterization(), path)
    together = ops.convert_to_numpy(learned_ancestral(denoiser, path, None, times, seeds, start(path)))
    alone = ops.convert_to_numpy(learned_ancestral(denoiser, path, None, times, seeds[1:], start(path)[1:]))
    np.testing.assert_allclose(alone[0], together[1], rtol=1e-4, atol=1e-5)


def test_continuous_paths_have_steps_back_too():
    path = make_path(PathSettings("vp"))
    times, seed = make_times(path, 5), rng.make_seed(2)
    fixed = ancestral(lambda x, t: 0.5 * x, path, None, times, seed, start(path))
    learned = learned_ancestral(lambda x, t: (0.5 * x, ops.zeros((*SHAPE, 2))), path, None, times, seed, start(path))
    np.testing.assert_allclose(ops.convert_to_numpy(learned), ops.convert_to_numpy(fixed), rtol=1e-4, atol=1e-5)


def test_other_samplers_take_the_estimate_alone():
    path, times = chain(), respaced_times("4", 1000)
    denoiser = make_learned_denoiser(network, Parameterization("x0"), path)
    samples = ddim(without_variance(denoiser), path, None, times, rng.make_seed(0), start(path))
    own = ddim(lambda x, t: denoiser(x, t)[0], path, None, times, rng.make_seed(0), start(path))
    np.testing.assert_array_equal(ops.convert_to_numpy(samples), ops.convert_to_numpy(own))


@pytest.mark.parametrize("channels", [1, 2])
def test_the_output_is_split(channels):
    output = np.random.default_rng(0).normal(size=(2, 3, 4, 2 * channels)).astype(np.float32)
    image, share = (ops.convert_to_numpy(part) for part in split_output(output))
    assert image.dtype == np.complex64 and share.shape == (2, 3, 4, channels)
    np.testing.assert_array_equal(image.real, output[..., 0])
    np.testing.assert_array_equal(image.imag, output[..., 1] if channels == 2 else 0)
    np.testing.assert_allclose(share, (output[..., channels:] + 1) / 2, rtol=1e-6)
    if channels == 2:
        np.testing.assert_array_equal(ops.convert_to_numpy(to_complex(output[..., :2])), image)
