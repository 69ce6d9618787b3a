import coil_numpy
import numpy as np
import pytest
from coil_numpy import centre, similarity

from tfrecon.physics.walsh import hann_taper, walsh
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


@pytest.mark.parametrize("size", [(8, 9), (12, 6), (16, 16)])
@pytest.mark.parametrize("shape", [(33, 40), (45, 37)])
def test_equals_covariances_smoothed_in_the_image(size, shape):
    kspace, _, inside = coil_numpy.scene(5, shape)
    calibration = centre(kspace, size)
    expected, dominance = coil_numpy.walsh(calibration, shape, 4.0)
    maps = walsh(calibration, shape, window=4.0)
    assert maps.shape == (5, *shape) and maps.dtype == np.complex64
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0), 1, atol=1e-4)
    clear = dominance > 0.6
    assert clear[inside].mean() > 0.95
    assert similarity(maps, expected)[clear].min() > 0.999


def test_a_few_lines_are_enough_for_a_smooth_array():
    kspace, truth, inside = coil_numpy.scene(5, (40, 44))
    assert similarity(walsh(centre(kspace, (40, 8)), (40, 44)), truth)[inside].mean() > 0.98


def test_a_batch_equals_its_items_and_scale_does_not_matter():
    items = [centre(coil_numpy.scene(3, (20, 22), seed)[0], (8, 8)) for seed in range(2)]
    batch = walsh(np.stack(items), (20, 22))
    for item, maps in zip(items, batch, strict=True):
        np.testing.assert_array_equal(walsh(item, (20, 22)), maps)
        tiny = walsh(item * np.complex64(1e-12), (20, 22))
        assert np.linalg.norm(tiny - maps) < 1e-2 * np.linalg.norm(maps)


def test_the_taper_is_one_at_the_centre_and_positive_at_the_edge():
    taper = hann_taper((8, 9))
    assert taper.shape == (8, 9) and taper[4, 4] == 1 and taper.min() > 0
    assert taper.argmax() == 4 * 9 + 4


def test_bad_input_is_said():
    with pytest.raises(InputError, match="zero everywhere"):
        walsh(np.zeros((3, 8, 8)), (20, 20))
    with pytest.raises(InputError, match="window"):
        walsh(np.ones((3, 8, 8)), (20, 20), window=-1.0)
