import json

import numpy as np
import pytest

from tfrecon.data import synthetic
from tfrecon.physics.scale import measurement_scale
from tfrecon.records import validate_record
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

NAMES = {"record_id": "subject/003", "volume_id": "subject"}


def numpy_ifft2c(kspace):
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes), norm="ortho"), axes)


@pytest.mark.parametrize("shape", [(32, 32), (33, 40), (3, 17, 24)])
@pytest.mark.parametrize("coils", [1, 5])
def test_noise_free_acquisition_is_fft_of_maps_times_image(shape, coils):
    rng = np.random.default_rng(0)
    image = rng.random(shape, np.float32)
    record = synthetic.simulate_acquisition(image, **NAMES, coils=coils, noise=0.0, store_maps=True)
    assert record.kspace.shape == (*shape[:-2], coils, *shape[-2:])
    assert record.kspace.dtype == record.reference.dtype == np.complex64
    np.testing.assert_allclose(numpy_ifft2c(record.kspace), record.maps * record.reference[..., None, :, :], atol=1e-5)
    np.testing.assert_allclose(np.abs(record.reference), image, atol=1e-6)
    # SENSE combination with the maps of unit norm gives the reference in its own units.
    combined = np.sum(record.maps.conj() * numpy_ifft2c(record.kspace), axis=-3)
    np.testing.assert_allclose(combined, record.reference, atol=1e-5)
    assert record.is_series == (len(shape) == 3)
    assert record.mask.all() and record.mask.ndim == record.kspace.ndim and record.mask.shape[-2] == 1


def test_noise_has_the_level_promised_and_recorded():
    image = 70 * synthetic.ellipse_phantom((96, 80), 1)
    clean = synthetic.simulate_acquisition(image, **NAMES, noise=0.0)
    noisy = synthetic.simulate_acquisition(image, **NAMES, noise=0.05)
    difference = noisy.kspace - clean.kspace
    measured = np.sqrt(np.mean(np.abs(difference) ** 2))
    assert noisy.noise_std == pytest.approx(0.05 * np.quantile(image, 0.99), rel=1e-5)
    assert measured == pytest.approx(noisy.noise_std, rel=0.02)
    np.testing.assert_array_equal(noisy.reference, clean.reference)
    assert clean.noise_std == 0


def test_correlated_noise_is_correlated():
    image = synthetic.ellipse_phantom((64, 64), 1)
    clean = synthetic.simulate_acquisition(image, **NAMES, coils=4, noise=0.0)
    noisy = synthetic.simulate_acquisition(image, **NAMES, coils=4, noise=0.1, noise_correlation=0.6)
    samples = (noisy.kspace - clean.kspace).reshape(4, -1)
    coefficients = np.abs(np.corrcoef(samples)) - np.eye(4)
    assert coefficients.max() == pytest.approx(0.6, abs=0.05)
    assert np.sqrt(np.mean(np.abs(samples) ** 2)) == pytest.approx(noisy.noise_std, rel=0.03)


def test_record_is_a_function_of_seed_and_record_id():
    image = synthetic.ellipse_phantom((24, 20), 1)

    def make(record_id="a", seed=0, slice_index=0):
        return synthetic.simulate_acquisition(
            image, record_id=record_id, volume_id="v", seed=seed, slice_index=slice_index
        )

    np.testing.assert_array_equal(make().kspace, make(slice_index=4).kspace)
    for other in (make(record_id="b"), make(seed=1)):
        assert np.abs(other.kspace - make().kspace).max() > 0.1
        assert np.abs(np.angle(other.reference * make().reference.conj())).max() > 1e-3


def test_scale_attrs_and_validity():
    image = synthetic.ellipse_phantom((24, 21), 1)
    record = synthetic.simulate_acquisition(image, **NAMES, attrs={"voxel_size": [1, 1, 5]}, coil_kind="birdcage")
    assert record.scale == pytest.approx(float(measurement_scale(record.kspace, record.mask)))
    assert record.maps is None and "maps" not in record.attrs
    assert record.attrs["voxel_size"] == [1, 1, 5]
    assert record.attrs["reference_type"] == "simulated complex image"
    facts = record.attrs["simulated"]
    assert facts["coils"] == {"kind": "birdcage", "count": 8} and facts["phase"] == "smooth random"
    assert facts["noise"]["std"] == record.noise_std
    assert json.loads(json.dumps(record.attrs)) == record.attrs
    validate_record(record)


def test_series_shares_phase_and_scale_over_time():
    series = synthetic.beating_heart((24, 20), 3)
    record = synthetic.simulate_acquisition(series, **NAMES, coils=4, store_maps=True)
    assert record.maps.shape == (1, 4, 24, 20) and np.isscalar(record.scale)
    bright = series.min(axis=0) > 0.1
    phases = np.exp(1j * np.angle(record.reference[:, bright]))
    np.testing.assert_allclose(phases, np.broadcast_to(phases[:1], phases.shape), atol=1e-4)


def test_complex_image_keeps_its_phase_and_real_may_stay_real():
    rng = np.random.default_rng(0)
    image = rng.standard_normal((16, 16)) + 1j * rng.standard_normal((16, 16))
    record = synthetic.simulate_acquisition(image, **NAMES)
    np.testing.assert_array_equal(record.reference, image.astype(np.complex64))
    assert record.attrs["simulated"]["phase"] == "of the image"
    real = synthetic.simulate_acquisition(np.ones((16, 16), np.uint8), **NAMES, phase=False)
    np.testing.assert_array_equal(real.reference, np.ones((16, 16), np.complex64))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((8, 8)), {}, "zero everywhere"),
        (np.full((8, 8), np.nan), {}, "not all finite"),
        (np.ones(8), {}, "cannot be measured"),
        (np.ones((0, 8)), {}, "cannot be measured"),
        (np.full((8, 8), "a"), {}, "not all finite"),
        (np.ones((8, 8)), {"noise": -1.0}, "not a level"),
        (np.ones((8, 8)), {"noise": float("nan")}, "not a level"),
        (np.ones((8, 8)), {"coils": 0}, "at least one"),
        (np.ones((8, 8)), {"coil_kind": "ring"}, "no coils 'ring'"),
    ],
)
def test_bad_input_is_one_clear_line(image, options, message):
    with pytest.raises(InputError, match=message) as caught:
        synthetic.simulate_acquisition(image, **NAMES, **options)
    assert "\n" not in str(caught.value)


def test_sparse_image_with_a_zero_quantile_still_gets_noise():
    image = np.zeros((32, 32))
    image[16, 16] = 5.0
    assert synthetic.simulate_acquisition(image, **NAMES, noise=0.1).noise_std == pytest.approx(0.5)
