import numpy as np
import pytest

from tfrecon.util import shapes
from tfrecon.util.errors import InputError


def zeros(*shape):
    return np.zeros(shape, np.complex64)


def test_check_rank_says_what_the_layout_should_be():
    shapes.check_rank("maps", zeros(4, 8, 8), (3, 4), "[C, H, W]")
    with pytest.raises(InputError, match=r"maps has 2 axes \(8, 8\) but should be \[C, H, W\]; reorder its axes"):
        shapes.check_rank("maps", zeros(8, 8), (3, 4), "[C, H, W]")


@pytest.mark.parametrize("mask", [(1, 7, 9), (1, 1, 9), (7, 9), (9,), (1, 9), (1, 1, 1)])
def test_masks_that_fit(mask):
    shapes.check_mask_fits(np.zeros(mask), zeros(5, 7, 9))


@pytest.mark.parametrize("mask", [(5, 7, 9), (1, 7, 8), (1, 6, 9), (2, 1, 7, 9)])
def test_masks_that_do_not_fit(mask):
    with pytest.raises(InputError, match="same height and width as k-space"):
        shapes.check_mask_fits(np.zeros(mask), zeros(5, 7, 9))


def test_a_series_may_have_a_mask_for_each_frame():
    shapes.check_mask_fits(np.zeros((6, 1, 1, 9)), zeros(6, 5, 7, 9))
    shapes.check_mask_fits(np.zeros((1, 1, 1, 9)), zeros(6, 5, 7, 9))
    with pytest.raises(InputError):
        shapes.check_mask_fits(np.zeros((5, 1, 1, 9)), zeros(6, 5, 7, 9))


def test_a_transposed_mask_gets_a_hint_and_the_place():
    with pytest.raises(InputError, match=r"file\.h5: .*look swapped: transpose the mask"):
        shapes.check_mask_fits(np.zeros((1, 9, 7)), zeros(5, 7, 9), "file.h5")


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 9), (7, 8)])
@pytest.mark.parametrize("target", [(4, 4), (3, 5), (4, 5), (1, 1)])
def test_crop_keeps_the_centre_and_pad_inverts_it(size, target):
    image = np.random.default_rng(0).normal(size=(2, *size))
    cropped = shapes.centre_crop(image, target)
    assert cropped.shape == (2, *target)
    centre = image[:, size[0] // 2, size[1] // 2]
    np.testing.assert_array_equal(cropped[:, target[0] // 2, target[1] // 2], centre)
    padded = shapes.centre_pad(cropped, size)
    assert padded.shape == image.shape
    np.testing.assert_array_equal(shapes.centre_crop(padded, target), cropped)
    assert np.count_nonzero(padded) == np.count_nonzero(cropped)


def test_crop_and_pad_refuse_the_wrong_direction():
    with pytest.raises(InputError, match=r"cannot crop \(4, 9\) to the larger \(5, 5\)"):
        shapes.centre_crop(zeros(4, 9), (5, 5))
    with pytest.raises(InputError, match=r"cannot pad \(4, 9\) to the smaller \(5, 5\)"):
        shapes.centre_pad(zeros(4, 9), (5, 5))


def test_map_sets_are_told_by_the_rank():
    kspace = zeros(2, 5, 7, 9)
    assert not shapes.map_set_axis(kspace, zeros(2, 5, 7, 9))
    assert not shapes.map_set_axis(kspace, zeros(1, 5, 7, 9))
    assert shapes.map_set_axis(kspace, zeros(2, 2, 5, 7, 9))


@pytest.mark.parametrize("maps", [(4, 7, 9), (5, 9, 7), (5, 7, 8), (7, 9), (1, 1, 5, 7, 9)])
def test_maps_that_do_not_fit(maps):
    with pytest.raises(InputError, match="maps"):
        shapes.map_set_axis(zeros(5, 7, 9), zeros(*maps))
