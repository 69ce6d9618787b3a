"""Coverage and its factor on Gaussians whose coverage is known."""

import numpy as np
import pytest
from scipy import stats

from tfrecon.data.phantoms import ellipse_phantom
from tfrecon.metrics.calibration import (
    LEVELS,
    coverage,
    fit_factor,
    half_width,
    object_mask,
    standardised_errors,
)
from tfrecon.util.errors import InputError


def gaussian_errors(too_sure=1.0, shape=(200, 300), seed=0):
    """Errors of images whose real deviation is `too_sure` times the one they state, which differs between pixels."""
    random = np.random.default_rng(seed)
    std = random.uniform(0.1, 2.0, shape)
    truth = 10 + random.normal(size=shape)
    image = truth + too_sure * std * random.normal(size=shape)
    return standardised_errors(image, std, truth)


@pytest.mark.parametrize("level", LEVELS)
def test_right_intervals_cover_as_often_as_they_say(level):
    errors = gaussian_errors()
    sampling_error = np.sqrt(level * (1 - level) / errors.size)
    assert abs(coverage(errors, level) - level) < 5 * sampling_error


@pytest.mark.parametrize("too_sure", [0.5, 1.7, 3.0])
def test_wrong_intervals_cover_as_theory_says_and_the_factor_mends_them(too_sure):
    errors, others = gaussian_errors(too_sure), gaussian_errors(too_sure, seed=1)
    for level in LEVELS:
        expected = 2 * stats.norm.cdf(half_width(level) / too_sure) - 1
        assert coverage(errors, level) == pytest.approx(expected, abs=0.006)
    factor = fit_factor(errors)
    assert factor == pytest.approx(too_sure, rel=0.02)
    for level in LEVELS:
        assert coverage(others, level, factor) == pytest.approx(level, abs=0.01)


def test_the_factor_covers_its_level_and_no_smaller_one_does():
    errors = np.abs(np.random.default_rng(0).standard_t(3, size=1001))
    factor = fit_factor(errors, 0.8)
    assert coverage(errors, 0.8, factor) >= 0.8 > coverage(errors, 0.8, factor * (1 - 1e-9))


def test_complex_images_count_by_magnitude():
    image, truth = np.array([3 + 4j]), np.array([-2j])
    np.testing.assert_allclose(standardised_errors(image, np.array([1.5]), truth), [2.0])


def test_pixels_without_a_deviation():
    errors = standardised_errors(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0]), np.array([1.0, 1.0, 3.0]))
    np.testing.assert_array_equal(errors, [0, np.inf, 0])
    assert coverage(errors, 0.99) == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="no standard deviation"):
        fit_factor(errors, 0.9)
    with pytest.raises(InputError, match="no error"):
        fit_factor(errors, 0.5)


def test_bad_input():
    assert np.isnan(coverage(np.zeros(0), 0.9))
    with pytest.raises(InputError, match="no pixels"):
        fit_factor(np.zeros(0))
    for level in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="level"):
            half_width(level)
    with pytest.raises(InputError, match="differ in shape"):
        standardised_errors(np.ones(3), np.ones(4), np.ones(3))
    with pytest.raises(InputError, match="negative"):
        standardised_errors(np.ones(3), -np.ones(3), np.ones(3))


def test_the_object_is_the_body_with_its_holes_and_without_specks():
    body = ellipse_phantom((64, 60), seed=2)
    rows, columns = np.ogrid[-1:1:64j, -1:1:60j]
    disc = (rows / 0.8) ** 2 + (columns / 0.7) ** 2 < 1
    hole = rows**2 + columns**2 < 0.1
    image = disc * (1.0 - hole) * np.exp(1j * rows)
    image = image + 0.02 * np.random.default_rng(0).normal(size=image.shape)
    image[2, 3] = 1.0
    np.testing.assert_array_equal(object_mask(image), disc)
    np.testing.assert_array_equal(object_mask(1e-3 * image), disc)
    share = object_mask(body).mean() / (body > 0).mean()
    assert 0.9 < share < 1.1
    assert not object_mask(np.zeros((5, 5))).any()
