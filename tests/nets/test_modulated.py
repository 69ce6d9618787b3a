import numpy as np
import pytest
import ssdiffrecon_numpy as reference

from tfrecon.nets.equalized import EqualizedConv2D, EqualizedDense
from tfrecon.nets.modulated import ModulatedConv2D, StyledLayer

pytestmark = pytest.mark.mathematics


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def perturbed(layer, size=0.3):
    for number, variable in enumerate(layer.variables):
        variable.assign(np.asarray(variable.value) + size * array(*variable.shape, seed=number))
    return layer


def weights(layer):
    return {f"layer/{variable.path.removeprefix('layer/')}": np.asarray(variable.value) for variable in layer.variables}


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 7])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution_is_one_with_a_kernel_for_each_example(kernel_size, demodulate):
    layer = ModulatedConv2D(4, kernel_size, demodulate=demodulate, name="layer")
    layer.build((None, None, None, 6), (None, 8))
    perturbed(layer)
    x, style = array(3, 5, 9, 6), array(3, 8, seed=1)
    output = np.asarray(layer(x, style))
    for item in range(3):
        expected, _ = reference.modulated_conv(weights(layer), "layer", x[item], style[item], demodulate)
        np.testing.assert_allclose(output[item], expected, atol=1e-5 * abs(expected).max())


def test_demodulated_output_keeps_the_size_of_the_input():
    layer = ModulatedConv2D(32, 3)
    x, style = array(4, 24, 24, 16), 3 * array(4, 8, seed=1)
    output = np.asarray(layer(x, style))[:, 1:-1, 1:-1]
    np.testing.assert_allclose(output.std(axis=(1, 2, 3)), 1, atol=0.1)


def test_zero_style_does_not_make_infinities():
    layer = ModulatedConv2D(3, 3)
    layer.build((None, None, None, 2), (None, 4))
    layer.style.kernel.assign(np.zeros((4, 2), np.float32))
    layer.style.bias.assign(-np.ones(2, np.float32))
    assert not np.asarray(layer(array(1, 4, 4, 2), array(1, 4))).any()


def test_layer_without_attention_has_its_bias_before_the_demodulation():
    layer = StyledLayer(4, attention=False, name="layer")
    layer.build((None, None, None, 6), (None, 8))
    perturbed(layer)
    x, style = array(2, 5, 6, 6), array(2, 8, seed=1)
    output = np.asarray(layer(x, style))
    values = weights(layer)
    for item in range(2):
        y, d = reference.modulated_conv(values, "layer/modulated", x[item], style[item])
        np.testing.assert_allclose(output[item], d * reference.lrelu(y / d + values["layer/bias"]), atol=1e-5)
    features, scale = layer.refine(x, style, input_scale=0.5, output_scale=2.0)
    np.testing.assert_allclose(
        np.asarray(features) * np.asarray(scale)[:, None, None], 2 * np.asarray(layer(0.5 * x, style)), atol=1e-5
    )


@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_equalised_layers_equal_their_formula(leaky, multiplier):
    layer = EqualizedDense(5, multiplier=multiplier, leaky=leaky, name="layer")
    layer.build((None, 7))
    perturbed(layer, 2.0)
    x = array(3, 7)
    expected = reference.dense(weights(layer), "layer", x, multiplier)
    np.testing.assert_allclose(layer(x), reference.lrelu(expected) if leaky else expected, atol=1e-5)
    scaled = reference.dense(weights(layer), "layer", 0.5 * x, multiplier)
    scaled = 3 * (reference.lrelu(scaled) if leaky else scaled)
    np.testing.assert_allclose(layer(x, input_scale=0.5, output_scale=3.0), scaled, atol=1e-5)


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_equalised_layers_keep_the_size_whatever_the_multiplier(multiplier):
    layer = EqualizedDense(400, multiplier=multiplier, use_bias=False)
    output = np.asarray(layer(array(50, 300)))
    assert output.std() == pytest.approx(1, abs=0.02)
    assert np.asarray(layer.kernel.value).std() == pytest.approx(1 / multiplier, rel=0.02)


def test_convolution_equals_the_sum_over_its_taps():
    layer = EqualizedConv2D(3, 5, name="layer")
    layer.build((None, None, None, 4))
    perturbed(layer)
    x = array(2, 6, 9, 4)
    for item, output in enumerate(layer(x)):
        np.testing.assert_allclose(output, reference.equalised_conv(weights(layer), "layer", x[item]), atol=1e-5)
