"""The fully sampled centre of k-space inside a graph, against what the host makes of one mask at a time."""

import numpy as np
import pytest
from keras import ops

from tfrecon.physics.calibration_block import block_mask, block_taper, calibration_blocks
from tfrecon.physics.masks import acs_size
from tfrecon.physics.walsh import hann_taper
from tfrecon.util.shapes import centre_pad

pytestmark = pytest.mark.mathematics


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("size", [(8, 10), (9, 7), (5, 12)])
def test_calibration_blocks_are_those_of_the_masks(size):
    random = np.random.default_rng(0)
    masks = (random.random((12, 1, *size)) < 0.6).astype("float32")
    for number, mask in enumerate(masks):
        height, width = number % size[0], (3 * number) % size[1]
        rows, columns = (
            slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(size, (height, width), strict=True)
        )
        mask[:, rows, columns] = 1
    masks[-1] = 1
    found = numpy(calibration_blocks(masks, size[0]))
    np.testing.assert_array_equal(found, [acs_size(mask, size) for mask in masks])
    assert (found[-1] == size).all() and (found == 0).any()


def test_lines_give_blocks_as_high_as_kspace_in_either_layout():
    lines = np.zeros((1, 1, 1, 12), "float32")
    lines[..., [0, 3, 5, 6, 7, 11]] = 1
    for mask in (lines, np.repeat(lines, 9, axis=2)):
        np.testing.assert_array_equal(numpy(calibration_blocks(mask, 9)), [[9, 3]])


@pytest.mark.parametrize("size", [(8, 10), (9, 7)])
def test_marks_and_tapers_are_those_of_the_host(size):
    blocks = np.array([[3, 2], [size[0], 4], [0, 0], [1, 5]], "int32")
    marks, tapers = numpy(block_mask(blocks, size)), numpy(block_taper(blocks, size))
    for block, mark, taper in zip(blocks, marks, tapers, strict=True):
        np.testing.assert_array_equal(mark, centre_pad(np.ones(block, "float32"), size))
        np.testing.assert_allclose(taper, centre_pad(hann_taper(block), size), atol=1e-6)
