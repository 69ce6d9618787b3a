import keras
import numpy as np
import pytest
import pywt
from keras import ops

from tfrecon.physics.wavelets import WaveletTransform, analysis_matrix, orthogonal_wavelet
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SIZES = [1, 2, 3, 5, 7, 8, 9, 16, 33, 40, 107]


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db4", "sym8", "coif2"])
@pytest.mark.parametrize("size", SIZES)
def test_one_level_is_orthonormal_at_every_size(wavelet, size):
    matrix = analysis_matrix(size, wavelet).astype(float)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-6)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(size), atol=1e-6)


def test_an_odd_size_changes_only_the_boundary():
    odd, even = analysis_matrix(33, "db4"), analysis_matrix(34, "db4")
    inner = slice(3, 14)
    np.testing.assert_array_equal(odd[inner], even[inner, :33])
    np.testing.assert_array_equal(odd[17:][inner], even[17:][inner, :33])


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db4", "sym4"])
@pytest.mark.parametrize("shape", [(64, 48), (16, 32)])
def test_coefficients_equal_pywavelets(wavelet, shape):
    transform = WaveletTransform(shape, wavelet, levels=2)
    image = complex_array((2, *shape))
    bands = pywt.wavedec2(image, wavelet, mode="periodization", level=transform.levels, axes=(-2, -1))
    expected, _ = pywt.coeffs_to_array(bands, axes=(-2, -1))
    np.testing.assert_allclose(transform.analysis(image), expected, atol=5e-6)
    np.testing.assert_allclose(transform.synthesis(expected), image, atol=5e-6)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (33, 40), (64, 61)])
@pytest.mark.parametrize("shift", [None, (0, 0), (5, 3), (-40, 7)])
def test_perfect_reconstruction_and_parseval(shape, shift):
    transform = WaveletTransform(shape, "db2", levels=3)
    image, other = complex_array((3, 2, *shape)), complex_array((3, 2, *shape), 1)
    coefficients = np.asarray(transform.analysis(image, shift))
    assert coefficients.shape == image.shape and coefficients.dtype == np.complex64
    np.testing.assert_allclose(transform.synthesis(coefficients, shift), image, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(coefficients), np.linalg.norm(image), rtol=1e-5)
    adjoint = np.vdot(other, np.asarray(transform.synthesis(image, shift)))
    np.testing.assert_allclose(np.vdot(np.asarray(transform.analysis(other, shift)), image), adjoint, rtol=1e-4)


def test_a_shift_moves_the_image_first():
    transform, image = WaveletTransform((33, 40)), complex_array((2, 33, 40))
    moved = transform.analysis(np.roll(image, (5, -3), (-2, -1)))
    np.testing.assert_allclose(transform.analysis(image, (5, -3)), moved, atol=1e-5)
    np.testing.assert_allclose(transform.analysis(image, (ops.convert_to_tensor(5), 37)), moved, atol=1e-5)


def test_real_images_stay_real_and_polynomials_have_no_details():
    transform = WaveletTransform((64, 64), "db4", levels=1)
    rows = np.linspace(-1, 1, 64, dtype=np.float32)
    image = (rows[:, None] ** 3 + rows[None, :] ** 2) * np.ones((64, 64), np.float32)
    coefficients = np.asarray(transform.analysis(image))
    assert coefficients.dtype == np.float32
    inside = coefficients[34:60, 34:60], coefficients[2:28, 34:60], coefficients[34:60, 2:28]
    assert max(abs(band).max() for band in inside) < 1e-5


def test_levels_stop_where_the_filter_is_longer_than_the_image():
    assert WaveletTransform((256, 216), "db4", 9).levels == pywt.dwt_max_level(216, 8)
    assert WaveletTransform((5, 200), "db4", 4).levels == 1
    assert WaveletTransform((256, 256), "haar", 3).levels == 3


def test_the_detail_mask_leaves_out_the_coarse_approximation():
    transform = WaveletTransform((33, 40), "haar", 2)
    mask = transform.detail_mask()
    assert mask.sum() == 33 * 40 - 9 * 10 and not mask[:9, :10].any()


def test_shrink_is_the_proximal_map_of_the_details():
    """The minimiser of a strictly convex function: no perturbation is better."""
    transform, image, weight = WaveletTransform((9, 16), "db2", 2), complex_array((9, 16)), 0.7
    details = transform.detail_mask()

    def objective(x):
        penalty = np.sum(details * abs(np.asarray(transform.analysis(x, (2, 5)))))
        return 0.5 * np.sum(abs(x - image).astype(float) ** 2) + weight * penalty

    best = np.asarray(transform.shrink(image, weight, (2, 5)))
    for seed in range(10):
        step = 0.05 * complex_array(image.shape, seed)
        assert objective(best + step) > objective(best)
    large = np.asarray(transform.analysis(transform.shrink(image, 100.0)))
    np.testing.assert_allclose(large, np.asarray(transform.analysis(image)) * (1 - details), atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a graph of TensorFlow's")
@pytest.mark.parametrize("xla", [False, True])
def test_unknown_batch_sizes_in_a_graph(xla):
    import tensorflow as tf

    transform = WaveletTransform((33, 40), "db4", 2)
    signature = [tf.TensorSpec([None, None, 33, 40], tf.complex64), tf.TensorSpec([], tf.int32)]
    function = tf.function(lambda x, n: transform.shrink(x, 0.5, (n, n)), signature, jit_compile=xla)
    for leading in ((1, 1), (3, 2)):
        image = complex_array((*leading, 33, 40))
        np.testing.assert_allclose(function(image, 3), transform.shrink(image, 0.5, (3, 3)), atol=1e-5)


@pytest.mark.parametrize("name", ["no_such", "bior2.2", "dmey", "morl"])
def test_wavelets_that_are_no_orthonormal_basis_are_refused(name):
    with pytest.raises(InputError, match=name):
        orthogonal_wavelet(name)


def test_wrong_sizes_are_refused():
    with pytest.raises(InputError, match="levels"):
        WaveletTransform((8, 8), levels=0)
    with pytest.raises(InputError, match="known height and width"):
        WaveletTransform((None, 8))
    with pytest.raises(InputError, match="does not fit"):
        WaveletTransform((8, 8)).analysis(complex_array((8, 9)))
