"""The data term against dense solutions, at odd sizes, for several samples of several measurements."""

import numpy as np
import pytest
import sense_numpy
from dense_sense import SHAPE, batch_of, images_like, matrix_of, nearest, numpy
from score_cases import measurement_of

from tfrecon.physics.data_term import DataTerm
from tfrecon.typing import Measurement

pytestmark = pytest.mark.mathematics


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("weight", [0.3, np.float32([0.1, 2.0])])
def test_conjugate_gradients_find_the_minimum(lines, weight):
    batch = batch_of(lines=lines)
    images = images_like(batch)
    found = numpy(DataTerm(measurement_of(batch)).near(images, weight, 25))
    np.testing.assert_allclose(found, nearest(batch, images, weight), atol=2e-4)


def test_large_weights_do_not_drown_the_data():
    """With w = 10⁵ the change is small, but right."""
    batch = batch_of()
    images = images_like(batch)
    change = numpy(DataTerm(measurement_of(batch)).near(images, 1e5, 3)) - images
    expected = nearest(batch, images, 1e5) - images
    assert np.linalg.norm(change - expected) < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("lines", [False, True])
def test_projection_is_exact_with_one_coil(lines):
    batch = batch_of(coils=1, lines=lines)
    for maps in (batch["maps"], None, 3 * batch["maps"]):
        scale = 1 if maps is None else abs(maps).max()
        term = DataTerm(Measurement(scale * batch["kspace"], batch["mask"], maps))
        found = numpy(term.projected(images_like(batch)))
        error = batch["mask"] * (sense_numpy.fft2c(found.reshape(2, 2, 1, *SHAPE)) - batch["kspace"])
        assert np.linalg.norm(error) < 1e-5 * np.linalg.norm(batch["kspace"])
        np.testing.assert_allclose(numpy(term.projected(found)), found, atol=1e-5)


def test_the_true_image_is_a_fixed_point():
    batch = batch_of(noise=0.0)
    term, truth = DataTerm(measurement_of(batch)), np.tile(batch["reference"], (2, 1, 1))
    for found in (term.projected(truth), term.near(truth, 0.1, 5), term.descended(truth, 1.0)):
        np.testing.assert_allclose(numpy(found), truth, atol=2e-5)
    np.testing.assert_allclose(numpy(term.distance(truth)), 0, atol=1e-4)


def test_gradient_and_distance():
    batch = batch_of()
    term, images = DataTerm(measurement_of(batch)), images_like(batch)
    for number, image in enumerate(images):
        matrix, data = matrix_of(batch, number % 2)
        residual = data - matrix @ image.ravel()
        expected = image + 0.3 * (matrix.conj().T @ residual).reshape(SHAPE)
        np.testing.assert_allclose(numpy(term.descended(images, 0.3))[number], expected, atol=1e-4)
        assert numpy(term.distance(images))[number] == pytest.approx(np.linalg.norm(residual), rel=1e-4)


def test_images_before_any_sampling():
    batch = batch_of(noise=0.0)
    term = DataTerm(measurement_of(batch))
    expected = sense_numpy.adjoint(batch["kspace"], batch["maps"][:, None], batch["mask"])[:, 0]
    np.testing.assert_allclose(numpy(term.zero_filled()), expected, atol=1e-5)
    loud = DataTerm(Measurement(batch["kspace"], batch["mask"], 2 * batch["maps"]))
    solved = numpy(loud.least_squares(0.01, 40))
    small = {**batch, "maps": 2 * batch["maps"]}
    np.testing.assert_allclose(solved, nearest(small, np.zeros((2, *SHAPE)), 0.04), atol=2e-4)


def test_iterations_end_where_only_rounding_is_left():
    """One coil and hardly any noise: what was not measured stays to float32, however many iterations there are."""
    batch = batch_of(coils=1)
    images = images_like(batch)
    found = numpy(DataTerm(measurement_of(batch)).near(images, 1e-6, 20))
    rest = np.tile(1 - batch["mask"][:, 0], (2, 1, 1))
    moved = rest * (sense_numpy.fft2c(found) - sense_numpy.fft2c(images))
    assert np.linalg.norm(moved) < 1e-4 * np.linalg.norm(images)


def two_sets(batch):
    """Maps `[B, 2, C, H, W]` whose second set sees something else, and their data of two images each."""
    random = np.random.default_rng(8)
    second = random.normal(size=(*batch["maps"].shape, 2)) @ np.array([0.5, 0.5j])
    maps = np.stack([batch["maps"], second], axis=1)
    images = random.normal(size=(len(maps), 2, *SHAPE, 2)) @ np.array([1, 1j])
    kspace = sense_numpy.forward(images, maps, batch["mask"])
    return Measurement(kspace.astype("complex64"), batch["mask"], maps.astype("complex64")), images


@pytest.mark.parametrize("lines", [False, True])
def test_each_set_of_maps_has_an_image(lines):
    measurement, images = two_sets(batch_of(lines=lines))
    term, (kspace, mask, maps, *_) = DataTerm(measurement), measurement
    near, weights = 3 * images_like({"mask": mask}, copies=4), np.float32([0.1, 2.0])
    found = numpy(term.near(near, weights, 40)).reshape(2, 2, 2, *SHAPE)
    for sample, item in np.ndindex(2, 2):
        given, weight = near.reshape(2, 2, 2, *SHAPE)[sample, item], weights[item]

        def normal(x, item=item, weight=weight):
            return (
                sense_numpy.adjoint(sense_numpy.forward(x, maps[item], mask[item]), maps[item], mask[item]) + weight * x
            )

        right = sense_numpy.adjoint(kspace[item], maps[item], mask[item]) + weight * given
        expected = sense_numpy.conjugate_gradient(normal, right, 200)
        np.testing.assert_allclose(found[sample, item], expected, atol=2e-3)
    truth = images.reshape(-1, *SHAPE).astype("complex64")
    np.testing.assert_allclose(numpy(term.near(truth, 0.1, 5)), truth, atol=1e-4)
    np.testing.assert_allclose(numpy(term.distance(truth)), 0, atol=1e-3)
    slope = sense_numpy.adjoint(kspace, maps, mask).reshape(-1, *SHAPE)
    np.testing.assert_allclose(numpy(term.descended(0 * truth, 0.3)), 0.3 * slope, atol=1e-4)
    assert numpy(term.zero_filled()).shape == numpy(term.least_squares(0.01, 3)).shape == truth.shape
