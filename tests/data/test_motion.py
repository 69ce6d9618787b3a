import numpy as np
import pytest
from scipy import ndimage

from tfrecon.data import motion, phantoms
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


def smooth_image(shape):
    return ndimage.gaussian_filter(phantoms.ellipse_phantom(shape, 2), 1.5)


@pytest.mark.parametrize("shape", [(48, 48), (41, 56)])
def test_first_frame_is_the_image_and_the_rest_moves(shape):
    image = smooth_image(shape)
    series = motion.deform_cine(image, 8, amplitude=0.04, seed=3)
    assert series.shape == (8, *shape) and series.dtype == np.float32
    np.testing.assert_allclose(series[0], image, atol=1e-5)
    changes = np.abs(series - image).mean(axis=(1, 2))
    assert changes[1:].min() > 1e-3 * image.max()
    assert changes.argmax() in (3, 4, 5)  # farthest half a beat later


def test_motion_is_smooth_and_periodic():
    image = smooth_image((48, 48))
    series = motion.deform_cine(image, 16, amplitude=0.04)
    around = np.abs(series - np.roll(series, 1, axis=0)).mean(axis=(1, 2))
    # The step from the last frame to the first is like any other: the series closes.
    assert around[0] < 1.5 * around[1:].max()
    # Twice the frames see the same motion in between.
    finer = motion.deform_cine(image, 32, amplitude=0.04)
    np.testing.assert_allclose(finer[::2], series, atol=1e-5)


def test_displacement_is_as_large_as_asked_and_shrinks_towards_the_centre():
    rows, columns = np.meshgrid(np.arange(64.0), np.arange(64.0), indexing="ij")
    at_half = [motion.deform_cine(axis, 2, amplitude=0.05)[1] for axis in (rows, columns)]
    displacement = np.stack([at_half[0] - rows, at_half[1] - columns])
    length = np.hypot(*displacement)
    assert length.max() == pytest.approx(0.8 * 0.05 * 64, rel=0.05)
    # Half a beat in, tissue is fetched from farther out: the disc around the centre contracts.
    outward = (rows - 31.5) * displacement[0] + (columns - 31.5) * displacement[1]
    assert outward[22:42, 22:42].min() >= -1e-3


def test_complex_images_keep_real_and_imaginary_part_apart():
    image = smooth_image((32, 32))
    series = motion.deform_cine(image * (1 + 2j), 3)
    assert series.dtype == np.complex64
    np.testing.assert_allclose(series, motion.deform_cine(image, 3) * (1 + 2j), atol=1e-5)


def test_breathing_drifts_by_the_fraction_asked_for():
    image = smooth_image((50, 40))
    series = motion.deform_cine(image, 6, amplitude=0.0, breathing=0.1)
    np.testing.assert_allclose(series[-1][:40], image[5:45], atol=1e-4)
    np.testing.assert_allclose(series[0], image, atol=1e-5)


def test_one_frame_one_pixel_and_a_function_of_the_seed():
    image = smooth_image((32, 33))
    np.testing.assert_allclose(motion.deform_cine(image, 1)[0], image, atol=1e-5)
    assert motion.deform_cine(np.ones((1, 9)), 3).shape == (3, 1, 9)
    first, again, other = (motion.deform_cine(image, 4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: motion.deform_cine(np.ones((8, 8)), 0), "cannot be made"),
        (lambda: motion.deform_cine(np.ones((2, 8, 8)), 4), "cannot be made"),
        (lambda: motion.deform_cine(np.ones((32, 32)), 4, amplitude=0.9), "folds"),
        (lambda: motion.beating_heart((8, 8), 0), "cannot be made"),
    ],
)
def test_bad_arguments_are_one_clear_line(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_heart_beats_periodically_and_is_never_negative():
    series = motion.beating_heart((64, 80), 10)
    assert series.shape == (10, 64, 80) and series.min() > -1e-6
    np.testing.assert_allclose(motion.beating_heart((64, 80), 1, start=1.0)[0], series[0], atol=1e-5)
    # Bright blood (left ventricle, muscle 0.55 and blood 1.0) shrinks until half a beat, then grows.
    blood = (series > 0.9).sum(axis=(1, 2))
    assert blood.argmin() == 5 and blood.argmax() == 0
    assert blood[5] < 0.75 * blood[0]


def test_heart_muscle_keeps_its_area():
    areas = []
    for phase in (0.0, 0.3, 0.5):
        ellipses = motion.beating_heart_ellipses(phase)
        muscle, chamber = ellipses[4], ellipses[5]
        areas.append(np.prod(muscle.semi_axes) - np.prod(chamber.semi_axes))
    np.testing.assert_allclose(areas, areas[0], rtol=1e-9)
