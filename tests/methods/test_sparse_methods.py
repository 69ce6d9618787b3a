"""l1-wavelet and total variation against slow solvers in plain NumPy."""

import keras
import numpy as np
import pytest
import sense_numpy
import sparse_numpy

from tfrecon.data.synthetic import random_maps, shepp_logan_image
from tfrecon.methods.base import get_method, method_names, resolve_options
from tfrecon.methods.classical.sense_problem import eigenvalue_bound, sense_problem
from tfrecon.physics.operators import SenseOperator
from tfrecon.physics.solvers import power_iteration
from tfrecon.typing import Measurement
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

NAMES = ["l1_wavelet", "tv"]


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def blocks(size, seed=0):
    """A piecewise constant complex image."""
    image = np.zeros(size, np.complex64)
    corners = np.random.default_rng(seed).integers(0, 9, (6, 2))
    for value, (row, column) in zip(complex_array((6,), seed), corners, strict=True):
        image[row : row + 6, column : column + 5] += value
    return image


def unit_maps(shape, seed=1):
    maps = complex_array(shape, seed)
    return maps / np.sqrt((abs(maps) ** 2).sum(-3, keepdims=True))


def example(leading=(2,), sets=1, size=(16, 16), lines=True, coils=4):
    """Noisy measurements of blocks; maps have a set axis only if there are several sets."""
    maps = unit_maps((*leading, sets, coils, *size))
    mask = (np.random.default_rng(2).random((*leading, 1, 1 if lines else size[0], size[1])) < 0.5).astype(np.float32)
    images = np.stack([blocks(size, seed) for seed in range(int(np.prod(leading)))]).reshape(*leading, 1, *size)
    images = np.concatenate([images] + [0.2 * images[..., ::-1, :]] * (sets - 1), axis=-3)
    kspace = sense_numpy.forward(images, maps, mask) + 0.02 * mask * complex_array((*leading, coils, *size), 3)
    return Measurement(kspace.astype(np.complex64), mask, maps if sets > 1 else maps[..., 0, :, :, :])


def run(name, measurement, seed=None, **options):
    """The image, from a graph where the backend does not compile loops by itself: eager loops are slow."""
    method = get_method(name)
    options = method.options_type(**options)

    def reconstruct():
        return method.reconstruct({}, measurement, seed, options).image

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        reconstruct = tf.function(reconstruct, autograph=False)
    return np.asarray(reconstruct())


def item(measurement, *index):
    return Measurement(*(None if field is None else field[index] for field in measurement))


@pytest.mark.parametrize(("wavelet", "levels"), [("haar", 3), pytest.param("db2", 2, marks=pytest.mark.slow)])
def test_l1_wavelet_equals_the_slow_solver(wavelet, levels):
    """Without shifts the frame lies on the centred image, exactly where PyWavelets puts it."""
    measurement, weight = example(), 0.05
    image = run(
        "l1_wavelet",
        measurement,
        regularisation=weight,
        wavelet=wavelet,
        levels=levels,
        iterations=300,
        random_shifts=False,
    )
    for index in range(2):
        problem = (*(field.astype(complex) for field in (measurement.kspace[index], measurement.maps[index])),)
        problem = (*problem, measurement.mask[index], weight, wavelet, levels)
        expected = sparse_numpy.l1_wavelet(*problem, iterations=1000)
        reached = sparse_numpy.l1_objective(image[index], *problem)
        assert reached <= sparse_numpy.l1_objective(expected, *problem) * (1 + 1e-5)
        assert np.linalg.norm(image[index] - expected) < 5e-3 * np.linalg.norm(expected)


def test_random_shifts_are_better_than_one_basis():
    size = (64, 64)
    truth, maps = shepp_logan_image(size).astype(np.complex64), random_maps(6, size)
    mask = np.zeros((1, 1, 64), np.float32)
    mask[..., ::3] = mask[..., 26:38] = 1
    kspace = sense_numpy.forward(truth[None], maps[None], mask) + 0.01 * mask * complex_array((6, *size))
    measurement = Measurement(kspace.astype(np.complex64), mask, maps)
    options = {"regularisation": 0.02, "wavelet": "haar", "iterations": 40}
    errors = [
        np.linalg.norm(run("l1_wavelet", measurement, random_shifts=shifts, **options) - truth)
        for shifts in (True, False)
    ]
    assert errors[0] < 0.9 * errors[1]


