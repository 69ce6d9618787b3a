import math

import numpy as np
import pytest

from tfrecon.metrics import summarise, summarise_differences
from tfrecon.util.errors import InputError


def test_mean_and_sample_standard_deviation():
    summary = summarise([1.0, 2.0, 6.0])
    assert (summary.mean, summary.std, summary.count) == (3.0, pytest.approx(math.sqrt(7)), 3)
    assert 1.0 <= summary.low < summary.mean < summary.high <= 6.0


def test_the_interval_is_a_function_of_the_seed():
    values = np.random.default_rng(0).random(20)
    assert summarise(values, seed=4) == summarise(values, seed=4)
    assert summarise(values, seed=4).low != summarise(values, seed=5).low


def test_the_interval_is_about_two_standard_errors_wide():
    values = np.random.default_rng(1).standard_normal(400)
    summary = summarise(values)
    assert summary.high - summary.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    draws = np.random.default_rng(2).standard_normal((60, 30))
    inside = sum(summary.low <= 0 <= summary.high for summary in map(summarise, draws))
    assert inside >= 51


def test_undefined_and_infinite_values_are_left_out_and_counted():
    summary = summarise([math.nan, 2.0, math.inf, 4.0, math.nan])
    assert (summary.mean, summary.count, summary.undefined, summary.infinite) == (3.0, 2, 2, 1)


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([math.nan], math.nan), ([5.0], 5.0)])
def test_fewer_than_two_values_have_no_interval(values, mean):
    summary = summarise(values)
    assert summary.mean == pytest.approx(mean, nan_ok=True)
    assert math.isnan(summary.std) and math.isnan(summary.low) and math.isnan(summary.high)


def test_differences_are_of_pairs():
    random = np.random.default_rng(3)
    hard = 5 * random.standard_normal(40)  # units differ by more than methods do
    first, second = hard + 1 + 0.1 * random.standard_normal(40), hard + 0.1 * random.standard_normal(40)
    found = summarise_differences(first, second)
    assert found == summarise(first - second)
    assert 0.9 < found.low < found.mean < found.high < 1.1
    assert summarise(first).high - summarise(first).low > 10 * (found.high - found.low)


def test_pairs_without_a_difference_are_left_out_and_counted():
    found = summarise_differences([1.0, math.nan, math.inf, math.inf, 4.0], [0.0, 1.0, 1.0, math.inf, 1.0])
    assert (found.mean, found.count, found.undefined, found.infinite) == (2.0, 2, 2, 1)


def test_what_are_no_pairs():
    with pytest.raises(InputError, match="3 scores and 2 are no pairs"):
        summarise_differences([1.0, 2.0, 3.0], [1.0, 2.0])
