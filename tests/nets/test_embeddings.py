import numpy as np
import pytest
import ssdiffrecon_numpy as reference

from tfrecon.nets.embeddings import FourierFeatures, TimeEmbedding, axis_features, time_features
from tfrecon.nets.patches import crop_to, fit_centre, from_patches, pad_to_multiple, to_patches
from tfrecon.util.shapes import centre_crop, centre_pad

pytestmark = pytest.mark.mathematics


def test_time_features_equal_their_formula():
    times = np.array([0, 1, 4, 517, 999], np.float32)
    expected = [reference.time_embedding(float(time), 32) for time in times]
    np.testing.assert_allclose(time_features(times, 32), expected, atol=1e-4)
    np.testing.assert_array_equal(time_features(times, 32)[0], [0] * 16 + [1] * 16)


@pytest.mark.parametrize("angles", [(10000 ** (-7 / 8), 1.0), (1.5, 100.0)])
@pytest.mark.parametrize("size", [(6, 9), (1, 2)])
def test_places_equal_their_formula(size, angles):
    rows, columns = (np.asarray(axis_features(n, 16, *angles)) for n in size)
    if size[0] == 1:  # a single row is at the edge, where linspace begins
        np.testing.assert_allclose(rows[0, :8], np.sin(-np.geomspace(angles[1], angles[0], 8)), atol=1e-5)
        return
    expected = reference.place_features(*size, 32, *angles)
    np.testing.assert_allclose(np.broadcast_to(columns, (*size, 16)), expected[..., :16], atol=1e-4)
    np.testing.assert_allclose(np.broadcast_to(rows[:, None], (*size, 16)), expected[..., 16:], atol=1e-4)


def test_published_angles_follow_powers_of_ten_thousand():
    features = np.asarray(axis_features(5, 16, 10000 ** (-7 / 8), 1.0))
    np.testing.assert_allclose(features[-1, :8], np.sin(10000.0 ** (-np.arange(8) / 8)), atol=1e-6)


def test_published_angles_hardly_tell_neighbours_apart_and_the_default_ones_do():
    def nearest(lowest, highest):
        features = np.asarray(axis_features(256, 16, lowest, highest))
        return np.linalg.norm(np.diff(features, axis=0), axis=1).min()

    assert nearest(10000 ** (-7 / 8), 1.0) < 0.01
    assert nearest(np.pi / 2, 32 * np.pi) > 0.5


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (5, 4), (1, 1)])
@pytest.mark.parametrize("patch", [1, 2, 3])
def test_patches_and_back(size, patch):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    cut = to_patches(x, patch)
    assert cut.shape == (2, -(-size[0] // patch), -(-size[1] // patch), 3 * patch**2)
    np.testing.assert_array_equal(cut[0], reference.patches(x[0], patch))
    np.testing.assert_array_equal(from_patches(cut, patch, size), x)


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (5, 12)])
@pytest.mark.parametrize("target", [(8, 11), (9, 12), (6, 8)])
def test_images_fit_a_canvas_around_the_centre(size, target):
    image = np.random.default_rng(0).normal(size=(2, *size)).astype(np.complex64)
    expected = image
    for axis in (0, 1):
        shape = [expected.shape[1], expected.shape[2]]
        shape[axis] = target[axis]
        expected = (centre_pad if target[axis] > size[axis] else centre_crop)(expected, shape)
    np.testing.assert_array_equal(fit_centre(image, target), expected)


def test_fourier_features_equal_their_formula_and_are_not_trained():
    layer = FourierFeatures(500, scale=4.0, seed=1)
    times = np.array([-1.5, 0.0, 0.25], np.float32)
    features = np.asarray(layer(times))
    frequencies = np.asarray(layer.frequencies.value)
    assert layer.trainable_variables == [] and len(layer.variables) == 1
    assert frequencies.std() == pytest.approx(4, rel=0.1) and abs(frequencies.mean()) < 0.6
    angles = 2 * np.pi * times[:, None].astype(np.float64) * frequencies
    np.testing.assert_allclose(features, np.concatenate([np.sin(angles), np.cos(angles)], axis=1), atol=1e-4)


@pytest.mark.parametrize("kind", ["fourier", "positional"])
def test_embedding_of_time_is_two_dense_layers_of_its_features(kind):
    layer = TimeEmbedding(6, kind=kind, name="layer")
    times = np.array([0.0, 3.0, 700.0], np.float32)
    features = time_features(times, 6) if kind == "positional" else None
    result = np.asarray(layer(times))
    features = np.asarray(layer.features(times) if features is None else features, np.float64)
    hidden = features @ np.asarray(layer.dense_in.kernel.value)
    hidden = hidden / (1 + np.exp(-hidden))
    np.testing.assert_allclose(result, hidden @ np.asarray(layer.dense_out.kernel.value), atol=1e-5)
    assert result.shape == (3, 24)


def test_published_frequencies_of_time_are_those_of_ddpm():
    """Of 128 features, frequency k is exp(-k ln(10^4) / 63)."""
    expected = np.sin(7.0 * np.exp(-np.arange(64) * np.log(1e4) / 63))
    np.testing.assert_allclose(np.asarray(time_features(np.array([7.0], np.float32), 128))[0, :64], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (4, 5), (13, 8)])
def test_images_are_reflected_to_a_multiple_and_cropped_back(size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    padded = np.asarray(pad_to_multiple(x, 4))
    assert all(n % 4 == 0 and n - m < 4 for n, m in zip(padded.shape[1:3], size, strict=True))
    pads = [((n - m) // 2, n - m - (n - m) // 2) for n, m in zip(padded.shape[1:3], size, strict=True)]
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect"))
    np.testing.assert_array_equal(crop_to(padded, size), x)


def test_nothing_is_done_to_sizes_that_fit():
    x = np.ones((1, 8, 12, 2), np.float32)
    assert pad_to_multiple(x, 4) is x and crop_to(x, (8, 12)) is x
