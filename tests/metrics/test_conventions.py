import dataclasses
import math

import numpy as np
import pytest
from fastmri_metrics import fastmri_scores, v2_scores

from tfrecon import metrics
from tfrecon.metrics import conventions, get_convention, score_volume
from tfrecon.util.errors import InputError

RNG = np.random.default_rng(5)


def volume(slices=3, shape=(24, 31)):
    brightness = np.linspace(0.3, 1.0, slices)[:, None, None]
    reference = (RNG.random((slices, *shape)) * brightness).astype(np.float32)
    recon = (0.9 * reference + 0.05 * RNG.standard_normal(reference.shape)).astype(np.float32)
    return reference, recon


@pytest.mark.parametrize("shape", [(24, 31), (33, 40)])
def test_fastmri_equals_the_published_formulas(shape):
    reference, recon = volume(4, shape)
    expected = fastmri_scores(reference, recon)
    (scores,) = score_volume(get_convention("fastmri"), recon, reference).units
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=1e-6), name
    assert scores["nrmse"] == pytest.approx(math.sqrt(expected["nmse"]), abs=1e-6)


def test_slices_of_a_volume_are_scored_under_the_range_of_the_volume():
    reference, recon = volume()
    peak = float(reference.max())
    for n, scores in enumerate(score_volume(get_convention("fastmri"), recon, reference).slices):
        error = np.mean((reference[n].astype(float) - recon[n]) ** 2)
        assert scores["psnr"] == pytest.approx(10 * math.log10(peak**2 / error))


def test_slice_convention_scores_each_slice_as_a_volume_of_its_own():
    reference, recon = volume()
    scores = score_volume(get_convention("slice"), recon, reference)
    assert scores.units is scores.slices and len(scores.units) == 3
    for n, numbers in enumerate(scores.units):
        expected = fastmri_scores(reference[n : n + 1], recon[n : n + 1])
        for name, value in expected.items():
            assert numbers[name] == pytest.approx(value, abs=1e-6)


def test_v2_equals_its_definition():
    reference, recon = volume()
    scores = score_volume(get_convention("v2"), recon, reference).units
    for n, numbers in enumerate(scores):
        for name, value in v2_scores(reference[n], recon[n]).items():
            assert numbers[name] == pytest.approx(value, abs=1e-9)


def test_v2_floor_under_an_almost_empty_reference():
    reference = np.zeros((1, 50, 50))
    reference[0, 3, 3] = 1e-12  # after min-max its only bright pixel is tiny beside the epsilon
    recon = RNG.random((1, 50, 50))
    (scores,) = score_volume(get_convention("v2"), recon, reference).units
    assert scores["nmse"] == pytest.approx(v2_scores(reference[0], recon[0])["nmse"])
    assert scores["nmse"] == pytest.approx(np.mean(v2_image(recon[0]) ** 2) / 1e-6, rel=1e-3)


def v2_image(image):
    return (image - image.min()) / (image.max() - image.min() + 1e-8)


def test_only_v2_is_blind_to_gain_and_offset():
    reference, recon = volume()
    for name, blind in (("fastmri", False), ("slice", False), ("v2", True)):
        before = score_volume(get_convention(name), recon, reference).units[0]["psnr"]
        after = score_volume(get_convention(name), 0.7 * recon + 0.1, reference).units[0]["psnr"]
        assert (abs(before - after) < 1e-4) is blind


@pytest.mark.parametrize("name", metrics.convention_names())
def test_an_all_zero_reference_has_no_score(name):
    convention = get_convention(name)
    scores = score_volume(convention, RNG.random((2, 9, 9)), np.zeros((2, 9, 9)))
    assert all(math.isnan(value) for unit in (*scores.units, *scores.slices) for value in unit.values())


def test_an_empty_slice_in_a_volume_keeps_the_volume_scored():
    reference, recon = volume()
    reference[1] = 0
    whole = score_volume(get_convention("fastmri"), recon, reference)
    assert whole.units[0]["psnr"] == pytest.approx(fastmri_scores(reference, recon)["psnr"])
    assert math.isnan(whole.slices[1]["nmse"]) and math.isfinite(whole.slices[1]["psnr"])
    assert math.isnan(score_volume(get_convention("slice"), recon, reference).units[1]["psnr"])


def test_complex_volumes_use_the_peak_of_the_magnitude():
    reference, recon = volume()
    turned = reference * np.exp(1j)
    (scores,) = score_volume(get_convention("fastmri"), recon * np.exp(1j), turned).units
    (plain,) = score_volume(get_convention("fastmri"), recon, reference).units
    assert scores["psnr"] == pytest.approx(plain["psnr"], abs=1e-5)
    assert scores["nmse"] == pytest.approx(plain["nmse"], abs=1e-7)


def test_unknown_convention_names_the_known_ones():
    with pytest.raises(InputError, match="no convention 'psnr1'; choose one of fastmri, slice, v2"):
        get_convention("psnr1")


def test_a_convention_is_added_by_one_call_and_never_replaced(monkeypatch):
    monkeypatch.setattr(conventions, "_REGISTRY", dict(conventions._REGISTRY))
    own = dataclasses.replace(
        get_convention("slice"), name="unit_range", data_range="1", prepare=lambda x, r: metrics.Pair(x, r, 1.0)
    )
    metrics.register_convention(own)
    assert metrics.convention_names()[-1] == "unit_range"
    reference, recon = volume(1)
    (scores,) = score_volume(get_convention("unit_range"), recon, reference).units
    assert scores["psnr"] == pytest.approx(-10 * math.log10(np.mean((reference.astype(float) - recon) ** 2)))
    assert own.describe()["data_range"] == "1"
    with pytest.raises(ValueError, match="already"):
        metrics.register_convention(own)
