import numpy as np
import pytest
import sense_numpy
from autodiff import gradients
from gaussian_diffusion import compiled
from keras import ops

from tfrecon.losses.image import image_loss
from tfrecon.losses.spectrum import radial_spectrum_loss
from tfrecon.util.complex import make_complex

pytestmark = pytest.mark.mathematics


def images(shape, seed=0):
    return (np.random.default_rng(seed).normal(size=(*shape, 2)) @ np.array([1, 1j])).astype("complex64")


@pytest.mark.parametrize("shape", [(2, 8, 12), (3, 9, 7)])
@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_equals_its_definition(shape, power):
    image, reference = images(shape), images(shape, 1)
    height, width = shape[1:]
    rows, columns = (2 * (np.arange(n) - n // 2) / n for n in (height, width))
    weight = np.array([[np.hypot(u, v) ** power for v in columns] for u in rows])
    error = abs(sense_numpy.fft2c((image - reference).astype(complex)))
    expected = (weight * error).sum((1, 2)) / weight.sum()
    found = compiled(lambda a, b: radial_spectrum_loss(a, b, power), image, reference)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_white_errors_weigh_as_in_the_image_and_smooth_ones_less():
    white = images((4, 32, 32))
    spectrum = sense_numpy.fft2c(white)
    smooth = np.zeros_like(spectrum)
    smooth[:, 14:19, 14:19] = spectrum[:, 14:19, 14:19]
    smooth = sense_numpy.ifft2c(smooth).astype("complex64")
    ratio = [
        ops.convert_to_numpy(radial_spectrum_loss(error, 0 * error) / image_loss(error, 0 * error))
        for error in (white, smooth)
    ]
    np.testing.assert_allclose(ratio[0], 1, rtol=0.1)
    assert (ratio[1] < 0.1 * ratio[0]).all()


def test_gradients_are_finite_where_nothing_differs():
    reference = images((1, 5, 6))

    def loss(real, imag):
        return ops.sum(radial_spectrum_loss(make_complex(real, imag), reference))

    for gradient in gradients(loss, reference.real, reference.imag):
        assert np.isfinite(gradient).all()
