"""Importance-sampled times: against the published bookkeeping, and that weights undo the choice."""

import gaussian_diffusion
import improved_ddpm_numpy as reference
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.importance import (
    ImportanceSettings,
    LossHistory,
    draw_weighted_times,
    empty_history,
    remember,
    time_probabilities,
)
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

STEPS = 6
SETTINGS = ImportanceSettings()


def batches(count, size=16, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(count):
        times = random.integers(0, STEPS, size).astype(np.int32)
        yield times, (random.normal(size=size) * 10.0 ** (-times)).astype(np.float32)


def informed(scale=1.0):
    """A history that says that losses fall tenfold from each time to the next."""
    losses = scale * 10.0 ** -np.arange(STEPS, dtype=np.float32)[:, None] * np.ones((1, 10), np.float32)
    return LossHistory(losses, np.full(STEPS, 10, np.int32))


def probabilities(history, settings=SETTINGS):
    return ops.convert_to_numpy(time_probabilities(settings, history))


def drawn(history, count, settings=SETTINGS):
    times, weights = gaussian_diffusion.compiled(
        lambda seeds: draw_weighted_times(settings, history, seeds), rng.make_seeds(0, 0, count)
    )
    return ops.convert_to_numpy(times), ops.convert_to_numpy(weights)


@pytest.mark.parametrize("size", [1, 7, 90])
def test_probabilities_are_those_of_the_published_lists(size):
    """With 90 losses in a batch some times get more of them at once than are kept."""
    history, lists = empty_history(SETTINGS, STEPS), reference.SecondMoments(STEPS)
    for times, losses in batches(max(6, 200 // size), size):
        history = remember(history, times, losses)
        lists.update(times, losses)
        np.testing.assert_allclose(probabilities(history), lists.probabilities(), rtol=1e-5)
    assert ops.convert_to_numpy(history.counts).min() >= 10 and np.ptp(probabilities(history)) > 0.1


def test_times_are_uniform_until_all_have_been_seen_often_enough():
    history = informed()
    history.counts[2] = 9
    np.testing.assert_allclose(probabilities(history), 1 / STEPS, rtol=1e-6)
    np.testing.assert_allclose(drawn(history, 50)[1], 1, rtol=1e-6)
    history = remember(history, np.int32([2]), np.float32([5.0]))
    assert probabilities(history)[2] > 0.5


def test_losses_of_nothing_leave_times_uniform():
    np.testing.assert_allclose(probabilities(informed(scale=0.0)), 1 / STEPS, rtol=1e-6)


def test_weights_undo_the_choice():
    """The expectation of the weighted loss is the mean loss, at less variance than with uniform times."""
    history, losses = informed(), 10.0 ** -np.arange(STEPS) * np.array([1, -2, 3, 1, 5, 2])
    chances = probabilities(history)
    times, weights = drawn(history, 1000)
    np.testing.assert_allclose(weights, 1 / (STEPS * chances[times]), rtol=1e-5)
    sample = weights * losses[times]
    assert sample.mean() == pytest.approx(losses.mean(), abs=4 * sample.std() / np.sqrt(1000))
    uniform = losses[np.random.default_rng(0).integers(0, STEPS, 1000)]
    assert sample.std() < 0.6 * uniform.std()


def test_times_are_drawn_as_often_as_said():
    settings = ImportanceSettings(uniform=0.3)
    times, _ = drawn(informed(), 1000, settings)
    expected = 1000 * probabilities(informed(), settings)
    assert times.dtype == np.int32 and probabilities(informed(), settings).sum() == pytest.approx(1)
    assert (abs(np.bincount(times, minlength=STEPS) - expected) < 4 * np.sqrt(expected)).all()


def test_what_is_not_finite_is_not_remembered():
    before = informed()
    times, losses = np.int32([1, 1, 4]), np.float32([np.nan, 7.0, np.inf])
    after, only = remember(before, times, losses), remember(before, times[1:2], losses[1:2])
    for ours, theirs in zip(after, only, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    assert ops.convert_to_numpy(after.counts).tolist() == [10, 11, 10, 10, 10, 10]


def test_a_batch_in_parts_leaves_the_same_history():
    times, losses = next(batches(1, size=64))
    whole = parts = empty_history(SETTINGS, STEPS)
    whole = remember(whole, times, losses)
    for part in range(4):
        parts = remember(parts, times[part * 16 : part * 16 + 16], losses[part * 16 : part * 16 + 16])
    for ours, theirs in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))


def test_a_draw_does_not_depend_on_its_batch():
    seeds = rng.make_seeds(5, 0, 8)
    together = draw_weighted_times(SETTINGS, informed(), seeds)
    alone = draw_weighted_times(SETTINGS, informed(), seeds[3:4])
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours)[3:4], ops.convert_to_numpy(theirs))


@pytest.mark.parametrize("wrong", [{"history": 0}, {"uniform": 0.0}, {"uniform": 1.5}])
def test_wrong_settings(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        ImportanceSettings(**wrong)
