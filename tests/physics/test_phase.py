"""The low-resolution phase: absorbed exactly, by the mask of each image, and what it leaves of an image."""

import coil_numpy
import numpy as np
import pytest
import sense_numpy
from gaussian_diffusion import compiled
from keras import ops

from tfrecon.physics import coils
from tfrecon.physics.masks import acs_size
from tfrecon.physics.operators import SenseOperator
from tfrecon.physics.phase import absorb_phase, low_resolution_phase
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def complex_array(shape, seed=0):
    return (np.random.default_rng(seed).normal(size=(*shape, 2)) @ np.array([1, 1j])).astype("complex64")


def line_mask(width, block, spacing=3):
    mask = np.zeros((1, 1, width), np.uint8)
    mask[..., ::spacing] = 1
    mask[..., width // 2 - block // 2 : width // 2 - block // 2 + block] = 1
    return mask


def transcription(maps, kspace, block):
    """exp(iφ) of one image [S, H, W] by loops over what the definition names."""
    low = np.zeros(kspace.shape, complex)
    rows, columns = (slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(kspace.shape[-2:], block, strict=True))
    windows = [np.cos(np.pi * (np.arange(m) - m // 2) / (m + 1)) ** 2 for m in block]
    low[:, rows, columns] = kspace[:, rows, columns] * np.outer(*windows)
    images = sense_numpy.ifft2c(low)
    combined = (maps.conj() * images).sum(-3)
    return np.where(abs(combined) > 0, combined / np.where(combined == 0, 1, abs(combined)), 1)


@pytest.mark.parametrize("shape", [(22, 25), (15, 16)])
@pytest.mark.parametrize("sets", [1, 2])
def test_absorbing_the_phase_changes_nothing_that_is_measured(sets, shape):
    maps, image = complex_array((sets, 4, *shape)), complex_array((sets, *shape), 1)
    maps[:, :, :3] = 0
    mask = line_mask(shape[1], 8)
    kspace = sense_numpy.forward(image, maps, mask).astype("complex64")
    given = maps[0] if sets == 1 else maps
    turned, phase = (numpy(part) for part in absorb_phase(given, kspace, mask))
    assert turned.shape == given.shape and phase.shape == (shape if sets == 1 else (sets, *shape))
    np.testing.assert_allclose(abs(phase), 1, atol=1e-6)
    np.testing.assert_array_equal(phase[..., :3, :], 1)
    new_image = (image[0] if sets == 1 else image) * phase.conj()
    again = numpy(SenseOperator(turned, mask, map_sets=sets > 1).forward(new_image))
    np.testing.assert_allclose(again, kspace, atol=2e-6 * abs(kspace).max())
    np.testing.assert_allclose(new_image * phase, image[0] if sets == 1 else image, atol=1e-6 * abs(image).max())
    expected = transcription(maps.astype(complex), kspace, acs_size(mask, shape))
    np.testing.assert_allclose(phase, expected[0] if sets == 1 else expected, atol=1e-3)


def test_each_image_of_a_batch_has_its_own_mask():
    shape = (9, 14)
    maps, image = complex_array((2, 3, 1, 4, *shape)), complex_array((2, 3, 1, *shape), 1)
    masks = np.stack([[line_mask(14, 2 + 2 * i + j, 9)[None] for j in range(3)] for i in range(2)])[:, :, 0]
    masks[1, 2, ..., 7] = 0  # the centre was not sampled
    kspace = sense_numpy.forward(image, maps, masks).astype("complex64")
    found = numpy(compiled(lambda m, k, s: low_resolution_phase(m, k, s, most=5), maps[:, :, 0], kspace, masks))
    assert found.shape == (2, 3, *shape)
    for i in range(2):
        for j in range(3):
            block = np.minimum(acs_size(masks[i, j], shape), 5)
            expected = transcription(maps[i, j].astype(complex), kspace[i, j], block)[0]
            np.testing.assert_allclose(found[i, j], expected, atol=1e-3)
    assert (found[1, 2] == 1).all()


def test_absorbing_a_smooth_phase_makes_the_image_nearly_real():
    kspace, truth, inside = coil_numpy.scene(4, (40, 36))
    mask = line_mask(36, 16)
    turned, _ = absorb_phase(truth, kspace * mask, mask)
    full = sense_numpy.ifft2c(kspace)

    def imaginary(maps):
        image = numpy(coils.adaptive_combine(full, maps))[inside]
        return np.linalg.norm(image.imag) / np.linalg.norm(image)

    assert imaginary(turned) < 0.1 < 0.5 < imaginary(truth)


def test_a_global_phase_or_scale_of_the_measurement_is_taken_up():
    kspace, truth, _ = coil_numpy.scene(3, (20, 17))
    mask, factor = line_mask(17, 6), 3 * np.exp(0.7j)
    once = numpy(low_resolution_phase(truth, kspace * mask, mask))
    np.testing.assert_allclose(
        numpy(low_resolution_phase(truth, factor * kspace * mask, mask)), np.exp(0.7j) * once, atol=1e-3
    )


def test_one_phase_serves_all_frames_of_a_series():
    kspace, truth, _ = coil_numpy.scene(3, (20, 24))
    mask = np.broadcast_to(line_mask(24, 10), (2, 1, 1, 24))
    frames = np.stack([kspace, 2 * kspace]) * mask
    turned, phase = (numpy(part) for part in absorb_phase(truth[None], frames, mask, series=True))
    single, expected = (numpy(part) for part in absorb_phase(truth, kspace * mask[0], mask[0]))
    assert phase.shape == (1, 20, 24)
    np.testing.assert_allclose(phase[0], expected, atol=1e-2)
    np.testing.assert_allclose(turned[0], single, atol=1e-2)
    assert abs(phase[0] - expected).mean() < 1e-5


def test_a_series_is_averaged_over_the_frames_that_measured():
    """Each frame samples half of the lines; together they are the measurement of one frame."""
    kspace, truth, _ = coil_numpy.scene(3, (12, 16))
    masks = np.zeros((2, 1, 1, 16), np.uint8)
    masks[0, ..., ::2], masks[1, ..., 1::2] = 1, 1
    whole = numpy(low_resolution_phase(truth, kspace, np.ones((1, 1, 16), np.uint8)))
    found = numpy(low_resolution_phase(truth[None], kspace * masks, masks, series=True))
    np.testing.assert_allclose(found[0], whole, atol=1e-3)


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="differ on axis -3"):
        absorb_phase(complex_array((3, 8, 8)), complex_array((4, 8, 8)), np.ones((1, 1, 8)))