def test_the_same_data_give_the_same_image():
    measurement = example(leading=())
    np.testing.assert_array_equal(run("l1_wavelet", measurement), run("l1_wavelet", measurement, rng.make_seed(5)))


@pytest.mark.parametrize("lines", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_tv_equals_the_slow_solver(lines):
    measurement, weight = example(lines=lines), 0.05
    image = run("tv", measurement, regularisation=weight, iterations=200, denoising_iterations=60)
    for index in range(2):
        problem = measurement.kspace[index], measurement.maps[index].astype(complex), measurement.mask[index], weight
        expected = sparse_numpy.tv_sense(*problem, iterations=1000)
        reached = sparse_numpy.tv_objective(image[index], *problem)
        assert reached <= sparse_numpy.tv_objective(expected, *problem) * (1 + 5e-4)
        assert np.linalg.norm(image[index] - expected) < 1e-2 * np.linalg.norm(expected)


def test_tv_of_a_series_equals_the_slow_solver():
    measurement, weight, temporal = example(leading=(3,)), 0.05, 0.7
    measurement = measurement._replace(maps=measurement.maps[:1])
    image = run("tv", measurement, regularisation=weight, temporal=temporal, iterations=300, denoising_iterations=40)
    problem = measurement.kspace, measurement.maps.astype(complex), measurement.mask, weight
    expected = sparse_numpy.tv_sense(*problem, iterations=3000, temporal=temporal)
    reached = sparse_numpy.tv_objective(image, *problem, temporal)
    assert reached <= sparse_numpy.tv_objective(expected, *problem, temporal) * (1 + 5e-4)
    assert np.linalg.norm(image - expected) < 2e-2 * np.linalg.norm(expected)
    batch = Measurement(*(None if field is None else np.stack([field, field]) for field in measurement))
    both = run("tv", batch, regularisation=weight, temporal=temporal)
    np.testing.assert_allclose(both[1], run("tv", measurement, regularisation=weight, temporal=temporal), atol=1e-4)


def test_a_temporal_weight_needs_frames():
    with pytest.raises(InputError, match="temporal weight needs a series"):
        run("tv", example(leading=()), temporal=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_the_image_scales_with_the_data_when_the_data_are_normalised(name):
    """Methods see k-space divided by its scale, so the factor leaves nothing but rounding."""
    measurement = example(leading=())
    image = run(name, measurement)
    for factor in (1e-3, 1e3):
        kspace = np.complex64(factor) * measurement.kspace
        scaled = run(name, measurement._replace(kspace=kspace / np.float32(factor)))
        np.testing.assert_allclose(factor * scaled, factor * image, rtol=1e-3, atol=1e-3 * factor)


@pytest.mark.parametrize("name", NAMES)
def test_the_objective_is_homogeneous(name):
    """λ times c is what k-space times c needs."""
    measurement = example(leading=())
    image = run(name, measurement, regularisation=0.01)
    scaled = run(name, measurement._replace(kspace=8 * measurement.kspace), regularisation=0.08)
    np.testing.assert_allclose(scaled, 8 * image, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sets", [1, 2])
def test_the_norm_of_the_maps_does_not_matter_but_for_intensity(name, sets):
    measurement = example(sets=sets)
    image = run(name, measurement, regularisation=0.02)
    scaled = run(name, measurement._replace(maps=np.complex64(4) * measurement.maps), regularisation=0.02)
    np.testing.assert_allclose(4 * scaled, image, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sets", [1, 2])
def test_leading_axes_are_items(name, sets):
    measurement = example(sets=sets, leading=(2, 3), size=(12, 15))
    measurement.kspace[0, 0] *= 50  # a neighbour of another scale must not matter
    together = run(name, measurement)
    assert together.shape == (2, 3, 12, 15) and together.dtype == np.complex64
    for index in ((0, 1), (1, 2)):
        np.testing.assert_allclose(together[index], run(name, item(measurement, *index)), atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_series_shares_maps_of_one_frame(name):
    measurement = example(leading=(3,))
    shared = measurement.maps[:1]
    image = run(name, measurement._replace(maps=shared))
    np.testing.assert_allclose(image, run(name, measurement._replace(maps=np.repeat(shared, 3, 0))), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_consistent_data_are_recovered_with_two_map_sets(name):
    size = (16, 16)
    maps, truth = unit_maps((2, 8, *size)), np.stack([blocks(size), 0.5 * blocks(size)])
    mask = np.ones((1, 1, 16), np.float32)
    kspace = sense_numpy.forward(truth, maps, mask).astype(np.complex64)
    image = run(name, Measurement(kspace, mask, maps), regularisation=1e-5, iterations=200)
    expected = np.sqrt((abs(truth) ** 2).sum(0))
    assert np.linalg.norm(abs(image) - expected) < 1e-2 * np.linalg.norm(expected)
    kept = abs(truth[0]) > 0.3
    np.testing.assert_allclose(np.angle(image[kept] / truth[0][kept]), 0, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_one_coil_needs_no_maps_and_an_empty_item_gives_zeros(name):
    measurement = example(coils=1)._replace(maps=None)
    measurement.kspace[0] = 0
    image = run(name, measurement)
    assert not image[0].any() and np.isfinite(image).all() and image[1].any()


@pytest.mark.parametrize("sets", [1, 2])
def test_the_bound_is_above_the_largest_eigenvalue_and_near_it(sets):
    maps = complex_array((3, 4, 12, 10)) if sets == 1 else complex_array((3, 2, 4, 12, 10))
    mask = np.ones((3, 1, 1, 10), np.float32)
    operator = SenseOperator(maps, mask, map_sets=sets > 1)
    like = np.zeros((3, 12, 10) if sets == 1 else (3, 2, 12, 10), np.complex64)
    largest, _ = power_iteration(operator.normal, like, iterations=200, axes=(-2, -1) if sets == 1 else (-3, -2, -1))
    bound = np.asarray(eigenvalue_bound(operator)).reshape(3)
    assert np.all(bound >= np.asarray(largest) * (1 - 1e-5)) and np.all(bound < 2 * np.asarray(largest))
    blank = SenseOperator(np.zeros_like(maps), mask, map_sets=sets > 1)
    np.testing.assert_array_equal(np.asarray(eigenvalue_bound(blank)).reshape(3), 1)


@pytest.mark.parametrize("sets", [1, 2])
def test_the_gradient_is_that_of_the_data_term(sets):
    measurement = example(sets=sets, leading=())
    problem = sense_problem(measurement)
    maps = measurement.maps if sets > 1 else measurement.maps[None]
    x = complex_array((sets, 16, 16), 7)
    moved = np.fft.ifftshift(x, axes=(-2, -1))
    slope = np.asarray(problem.gradient(moved if sets > 1 else moved[0]))
    residual = sense_numpy.forward(x, maps, measurement.mask) - measurement.kspace
    expected = np.fft.ifftshift(sense_numpy.adjoint(residual, maps, measurement.mask), axes=(-2, -1))
    np.testing.assert_allclose(slope, expected if sets > 1 else expected[0], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_options_come_from_the_command_line(name):
    method = get_method(name)
    assert name in method_names() and method.build() == {}
    options = resolve_options(method, {"regularisation": "0.01", "iterations": "7"})
    assert options.regularisation == 0.01 and options.iterations == 7


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a graph of TensorFlow's")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("xla", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_unknown_batch_sizes_in_a_graph(name, xla):
    import tensorflow as tf

    method, measurement = get_method(name), example(size=(12, 15))
    signature = [
        tf.TensorSpec([None, *field.shape[1:]], dtype)
        for field, dtype in zip(measurement[:3], (tf.complex64, tf.float32, tf.complex64), strict=True)
    ]

    @tf.function(input_signature=signature, jit_compile=xla)
    def compiled(kspace, mask, maps):
        options = method.options_type(iterations=5)
        return method.reconstruct({}, Measurement(kspace, mask, maps), None, options).image

    image = compiled(*measurement[:3]).numpy()
    np.testing.assert_allclose(image, run(name, measurement, iterations=5), atol=1e-4)
    np.testing.assert_allclose(compiled(*(field[:1] for field in measurement[:3])).numpy(), image[:1], atol=1e-5)
