"""Data steps against dense solutions, at odd sizes, for several samples of several measurements."""

import numpy as np
import pytest
import sense_numpy
from keras import ops
from score_cases import measurement_of
from ssdiffrecon_cases import make_batch

from tfrecon.diffusion.path import residual_variance
from tfrecon.diffusion.variance_preserving import VariancePreserving
from tfrecon.methods.score.data_steps import DataTerm, make_data_step
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.typing import Measurement

pytestmark = pytest.mark.mathematics
SHAPE = (7, 8)


def batch_of(coils=3, lines=False, noise=0.1):
    return make_batch(2, coils, SHAPE, lines=lines, noise=noise)


def images_like(batch, copies=2):
    random = np.random.default_rng(5)
    return (random.normal(size=(copies * len(batch["mask"]), *SHAPE, 2)) @ np.array([1, 1j])).astype("complex64")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def matrix_of(batch, item):
    """A of one measurement, dense, and its data."""
    basis = np.eye(np.prod(SHAPE)).reshape(-1, *SHAPE)
    maps, mask = batch["maps"][item], np.broadcast_to(batch["mask"][item], (1, *SHAPE))
    columns = sense_numpy.fft2c(maps[None] * basis[:, None]) * mask
    return columns.reshape(len(basis), -1).T, batch["kspace"][item].ravel()


def nearest(batch, images, weight):
    """argmin |A x - y|² + w |x - image|² by dense algebra."""
    found = []
    for number, image in enumerate(images):
        matrix, data = matrix_of(batch, number % 2)
        w = np.broadcast_to(weight, 2)[number % 2]
        normal = matrix.conj().T @ matrix + w * np.eye(matrix.shape[1])
        found.append(np.linalg.solve(normal, matrix.conj().T @ data + w * image.ravel()).reshape(SHAPE))
    return np.stack(found)


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


def test_the_weight_of_the_estimate_follows_noise_and_time():
    batch, path = batch_of(), VariancePreserving()
    term, images, noise = DataTerm(measurement_of(batch)), images_like(batch), np.float32([0.1, 0.3])
    step = make_data_step(ScoreOptions(cg_iterations=25, prior_weight=2.0), term, path, noise, 0.2)
    for t in (0.1, 0.6):
        weight = 2 * noise**2 / float(residual_variance(path, np.float32(t), 0.2))
        np.testing.assert_allclose(numpy(step(images, np.float32(t))), nearest(batch, images, weight), atol=3e-4)
    fixed = make_data_step(ScoreOptions(cg_iterations=25, gamma=4.0), term, path, noise, 0.2)
    np.testing.assert_allclose(numpy(fixed(images, np.float32(0.1))), nearest(batch, images, 0.25), atol=3e-4)


def test_the_proximal_step_goes_part_of_the_way():
    batch, path = batch_of(coils=1), VariancePreserving()
    term, images, noise = DataTerm(measurement_of(batch)), images_like(batch), np.float32([0.1, 0.4])
    step = make_data_step(ScoreOptions(data_step="proximal"), term, path, noise, 0.2)
    t = np.float32(0.3)
    level = 2 * (float(path.sigma(t)) / float(path.alpha(t))) ** 2
    part = np.tile(level / (level + noise**2), 2)[:, None, None]
    sampled, before = np.tile(batch["mask"][:, 0], (2, 1, 1)), sense_numpy.fft2c(images)
    data = np.tile(batch["kspace"][:, 0], (2, 1, 1))
    expected = before + sampled * part * (data - before)
    np.testing.assert_allclose(sense_numpy.fft2c(numpy(step(images, t))), expected, atol=1e-4)
    assert make_data_step(ScoreOptions(data_step="none"), term, path, noise, 0.2) is None


@pytest.mark.parametrize("data_step", ["cg", "proximal", "projection", "gradient"])
def test_where_no_coil_sees_anything_the_image_is_zero(data_step):
    batch = batch_of()
    batch["maps"][..., 2:4, 2:5] = 0
    images = images_like(batch)
    step = make_data_step(
        ScoreOptions(data_step=data_step),
        DataTerm(measurement_of(batch)),
        VariancePreserving(),
        np.float32([0, 0.1]),
        0.2,
    )
    found = numpy(step(images, np.float32(0.5)))
    assert np.isfinite(found).all()
    assert not found[:, 2:4, 2:5].any()
    seen = batch["maps"].any(axis=1)[np.tile([0, 1], 2)]
    assert abs(found[seen]).min() > 0 and abs(found - images)[seen].max() > 0.1


def test_iterations_end_where_only_rounding_is_left():
    """One coil and hardly any noise: what was not measured stays to float32, however many iterations there are."""
    batch = batch_of(coils=1)
    images = images_like(batch)
    found = numpy(DataTerm(measurement_of(batch)).near(images, 1e-6, 20))
    rest = np.tile(1 - batch["mask"][:, 0], (2, 1, 1))
    moved = rest * (sense_numpy.fft2c(found) - sense_numpy.fft2c(images))
    assert np.linalg.norm(moved) < 1e-4 * np.linalg.norm(images)
