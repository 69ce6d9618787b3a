import numpy as np
import pytest
import ssdiffrecon_numpy as reference
from keras import ops

from tfrecon.nets.attention import CrossAttention, TokenAttention, drop_probabilities, rms_normalize
from tfrecon.nets.embeddings import axis_features
from tfrecon.util import rng

pytestmark = pytest.mark.mathematics

CHANNELS, TOKENS, WIDTH, HEIGHT, COLUMNS = 6, 5, 8, 4, 7


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def perturbed(layer):
    for number, variable in enumerate(layer.variables):
        variable.assign(np.asarray(variable.value) + 0.3 * array(*variable.shape, seed=number))
    return layer


def weights(layer):
    return {f"layer/{variable.path.removeprefix('layer/')}": np.asarray(variable.value) for variable in layer.variables}


def cross_attention(**options):
    layer = CrossAttention(name="layer", **options)
    layer.build((None, None, None, CHANNELS), (None, TOKENS, WIDTH), (TOKENS, WIDTH), (HEIGHT, 4), (COLUMNS, 4))
    inputs = [array(2, HEIGHT, COLUMNS, CHANNELS), array(2, TOKENS, WIDTH, seed=1), array(TOKENS, WIDTH, seed=2)]
    angles = {"width": 4, "lowest_angle": 0.5, "highest_angle": 9.0}
    return perturbed(layer), [*inputs, axis_features(HEIGHT, **angles), axis_features(COLUMNS, **angles)]


def expected_cross_attention(layer, x, tokens, positions, scale=1.0):
    places = reference.place_features(HEIGHT, COLUMNS, 8, 0.5, 9.0).reshape(-1, 8)
    flat = (x * scale).reshape(-1, CHANNELS)
    return reference.attention(weights(layer), "layer", flat, tokens, places, positions, layer.epsilon)


def test_token_attention_equals_its_transcription():
    layer = TokenAttention(WIDTH, epsilon=1e-3, name="layer")
    layer.build((None, TOKENS, 10), (TOKENS, WIDTH))
    perturbed(layer)
    x, positions = array(2, TOKENS, 10), array(TOKENS, WIDTH, seed=1)
    for item, output in enumerate(layer(x, positions)):
        expected = reference.attention(weights(layer), "layer", x[item], x[item], positions, positions, 1e-3)
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_cross_attention_equals_its_transcription():
    layer, inputs = cross_attention()
    output = np.asarray(layer(*inputs))
    for item in range(2):
        expected = expected_cross_attention(layer, inputs[0][item], inputs[1][item], inputs[2])
        np.testing.assert_allclose(output[item].reshape(-1, CHANNELS), expected, atol=2e-5)


def test_scale_and_gain_are_those_of_input_and_output():
    layer, inputs = cross_attention()
    scale = array(2, CHANNELS, seed=3)
    output = layer(*inputs, scale=scale, gain=1.7)
    expected = 1.7 * np.asarray(layer(inputs[0] * scale[:, None, None], *inputs[1:]))
    np.testing.assert_allclose(output, expected, atol=2e-5)


def test_one_dropped_out_layer_is_the_layer_with_other_probabilities():
    """With almost everything dropped what is left is the normalised input times `1 + bias`."""
    layer, inputs = cross_attention(dropout=0.999)
    output = np.asarray(layer(*inputs, dropout_seeds=rng.make_seeds(0, 0, 2)))
    bias = np.asarray(layer.out.bias.value)
    np.testing.assert_allclose(output, np.asarray(rms_normalize(inputs[0], layer.epsilon)) * (1 + bias), atol=1e-5)
    kept, _ = cross_attention(dropout=1e-7)  # the path with dropout, but nothing dropped
    plain = layer(*inputs)
    np.testing.assert_allclose(kept(*inputs, dropout_seeds=rng.make_seeds(0, 0, 2)), plain, atol=2e-5)


def test_dropout_drops_probabilities_and_whole_keys():
    rate = 0.25
    ones = np.ones((3, 400, 50), np.float32)
    dropped = np.asarray(drop_probabilities(ones, rate, rng.make_seeds(0, 0, 3)))
    keys_gone = (dropped == 0).all(axis=1)
    assert keys_gone.mean() == pytest.approx(rate, abs=0.1)
    left = dropped.transpose(0, 2, 1)[~keys_gone]
    assert (left == 0).mean() == pytest.approx(rate, abs=0.01)
    np.testing.assert_allclose(left[left > 0], 1 / (1 - rate) ** 2, rtol=1e-6)
    assert not np.array_equal(dropped[0], dropped[1])


def test_dropout_of_an_example_is_its_seed_s():
    ones, seeds = np.ones((4, 6, 5), np.float32), rng.make_seeds(7, 2, 4)
    together = drop_probabilities(ones, 0.5, seeds)
    np.testing.assert_array_equal(drop_probabilities(ones[2:3], 0.5, seeds[2:3])[0], together[2])


@pytest.mark.parametrize("epsilon", [1e-8, 1e-6])
def test_normalisation_of_vanishing_features_is_bounded(epsilon):
    x = np.stack([np.zeros(5), np.full(5, 1e-12), np.full(5, 3.0)]).astype(np.float32)
    result = np.asarray(rms_normalize(x, epsilon))
    np.testing.assert_allclose(result[0], 0)
    np.testing.assert_allclose(result[1], 1e-12 / np.sqrt(epsilon), rtol=1e-4)
    np.testing.assert_allclose(result[2], 1, rtol=1e-5)


def test_equal_tokens_make_the_same_gain_everywhere():
    """Why the published network's attention does nothing: position is in queries and keys, not in values."""
    layer, inputs = cross_attention()
    inputs[1] = np.repeat(inputs[1][:, :1], TOKENS, axis=1)
    gains = np.asarray(layer(*inputs)) / np.asarray(rms_normalize(inputs[0], layer.epsilon))
    assert abs(gains - gains[:, :1, :1]).max() < 1e-3 * abs(gains).max()
    assert ops.shape(gains) == (2, HEIGHT, COLUMNS, CHANNELS)
