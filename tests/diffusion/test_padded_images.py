"""An image has the same loss in a padded batch as alone, as far as its network looks.

Pixels from which a network does not see the padding have the same error exactly; those beside it see noise in the
place of reflections. Borders and group normalisation reach further: a U-Net's loss is the same to 1e-3 in a bucket of
the size to which it pads by itself (`ScoreUNetSettings.padded_to`).
"""

import dataclasses

import numpy as np
import pytest
from keras import ops

from tfrecon.data.buckets import offset_in_bucket
from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.objectives import ScoreMatching, denoising_losses
from tfrecon.diffusion.parameterization import Parameterization
from tfrecon.nets.ddpm_unet import build_ddpm, small
from tfrecon.util.complex import to_channels, to_complex

PATH, EDM = make_path(PathSettings()), Parameterization("edm")
SETTINGS = dataclasses.replace(small(), padded_to=32)
WIDTHS = ((2, 16), (16, 16), (16, 2))


@pytest.fixture(scope="module")
def network():
    """A U-Net whose output is as large as what it would be trained to say."""
    unet = build_ddpm(SETTINGS, seed=0)
    kernel = unet.head.weights[0]
    kernel.assign(0.06 * np.random.default_rng(0).standard_normal(kernel.shape))

    def call(image, label):
        label = ops.broadcast_to(ops.cast(label, "float32"), ops.shape(image)[:1])
        return to_complex(unet({"image": to_channels(image), "time": label}))

    return call


@pytest.fixture(scope="module")
def local_network():
    """Convolutions alone."""
    kernels = [np.float32(0.2 * np.random.default_rng(n).standard_normal((3, 3, *c))) for n, c in enumerate(WIDTHS)]

    def call(image, label):
        x = to_channels(image)
        for kernel in kernels:
            x = ops.conv(ops.tanh(x), kernel, padding="same", data_format="channels_last")
        return to_complex(x)

    return call


def complex_normal(seed, *shape):
    parts = np.random.default_rng(seed).standard_normal((2, *shape)) * np.sqrt(0.5)
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def image_of(size, seed=0):
    """Something bright in the middle of a little noise."""
    window = np.outer(np.hanning(size[0]), np.hanning(size[1]))
    return (window * np.exp(2j * window)).astype(np.complex64) + 0.02 * complex_normal(seed, *size)


def losses(network, images, times, noise, valid=None):
    values = (np.asarray(array) for array in (images, np.float32(times), noise))
    found = denoising_losses(network, ScoreMatching("edm"), EDM, PATH, *values, valid)
    return ops.convert_to_numpy(found)


def padded(image, shape):
    """The image in a bucket, where it is valid, and its place there."""
    starts = [offset_in_bucket(n, m, SETTINGS.multiple) for n, m in zip(image.shape, shape, strict=True)]
    place = tuple(slice(start, start + n) for start, n in zip(starts, image.shape, strict=True))
    inside, valid = np.zeros(shape, np.complex64), np.zeros(shape, np.float32)
    inside[place], valid[place] = image, 1
    return inside, valid, place


def alone_and_inside(network, time, shape, border=0):
    """The loss of a slice of 320×372 by itself, and in a bucket, without so many columns on either side of it."""
    image, noise = image_of((320, 372)), complex_normal(1, *shape)
    inside, valid, place = padded(image, shape)
    valid[:, : place[1].start + border] = valid[:, place[1].stop - border :] = 0
    alone = losses(network, image[None], [time], noise[place][None], valid[place][None])
    return alone, losses(network, inside[None], [time], noise[None], valid[None])


@pytest.mark.parametrize("time", [0.05, 0.3, 0.8])
@pytest.mark.parametrize(("border", "tolerance"), [(len(WIDTHS), 1e-5), (0, 5e-3)])
def test_a_slice_has_the_same_loss_in_a_wider_bucket(local_network, time, border, tolerance):
    alone, inside = alone_and_inside(local_network, time, (320, 384), border)
    np.testing.assert_allclose(inside, alone, rtol=tolerance)


@pytest.mark.parametrize("time", [0.05, 0.3, 0.8])
def test_a_unet_has_the_same_loss_in_its_bucket(network, time):
    alone, inside = alone_and_inside(network, time, (320, 384))
    np.testing.assert_allclose(inside, alone, rtol=1e-3)


def test_a_batch_of_mixed_sizes_has_the_losses_of_its_images(network):
    sizes, shape, times = ((64, 64), (64, 59), (61, 62), (57, 64)), (64, 64), [0.2, 0.4, 0.6, 0.8]
    pairs = [padded(image_of(size, seed), shape) for seed, size in enumerate(sizes)]
    images, valid = (np.stack(parts) for parts in list(zip(*pairs, strict=True))[:2])
    noise = complex_normal(2, 4, *shape)
    together = losses(network, images, times, noise, valid)
    for number in range(4):
        own = slice(number, number + 1)
        one = losses(network, images[own], times[own], noise[own], valid[own])
        np.testing.assert_allclose(together[own], one, rtol=1e-4)
    np.testing.assert_allclose(together[:1], losses(network, images[:1], times[:1], noise[:1]), rtol=1e-4)
