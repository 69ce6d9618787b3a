"""Measured brains, where they are at hand: pictures must improve on zero-filling, and predict what was not used.

The data are not part of the repository; without them these tests are skipped.
"""

import pathlib

import numpy as np
import pytest

from tfrecon.data.sources import open_source
from tfrecon.data.transforms import Undersampling, retrospective_mask, to_measurement, undersample, with_maps
from tfrecon.metrics import get_convention, score_volume
from tfrecon.physics.masks import from_array
from tfrecon.physics.operators import measurement_operator
from tfrecon.serve.reconstruct import Reconstructor
from tfrecon.util.rng import numpy_generator

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"
SLICE, POISSON = DATA / "brain_7coil_slice.npz", DATA / "brain_8coil_poisson_ksp.npy"


def nmse_of_samples(record, image, samples):
    """Error of the k-space that an image predicts, on `samples` of a record, over the energy there."""
    measurement = to_measurement(record)._replace(mask=samples.astype(np.float32))
    predicted = np.asarray(measurement_operator(measurement).forward(image))
    measured = record.kspace * samples
    return float(np.sum(np.abs(predicted - measured) ** 2) / np.sum(np.abs(measured) ** 2))


@pytest.mark.skipif(not SLICE.is_file(), reason="measured data are not at hand")
def test_fourfold_lines_on_a_measured_slice():
    full = next(iter(open_source(SLICE, npy_kind="coil_images", axes="HWC")))
    mask = retrospective_mask(Undersampling("equispaced", 4.0, acs_lines=24), 0, full.record_id, full.kspace.shape)
    assert mask.acceleration == pytest.approx(4, abs=0.05) and mask.acs[1] == 24
    record = with_maps(undersample(full, mask), "espirit")
    assert not np.any(record.kspace * (1 - record.mask))
    reference = np.sqrt(np.sum(np.abs(full_coil_images(full)) ** 2, axis=0))[None]
    scores = {}
    for method in ("zero_filled", "cg_sense", "l1_wavelet", "tv"):
        image = np.abs(np.asarray(Reconstructor(method)(to_measurement(record)).image))[None]
        scores[method] = score_volume(get_convention("fastmri"), image, reference).units[0]["psnr"]
    assert scores["cg_sense"] > scores["zero_filled"] + 3
    assert min(scores["l1_wavelet"], scores["tv"]) > scores["cg_sense"] + 1.5


def full_coil_images(record):
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(record.kspace, axes=axes), norm="ortho"), axes=axes)


@pytest.mark.skipif(not POISSON.is_file(), reason="measured data are not at hand")
def test_held_out_samples_of_a_prospective_scan_are_predicted():
    record = next(iter(open_source(POISSON, mask="nonzero")))
    sampled = np.broadcast_to(record.mask, (1, *record.kspace.shape[-2:])) > 0
    held_out = sampled & (numpy_generator(0, "held out").random(sampled.shape) < 0.1)
    rows, columns = (slice(n // 2 - 12, n // 2 + 12) for n in sampled.shape[-2:])
    held_out[:, rows, columns] = False
    given = undersample(record, from_array(sampled & ~held_out, record.kspace.shape[-2:]))
    assert held_out.sum() > 300 and not np.any(given.kspace[:, held_out[0]])
    given = with_maps(given, "espirit")
    record.maps = given.maps
    errors = {
        method: nmse_of_samples(record, Reconstructor(method)(to_measurement(given)).image, held_out)
        for method in ("zero_filled", "cg_sense", "l1_wavelet", "tv")
    }
    # A zero-filled image holds little of what it was not given, so its prediction is hardly better than nothing.
    assert errors["zero_filled"] > 0.5
    assert max(errors[method] for method in ("cg_sense", "l1_wavelet", "tv")) < 0.5 * errors["zero_filled"]
