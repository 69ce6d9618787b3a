import keras
import numpy as np
import pytest
import score_networks_numpy as reference
from keras import ops

from tfrecon.nets.resampling import (
    StridedConv2D,
    box_downsample,
    fir_downsample,
    fir_filter,
    fir_upsample,
    nearest_upsample,
)

pytestmark = pytest.mark.mathematics

SIZES = [(8, 6), (7, 9), (4, 5), (2, 3)]


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fir_downsample, reference.fir_downsample),
        (fir_upsample, reference.fir_upsample),
        (lambda x: fir_filter(x, 2), lambda x: reference.upfirdn(x, before=2, after=2)),
        (nearest_upsample, lambda x: np.repeat(np.repeat(x, 2, 0), 2, 1)),
    ],
)
def test_resampling_equals_its_definition(size, ours, theirs):
    x = array(2, *size, 3)
    result = np.asarray(ours(x))
    for item in range(2):
        np.testing.assert_allclose(result[item], theirs(x[item].astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_means_of_four_pixels(size):
    x = array(2, *size, 3)
    even = x[:, : size[0] // 2 * 2, : size[1] // 2 * 2]
    expected = even.reshape(2, size[0] // 2, 2, size[1] // 2, 2, 3).mean((2, 4))
    np.testing.assert_allclose(box_downsample(x), expected, atol=1e-6)


def test_a_flat_image_stays_flat_away_from_the_edge():
    flat = np.full((1, 8, 8, 2), 3.0, np.float32)
    np.testing.assert_allclose(np.asarray(fir_downsample(flat))[:, 1:-1, 1:-1], 3, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(fir_upsample(flat))[:, 1:-1, 1:-1], 3, rtol=1e-6)


def test_up_is_four_times_the_adjoint_of_down():
    x, y = array(1, 8, 6, 2).astype(np.float64), array(1, 4, 3, 2, seed=1).astype(np.float64)
    left = np.sum(np.asarray(fir_downsample(x.astype(np.float32))) * y)
    right = np.sum(x * np.asarray(fir_upsample(y.astype(np.float32)))) / 4
    assert left == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("smooth", [True, False])
def test_strided_convolution_equals_its_definition(size, smooth):
    layer = StridedConv2D(4, smooth=smooth, name="layer")
    layer.build((None, None, None, 3))
    layer.convolution.bias.assign(array(4, seed=2))
    x = array(2, *size, 3)
    result = np.asarray(layer(x))
    assert result.shape[1:3] == (size[0] // 2, size[1] // 2)
    for item in range(2):
        image = x[item].astype(np.float64)
        filtered = reference.upfirdn(image, before=2, after=2) if smooth else np.pad(image, ((0, 1), (0, 1), (0, 0)))
        weights = reference.weights_of(layer)
        expected = reference.convolution(weights, "convolution", filtered, stride=2, padding=(0, 0))
        np.testing.assert_allclose(result[item], expected, atol=1e-5)


def test_half_precision_filters_alike():
    """Weights of the filters are multiples of 1/64, exact in bfloat16."""
    x = ops.cast(array(1, 6, 6, 2), "bfloat16")
    for change_size in (fir_downsample, fir_upsample):
        assert keras.backend.standardize_dtype(change_size(x).dtype) == "bfloat16"
        exact = np.asarray(change_size(ops.cast(x, "float32")))
        np.testing.assert_allclose(ops.cast(change_size(x), "float32"), exact, atol=0.02)
