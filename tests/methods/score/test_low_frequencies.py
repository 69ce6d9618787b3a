"""The block of k-space that is left alone: drawn, limited, projected."""

import numpy as np
import pytest
import sense_numpy
from keras import ops

from tfrecon.methods.score.low_frequencies import block_parts, draw_blocks, limit_blocks, projector_of
from tfrecon.methods.score.objective import LowFrequencies
from tfrecon.physics.calibration_block import block_mask
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def test_random_blocks_have_the_sizes_of_their_rule():
    rule, size = LowFrequencies(0.1, 0.3, lines=0.5), (40, 60)
    seeds = rng.make_seeds(0, 0, 200)
    blocks = numpy(draw_blocks(rule, seeds, size))
    np.testing.assert_array_equal(blocks[7:9], numpy(draw_blocks(rule, seeds[7:9], size)))
    lines = blocks[:, 0] == 40
    assert 0.4 < lines.mean() < 0.6
    assert blocks[:, 1].min() == 6 and blocks[:, 1].max() == 18
    assert blocks[~lines, 0].min() >= 4 and blocks[~lines, 0].max() <= 12
    np.testing.assert_allclose(blocks[~lines, 0] / 40, blocks[~lines, 1] / 60, atol=0.02)
    published = numpy(draw_blocks(LowFrequencies(0.05, 0.05, 1.0), seeds, (320, 320)))
    assert (published == (320, 16)).all()


def test_limits():
    blocks = np.array([[40, 20], [30, 20], [3, 2], [0, 0]], "int32")
    np.testing.assert_array_equal(numpy(limit_blocks(blocks, 0.25, (40, 60))), [[40, 15], [10, 15], [3, 2], [0, 0]])
    np.testing.assert_allclose(numpy(block_parts(blocks, (40, 60)))[:2], [[1, 1 / 3], [0.75, 1 / 3]])


@pytest.mark.parametrize("size", [(8, 10), (9, 7)])
def test_projector(size):
    """P² = P, P = P^H, and what it takes away is in the block alone; each image has a block of its own."""
    random = np.random.default_rng(1)
    blocks = np.array([[3, 2], [size[0], 4], [0, 0]], "int32")
    images = (random.normal(size=(2, 3, *size, 2)) @ np.array([1, 1j])).astype("complex64")
    project = projector_of(blocks, size)
    once, other = numpy(project(images[0])), numpy(project(images[1]))
    np.testing.assert_allclose(numpy(project(once)), once, atol=1e-5)
    assert abs(np.vdot(images[1], once) - np.vdot(other, images[0])) < 1e-3
    masks = numpy(block_mask(blocks, size))
    np.testing.assert_array_equal(masks.sum((1, 2)), [6, size[0] * 4, 0])
    np.testing.assert_allclose(sense_numpy.fft2c(once), (1 - masks) * sense_numpy.fft2c(images[0]), atol=1e-5)


def test_rules_are_checked():
    for wrong in ({"least": 0.0}, {"least": 0.2, "most": 0.1}, {"most": 2.0}, {"lines": 2.0}):
        with pytest.raises(InputError, match=r"lines|low frequencies"):
            LowFrequencies(**wrong)
