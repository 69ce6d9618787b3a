import numpy as np
import pytest
import sparse_numpy
from autodiff import gradients
from keras import ops

from tfrecon.physics import sparsity
from tfrecon.util.complex import energy, to_complex

pytestmark = pytest.mark.mathematics


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def test_soft_threshold_equals_the_polar_form():
    x = complex_array((3, 50))
    x[0, 0] = 0
    np.testing.assert_allclose(sparsity.soft_threshold(x, 0.8), sparse_numpy.shrink(x, 0.8), atol=1e-6)
    each = np.float32([[0.1], [1.0], [0.0]])
    np.testing.assert_allclose(sparsity.soft_threshold(x, each), sparse_numpy.shrink(x, each), atol=1e-6)
    np.testing.assert_allclose(sparsity.soft_threshold(x.real, 0.5), sparse_numpy.shrink(x.real, 0.5).real, atol=1e-6)


def test_a_joint_threshold_shortens_vectors():
    x = complex_array((2, 30))
    lengths = np.linalg.norm(x, axis=0)
    result = np.asarray(sparsity.soft_threshold(x, 1.0, joint_axes=(0,)))
    np.testing.assert_allclose(np.linalg.norm(result, axis=0), np.maximum(lengths - 1, 0), atol=1e-6)
    kept = lengths > 1
    np.testing.assert_allclose((result / x)[0, kept], (result / x)[1, kept], atol=1e-5)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_soft_threshold_has_finite_gradients_at_zero(threshold):
    channels = np.zeros((2, 3, 2), np.float32)
    channels[0, 0] = 0.3, 0.4  # exactly on a threshold of one half
    channels[0, 1] = 3, 4
    (slope,) = gradients(lambda c: ops.sum(energy(sparsity.soft_threshold(to_complex(c), threshold))), channels)
    assert np.isfinite(slope).all() and not slope[1].any()
    # d/dx (|x| - t)² = 2 (|x| - t) x / |x|
    np.testing.assert_allclose(slope[0, 1], 2 * (5 - threshold) * np.array([0.6, 0.8]), rtol=1e-5)


@pytest.mark.parametrize("shape", [(7, 9), (2, 3, 8, 5)])
def test_differences_and_their_adjoints(shape):
    x, field = complex_array(shape), complex_array((2, *shape), 1)
    np.testing.assert_allclose(sparsity.gradient(x), sparse_numpy.gradient(x), atol=1e-6)
    there = np.vdot(field, np.asarray(sparsity.gradient(x)))
    np.testing.assert_allclose(np.vdot(np.asarray(sparsity.gradient_adjoint(field)), x), there, rtol=1e-5)


@pytest.mark.parametrize("axis", [-3, -4])
def test_changes_and_their_adjoint(axis):
    series = complex_array((5, 4, 8, 6))
    steps = np.asarray(sparsity.changes(series, axis))
    np.testing.assert_allclose(steps, np.diff(series, axis=axis), atol=1e-6)
    other = complex_array(steps.shape, 1)
    back = np.vdot(np.asarray(sparsity.changes_adjoint(other, axis)), series)
    np.testing.assert_allclose(back, np.vdot(other, steps), rtol=1e-5)


def test_total_variation_of_known_images():
    disc = np.zeros((2, 16, 16), np.complex64)
    disc[0, 4:10, 5:9] = 2j  # a box: edges 2·2·(6 + 4), but one corner counts a diagonal step
    corner = 2 * (2 - np.sqrt(2))
    np.testing.assert_allclose(sparsity.total_variation(disc), [2 * 2 * 10 - corner, 0], rtol=1e-5, atol=1e-6)
    x = complex_array((2, 4, 8, 6))
    spatial = np.asarray(sparsity.total_variation(x))
    np.testing.assert_allclose(spatial[1, 2], sparse_numpy.total_variation(x[1, 2]), rtol=1e-5)
    whole = np.asarray(sparsity.total_variation(x, temporal=0.3))
    np.testing.assert_allclose(whole[1], sparse_numpy.total_variation(x[1], 0.3), rtol=1e-5)


@pytest.mark.parametrize("temporal", [0.0, 0.6])
def test_denoising_minimises_its_objective(temporal):
    image, weight = complex_array((4, 9, 8)), 0.4
    best = np.asarray(sparsity.tv_denoise(image, weight, temporal=temporal, iterations=300)).astype(complex)

    def objective(x):
        value = 0.5 * np.sum(abs(x - image) ** 2)
        if temporal:
            return value + weight * sparse_numpy.total_variation(x, temporal)
        return value + weight * sum(sparse_numpy.total_variation(frame) for frame in x)

    for seed in range(10):
        step = complex_array(image.shape, seed + 1)
        for size in (1e-2, 1e-1):
            assert objective(best + size * step) > objective(best)
    shrunk = image.mean((1, 2), keepdims=True) - image
    assert objective(best) < min(objective(image), objective(image + shrunk), objective(image + 0.5 * shrunk))


def test_denoising_with_a_large_weight_leaves_the_mean_and_with_none_the_image():
    image = complex_array((2, 8, 8))
    flat = np.asarray(sparsity.tv_denoise(image, 50.0, iterations=200))
    np.testing.assert_allclose(flat, np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape), atol=2e-3)
    np.testing.assert_array_equal(sparsity.tv_denoise(image, 0.0), image)


def test_each_item_has_its_own_weight():
    image, weights = complex_array((2, 8, 9)), np.float32([0.1, 0.9])
    together = np.asarray(sparsity.tv_denoise(image, weights[:, None, None]))
    for item in range(2):
        np.testing.assert_allclose(together[item], sparsity.tv_denoise(image[item], weights[item]), atol=1e-6)
