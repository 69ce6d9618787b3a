import numpy as np
import pytest
from autodiff import gradients
from keras import ops

from tfrecon.nets.patch_partition import assemble, draw_offsets, partition, positions, random_patches
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SIZES = [(8, 8), (7, 10), (3, 13), (1, 1), (9, 4)]


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def place(index, size):
    return 2 * index / max(size - 1, 1) - 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("patch", [1, 4, 5])
def test_partition_and_back_at_every_offset(size, patch):
    down, across = np.meshgrid(np.arange(patch), np.arange(patch), indexing="ij")
    offsets = np.stack([down.ravel(), across.ravel()], axis=-1).astype(np.int32)
    image = array(len(offsets), *size, 3)
    patches = partition(image, offsets, patch)
    counts = [-(-(n + patch - 1) // patch) for n in size]
    assert patches.values.shape == (len(offsets) * counts[0] * counts[1], patch, patch, 3)
    np.testing.assert_array_equal(assemble(patches.values, offsets, size), image)
    assert np.sum(np.asarray(patches.values) ** 2) == pytest.approx(np.sum(image**2), rel=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_patches_are_where_they_say(size):
    """Each patch by slices of the image padded by hand; positions -1 and 1 are the first and the last pixel."""
    patch, offsets = 4, np.array([[0, 3], [2, 1]], np.int32)
    image = array(2, *size, 2)
    values, places = (np.asarray(part) for part in partition(image, offsets, patch))
    counts = [-(-(n + patch - 1) // patch) for n in size]
    number = 0
    for item, (top, left) in enumerate(offsets):
        padded = np.pad(image[item], ((top, 2 * patch), (left, 2 * patch), (0, 0)))
        for row in range(counts[0]):
            for column in range(counts[1]):
                first = (patch * row, patch * column)
                cut = padded[first[0] : first[0] + patch, first[1] : first[1] + patch]
                np.testing.assert_array_equal(values[number], cut)
                rows = place(np.arange(patch) + first[0] - top, size[0])
                columns = place(np.arange(patch) + first[1] - left, size[1])
                np.testing.assert_allclose(places[number, ..., 0], np.repeat(rows[:, None], patch, 1), atol=1e-5)
                np.testing.assert_allclose(places[number, ..., 1], np.repeat(columns[None], patch, 0), atol=1e-5)
                number += 1
    assert number == len(values)


@pytest.mark.parametrize("size", SIZES)
def test_positions_of_whole_images_are_those_of_their_patches(size):
    whole = np.asarray(positions(size))
    assert whole.shape == (1, *size, 2)
    np.testing.assert_array_equal(whole[0, 0, 0], [-1, -1])
    for axis, n in enumerate(size):
        if n > 1:
            np.testing.assert_allclose(whole[0, -1, -1, axis], 1, atol=1e-6)
    offsets = np.array([[1, 2]], np.int32)
    patches = partition(np.zeros((1, *size, 1), np.float32), offsets, 3)
    np.testing.assert_allclose(assemble(patches.positions, offsets, size), whole, atol=1e-6)


def test_a_function_of_each_pixel_and_its_place_is_the_same_in_patches():
    """What a patch prior does: cut, ask the network, put together."""

    def network(values, places):
        return values * places[..., :1] + places[..., 1:]

    image, seeds = array(3, 11, 14, 1), rng.make_seeds(0, 5, 3)
    offsets = draw_offsets(seeds, 4)
    patches = partition(image, offsets, 4)
    result = assemble(network(patches.values, patches.positions), offsets, (11, 14))
    np.testing.assert_allclose(result, network(image, np.asarray(positions((11, 14)))), atol=1e-6)


def test_offsets_are_uniform_and_each_examples_own():
    seeds = rng.make_seeds(2, 0, 200)
    offsets = np.asarray(draw_offsets(seeds, 3))
    assert offsets.dtype == np.int32 and offsets.shape == (200, 2)
    for axis in (0, 1):
        np.testing.assert_allclose(np.bincount(offsets[:, axis], minlength=3) / 200, 1 / 3, atol=0.12)
    np.testing.assert_array_equal(draw_offsets(seeds[7:9], 3), offsets[7:9])


@pytest.mark.parametrize("count", [1, 3])
def test_random_patches_are_cuts_of_their_images(count):
    """An image that holds its own positions and number says where each patch is from."""
    size, patch = (6, 9), 4
    numbers = np.broadcast_to(np.arange(1, 6, dtype=np.float32)[:, None, None, None], (5, *size, 1))
    image = np.concatenate([np.broadcast_to(np.asarray(positions(size)), (5, *size, 2)), numbers], axis=-1)
    seeds = rng.make_seeds(1, 0, 5)
    values, places = (np.asarray(part) for part in random_patches(image, seeds, patch, count))
    assert values.shape == (5 * count, patch, patch, 3) and places.shape == (5 * count, patch, patch, 2)
    inside = (abs(places) <= 1 + 1e-5).all(-1)
    assert inside.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(values[~inside], 0)
    np.testing.assert_allclose(values[inside][:, :2], places[inside], atol=1e-5)
    expected = np.broadcast_to(np.repeat(np.arange(1, 6), count)[:, None, None], inside.shape)
    np.testing.assert_array_equal(values[inside][:, 2], expected[inside])
    alone = random_patches(image[2:3], seeds[2:3], patch, count).values
    np.testing.assert_array_equal(alone, values[2 * count : 3 * count])


def test_random_patches_show_every_pixel_equally_often():
    size, patch, count = (5, 6), 3, 20_000
    indices = np.arange(1, 31, dtype=np.float32).reshape(1, *size, 1)
    values = np.asarray(random_patches(indices, rng.make_seeds(0, 0, 1), patch, count).values)
    seen = np.bincount(values.astype(int).ravel(), minlength=31)[1:] / count
    np.testing.assert_allclose(seen, patch**2 / ((size[0] + patch - 1) * (size[1] + patch - 1)), rtol=0.1)


def test_gradients_go_through():
    image, offsets = array(2, 5, 6, 1), np.array([[1, 0], [2, 2]], np.int32)
    weights = array(2, 5, 6, 1, seed=1)

    def through_patches(x):
        return ops.sum(weights * ops.square(assemble(partition(x, offsets, 3).values, offsets, (5, 6))))

    np.testing.assert_allclose(gradients(through_patches, image)[0], 2 * weights * image, atol=1e-5)


def test_a_patch_has_pixels():
    with pytest.raises(InputError, match="patch of 0"):
        partition(array(1, 4, 4, 1), np.zeros((1, 2), np.int32), 0)
    with pytest.raises(InputError, match="patch of -1"):
        random_patches(array(1, 4, 4, 1), rng.make_seeds(0, 0, 1), -1)
