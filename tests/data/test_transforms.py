import dataclasses

import numpy as np
import pytest
from raw_files import fft2c, ifft2c

from tfrecon.data import transforms
from tfrecon.data.synthetic import simulate_acquisition
from tfrecon.data.transforms import Undersampling
from tfrecon.physics.masks import from_array, make_mask
from tfrecon.util.errors import InputError


@pytest.fixture
def acquired():
    y, x = np.mgrid[-1:1:32j, -1:1:40j]
    image = ((y / 0.8) ** 2 + (x / 0.7) ** 2 < 1).astype(np.float32) * (1 + 0.3 * x)
    return simulate_acquisition(image, record_id="v/000", volume_id="v", coils=4, noise=0.001)


def test_undersampling_keeps_only_the_mask(acquired):
    before = acquired.kspace.copy()
    mask = make_mask("equispaced", (32, 40), 4, acs_lines=6, seed=1)
    record = transforms.undersample(acquired, mask)
    lines = mask.array[0, 0].astype(bool)
    assert np.array_equal(record.kspace[..., lines], acquired.kspace[..., lines])
    assert not record.kspace[..., ~lines].any()
    assert np.array_equal(record.mask, mask.array) and record.mask.dtype == np.uint8
    rss = np.sqrt((np.abs(ifft2c(record.kspace)) ** 2).sum(0))
    assert record.scale == pytest.approx(np.quantile(rss, 0.99), rel=1e-3)
    facts = record.attrs["undersampling"]
    assert facts["acceleration"] == pytest.approx(40 / lines.sum()) and facts["acs"] == [32, 6]
    assert np.array_equal(acquired.kspace, before) and "undersampling" not in acquired.attrs


def test_masks_multiply_and_may_not_leave_nothing(acquired):
    left = from_array(np.arange(40) < 25, (32, 40))
    right = from_array(np.arange(40) >= 15, (32, 40))
    both = transforms.undersample(transforms.undersample(acquired, left), right)
    assert both.mask.sum() == 10
    nothing = from_array(np.arange(40) >= 30, (32, 40))
    with pytest.raises(InputError, match="'v/000': the mask 'given' keeps none"):
        transforms.undersample(both, nothing)
    with pytest.raises(InputError, match="does not fit"):
        transforms.undersample(acquired, from_array(np.ones(32), (40, 32)))


def test_maps_from_more_calibration_than_the_mask_has_are_dropped(acquired):
    record = transforms.with_maps(acquired, "walsh", calibration_size=8)
    assert record.maps.shape == record.kspace.shape and record.attrs["maps"]["calibration"] == [8, 8]
    kept = transforms.undersample(record, make_mask("equispaced", (32, 40), 4, acs_lines=8))
    assert kept.maps is not None
    dropped = transforms.undersample(record, make_mask("equispaced", (32, 40), 4, acs_lines=7))
    assert dropped.maps is None and "dropped" in dropped.attrs["maps"]
    block = np.zeros((32, 40))
    block[12:19, 12:28] = 1  # high enough along one axis, one sample short along the other
    assert transforms.undersample(record, from_array(block, (32, 40))).maps is None


def test_maps_know_nothing_outside_the_calibration_block(acquired):
    record = transforms.with_maps(acquired, "walsh", calibration_size=8)
    hidden = acquired.kspace.copy()
    hidden[:, :12] = hidden[:, 20:] = 1j
    hidden[..., :16] = hidden[..., 24:] = 1j
    acquired.kspace = hidden
    assert np.array_equal(transforms.with_maps(acquired, "walsh", calibration_size=8).maps, record.maps)


def test_maps_of_one_coil_are_ones():
    record = simulate_acquisition(np.eye(8), record_id="r", volume_id="v", coils=1)
    maps = transforms.with_maps(record).maps
    assert maps.shape == (1, 8, 8) and (maps == 1).all()


def test_retrospective_mask_depends_on_seed_and_record_alone():
    spec = Undersampling("random1d", 4, acs_lines=4)
    first = transforms.retrospective_mask(spec, 1, "a", (2, 16, 64)).array
    again = transforms.retrospective_mask(spec, 1, "a", (5, 16, 64)).array
    assert np.array_equal(first, again)
    others = [transforms.retrospective_mask(spec, s, r, (2, 16, 64)).array for s, r in [(2, "a"), (1, "b")]]
    assert not any(np.array_equal(first, other) for other in others)
    series = transforms.retrospective_mask(spec, 1, "a", (3, 2, 16, 64)).array
    assert series.shape == (3, 1, 1, 64)


