"""Maps of several samples: units, quantiles, scale, and where in k-space samples differ."""

import json

import numpy as np
import pytest
import sense_numpy
from ssdiffrecon_cases import make_batch

from tfrecon.serve import interval_scale
from tfrecon.serve.interval_scale import IntervalScale
from tfrecon.serve.intervals import Intervals, dispersions, parse_quantiles
from tfrecon.serve.kinds import is_uncertainty, quantile_name, quantile_of
from tfrecon.typing import Measurement, Reconstruction
from tfrecon.util.errors import InputError

RANDOM = np.random.default_rng(0)


def complex_normal(*shape):
    return (RANDOM.normal(size=(*shape, 2)) @ np.array([1, 1j])).astype("complex64")


def measurement_of(coils=1, shape=(12, 15), count=2):
    batch = make_batch(count, coils, shape)
    return Measurement(batch["kspace"], batch["mask"], batch["maps"])


def result_of(samples):
    mean = samples.mean(0)
    return Reconstruction(mean, np.sqrt((abs(samples - mean) ** 2).mean(0)).astype("float32"), samples)


def test_maps_are_those_of_magnitudes():
    samples, measurement = 5 + complex_normal(24, 2, 12, 15), measurement_of()
    maps = Intervals((0.1, 0.5)).maps(result_of(samples), measurement)
    assert list(maps) == ["std", "quantile_10", "quantile_50", "msd", "usd"]
    assert all(array.dtype == np.float32 and array.shape == (2, 12, 15) for array in maps.values())
    np.testing.assert_allclose(maps["std"], abs(samples).std(0, ddof=1), rtol=1e-5)
    below = abs(samples) < maps["quantile_10"]
    assert set(np.unique(below.sum(0))) <= {2, 3}  # position 0.1 · 25 = 2.5
    np.testing.assert_allclose(maps["quantile_50"], np.median(abs(samples), axis=0), rtol=1e-5)


def test_a_further_sample_is_below_a_quantile_as_often_as_said():
    samples, more = (abs(complex_normal(19, 1, 200, 200)) for _ in range(2))
    measurement = measurement_of(shape=(200, 200), count=1)
    maps = Intervals().maps(result_of(samples.astype("complex64")), measurement)
    for p in (0.05, 0.95):
        assert np.mean(more < maps[quantile_name(p)]) == pytest.approx(p, abs=0.003)


def test_a_scale_widens_intervals_about_the_image():
    samples, measurement = 9 + complex_normal(6, 2, 12, 15), measurement_of()
    result = result_of(samples)
    plain, wide = (Intervals(scale=IntervalScale(factor)).maps(result, measurement) for factor in (1.0, 1.5))
    np.testing.assert_allclose(wide["std"], 1.5 * plain["std"], rtol=1e-6)
    for name in ("quantile_05", "quantile_95"):
        image = abs(result.image)
        np.testing.assert_allclose(wide[name] - image, 1.5 * (plain[name] - image), atol=1e-5)
    np.testing.assert_array_equal(wide["usd"], plain["usd"])
    far = Intervals(scale=IntervalScale(100.0)).maps(result, measurement)
    assert far["quantile_05"].min() == 0


def test_methods_without_samples():
    measurement, image = measurement_of(), complex_normal(2, 12, 15)
    assert Intervals().maps(Reconstruction(image), measurement) == {}
    std = np.ones((2, 12, 15), "float32")
    np.testing.assert_array_equal(
        Intervals(scale=IntervalScale(3.0)).maps(Reconstruction(image, std), measurement)["std"], 3 * std
    )
    with pytest.raises(InputError, match="no standard deviation to scale"):
        Intervals(scale=IntervalScale(3.0)).maps(Reconstruction(image), measurement)


def test_dispersions_of_one_coil_are_those_of_measured_and_other_samples():
    samples, measurement = complex_normal(5, 2, 12, 15), measurement_of()
    msd, usd = dispersions(samples, measurement)
    kspace = sense_numpy.fft2c(samples - samples.mean(0))
    mask = measurement.mask[:, 0]
    for found, part in ((msd, mask), (usd, 1 - mask)):
        expected = (abs(part * kspace) ** 2).sum((0, 2, 3)) / 4
        np.testing.assert_allclose((found**2).sum((1, 2)), expected, rtol=1e-4)


