"""Zero-filled and CG-SENSE against plain NumPy."""

import pathlib

import numpy as np
import pytest
import sense_numpy

from tfrecon.methods.base import get_method
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SIZE = (12, 15)
DATA = pathlib.Path(__file__).parents[2] / ".." / "shared" / "data"


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def unit_maps(shape, seed=1):
    maps = complex_array(shape, seed)
    return maps / np.sqrt((abs(maps) ** 2).sum(-3, keepdims=True))


def example(coils=4, sets=1, leading=(2,), lines=True):
    """A noisy, inconsistent measurement; maps have a set axis only if there are several sets."""
    maps = unit_maps((*leading, sets, coils, *SIZE)) / np.sqrt(sets).astype(np.float32)
    mask_shape = (*leading, 1, 1 if lines else SIZE[0], SIZE[1])
    mask = (np.random.default_rng(2).random(mask_shape) < 0.6).astype(np.float32)
    kspace = complex_array((*leading, coils, *SIZE), 3) * mask
    return Measurement(kspace, mask, maps if sets > 1 else maps[..., 0, :, :, :])


def run(name, measurement, **options):
    method = get_method(name)
    return np.asarray(method.reconstruct({}, measurement, None, method.options_type(**options)).image)


def with_set_axis(measurement):
    maps = measurement.maps.astype(complex)
    return maps if maps.ndim > measurement.kspace.ndim else maps[..., None, :, :, :]


def combined(sets):
    """Root of the sum of squares over the sets with the first set's phase."""
    return np.sqrt((abs(sets) ** 2).sum(-3)) * np.exp(1j * np.angle(sets[..., 0, :, :]))


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("sets", [1, 2])
def test_cg_sense_equals_the_transcription(sets, lines):
    measurement = example(sets=sets, lines=lines)
    image = run("cg_sense", measurement, regularisation=0.02, iterations=6, tolerance=0.0)
    maps = with_set_axis(measurement)
    for item in range(2):
        gram = np.einsum("schw,tchw->sthw", maps[item].conj(), maps[item])
        largest = abs(gram).sum(1).max()  # Gershgorin's bound; with one set the largest coil energy
        expected = sense_numpy.cg_sense(measurement.kspace[item], maps[item], measurement.mask[item], 0.02 * largest, 6)
        np.testing.assert_allclose(image[item], combined(expected) if sets > 1 else expected[0], atol=2e-4)


def test_cg_sense_minimises_its_objective():
    measurement, regularisation = example(leading=()), 0.05
    image = run("cg_sense", measurement, regularisation=regularisation, iterations=60, tolerance=1e-7)
    maps, mask = with_set_axis(measurement), measurement.mask
    x = image[None].astype(complex)
    residual = sense_numpy.forward(x, maps, mask) - measurement.kspace
    gradient = sense_numpy.adjoint(residual, maps, mask) + regularisation * (abs(maps) ** 2).sum(1).max() * x
    assert np.linalg.norm(gradient) < 1e-5 * np.linalg.norm(measurement.kspace)


