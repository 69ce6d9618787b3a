import math

import numpy as np
import pytest
from peer_metrics import hfs_sde_scores

from tfrecon.metrics import get_convention, score_volume
from tfrecon.util.errors import InputError

RNG = np.random.default_rng(8)
REFERENCE = RNG.random((3, 19, 26)) * np.array([0.4, 1.0, 2.5])[:, None, None]
RECON = np.abs(0.8 * REFERENCE + 0.05 * RNG.standard_normal(REFERENCE.shape))


def units(recon=RECON, reference=REFERENCE):
    return score_volume(get_convention("hfs_sde"), recon, reference).units


def test_hfs_sde_equals_its_formulas():
    for numbers, reference, recon in zip(units(), REFERENCE, RECON, strict=True):
        expected = hfs_sde_scores(reference, recon)
        assert {metric: numbers[metric] for metric in expected} == pytest.approx(expected, rel=1e-9)
        assert numbers["nrmse"] == pytest.approx(math.sqrt(expected["nmse"]))


def test_constant_images_have_the_numbers_that_a_hand_computes():
    """A reference of 2 everywhere and a result of 1: the error is 1 in each pixel."""
    (numbers,) = units(np.ones((1, 12, 12)), np.full((1, 12, 12), 2.0))
    assert numbers["psnr"] == pytest.approx(20 * math.log10(2))
    assert numbers["nmse"] == 0 and math.isnan(numbers["ssim"])  # both are 1 after division; the range is 0


def test_numbers_do_not_depend_on_the_units_of_images():
    for small, large in zip(units(), units(10 * RECON, 10 * REFERENCE), strict=True):
        assert small == pytest.approx(large)


def test_a_scale_error_is_seen_in_psnr_and_not_in_nmse():
    for before, after in zip(units(), units(0.5 * RECON), strict=True):
        assert before["nmse"] == pytest.approx(after["nmse"]) and before["psnr"] > after["psnr"] + 3


def test_an_empty_result_has_no_nmse_of_own_maxima():
    (numbers,) = units(np.zeros((1, 19, 26)), REFERENCE[:1])
    assert math.isnan(numbers["nmse"]) and math.isfinite(numbers["psnr"])


def test_images_smaller_than_the_gaussian_window_are_refused():
    with pytest.raises(InputError, match="images of 10×12 are smaller than SSIM's 11×11 window"):
        units(np.ones((1, 10, 12)), np.ones((1, 10, 12)))
