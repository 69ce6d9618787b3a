import numpy as np
import pytest
import tensorflow as tf

from tfrecon.methods.base import Method, get_method
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement, Reconstruction


def measurement(batch=2, size=(8, 10)):
    generator = np.random.default_rng(0)
    shape = (batch, 3, *size)
    kspace, maps = (generator.normal(size=shape) + 1j * generator.normal(size=shape) for _ in range(2))
    maps /= np.sqrt((abs(maps) ** 2).sum(1, keepdims=True))
    return Measurement(kspace, np.ones((batch, 1, *size), np.uint8), maps)


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
def test_compiled_equals_eager_whatever_the_dtypes(name):
    method = get_method(name)
    options = method.options_type()
    raw = measurement()
    cast = Measurement(raw.kspace.astype("complex64"), raw.mask.astype("float32"), raw.maps.astype("complex64"))
    expected = method.reconstruct({}, cast, None, options).image
    result = compiled_reconstruct(method, options)(raw).image
    assert result.dtype == tf.complex64
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_equal_methods_and_options_share_one_function():
    method = get_method("cg_sense")
    first = compiled_reconstruct(method, method.options_type(iterations=3))
    assert compiled_reconstruct(get_method("cg_sense"), method.options_type(iterations=3)) is first
    assert compiled_reconstruct(method, method.options_type(iterations=4)) is not first


class Counting(Method):
    name = "counting"
    options_type = get_method("zero_filled").options_type
    traces = 0

    def reconstruct(self, models, measurement, seed, options):
        Counting.traces += 1
        return Reconstruction(models["scale"](measurement.kspace[:, 0]))


def test_each_shape_is_traced_once_and_models_have_their_own_function():
    method = Counting()
    options = method.options_type()
    double = compiled_reconstruct(method, options, {"scale": lambda x: 2 * x})
    triple = compiled_reconstruct(method, options, {"scale": lambda x: 3 * x})
    given = measurement()
    for _ in range(3):
        np.testing.assert_allclose(double(given).image, 2 * given.kspace[:, 0], rtol=1e-6)
    assert Counting.traces == 1
    np.testing.assert_allclose(triple(given).image, 3 * given.kspace[:, 0], rtol=1e-6)
    double(measurement(size=(6, 6)))
    assert Counting.traces == 3


def test_many_shapes_and_options_trace_without_a_word(caplog):
    method = get_method("cg_sense")
    for size in range(8, 16):
        maps = np.ones((1, size, size), np.complex64)
        measurement = Measurement(maps, np.ones((1, 1, size), np.float32), maps)
        options = method.options_type(regularisation=0.1 / size, iterations=2)
        image = compiled_reconstruct(method, options)(measurement).image
        assert image.shape == (size, size)
    assert "retracing" not in caplog.text
