import numpy as np
import pytest
import sense_numpy
from keras import ops

from tfrecon.physics import fourier

pytestmark = pytest.mark.mathematics

SIZES = [(8, 8), (7, 9), (33, 40), (1, 6), (5, 1)]


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("size", SIZES)
def test_centred_transform_is_the_matrix_of_its_definition(size):
    x = complex_array((2, 3, *size))
    np.testing.assert_allclose(fourier.fft2c(x), sense_numpy.fft2c(x), atol=2e-5)
    np.testing.assert_allclose(fourier.ifft2c(x), sense_numpy.ifft2c(x), atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_transform_keeps_energy_and_inverts(size):
    x = complex_array(size)
    kspace = fourier.fft2c(x)
    assert np.linalg.norm(kspace) == pytest.approx(np.linalg.norm(x), rel=1e-5)
    np.testing.assert_allclose(fourier.ifft2c(kspace), x, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_a_point_at_the_centre_has_a_flat_spectrum(size):
    x = np.zeros(size, np.complex64)
    x[size[0] // 2, size[1] // 2] = 1
    np.testing.assert_allclose(fourier.fft2c(x), np.full(size, 1 / np.sqrt(x.size)), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_uncentred_transforms_are_numpys(size):
    x = complex_array((2, *size))
    np.testing.assert_allclose(fourier.fft2(x), np.fft.fft2(x), atol=1e-4)
    np.testing.assert_allclose(fourier.ifft2(x), np.fft.ifft2(x), atol=1e-5)
    np.testing.assert_allclose(fourier.fft1(x), np.fft.fft(x), atol=1e-4)
    np.testing.assert_allclose(fourier.ifft1(x), np.fft.ifft(x), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("axes", [(-2, -1), (-1,)])
def test_shifts_are_numpys(size, axes):
    x = complex_array((2, *size))
    np.testing.assert_array_equal(fourier.fftshift(x, axes), np.fft.fftshift(x, axes))
    np.testing.assert_array_equal(fourier.ifftshift(x, axes), np.fft.ifftshift(x, axes))
    np.testing.assert_array_equal(fourier.fftshift(fourier.ifftshift(x, axes), axes), x)


def test_root_of_size():
    assert fourier.root_of_size(ops.zeros((5, 4, 9))) == 6.0


def test_output_is_complex64():
    x = complex_array((4, 4))
    for transform in (fourier.fft2c, fourier.ifft2c, fourier.fft1, fourier.ifft1):
        assert ops.dtype(transform(x)) == "complex64"
