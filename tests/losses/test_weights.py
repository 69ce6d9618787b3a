"""Weights of held-out samples: the loss they make is, on average, that of all that the input does not show."""

import numpy as np
import pytest
from keras import ops

from tfrecon.losses.kspace import sample_loss
from tfrecon.losses.weights import LEAST_DENSITY, local_density, unseen_weights
from tfrecon.physics.masks import make_mask
from tfrecon.physics.partition import PartitionRule, hold_out_probability, partition
from tfrecon.util import rng

pytestmark = pytest.mark.mathematics

RULES = {
    "uniform": PartitionRule(ratio=0.3, acs=2),
    "gaussian": PartitionRule(ratio=0.3, acs=2, selection="gaussian", std=0.3),
    "few": PartitionRule(ratio=0.05, acs=0),
}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def density_of(shape, low=0.1):
    """A variable density: 1 at DC, `low` at the edges."""
    rows, columns = ((np.arange(n) - n // 2) / (n / 2) for n in shape)
    return (low + (1 - low) * np.exp(-4 * (rows[:, None] ** 2 + columns**2))).astype("float32")


@pytest.mark.parametrize("rule", RULES)
def test_the_weighted_loss_is_the_loss_of_everything_unseen(rule):
    """Over many masks and splits, sum(w |e|) on Λ is the sum of |e| outside of Θ; without weights it is not."""
    shape, count = (12, 11), 4000
    density, generator = density_of(shape), np.random.default_rng(3)
    masks = (generator.random((count, 1, *shape)) < density).astype("float32")
    error = generator.uniform(0.5, 2, shape).astype("float32") / density  # most where least is sampled
    theta, held = (numpy(part) for part in partition(masks, rng.make_seed(0), RULES[rule]))
    weights = numpy(unseen_weights(density, hold_out_probability(masks, RULES[rule])))
    wanted = ((1 - theta) * error * (density < 0.99)).sum((1, 2, 3)).mean()
    found = (held * weights * error).sum((1, 2, 3)).mean()
    assert found == pytest.approx(wanted, rel=0.08)
    unweighted = (held * error).sum((1, 2, 3)).mean() / held.sum((1, 2, 3)).mean() * (1 - theta).sum((1, 2, 3)).mean()
    assert unweighted < 0.8 * wanted


def test_published_weights():
    """The formula in the notation of Millard & Chiew: 1 / (1 - k), k = (1 - p) / (1 - p p̃), p̃ = 1 - h."""
    p, held = np.array([1.0, 0.5, 0.1, 0.02], "float32"), np.float32(0.3)
    k = (1 - p) / (1 - p * (1 - held))
    np.testing.assert_allclose(numpy(unseen_weights(p, np.full(4, held))), 1 / (1 - k), rtol=1e-5)
    zero = numpy(unseen_weights(np.float32([0.0, 0.5]), np.float32([0.2, 0.0])))
    assert zero[1] == 0 and zero[0] == pytest.approx((1 - LEAST_DENSITY * 0.8) / (LEAST_DENSITY * 0.2), rel=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (47, 66)])
def test_local_density_finds_a_smooth_symmetric_density(shape):
    density = density_of(shape)
    masks = (np.random.default_rng(1).random((6, 1, *shape)) < density).astype("float32")
    found = numpy(local_density(masks))
    assert found.shape == masks.shape and found.min() > 0 and found.max() <= 1 + 1e-6
    error = abs(found.mean(0)[0] - density)
    assert error.mean() < 0.03 and error.max() < 0.15
    np.testing.assert_allclose(numpy(local_density(np.ones((1, 1, 9, 8), "float32"))), 1, rtol=1e-5)


def test_local_density_of_lines_and_without_samples():
    mask = make_mask("gaussian1d", (32, 96), 4, seed=2).array[None].astype("float32")
    found = numpy(local_density(mask))
    assert found.shape == (1, 1, 1, 96)
    expanded = numpy(local_density(np.broadcast_to(mask, (1, 1, 32, 96))))
    np.testing.assert_allclose(expanded, np.broadcast_to(found, expanded.shape), atol=1e-5)
    assert found[..., 48] > 2 * found[..., 4]
    assert not numpy(local_density(np.zeros((1, 1, 6, 7), "float32"))).any()


def test_weights_in_the_loss_are_a_weighted_mean():
    residual = np.ones((1, 2, 4, 5), "complex64") * np.arange(5).astype("complex64")
    mask, weights = np.ones((1, 1, 4, 5), "float32"), np.zeros((1, 1, 4, 5), "float32")
    weights[..., 3], weights[..., 1] = 1.0, 3.0
    loss = sample_loss(residual, np.zeros_like(residual), mask, weights=weights)
    assert float(loss[0]) == pytest.approx((3 * 1 + 1 * 3) / 4)
