"""The autoencoder: counts, shapes of latents, sizes, what is random in it, and latents as complex images."""

import json

import numpy as np
import pytest
from keras import ops

from tfrecon.nets.autoencoder import (
    FIRST_LOG_VARIANCE,
    AutoencoderSettings,
    KLAutoencoder,
    Moments,
    build_autoencoder,
    small,
)
from tfrecon.nets.latent_space import LatentSpace, latent_std
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings, to_dictionary

pytestmark = pytest.mark.mathematics

TINY = AutoencoderSettings(latent_channels=4, width=8, multipliers=(1, 2, 2), blocks=1)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def count(model):
    return sum(int(np.prod(variable.shape)) for variable in model.variables)


@pytest.fixture(scope="module")
def model():
    return build_autoencoder(TINY)


@pytest.mark.parametrize(
    ("width", "expected", "published"),
    [(64, 13_330_890, 13.3e6), pytest.param(128, 53_220_234, 53.2e6, marks=pytest.mark.slow)],
)
def test_parameters_are_those_published(width, expected, published):
    """The specification says 13.3 and 53.2 million: all its digits."""
    found = count(build_autoencoder(AutoencoderSettings(width=width)))
    assert found == expected and round(found, -5) == published


@pytest.mark.parametrize(("factor", "expected", "compression"), [(4, 1_459_674, 4.0), (2, 624_170, 2.0)])
def test_small_autoencoders_are_small(factor, expected, compression):
    settings = small(factor)
    assert count(build_autoencoder(settings)) == expected <= 1_500_000
    assert (settings.multiple, settings.compression) == (factor, compression)


@pytest.mark.parametrize("size", [(16, 24), (13, 18), (3, 5)])
def test_latents_are_a_fourth_of_any_size(model, size):
    image = normal(2, *size, 2)
    moments = model.encode(image)
    expected = (2, -(-size[0] // 4), -(-size[1] // 4), 4)
    assert tuple(moments.mean.shape) == tuple(moments.log_variance.shape) == expected
    assert tuple(model.decode(moments.mean).shape) == (2, 4 * expected[1], 4 * expected[2], 2)
    output = numpy(model({"image": image}))
    np.testing.assert_array_equal(output, numpy(model.decode(moments.mean, size)))
    assert output.shape == image.shape


def test_latents_start_with_little_noise(model):
    moments = model.encode(normal(3, 16, 16, 2))
    assert abs(np.mean(numpy(moments.log_variance)) - FIRST_LOG_VARIANCE) < 1
    assert np.std(numpy(moments.mean)) > 3 * np.exp(0.5 * FIRST_LOG_VARIANCE)


def test_drawn_latents_have_the_moments_and_depend_on_their_own_seed():
    count, seeds = 300, rng.make_seeds(0, 0, 300)
    mean, log_variance = normal(3, 3, 2), np.log(0.3 + normal(3, 3, 2, seed=1) ** 2)
    draws = numpy(Moments(np.tile(mean, (count, 1, 1, 1)), np.tile(log_variance, (count, 1, 1, 1))).draw(seeds))
    std = np.exp(0.5 * log_variance)
    assert abs((draws.mean(0) - mean) / std).max() < 5 / np.sqrt(count)
    np.testing.assert_allclose(draws.std(0), std, rtol=0.2)
    one = Moments(mean[None], log_variance[None]).draw(seeds[7:8])
    np.testing.assert_array_equal(numpy(one), draws[7:8])


def test_variances_stay_finite():
    model = build_autoencoder(TINY)
    model.encoder_head.bias.assign(np.full(8, 1e4, "float32"))
    assert np.isfinite(np.exp(numpy(model.encode(normal(1, 8, 8, 2)).log_variance))).all()


def test_what_is_too_small_is_refused(model):
    with pytest.raises(InputError, match="1×8 is too small"):
        model.encode(normal(1, 1, 8, 2))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"latent_channels": 3}, "'latent_channels' is 3"),
        ({"width": 2}, "'width' is 2"),
        ({"multipliers": ()}, "'multipliers'"),
        ({"blocks": 0}, "'blocks' is 0"),
        ({"channels": 1}, "no key 'channels'"),
    ],
)
def test_wrong_settings_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        make_settings(AutoencoderSettings, wrong, "model")


def test_other_factors_have_no_small_autoencoder():
    with pytest.raises(InputError, match="factor of 8; choose 2 or 4"):
        small(8)
    assert make_settings(AutoencoderSettings, json.loads(json.dumps(to_dictionary(small(2)))), "model") == small(2)


@pytest.mark.parametrize("size", [(16, 12), (9, 14)])
def test_latents_as_complex_images(model, size):
    image = normal(3, *size, 2) @ np.array([1, 1j], "complex64")
    space = LatentSpace(model, size, std=0.5)
    latent = space.encode(image)
    height, width = (-(-n // 4) for n in size)
    assert tuple(latent.shape) == (3, 2 * height, width) and ops.dtype(latent) == "complex64"
    mean = numpy(model.encode(np.stack([image.real, image.imag], -1)).mean)
    np.testing.assert_allclose(numpy(latent)[1, height:, :].real, mean[1, ..., 2] / 0.5, rtol=1e-5)
    np.testing.assert_allclose(numpy(space.to_channels(latent)), mean, rtol=1e-5)
    expected = numpy(model({"image": np.stack([image.real, image.imag], -1)}))
    np.testing.assert_allclose(numpy(space.decode(latent)), expected @ np.array([1, 1j]), atol=1e-5)
    drawn = numpy(space.draw(image, rng.make_seeds(0, 0, 3)))
    assert drawn.shape == latent.shape and 0.02 < np.std(drawn - numpy(latent)) < 1


def test_latents_are_divided_by_their_root_mean_square(model):
    images = normal(4, 16, 16, 2) @ np.array([1, 1j], "complex64")
    std = latent_std(model, [images[:3], images[3:]])
    drawn = numpy(LatentSpace(model, (16, 16), std).draw(images, rng.make_seeds(0, 0, 4)))
    assert np.mean(abs(drawn) ** 2) == pytest.approx(2, rel=0.02)
    with pytest.raises(InputError, match="no images"):
        latent_std(model, [])
    with pytest.raises(InputError, match="standard deviation of latents is 0"):
        LatentSpace(model, (16, 16), std=0.0)


def test_every_part_has_a_name_of_its_own():
    assert isinstance(build_autoencoder(TINY, seed=3), KLAutoencoder)
    paths = [variable.path for variable in build_autoencoder(TINY).variables]
    assert len(set(paths)) == len(paths)