def test_samples_that_agree_with_the_data_have_no_msd():
    measurement = measurement_of()
    mask = measurement.mask[:, 0]
    samples = sense_numpy.ifft2c((1 - mask) * complex_normal(4, 2, 12, 15)).astype("complex64")
    msd, usd = dispersions(samples, measurement)
    assert msd.max() < 1e-5 < 0.1 < usd.max()
    everything = measurement._replace(mask=np.ones_like(measurement.mask))
    msd, usd = dispersions(samples, everything)
    assert usd.max() < 1e-5 < 0.1 < msd.max()


def test_dispersions_of_a_series_with_one_set_of_maps():
    batch = make_batch(1, 3, (10, 11))
    kspace = np.repeat(batch["kspace"], 4, 0)
    masks = (RANDOM.random((4, 1, 1, 11)) < 0.5).astype("float32")
    series = Measurement(kspace, masks, batch["maps"])
    samples = complex_normal(3, 4, 10, 11)
    msd, usd = dispersions(samples, series)
    assert msd.shape == usd.shape == (4, 10, 11)
    alone = dispersions(samples[:, 2:3], Measurement(kspace[2:3], masks[2:3], batch["maps"]))
    np.testing.assert_allclose(msd[2], alone[0][0], atol=1e-5)
    np.testing.assert_allclose(usd[2], alone[1][0], atol=1e-5)


def test_names_of_quantiles():
    for p, name in ((0.05, "quantile_05"), (0.025, "quantile_02.5"), (0.5, "quantile_50"), (0.975, "quantile_97.5")):
        assert quantile_name(p) == name and quantile_of(name) == pytest.approx(p)
    assert quantile_of("std") is None and quantile_of("quantile_high") is None
    assert is_uncertainty("msd") and is_uncertainty("quantile_05") and not is_uncertainty("reference")


def test_a_scale_is_a_number_or_a_file(tmp_path):
    assert IntervalScale.parse("1.25") == IntervalScale(1.25)
    fitted = IntervalScale(0.8, {"method": "score", "options": {"nfe": 5}, "model": "abc", "records": ["a/0"]})
    fitted.write(tmp_path / "scale.json")
    assert IntervalScale.parse(str(tmp_path / "scale.json")) == fitted
    same = {"method": "score", "options": {"nfe": 5}, "model": {"folder": "x", "sha256": "abc"}}
    assert fitted.differences(same) == []
    assert fitted.differences({**same, "options": {"nfe": 9}, "model": None}) == ["options", "model"]
    assert IntervalScale(2.0).differences(same) == []


def test_the_scale_of_a_model_is_in_its_folder(tmp_path):
    assert IntervalScale.of_model(tmp_path) == IntervalScale()
    fitted = IntervalScale(1.5, {"method": "score", "records": ["a/0"]})
    fitted.write(tmp_path / interval_scale.FILE)
    assert IntervalScale.of_model(tmp_path) == IntervalScale.parse(str(tmp_path)) == fitted
    (tmp_path / interval_scale.FILE).write_text("[]")
    with pytest.raises(InputError, match=r"interval_scale\.json: is no interval scale"):
        IntervalScale.of_model(tmp_path)


def test_without_quantiles_there_are_none():
    maps = Intervals(()).maps(result_of(complex_normal(4, 2, 12, 15)), measurement_of())
    assert list(maps) == ["std", "msd", "usd"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0", "interval scale of 0"),
        ("-1", "interval scale of -1"),
        ("inf", "interval scale of inf"),
        ("nan", "interval scale of nan"),
        ("missing.json", "no such file"),
        ("{folder}", "interval_scale.json: no such file"),
        ("{folder}/other.json", "no interval scale"),
        ("{folder}/broken.json", "not valid JSON"),
    ],
)
def test_what_is_no_scale(tmp_path, given, said):
    (tmp_path / "other.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=said):
        IntervalScale.parse(given.format(folder=tmp_path))


@pytest.mark.parametrize("words", [["0"], ["1.0"], ["0.5", "0.5"], ["half"], ["nan"]])
def test_what_are_no_quantiles(words):
    with pytest.raises(InputError, match="quantiles"):
        Intervals(parse_quantiles(words))
