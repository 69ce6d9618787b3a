import numpy as np
import pytest
import sense_numpy

from tfrecon.physics.scale import expand_to, measurement_scale, normalise
from tfrecon.typing import Measurement

pytestmark = pytest.mark.mathematics

SHAPE = (2, 3, 12, 15)


def measured(seed=0):
    generator = np.random.default_rng(seed)
    kspace = (generator.normal(size=SHAPE) + 1j * generator.normal(size=SHAPE)).astype(np.complex64)
    mask = (generator.random((2, 1, 12, 15)) < 0.5).astype(np.float32)
    return kspace, mask


def test_scale_is_the_quantile_of_the_zero_filled_magnitude():
    kspace, mask = measured()
    magnitude = np.sqrt((abs(sense_numpy.ifft2c(kspace * mask)) ** 2).sum(-3))
    expected = [np.quantile(item, 0.99) for item in magnitude]
    np.testing.assert_allclose(measurement_scale(kspace, mask), expected, rtol=1e-5)
    np.testing.assert_allclose(measurement_scale(kspace, mask, series=True), np.quantile(magnitude, 0.99), rtol=1e-5)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 3e5])
def test_scale_follows_the_data(factor):
    kspace, mask = measured()
    scale = measurement_scale(np.complex64(factor) * kspace, mask)
    np.testing.assert_allclose(scale, factor * np.asarray(measurement_scale(kspace, mask)), rtol=1e-5)


def test_unsampled_entries_do_not_count():
    kspace, mask = measured()
    np.testing.assert_array_equal(measurement_scale(kspace, mask), measurement_scale(kspace * mask, mask))


def test_normalised_measurements_have_scale_one_and_keep_the_rest():
    kspace, mask = measured()
    scale = measurement_scale(kspace, mask)
    noise_std = np.array([0.5, 0.25], np.float32)
    result = normalise(Measurement(kspace, mask, noise_std=noise_std), scale)
    np.testing.assert_allclose(measurement_scale(result.kspace, mask), [1, 1], rtol=1e-5)
    np.testing.assert_allclose(result.noise_std, noise_std / np.asarray(scale), rtol=1e-6)
    np.testing.assert_array_equal(result.scale, scale)
    np.testing.assert_allclose(np.asarray(result.kspace) * np.asarray(scale)[:, None, None, None], kspace, rtol=1e-5)
    assert result.mask is mask and result.maps is None


def test_nothing_measured_is_left_as_it_is():
    kspace, mask = measured()
    kspace[1] = 0
    scale = measurement_scale(kspace, mask)
    assert float(scale[1]) == 0
    result = normalise(Measurement(kspace, mask), scale)
    np.testing.assert_array_equal(result.kspace[1], kspace[1])
    assert float(result.scale[1]) == 1 and result.noise_std is None


def test_expand_to_appends_axes():
    assert expand_to(np.zeros((2, 3)), np.zeros((2, 3, 4, 5))).shape == (2, 3, 1, 1)
    assert expand_to(np.float32(1), np.zeros((4, 5))).shape == (1, 1)
