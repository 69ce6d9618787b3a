import numpy as np
import pytest
from autodiff import gradients
from keras import ops

from tfrecon.util import complex as complex_numbers

pytestmark = pytest.mark.mathematics


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def test_channels_and_back_bit_for_bit():
    x = complex_array((2, 4, 5))
    channels = complex_numbers.to_channels(x)
    assert channels.shape == (2, 4, 5, 2) and ops.dtype(channels) == "float32"
    np.testing.assert_array_equal(channels[..., 0], x.real)
    np.testing.assert_array_equal(channels[..., 1], x.imag)
    np.testing.assert_array_equal(complex_numbers.to_complex(channels), x)


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_pairs_of_channels_one_below_the_other_and_back(pairs):
    channels = np.random.default_rng(0).normal(size=(2, 4, 5, 2 * pairs)).astype("float32")
    stacked = ops.convert_to_numpy(complex_numbers.stack_pairs(channels))
    assert stacked.shape == (2, 4 * pairs, 5) and stacked.dtype == np.complex64
    last = stacked[:, -4:]
    np.testing.assert_array_equal(last, channels[..., -2] + 1j * channels[..., -1])
    np.testing.assert_array_equal(complex_numbers.unstack_pairs(stacked, pairs), channels)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_complex_numbers_are_complex64_whatever_came_in(dtype):
    ones = np.ones((3, 3, 2))
    x = complex_numbers.to_complex(ones if dtype == "float64" else ops.cast(ones, dtype))
    assert ops.dtype(x) == "complex64"
    np.testing.assert_array_equal(x, np.full((3, 3), 1 + 1j))


def test_energy_and_magnitude():
    x = complex_array((4, 5))
    np.testing.assert_allclose(complex_numbers.energy(x), abs(x) ** 2, rtol=1e-6)
    np.testing.assert_allclose(complex_numbers.safe_abs(x), abs(x), rtol=1e-6)
    assert ops.dtype(complex_numbers.energy(x)) == ops.dtype(complex_numbers.safe_abs(x)) == "float32"


def test_magnitude_of_background_has_gradient_zero():
    channels = np.zeros((3, 4, 2), np.float32)
    channels[0, 0] = 3, 4

    def total(channels):
        return ops.sum(complex_numbers.safe_abs(complex_numbers.to_complex(channels)))

    (gradient,) = gradients(total, channels)
    expected = np.zeros_like(channels)
    expected[0, 0] = 0.6, 0.8
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_inner_products_are_hermitian():
    a, b = complex_array((3, 4, 5)), complex_array((3, 4, 5), 1)
    expected = [np.vdot(left, right) for left, right in zip(a, b, strict=True)]
    np.testing.assert_allclose(complex_numbers.vdot(a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(complex_numbers.real_vdot(a, b), np.real(expected), rtol=1e-4)
    np.testing.assert_allclose(complex_numbers.vdot(a, b, axes=(0, 1, 2)), np.vdot(a, b), rtol=1e-5)
    assert complex_numbers.vdot(a, b, keepdims=True).shape == (3, 1, 1)
    assert complex_numbers.real_vdot(a, b, axes=(-3, -2, -1), keepdims=True).shape == (1, 1, 1)


def test_a_number_is_orthogonal_to_i_times_itself():
    a = complex_array((4, 5))
    assert float(complex_numbers.real_vdot(a, 1j * a)) == pytest.approx(0, abs=1e-5)
