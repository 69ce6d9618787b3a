import numpy as np
import pytest

from tfrecon.serve.inputs import check_measurement
from tfrecon.util.errors import InputError

RNG = np.random.default_rng(0)


def noise(*shape):
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)


def lines(width=16):
    return np.arange(width) % 2


def test_layout_dtypes_and_unmeasured_samples():
    kspace = noise(4, 12, 16).astype(np.complex128)
    measurement = check_measurement(kspace, lines(), noise(4, 12, 16))
    assert measurement.kspace.dtype == np.complex64 and measurement.mask.dtype == np.float32
    assert measurement.mask.shape == (1, 1, 16) and measurement.maps.dtype == np.complex64
    np.testing.assert_array_equal(measurement.kspace, (kspace * lines()).astype(np.complex64))


@pytest.mark.parametrize(
    "mask",
    [lines(), lines() > 0, np.tile(lines(), (12, 1)), lines()[None, None], np.tile(lines(), (12, 1))[None]],
    ids=["line", "bool", "plane", "1-D with axes", "plane with coil axis"],
)
def test_masks_of_any_usual_layout(mask):
    measurement = check_measurement(noise(4, 12, 16), mask)
    np.testing.assert_array_equal(np.broadcast_to(measurement.mask, (1, 12, 16))[0], np.tile(lines(), (12, 1)))


def test_mask_of_lines_along_width_is_spread_out():
    measurement = check_measurement(noise(4, 12, 16), (np.arange(12) % 3 == 0)[:, None])
    assert measurement.mask.shape == (1, 12, 16)


def test_plane_is_one_coil():
    assert check_measurement(noise(12, 16)).kspace.shape == (1, 12, 16)


def test_no_mask_says_all_was_measured_and_warns_of_gaps():
    assert check_measurement(noise(4, 12, 16)).mask.all()
    with pytest.warns(UserWarning, match="50 % of k-space is exactly zero"):
        check_measurement(noise(4, 12, 16) * lines())


def test_series_maps_may_lack_time():
    measurement = check_measurement(noise(5, 4, 12, 16), lines(), noise(4, 12, 16), series=True)
    assert measurement.maps.shape == (1, 4, 12, 16)


def bad(array, value):
    array = array.copy()
    array[(0,) * array.ndim] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((bad(noise(4, 12, 16), np.nan),), "1 NaN or Inf samples, the first at (0, 0, 0)"),
        ((bad(noise(4, 12, 16), np.inf),), "NaN or Inf"),
        ((noise(12, 16).real,), "not complex"),
        ((np.ones((4, 12, 16, 2), np.float32),), "kspace[..., 0] + 1j * kspace[..., 1]"),
        ((noise(16),), "[..., C, H, W]"),
        ((noise(4, 0, 16),), "[..., C, H, W]"),
        ((noise(64, 48, 5),), "np.moveaxis(kspace, -1, -3)"),
        ((noise(64, 5, 48),), "np.moveaxis(kspace, -2, -3)"),
        ((np.zeros((4, 12, 16), np.complex64),), "zero wherever the mask is one"),
        ((noise(2, 4, 12, 16) * np.array([1, 0])[:, None, None, None],), "1 of 2 slices (first: 1)"),
        ((noise(4, 12, 16), np.zeros(16)), "zero everywhere"),
        ((noise(4, 12, 16), np.full(16, 0.5)), "other than 0 and 1"),
        ((noise(4, 12, 16), np.full(16, np.nan)), "NaN"),
        ((noise(4, 12, 16), lines(18)), "does not fit"),
        ((noise(4, 12, 16), np.ones((16, 12))), "swapped"),
        ((noise(4, 12, 16), np.ones((4, 12, 16))), "mask[..., :1, :, :]"),
        ((noise(3, 4, 12, 16), np.ones((3, 12, 16))), "np.expand_dims(mask, -3)"),
        ((noise(4, 12, 16), None, np.zeros((4, 12, 16), np.complex64)), "zero everywhere"),
        ((noise(4, 12, 16), None, bad(noise(4, 12, 16), np.nan)), "NaN"),
        ((noise(4, 12, 16), None, noise(5, 12, 16)), "differ on axis -3"),
        ((noise(3, 4, 12, 16), None, noise(2, 4, 12, 16)), "for each slice"),
        ((noise(3, 4, 12, 16), None, noise(4, 12, 16)), "k-space's rank"),
    ],
)
def test_bad_arrays_are_explained(arguments, said):
    with pytest.raises(InputError) as error:
        check_measurement(*arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
