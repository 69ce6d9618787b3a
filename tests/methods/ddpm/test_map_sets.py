"""Several sets of maps (soft-SENSE): an image of each set is drawn from the prior, and the data bind them."""

import numpy as np
import pytest
import sense_numpy
from ddpm_cases import FIXED, batch_of, knowing, make_method, options_of, talking
from keras import ops
from score_cases import measurement_of, models_of

from tfrecon.methods.ddpm.sampling import in_own_phase
from tfrecon.util import rng


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def images_of(network, batch, method, **options):
    return method.reconstruct(models_of(network), measurement_of(batch), rng.make_seed(0), options_of(**options))


@pytest.fixture
def folded():
    """Objects that fold over themselves: the second set sees, from elsewhere, what the first does not."""
    batch = batch_of(coils=4)
    second = np.roll(batch["reference"], 9, axis=-1) * (0.3 + 0.4j)
    maps = np.stack([batch["maps"], np.roll(batch["maps"], 5, axis=-2)], axis=1)
    images = np.stack([batch["reference"], second], axis=1)
    kspace = sense_numpy.forward(images, maps, batch["mask"]).astype("complex64")
    return {**batch, "maps": maps, "kspace": kspace}, images.astype("complex64")


def test_one_set_is_what_it_is_without_its_axis():
    method, batch = make_method(), batch_of()
    plain = numpy(images_of(talking(), batch, method).image)
    wrapped = numpy(images_of(talking(), {**batch, "maps": batch["maps"][:, None]}, method).image)
    np.testing.assert_allclose(abs(wrapped), abs(plain), atol=1e-5)
    np.testing.assert_allclose(wrapped, plain, atol=1e-4)


@pytest.mark.parametrize("phase", ["normalised", "random"])
@pytest.mark.parametrize("sampler", ["dds", "diffpir"])
def test_with_a_network_that_is_right_the_images_are_the_truth(folded, phase, sampler):
    batch, images = folded
    method = make_method({"loss": "simple"}, output="x0", phase=phase, **FIXED)
    turn = in_own_phase(measurement_of(batch), method.model)[1]
    truth = (images if turn is None else images * np.conj(numpy(turn))).reshape(-1, *images.shape[-2:])
    found = numpy(images_of(knowing(truth), batch, method, sampler=sampler).image)
    np.testing.assert_allclose(abs(found), np.sqrt((abs(images) ** 2).sum(1)), atol=5e-4)
    bright = abs(images[:, 0]) > 0.1
    np.testing.assert_allclose(np.angle(found[bright] / images[:, 0][bright]), 0, atol=0.01)


def test_samples_deviations_and_gradients_of_several_sets(folded):
    batch, _ = folded
    found = images_of(talking(0.7), batch, make_method(heteroscedastic=True), samples=3, sampler="dps")
    assert found.samples.shape == (3, 2, 15, 17) and found.std.shape == found.image.shape == (2, 15, 17)
    assert np.isfinite(numpy(found.image)).all() and (numpy(found.std) > 0).all()
