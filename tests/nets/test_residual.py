import keras
import numpy as np
import pytest
import score_networks_numpy as reference
from keras import ops

from tfrecon.nets.normalization import GroupNorm, group_count
from tfrecon.nets.residual import PixelAttention, ResidualBlock, drop_features
from tfrecon.nets.variance_scaled import fan_average_initializer
from tfrecon.util import rng

pytestmark = pytest.mark.mathematics

RESIZED = {"none": None, "down": reference.fir_downsample, "up": reference.fir_upsample}


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def perturbed(layer):
    for number, variable in enumerate(layer.variables):
        variable.assign(np.asarray(variable.value) + 0.3 * array(*variable.shape, seed=number))
    return layer


def block(channels=8, filters=12, **options):
    layer = ResidualBlock(filters, name="layer", **options)
    layer.build((None, None, None, channels), (None, 5))
    return layer


@pytest.mark.parametrize("resample", RESIZED)
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("filters", [8, 12])
def test_residual_block_equals_its_transcription(resample, rescale, filters):
    layer = perturbed(block(filters=filters, resample=resample, rescale=rescale))
    x, embedding = array(2, 7, 6, 8), array(2, 5, seed=1)
    result = np.asarray(layer(x, embedding))
    for item in range(2):
        expected = reference.biggan_block(
            reference.weights_of(layer), "", x[item], embedding[item], RESIZED[resample], rescale
        )
        np.testing.assert_allclose(result[item], expected, atol=2e-5)


def test_attention_equals_its_transcription():
    for rescale in (True, False):
        layer = PixelAttention(rescale=rescale, name="layer")
        layer.build((None, None, None, 8))
        perturbed(layer)
        x = array(2, 5, 6, 8)
        result = np.asarray(layer(x))
        for item in range(2):
            expected = reference.attention(reference.weights_of(layer), "", x[item], rescale)
            np.testing.assert_allclose(result[item], expected, atol=2e-5)


def test_time_scales_and_shifts_what_is_normalised():
    """With a projection of time that is constant, the second norm's gain and offset can do the same."""
    timed, plain = block(scale_shift=True), block(scale_shift=True)
    for layer in (timed, plain):
        for variable in layer.project_time.variables:
            variable.assign(np.zeros(variable.shape, np.float32))
        layer.conv_out.kernel.assign(array(3, 3, 12, 12, seed=4))
    scale, shift = array(12, seed=2), array(12, seed=3)
    timed.project_time.bias.assign(np.concatenate([scale, shift]))
    plain.norm_out.gain.assign(1 + scale)
    plain.norm_out.offset.assign(shift)
    x, embedding = array(2, 5, 6, 8), array(2, 5, seed=1)
    np.testing.assert_allclose(timed(x, embedding), plain(x, embedding), atol=2e-5)
    assert abs(np.asarray(timed(x, embedding)) - np.asarray(block()(x, embedding))).max() > 0.1


@pytest.mark.parametrize("rescale", [True, False])
def test_new_blocks_and_attention_hardly_change_what_they_get(rescale):
    x = array(1, 6, 6, 8)
    expected = x / np.sqrt(2) if rescale else x
    layer = PixelAttention(rescale=rescale)
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)
    np.testing.assert_allclose(block(filters=8, rescale=rescale)(x, array(1, 5)), expected, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3, 4, 6, 12, 40, 56, 112, 128, 160, 256, 384])
def test_number_of_groups(channels):
    count = group_count(channels)
    assert channels % count == 0 and count <= 32
    if channels >= 4 and channels % min(channels // 4, 32) == 0:
        assert count == min(channels // 4, 32)


@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_group_norm_equals_its_definition(shift):
    layer = GroupNorm(name="layer")
    layer.build((None, None, None, 12))
    perturbed(layer)
    x = array(3, 9, 6, 12) + np.float32(shift)
    result = np.asarray(layer(x))
    for item in range(3):
        expected = reference.group_norm(reference.weights_of(layer), "", x[item].astype(np.float64), 3)
        np.testing.assert_allclose(result[item], expected, atol=1e-4 if shift else 1e-5)


def test_group_norm_of_a_flat_image_is_its_offset():
    """Up to rounding of the mean, a part in 10⁷, over the root of epsilon."""
    layer = GroupNorm()
    np.testing.assert_allclose(layer(np.full((1, 16, 16, 8), 10.3, np.float32)), 0, atol=0.2)
    np.testing.assert_array_equal(layer(np.zeros((1, 16, 16, 8), np.float32)), 0)


def test_statistics_are_float32_under_half_precision():
    """Squares of 3000 overflow float16; in bfloat16 the mean of many would stop growing."""
    x = 3000 * array(1, 64, 64, 8)
    exact = np.asarray(GroupNorm()(x))
    layer = GroupNorm(dtype="mixed_float16")
    assert keras.backend.standardize_dtype(layer(ops.cast(x, "float16")).dtype) == "float16"
    np.testing.assert_allclose(ops.cast(layer(ops.cast(x, "float16")), "float32"), exact, atol=0.01)


def test_softmax_is_float32_under_half_precision():
    """Logits of some hundreds lose all their digits after the point in bfloat16, so probabilities would."""
    exact, mixed = (PixelAttention(name="layer", dtype=policy) for policy in ("float32", "mixed_bfloat16"))
    for layer in (exact, mixed):
        layer.build((None, None, None, 8))
        for number, projection in enumerate((layer.query, layer.key, layer.value, layer.out)):
            projection.kernel.assign(np.eye(8, dtype=np.float32)[None, None] * (4.0 if number < 2 else 1.0))
    x = np.round(4 * array(1, 6, 6, 8)) / 4
    expected = np.asarray(exact(x))
    error = np.linalg.norm(np.asarray(ops.cast(mixed(x), "float32")) - expected)
    assert error < 0.02 * np.linalg.norm(expected)


def test_dropout_is_each_examples_own():
    seeds = rng.make_seeds(3, 0, 4)
    ones = np.ones((4, 20, 20, 6), np.float32)
    dropped = np.asarray(drop_features(ones, 0.25, seeds))
    assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(dropped[dropped > 0], 1 / 0.75, rtol=1e-6)
    assert not np.array_equal(dropped[0], dropped[1])
    np.testing.assert_array_equal(drop_features(ones[2:3], 0.25, seeds[2:3])[0], dropped[2])


@pytest.mark.parametrize("shape", [(3, 3, 20, 60), (40, 120), (1, 1, 30, 90)])
@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-10])
def test_initial_weights_have_the_published_variance(shape, scale):
    values = fan_average_initializer(0, scale)(shape)
    fan = np.prod(shape[:-2]) * (shape[-2] + shape[-1]) / 2
    assert values.var() == pytest.approx(scale / fan, rel=0.06)
    assert abs(values).max() <= np.sqrt(3 * scale / fan) * (1 + 1e-6)
    assert abs(values.mean()) < 0.1 * values.std()
