import numpy as np
import pytest

import tfrecon
from tfrecon.data.synthetic import birdcage_maps, deform_cine, ellipse_phantom, simulate_acquisition
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError

SHAPE = (40, 44)


def line_mask(width=SHAPE[1], acs=20):
    mask = np.zeros(width, np.uint8)
    mask[::3] = 1
    mask[width // 2 - acs // 2 : width // 2 + acs // 2] = 1
    return mask


@pytest.fixture(scope="module")
def record():
    return simulate_acquisition(
        ellipse_phantom(SHAPE, seed=1), record_id="a/0", volume_id="a", coils=4, noise=0.002, store_maps=True
    )


def error_of(image, truth):
    image, truth = np.abs(image), np.abs(truth)
    return np.linalg.norm(image - truth) / np.linalg.norm(truth)


def test_image_in_the_units_of_the_measurement(record):
    image = tfrecon.reconstruct(record.kspace, line_mask(), record.maps)
    assert image.dtype == np.complex64 and image.shape == SHAPE
    zero_filled = tfrecon.reconstruct(record.kspace, line_mask(), record.maps, "zero_filled")
    assert error_of(image, record.reference) < 0.05 < error_of(zero_filled, record.reference)


def test_full_sampling_gives_the_image_back(record):
    image = tfrecon.reconstruct(record.kspace, None, record.maps, regularisation=0.0)
    assert np.linalg.norm(image - record.reference) < 0.02 * np.linalg.norm(record.reference)


@pytest.mark.parametrize("maps", ["given", "espirit", "walsh"])
@pytest.mark.parametrize("factor", [2.0**-20, 3e4, 0.7 - 2j])
def test_scales_as_the_measurement_does(record, maps, factor):
    # Where coils see nothing but noise, Walsh's eigenvectors turn rounding into much larger differences.
    tolerance = 1e-3 if maps == "walsh" and factor != 2.0**-20 else 1e-5
    maps = record.maps if maps == "given" else maps
    first = tfrecon.reconstruct(record.kspace, line_mask(), maps)
    second = tfrecon.reconstruct(np.complex64(factor) * record.kspace, line_mask(), maps)
    if isinstance(maps, str) and isinstance(factor, complex):
        first, second, factor = np.abs(first), np.abs(second), abs(factor)  # estimated maps have a phase of their own
    assert np.linalg.norm(second - factor * first) < tolerance * np.linalg.norm(factor * first)


def test_estimated_maps_serve_as_well_as_true_ones(record):
    estimated = tfrecon.reconstruct(record.kspace, line_mask())
    np.testing.assert_array_equal(estimated, tfrecon.reconstruct(record.kspace, line_mask(), "espirit"))
    assert error_of(estimated, record.reference) < 0.07


def test_batch_equals_one_by_one(record):
    other = simulate_acquisition(
        ellipse_phantom(SHAPE, seed=2), record_id="b/0", volume_id="b", coils=4, noise=0.01, store_maps=True
    )
    kspace = np.stack([record.kspace, 100 * other.kspace])
    mask = np.stack([line_mask(acs=20), line_mask(acs=24)])[:, None, None]
    maps = np.stack([record.maps, other.maps])
    for given in (maps, "walsh"):
        batch = tfrecon.reconstruct(kspace, mask, given)
        for k in range(2):
            alone = tfrecon.reconstruct(kspace[k], mask[k], given if isinstance(given, str) else maps[k])
            np.testing.assert_allclose(batch[k], alone, atol=2e-4 * np.abs(alone).max())


def test_one_coil_needs_no_maps():
    record = simulate_acquisition(ellipse_phantom(SHAPE), record_id="a", volume_id="a", coils=1, noise=0)
    image = tfrecon.reconstruct(record.kspace[0], method="zero_filled")
    np.testing.assert_allclose(image, record.reference, atol=1e-5)


def test_series_has_one_scale_and_one_set_of_maps():
    frames = deform_cine(ellipse_phantom(SHAPE, seed=1), 3)
    record = simulate_acquisition(frames, record_id="c", volume_id="c", coils=4, noise=0.002)
    image = tfrecon.reconstruct(record.kspace, line_mask(), series=True)
    assert image.shape == (3, *SHAPE)
    assert error_of(image, record.reference) < 0.07
    # Frames share the maps of their mean, so phase is consistent over time.
    scaled = tfrecon.reconstruct(5 * record.kspace, line_mask(), series=True)
    assert np.linalg.norm(scaled - 5 * image) < 1e-5 * np.linalg.norm(scaled)


def test_soft_sense_maps_give_one_image(record):
    maps = np.stack([record.maps, np.zeros_like(record.maps)])
    two_sets = tfrecon.reconstruct(record.kspace, line_mask(), maps)
    one_set = tfrecon.reconstruct(record.kspace, line_mask(), record.maps)
    np.testing.assert_allclose(np.abs(two_sets), np.abs(one_set), atol=1e-4 * np.abs(one_set).max())


def test_same_call_gives_the_same_bits(record):
    first, second = (tfrecon.reconstruct(record.kspace, line_mask()) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_repeated_rows_of_a_mask_are_seen_as_lines(record):
    plane = np.tile(line_mask(), (SHAPE[0], 1))
    np.testing.assert_array_equal(
        tfrecon.reconstruct(record.kspace, plane, record.maps),
        tfrecon.reconstruct(record.kspace, line_mask(), record.maps),
    )


def test_reconstructor_takes_options_as_words(record):
    one_step = Reconstructor("cg_sense", {"iterations": "1"})
    assert one_step.options.iterations == 1
    measurement = Measurement(record.kspace, line_mask().astype(np.float32)[None, None], record.maps)
    assert error_of(one_step(measurement).image, record.reference) > error_of(
        Reconstructor("cg_sense")(measurement).image, record.reference
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "cg_sens"}, "cg_sense"),
        ({"iteration": 3}, "iterations"),
        ({"iterations": "many"}, "int"),
        ({"maps": "bart"}, "espirit"),
    ],
)
def test_unknown_names_are_explained(record, options, said):
    with pytest.raises(InputError, match=said):
        tfrecon.reconstruct(record.kspace, line_mask(), **options)


def test_too_few_calibration_lines_offer_walsh(record):
    with pytest.raises(InputError, match="walsh"):
        tfrecon.reconstruct(record.kspace, line_mask(acs=4))


def test_birdcage_maps_of_another_norm_do_not_change_the_image(record):
    maps = 7 * birdcage_maps(4, SHAPE, normalise=False)
    image = tfrecon.reconstruct(tfrecon_kspace(record.reference, maps), line_mask(), maps)
    assert error_of(image, record.reference) < 0.05


def tfrecon_kspace(image, maps):
    axes = (-2, -1)
    shifted = np.fft.ifftshift(maps * image, axes=axes)
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=axes).astype(np.complex64)
