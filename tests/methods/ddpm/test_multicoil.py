"""Why the coils' one image is diffused, and not their images: what a network can say of noise that is in each coil."""

import numpy as np
import pytest
from keras import ops

from tfrecon.data.coil_simulation import random_maps
from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.samplers import ddim
from tfrecon.util import rng

pytestmark = pytest.mark.mathematics
SIZE = (24, 25)


def coil_maps(coils):
    """Complex maps of unit energy."""
    maps = random_maps(coils, SIZE, 0)
    return (maps / np.sqrt(np.sum(abs(maps) ** 2, axis=0))).astype("complex64")


def white(seed, coils):
    random = np.random.default_rng(seed)
    return (random.normal(size=(coils, *SIZE, 2)) @ np.array([1, 1j]) / np.sqrt(2)).astype("complex64")


@pytest.mark.parametrize("coils", [2, 4, 8, 15])
def test_of_noise_in_each_coil_the_range_of_the_maps_holds_one_part_in_so_many(coils):
    """The best `S q` for independent noise n in C coils is `S S^H n`: it leaves (1 - 1/C) of the energy."""
    maps, noise = coil_maps(coils), white(1, coils)
    best = maps * np.sum(np.conj(maps) * noise, axis=0)
    left = np.sum(abs(noise - best) ** 2) / np.sum(abs(noise) ** 2)
    assert left == pytest.approx(1 - 1 / coils, abs=0.02)


def test_a_chain_of_coil_images_keeps_what_no_image_explains_and_one_of_the_combined_image_nothing():
    """Both with an oracle that knows the image: it may say all that lies in the range of the maps, and no more."""
    coils, path = 8, DiscretePath.from_settings(ChainSettings(100, "cosine"))
    maps, truth = coil_maps(coils), np.exp(-((np.mgrid[-1:1:24j, -1:1:25j] ** 2).sum(0))).astype("complex64")
    times = path.all_times()

    def combined(images):
        return ops.sum(np.conj(maps) * images, axis=-3, keepdims=True)

    def coil_wise(x_t, t):
        """Takes off the noise in the range of the maps, all that one image `[H, W]` can say."""
        alpha, sigma = ops.cast(path.alpha(t), "complex64"), ops.cast(path.sigma(t), "complex64")
        noise = maps * combined((x_t - alpha * maps * truth) / sigma)
        return (x_t - sigma * noise) / alpha

    seed, noise = rng.make_seed(0), white(2, coils)
    short = times[times < 60]  # where alpha is large enough for a division
    start = path.perturb(ops.convert_to_tensor(maps * truth), short[0], ops.convert_to_tensor(noise))
    images = ops.convert_to_numpy(ddim(coil_wise, path, None, short, seed, start))
    left = np.sum(abs(images - maps * truth) ** 2) / np.sum(abs(noise) ** 2)
    ratio = float(path.sigmas[short[0]] / path.alphas[short[0]]) ** 2
    assert left == pytest.approx((1 - 1 / coils) * ratio, rel=0.03)
    once = path.perturb(ops.convert_to_tensor(truth[None]), times[0], ops.convert_to_tensor(white(3, 1)))
    image = ops.convert_to_numpy(ddim(lambda x_t, t: ops.convert_to_tensor(truth[None]), path, None, times, seed, once))
    np.testing.assert_allclose(image[0], truth, atol=1e-5)
