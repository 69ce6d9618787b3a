import coil_numpy
import numpy as np
import pytest
from autodiff import gradients
from coil_numpy import similarity

from tfrecon.physics import coils
from tfrecon.physics.masks import acs_size
from tfrecon.physics.operators import SenseOperator
from tfrecon.util.complex import make_complex
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def line_mask(width, acs, spacing=3):
    mask = np.zeros((1, 1, width), np.uint8)
    mask[..., ::spacing] = 1
    mask[..., width // 2 - acs // 2 : width // 2 - acs // 2 + acs] = 1
    return mask


def test_rss_is_the_norm_over_coils_with_a_finite_gradient_at_zero():
    x = complex_array((2, 3, 5, 4))
    np.testing.assert_allclose(coils.rss(x), np.linalg.norm(x, axis=1), rtol=1e-6)
    real = np.zeros((3, 2, 2), np.float32)
    real[:, 0, 0] = [3, 0, 4]
    (gradient,) = gradients(
        lambda a: sum(coils.rss(make_complex(a, 0 * a))[i, j] for i in (0, 1) for j in (0, 1)), real
    )
    np.testing.assert_allclose(gradient[:, 0, 0], [0.6, 0, 0.8], atol=1e-6)
    assert not gradient[:, 1].any()


def test_adaptive_combination_inverts_the_maps_whatever_their_norm():
    maps, image = complex_array((4, 6, 7)), complex_array((2, 6, 7), 1)
    maps[:, 0, 0] = 0
    combined = np.asarray(coils.adaptive_combine(maps * image[:, None], maps))
    np.testing.assert_allclose(combined[:, 1:], image[:, 1:], atol=1e-5)
    assert not combined[:, 0, 0].any()


@pytest.mark.parametrize("shape", [(24, 30), (25, 31)])
def test_the_calibration_region_is_the_fully_sampled_centre_of_what_was_measured(shape):
    kspace = complex_array((2, 3, *shape))
    mask = line_mask(shape[1], 8)
    region = coils.calibration_region(kspace, mask)
    assert region.shape == (2, 3, shape[0], 8) or region.shape == (2, 3, shape[0], 9)
    np.testing.assert_array_equal(coils.calibration_region(kspace, mask, 6), coil_numpy.centre(kspace, (6, 6)))
    np.testing.assert_array_equal(coils.calibration_region(kspace, mask, (10, 4)), coil_numpy.centre(kspace, (10, 4)))
    plane = np.zeros((1, *shape), np.uint8)
    plane[0, shape[0] // 2 - 3 : shape[0] // 2 + 4, shape[1] // 2 - 5 : shape[1] // 2 + 6] = 1
    assert coils.calibration_region(kspace, plane).shape == (2, 3, 7, 11)


def test_calibration_that_cannot_be_is_an_input_error():
    kspace = complex_array((3, 16, 20))
    mask = line_mask(20, 4)
    mask[..., 10] = 0
    with pytest.raises(InputError, match=r"slice 7: .*not sampled.*--maps=FILE"):
        coils.calibration_region(kspace, mask, where="slice 7")
    with pytest.raises(InputError, match="not positive"):
        coils.calibration_region(kspace, line_mask(20, 4), 0)
    with pytest.raises(InputError, match="swapped"):
        coils.calibration_region(kspace, np.ones((1, 20, 16)))


@pytest.mark.parametrize("method", ["espirit", "walsh"])
def test_maps_depend_on_the_calibration_region_alone(method):
    kspace, truth, inside = coil_numpy.scene(4, (32, 37))
    mask = line_mask(37, 16)
    maps = coils.estimate_maps(kspace * mask, mask, method)
    assert maps.shape == (4, 32, 37) and maps.dtype == np.complex64
    rows, columns = 24, acs_size(mask, (32, 37))[1]
    spoiled = np.full_like(kspace, 1e3)
    spoiled[:, 4 : 4 + rows, 18 - columns // 2 : 18 - columns // 2 + columns] = coil_numpy.centre(
        kspace, (rows, columns)
    )
    np.testing.assert_array_equal(coils.estimate_maps(spoiled, mask, method), maps)
    assert similarity(maps, truth)[inside].mean() > (0.999 if method == "espirit" else 0.99)


def test_a_series_is_calibrated_from_its_time_average():
    kspace, truth, inside = coil_numpy.scene(4, (30, 32), noise=0)
    mask = np.zeros((3, 1, 1, 32), np.uint8)
    for frame in range(3):
        mask[frame, ..., frame::3] = 1
    frames = np.stack([kspace * (1 + 0.1 * (frame - 1)) for frame in range(3)]) * mask
    average, union = coils.time_average(frames, mask)
    assert average.shape == (4, 30, 32) and union.all() and union.shape == (1, 1, 32)
    np.testing.assert_allclose(average[..., 1::3], kspace[..., 1::3], rtol=1e-5)
    for sets in (1, 2):
        maps = coils.estimate_maps(frames, mask, map_sets=sets)
        assert maps.shape == ((1, 4, 30, 32) if sets == 1 else (1, 2, 4, 30, 32))
    assert similarity(coils.estimate_maps(frames, mask)[0], truth)[inside].mean() > 0.99
    fixed = mask[:1].repeat(3, 0) * 0 + line_mask(32, 16)
    still = coils.time_average(np.stack([kspace, 3 * kspace]) * fixed[:2], fixed[:1])[0]
    np.testing.assert_allclose(still, 2 * kspace * fixed[0], rtol=1e-5)


def test_wrong_requests_for_maps_are_input_errors():
    kspace, mask = complex_array((3, 20, 24)), line_mask(24, 8)
    for arguments, words in [
        ({"method": "sake"}, "espirit, walsh"),
        ({"method": "walsh", "map_sets": 2}, "one set"),
        ({"method": "espirit"}, r"8×16|20×8.*--maps=walsh"),
        ({"method": "walsh", "kernel": 3}, "does not know"),
        ({"method": "walsh", "window": 0}, "window"),
    ]:
        with pytest.raises(InputError, match=words) as caught:
            coils.estimate_maps(kspace, mask, where="file 3", **arguments)
        assert str(caught.value).startswith("file 3: ")
    with pytest.raises(InputError, match="zero everywhere"):
        coils.estimate_maps(0 * kspace, mask, "walsh")
    with pytest.raises(InputError, match=r"\[C, H, W\]"):
        coils.estimate_maps(kspace[0], mask)


@pytest.mark.parametrize("n", [3, 6])
def test_compression_keeps_the_stated_energy_in_orthonormal_virtual_coils(n):
    kspace = complex_array((2, 6, 9, 8)) * np.geomspace(1, 0.01, 6)[:, None, None].astype(np.float32)
    compressed = coils.compress_coils(kspace, n)
    assert compressed.kspace.shape == (2, n, 9, 8) and compressed.matrix.shape == (n, 6)
    np.testing.assert_allclose(compressed.matrix @ compressed.matrix.conj().T, np.eye(n), atol=1e-6)
    kept = np.sum(np.abs(compressed.kspace) ** 2) / np.sum(np.abs(kspace) ** 2)
    assert kept == pytest.approx(compressed.energy, rel=1e-5)
    singular = np.linalg.svd(np.moveaxis(kspace, 1, 0).reshape(6, -1), compute_uv=False) ** 2
    assert compressed.energy == pytest.approx(singular[:n].sum() / singular.sum(), rel=1e-5)


def test_compression_loses_nothing_where_coils_are_dependent_and_commutes_with_sense():
    maps, image = complex_array((3, 10, 12)), complex_array((10, 12), 1)
    mixing = complex_array((8, 3), 2)
    many = np.asarray(coils.apply_coil_matrix(maps, mixing))
    mask = line_mask(12, 4).astype(np.float32)
    kspace = np.asarray(SenseOperator(many, mask).forward(image))
    compressed = coils.compress_coils(kspace, 3)
    assert compressed.energy == pytest.approx(1, abs=1e-6)
    virtual = coils.apply_coil_matrix(many, compressed.matrix)
    np.testing.assert_allclose(SenseOperator(virtual, mask).forward(image), compressed.kspace, atol=1e-4)
    np.testing.assert_allclose(
        SenseOperator(virtual, mask).normal(image), SenseOperator(many, mask).normal(image), rtol=1e-3, atol=1e-3
    )


def test_compression_refuses_what_it_cannot_do():
    for n in (0, 4):
        with pytest.raises(InputError, match="1 to 3"):
            coils.compress_coils(complex_array((3, 4, 4)), n)
    with pytest.raises(InputError, match="zero everywhere"):
        coils.compress_coils(np.zeros((3, 4, 4), np.complex64), 2)


def test_prewhitened_noise_has_unit_variance_and_no_correlation():
    mixing = complex_array((4, 4)) * np.array([1, 10, 0.1, 3], np.float32)[:, None]
    noise = np.einsum("cd,dn->cn", mixing, complex_array((4, 20000), 1) * np.float32(np.sqrt(0.5)))
    covariance = coils.noise_covariance(noise + 7)
    true = mixing @ mixing.conj().T
    assert np.linalg.norm(covariance - true) < 0.05 * np.linalg.norm(true)
    matrix = coils.prewhitening_matrix(covariance)
    np.testing.assert_allclose(matrix @ covariance @ matrix.conj().T, np.eye(4), atol=1e-4)
    white = np.asarray(coils.apply_coil_matrix(noise[..., None], matrix))[..., 0]
    np.testing.assert_allclose(coils.noise_covariance(white), np.eye(4), atol=1e-3)
    assert np.allclose(np.triu(matrix, 1), 0)


def test_prewhitening_k_space_and_maps_alike_keeps_the_signal_model():
    maps, image = complex_array((4, 10, 12)), complex_array((10, 12), 1)
    matrix = coils.prewhitening_matrix(np.cov(complex_array((4, 50), 2)))
    whitened = coils.apply_coil_matrix(SenseOperator(maps).forward(image), matrix)
    again = SenseOperator(coils.apply_coil_matrix(maps, matrix)).forward(image)
    np.testing.assert_allclose(whitened, again, atol=1e-4)


def test_a_covariance_that_cannot_be_whitened_is_an_input_error():
    with pytest.raises(InputError, match="3 noise samples for 4 coils"):
        coils.noise_covariance(complex_array((4, 3)))
    with pytest.raises(InputError, match="positive definite"):
        coils.prewhitening_matrix(np.diag([1.0, 0.0]))