def test_cg_sense_recovers_the_image_from_consistent_data():
    maps, image = unit_maps((6, *SIZE)), complex_array(SIZE, 5)
    mask = np.zeros((1, 1, SIZE[1]), np.float32)
    mask[..., ::2] = 1
    kspace = sense_numpy.forward(image[None], maps[None], mask).astype(np.complex64)
    result = run("cg_sense", Measurement(kspace, mask, maps), regularisation=1e-6, iterations=100, tolerance=1e-7)
    assert np.linalg.norm(result - image) < 1e-2 * np.linalg.norm(image)


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
def test_the_image_scales_with_the_data(name):
    measurement = example()
    image = run(name, measurement)
    for factor in (1e-3, 2.0, 1e3):
        scaled = run(name, measurement._replace(kspace=np.complex64(factor) * measurement.kspace))
        np.testing.assert_allclose(scaled, factor * image, rtol=1e-3, atol=1e-4 * factor)


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
@pytest.mark.parametrize("sets", [1, 2])
def test_the_norm_of_the_maps_does_not_matter_but_for_intensity(name, sets):
    measurement = example(sets=sets)
    image = run(name, measurement)
    scaled = run(name, measurement._replace(maps=np.complex64(5) * measurement.maps))
    np.testing.assert_allclose(5 * scaled, image, atol=2e-4)


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
@pytest.mark.parametrize("sets", [1, 2])
def test_leading_axes_are_items(name, sets):
    measurement = example(sets=sets, leading=(2, 3))
    together = run(name, measurement)
    assert together.shape == (2, 3, *SIZE) and together.dtype == np.complex64
    one = run(name, Measurement(*(None if field is None else field[1, 2] for field in measurement)))
    np.testing.assert_allclose(together[1, 2], one, atol=2e-4)


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
def test_a_series_shares_maps_of_one_frame(name):
    measurement = example(leading=(3,))
    shared = measurement.maps[:1]
    image = run(name, measurement._replace(maps=shared))
    np.testing.assert_allclose(image, run(name, measurement._replace(maps=np.repeat(shared, 3, 0))), atol=1e-5)


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
def test_one_coil_needs_no_maps(name):
    measurement = example(coils=1)._replace(maps=None)
    image = run(name, measurement)
    expected = sense_numpy.ifft2c(measurement.kspace * measurement.mask)[:, 0]
    if name == "cg_sense":  # the normal operator is a projection here, so λ only shrinks
        expected = expected / (1 + get_method(name).options_type().regularisation)
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_cg_sense_of_many_coils_needs_maps():
    with pytest.raises(InputError, match="no sensitivity maps"):
        run("cg_sense", example()._replace(maps=None))


def test_zero_filled_of_many_coils_without_maps_is_root_sum_of_squares():
    measurement = example()._replace(maps=None)
    image = run("zero_filled", measurement)
    coil_images = sense_numpy.ifft2c(measurement.kspace * measurement.mask)
    np.testing.assert_allclose(image.real, np.sqrt((abs(coil_images) ** 2).sum(1)), atol=1e-5)
    assert image.dtype == np.complex64 and not image.imag.any()


def test_zero_filled_has_the_true_intensity_when_nothing_is_missing():
    maps, image = complex_array((4, *SIZE)), complex_array(SIZE, 5)
    maps[:, 3, 4] = 0
    kspace = sense_numpy.fft2c(maps * image).astype(np.complex64)
    result = run("zero_filled", Measurement(kspace, np.ones((1, *SIZE), np.float32), maps))
    expected = image.copy()
    expected[3, 4] = 0
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["zero_filled", "cg_sense"])
def test_samples_outside_the_mask_do_not_count(name):
    measurement = example()
    dirty = measurement.kspace + (1 - measurement.mask) * complex_array(measurement.kspace.shape, 9)
    np.testing.assert_allclose(run(name, measurement._replace(kspace=dirty)), run(name, measurement), rtol=0, atol=1e-6)


def test_an_empty_item_in_a_batch_gives_zeros():
    measurement = example()
    measurement.kspace[0] = 0
    image = run("cg_sense", measurement)
    assert not image[0].any() and np.isfinite(image).all() and image[1].any()


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
def test_cg_sense_on_a_measured_brain_equals_the_transcription():
    """Seven coils, R = 4 with 24 calibration lines."""
    with np.load(DATA / "brain_7coil_slice.npz") as file:
        coil_images = np.moveaxis(file["arr_0"], -1, 0)
    kspace = sense_numpy.fft2c(coil_images)
    height, width = kspace.shape[-2:]
    low = np.zeros_like(kspace)
    middle = (..., slice(height // 2 - 12, height // 2 + 12), slice(width // 2 - 12, width // 2 + 12))
    low[middle] = kspace[middle] * np.outer(np.hanning(24), np.hanning(24))
    maps = sense_numpy.ifft2c(low)
    maps /= np.sqrt((abs(maps) ** 2).sum(0))
    mask = np.zeros((1, 1, width), np.float32)
    mask[..., ::4] = 1
    mask[..., width // 2 - 12 : width // 2 + 12] = 1
    kspace = kspace * mask
    measurement = Measurement(kspace.astype(np.complex64), mask, maps.astype(np.complex64))
    image = run("cg_sense", measurement, regularisation=0.01, iterations=20, tolerance=0.0)
    expected = sense_numpy.cg_sense(kspace, maps[None], mask, 0.01, 20)[0]
    assert np.linalg.norm(image - expected) < 1e-3 * np.linalg.norm(expected)
