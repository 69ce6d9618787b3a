"""The probability that a sample is held out, against how often it is."""

import numpy as np
import pytest
from keras import ops

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


@pytest.mark.parametrize("rule", RULES)
def test_hold_out_probability_is_how_often_a_sample_is_held_out(rule):
    mask = np.repeat((np.random.default_rng(0).random((1, 1, 12, 11)) < 0.6).astype("float32"), 1500, axis=0)
    held = numpy(partition(mask, rng.make_seed(1), RULES[rule]).loss_mask)
    probability = numpy(hold_out_probability(mask[:1], RULES[rule]))[0]
    # Clocks instead of an exact draw of some 75 samples: a few per cent.
    np.testing.assert_allclose(held.mean(0), probability, atol=4 * np.sqrt(0.25 / 1500) + 0.02)
    np.testing.assert_allclose(probability.sum(), held[0].sum(), rtol=1e-3)
    assert not probability[mask[0] == 0].any()


def test_hold_out_probability_of_lines_and_of_line_masks():
    mask = make_mask("uniform1d", (8, 40), 2, acs_lines=6, seed=0).array[None].astype("float32")
    of_lines = numpy(hold_out_probability(mask, PartitionRule(ratio=0.5, by="line")))
    assert of_lines.shape == (1, 1, 1, 40)
    of_points = numpy(hold_out_probability(mask, PartitionRule(ratio=0.5), height=8))
    assert of_points.shape == (1, 1, 8, 40)
    for probability in (of_lines, of_points):
        assert not probability[..., mask[0, 0, 0] == 0].any()
        assert set(np.round(np.unique(probability), 1)) == {0, 0.5}
