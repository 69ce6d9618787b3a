import math

import numpy as np
import pytest

from tfrecon.metrics import psnr, scale_error

RNG = np.random.default_rng(7)
REFERENCE = RNG.random((3, 16, 16))


def test_a_pure_scale_error_is_all_of_the_error():
    error = scale_error(0.7 * REFERENCE, REFERENCE)
    assert error.factor == pytest.approx(1 / 0.7)
    assert error.gain_db == math.inf


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_the_gain_is_a_difference_of_psnr_and_the_factor_is_the_best(factor):
    recon = factor * REFERENCE + 0.05 * RNG.standard_normal(REFERENCE.shape)
    error = scale_error(recon, REFERENCE)
    gain = psnr(error.factor * recon, REFERENCE, 1.0) - psnr(recon, REFERENCE, 1.0)
    assert error.gain_db == pytest.approx(gain, abs=1e-9)
    for nearby in (0.99, 1.01):
        assert psnr(nearby * error.factor * recon, REFERENCE, 1.0) < psnr(error.factor * recon, REFERENCE, 1.0)


def test_complex_images_keep_their_phase():
    turned = REFERENCE * np.exp(0.5j)
    assert scale_error(0.5 * turned, turned).factor == pytest.approx(2.0)
    assert scale_error(0.5 * turned, REFERENCE + 0j).factor == pytest.approx(2 * math.cos(0.5))


@pytest.mark.parametrize(
    ("recon", "reference"),
    [(np.zeros((4, 4)), np.ones((4, 4))), (np.ones((4, 4)), np.zeros((4, 4))), (np.ones((4, 4)), np.ones((4, 4)))],
)
def test_nothing_to_say(recon, reference):
    assert scale_error(recon, reference) == type(scale_error(recon, reference))(1.0, 0.0)
