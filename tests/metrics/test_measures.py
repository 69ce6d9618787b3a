import math

import numpy as np
import pytest
from fastmri_metrics import ssim_slice

from tfrecon.metrics import nmse, nrmse, psnr, ssim
from tfrecon.util.errors import InputError

RNG = np.random.default_rng(3)
IMAGE = RNG.random((20, 24))


def test_psnr_of_a_known_error():
    assert psnr(np.full((4, 4), 0.1), np.zeros((4, 4)), 1.0) == pytest.approx(20.0)
    assert psnr(IMAGE + 0.5, IMAGE, 2.0) == pytest.approx(10 * math.log10(4 / 0.25))


def test_psnr_grows_by_the_square_of_the_range():
    noisy = IMAGE + 0.1 * RNG.standard_normal(IMAGE.shape)
    assert psnr(noisy, IMAGE, 10.0) - psnr(noisy, IMAGE, 1.0) == pytest.approx(20.0)


def test_identical_images():
    assert psnr(IMAGE, IMAGE, 1.0) == math.inf
    assert ssim(IMAGE, IMAGE, 1.0) == pytest.approx(1.0)
    assert nmse(IMAGE, IMAGE) == nrmse(IMAGE, IMAGE) == 0.0


def test_nmse_and_its_root():
    assert nmse(1.1 * IMAGE, IMAGE) == pytest.approx(0.01)
    assert nrmse(1.1 * IMAGE, IMAGE) == pytest.approx(0.1)


def test_nothing_to_compare_with_is_nan_not_a_warning():
    zero = np.zeros_like(IMAGE)
    assert math.isnan(nmse(IMAGE, zero)) and math.isnan(nrmse(IMAGE, zero))
    assert math.isnan(psnr(IMAGE, zero, 0.0)) and math.isnan(ssim(IMAGE, zero, 0.0))
    assert nmse(IMAGE, zero, floor=1e-6) == pytest.approx(np.mean(IMAGE**2) / 1e-6)


def test_complex_errors_see_the_phase_and_ssim_does_not():
    turned = IMAGE * np.exp(0.3j)
    expected = abs(np.exp(0.3j) - 1) ** 2
    assert nmse(turned, IMAGE.astype(complex)) == pytest.approx(expected)
    error = expected * np.mean(IMAGE**2)
    assert psnr(turned, IMAGE.astype(complex), 1.0) == pytest.approx(-10 * math.log10(error))
    assert ssim(turned, IMAGE.astype(complex), 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(7, 7), (7, 12), (33, 40)])
def test_ssim_equals_the_formula(shape):
    x, y = RNG.random(shape), RNG.random(shape)
    assert ssim(x, y, 0.8) == pytest.approx(ssim_slice(y, x, 0.8), abs=1e-12)


def test_ssim_of_a_stack_is_the_mean_of_its_slices():
    x, y = RNG.random((3, 9, 11)), RNG.random((3, 9, 11))
    assert ssim(x, y, 1.3) == pytest.approx(np.mean([ssim(a, b, 1.3) for a, b in zip(x, y, strict=True)]))


def test_half_precision_and_integers_are_computed_in_double():
    image = (1000 * IMAGE).astype(np.uint8)
    assert nmse(image + np.uint8(0), image) == 0
    expected = psnr(np.zeros(image.shape), image.astype(float), 255.0)
    assert psnr(np.zeros_like(image), image, 255.0) == pytest.approx(expected)
    assert np.isfinite(nmse(np.full((9, 9), 300, np.float16), np.full((9, 9), 250, np.float16)))


@pytest.mark.parametrize("metric", [lambda x, y: psnr(x, y, 1.0), lambda x, y: ssim(x, y, 1.0), nmse, nrmse])
def test_shapes_that_differ_are_refused(metric):
    with pytest.raises(InputError, match=r"\(20, 24\) and reference \(24, 20\) differ"):
        metric(IMAGE, IMAGE.T)


def test_ssim_needs_its_window():
    with pytest.raises(InputError, match="6×9 are smaller than SSIM's 7×7"):
        ssim(np.ones((6, 9)), np.ones((6, 9)), 1.0)