def test_series_is_undersampled_frame_by_frame():
    image = np.ones((3, 16, 20), np.float32)
    record = simulate_acquisition(image, record_id="r", volume_id="v", coils=2)
    mask = make_mask("kt_equispaced", (16, 20), 4, acs_lines=4, frames=3)
    result = transforms.undersample(record, mask)
    assert result.mask.shape == (3, 1, 1, 20) and np.array_equal(result.kspace != 0, (record.kspace * mask.array) != 0)


@pytest.mark.parametrize("size", [(16, 40), (17, 23), (32, 40)])
def test_cropping_cuts_the_image(acquired, size):
    record = transforms.crop_image(acquired, size)
    top, left = 16 - size[0] // 2, 20 - size[1] // 2
    cut = ifft2c(acquired.kspace)[:, top : top + size[0], left : left + size[1]]
    np.testing.assert_allclose(ifft2c(record.kspace), cut, atol=1e-5)
    assert record.reference.shape == size and record.mask.shape == (1, 1, size[1])
    np.testing.assert_array_equal(record.reference, acquired.reference[top : top + size[0], left : left + size[1]])


def test_cropping_an_undersampled_axis_is_refused(acquired):
    record = transforms.undersample(acquired, make_mask("equispaced", (32, 40), 4, acs_lines=6))
    with pytest.raises(InputError, match="cannot crop the width"):
        transforms.crop_image(record, (0, 20))
    cut = transforms.crop_image(record, (16, 0))  # along the readout every line is whole
    assert cut.kspace.shape == (4, 16, 40) and not cut.kspace[..., record.mask[0, 0] == 0].any()
    points = transforms.undersample(acquired, make_mask("gaussian2d", (32, 40), 4, acs_lines=6))
    with pytest.raises(InputError, match="cannot crop the height"):
        transforms.crop_image(points, (16, 0))
    with pytest.raises(InputError, match=r"cannot crop the \(32, 40\) image to \(64, 40\)"):
        transforms.crop_image(acquired, (64, 0))


def test_fewer_coils_keep_image_and_maps_together(acquired):
    record = transforms.with_maps(acquired, "walsh", calibration_size=8)
    fewer = transforms.with_fewer_coils(record, 3, calibration_size=8)
    assert fewer.kspace.shape == (3, 32, 40) and fewer.maps.shape == (3, 32, 40)
    assert fewer.attrs["coil_compression"]["from"] == 4
    assert transforms.with_fewer_coils(record, 4) is record
    # Compression and maps commute: both are projected by the same matrix.
    matrix = np.linalg.lstsq(acquired.kspace.reshape(4, -1).T, fewer.kspace.reshape(3, -1).T, rcond=None)[0].T
    np.testing.assert_allclose(np.einsum("vc,chw->vhw", matrix, record.maps), fewer.maps, atol=1e-4)


def test_measurement_is_in_the_records_units(acquired):
    measurement = transforms.to_measurement(acquired)
    assert measurement.kspace is acquired.kspace and measurement.mask.dtype == np.float32
    assert measurement.scale is None and measurement.noise_std == np.float32(acquired.noise_std)
    assert measurement.label is None
    labelled = dataclasses.replace(acquired, attrs={**acquired.attrs, "label": [0, 1]})
    np.testing.assert_array_equal(transforms.to_measurement(labelled).label, np.float32([0, 1]))


def test_transforms_agree_with_numpy():
    image = np.random.default_rng(0).standard_normal((2, 7, 9)).astype(np.complex64)
    kspace = transforms.to_kspace(image)
    np.testing.assert_allclose(kspace, fft2c(image), atol=1e-6)
    np.testing.assert_allclose(transforms.to_image(kspace), image, atol=1e-6)
    np.testing.assert_allclose(transforms.rss_image(kspace), np.sqrt((np.abs(image) ** 2).sum(0)), atol=1e-6)
