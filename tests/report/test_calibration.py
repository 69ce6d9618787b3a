"""Folders of images whose deviation is known, more or less: coverage, fit, pictures."""

import json
import re

import numpy as np
import pytest
from image_folders import SHAPE, make_folder, truth
from PIL import Image

from tfrecon.cli.main import EXIT_BAD_INPUT, run_verb
from tfrecon.metrics.calibration import object_mask
from tfrecon.report.calibration import calibrate, fit_together, written_scale
from tfrecon.report.html import write_report
from tfrecon.report.images import open_images
from tfrecon.report.uncertainty import collect_uncertainty, uncertainty_figure
from tfrecon.serve.interval_scale import IntervalScale
from tfrecon.util.errors import InputError

STD = 0.03


def sure_images(too_sure=2.0, slices=4, seed=0, extra=()):
    """Images with an error `too_sure` times the deviation that they state, inside and outside of the object."""
    random = np.random.default_rng(seed)
    reference = np.stack([truth(k + 50 * seed) for k in range(slices)])
    image = (reference + too_sure * STD * random.normal(size=reference.shape)).astype("float32")
    kinds = {"": image, "zero_filled": image + 0.1, "reference": reference, "std": np.full_like(image, STD)}
    kinds |= {"quantile_05": image - 1.645 * STD, "quantile_95": image + 1.645 * STD}
    return {f"file{seed}": kinds | {name: np.full_like(image, 0.02) for name in ("msd", "usd", *extra)}}


def scaled_index(folder, factor, fitted_on):
    """Says of a folder that its intervals were written with a scale."""
    index = json.loads((folder / "index.json").read_text())
    index["intervals"] = {"quantiles": [0.05, 0.95], "scale": {"factor": factor, "fitted_on": fitted_on}}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def width_of(path):
    with Image.open(path) as image:
        return image.size[0]


@pytest.mark.parametrize("style", ["npy", "h5", "nifti"])
def test_coverage_inside_the_object(tmp_path, style):
    folder = make_folder(tmp_path / "a", sure_images(), style=style)
    found = calibrate(folder)
    inside = sum(object_mask(truth(k)).sum() for k in range(4))
    assert found.facts["pixels"] == inside and found.facts["images"] == 4
    nine = found.observed[found.levels.index(0.9)]
    assert nine == pytest.approx(0.589, abs=0.03)  # 2 Φ(1.645 / 2) - 1
    assert found.quantiles == (pytest.approx(0.9), pytest.approx(nine, abs=0.003))
    brightness = np.mean([truth(k)[object_mask(truth(k))].mean() for k in range(4)])
    assert found.sharpness == pytest.approx(2 * 1.645 * STD / brightness, rel=0.02)
    assert found.fit().factor == pytest.approx(2.0, rel=0.05)
    assert found.slices.count == 4 and found.slices.low < nine < found.slices.high
    for words in (f"{inside} pixels in the object of 4 images", "as the samples give them", f"{100 * nine:.1f} %"):
        assert words in found.table()


def test_a_scale_fitted_on_one_folder_is_right_on_another(tmp_path):
    validation = make_folder(tmp_path / "validation", sure_images(slices=8))
    test = make_folder(tmp_path / "test", sure_images(slices=8, seed=1))
    scale = calibrate(validation).fit()
    assert scale.fitted_on["images"] == 8 and scale.fitted_on["method"] == "cg_sense"
    assert scale.fitted_on["covered_before"] == pytest.approx(0.589, abs=0.03)
    found = calibrate(test, scale=scale)
    for level, observed in zip(found.levels, found.observed, strict=True):
        assert observed == pytest.approx(level, abs=0.03)
    assert found.quantiles[1] == pytest.approx(0.9, abs=0.03)
    assert found.warnings == [] and "fitted on 8 images of phantom" in found.heading()
    again = calibrate(validation, scale=scale)
    assert again.warnings == ["the interval scale was fitted on 8 of these 8 images: this is no test of it"]


def test_a_folder_that_was_written_with_a_scale(tmp_path):
    """The factor is one on what the samples gave, whatever was written."""
    images = sure_images()
    for kinds in images.values():
        kinds["std"] = 3 * kinds["std"]
        for name in ("quantile_05", "quantile_95"):
            kinds[name] = kinds[""] + 3 * (kinds[name] - kinds[""])
    folder = scaled_index(make_folder(tmp_path / "a", images), 3.0, {})
    assert written_scale(open_images(folder)) == IntervalScale(3.0)
    plain = calibrate(make_folder(tmp_path / "b", sure_images()), scale=IntervalScale(3.0))
    found = calibrate(folder)
    assert found.observed == plain.observed and found.quantiles == plain.quantiles
    assert found.fit().factor == pytest.approx(2.0, rel=0.05)
    assert "scaled by 3, a number given by hand" in found.heading()


def test_one_scale_for_several_folders(tmp_path):
    """Errors of once and three times the deviation: 90 % of all of them lie within 2.34 times its interval."""
    folders = [tmp_path / name for name in ("a", "b")]
    found = [
        calibrate(make_folder(folder, sure_images(too_sure, slices=8, seed=seed)))
        for seed, (folder, too_sure) in enumerate(zip(folders, (1.0, 3.0), strict=True))
    ]
    scale = fit_together(found)
    assert scale.factor == pytest.approx(2.34, rel=0.04)
    facts = scale.fitted_on
    assert facts["images"] == 16 and facts["pixels"] == sum(one.facts["pixels"] for one in found)
    assert facts["folder"] == [str(folder) for folder in folders] and facts["method"] == "cg_sense"
    assert len(facts["records"]) == 16 and facts["records"] == sorted(facts["records"])
    assert fit_together(found[:1]) == found[0].fit() and found[0].fit().fitted_on["folder"] == str(folders[0])
    found[1].facts["options"] = {"iterations": 1}
    with pytest.raises(InputError, match="another options"):
        fit_together(found)


def test_other_settings_are_named(tmp_path):
    folder = make_folder(tmp_path / "a", sure_images())
    scale = IntervalScale(2.0, {"method": "score", "options": {"iterations": 5}, "images": 3, "input": "validation"})
    assert calibrate(folder, scale=scale).warnings == ["the interval scale was fitted with another method"]


def test_what_cannot_be_calibrated(tmp_path):
    images = sure_images()
    del images["file0"]["std"]
    with pytest.raises(InputError, match=r"no std/.*--samples"):
        calibrate(make_folder(tmp_path / "a", images))
    images = sure_images()
    del images["file0"]["reference"]
    with pytest.raises(InputError, match="no reference"):
        calibrate(make_folder(tmp_path / "b", images))
    images = sure_images()
    images["file0"]["reference"] *= 0
    with pytest.raises(InputError, match="references are empty"):
        calibrate(make_folder(tmp_path / "c", images))
    images = sure_images()
    images["file0"]["std"] = images["file0"]["std"][:, 1:]
    with pytest.raises(InputError):
        calibrate(make_folder(tmp_path / "d", images))
    folder = make_folder(tmp_path / "e", sure_images())
    (folder / "std" / "im_2samples.npy").unlink()
    with pytest.raises(InputError, match=r"std.*no image of im_2samples"):
        calibrate(folder)


def test_pictures_show_intervals_and_maps(tmp_path):
    images = open_images(make_folder(tmp_path / "a", sure_images()))
    references = open_images(tmp_path / "a" / "reference")
    (case,) = collect_uncertainty(images, references, images.entries[2:3])
    assert list(case.images) == ["reference", "image", "5 % quantile", "95 % quantile"]
    assert list(case.maps) == [
        "|error|",
        "standard deviation",
        "width of the 90 % interval",
        "in measured k-space (MSD)",
        "in the rest of k-space (USD)",
    ]
    np.testing.assert_allclose(case.maps["width of the 90 % interval"], 2 * 1.645 * STD, rtol=1e-4)
    np.testing.assert_allclose(case.maps["|error|"], np.abs(case.images["image"] - truth(2)), atol=1e-6)
    assert "file0/002" in case.title and "as the samples give them" in case.title
    figure = uncertainty_figure([case, case])
    assert len(figure.subfigs) == 2 and len(figure.subfigs[0].axes) == 10
    (bare,) = collect_uncertainty(images, None, images.entries[:1])
    assert "reference" not in bare.images and "|error|" not in bare.maps


def test_without_quantiles_the_interval_is_that_of_the_deviation(tmp_path):
    images = sure_images()
    for name in ("quantile_05", "quantile_95"):
        del images["file0"][name]
    folder = scaled_index(make_folder(tmp_path / "a", images), 2.0, {"images": 3, "input": "validation"})
    found = open_images(folder)
    (case,) = collect_uncertainty(found, None, found.entries[:1])
    low, high = (case.images[f"90 % interval, {end} end"] for end in ("lower", "upper"))
    assert list(case.images) == ["image", "90 % interval, lower end", "90 % interval, upper end"]
    np.testing.assert_allclose(high - case.images["image"], 1.645 * STD, rtol=1e-3)  # as written, scale and all
    assert low.min() == 0 and (low <= np.maximum(case.images["image"], 0)).all()
    np.testing.assert_allclose(case.maps["width of the 90 % interval"], high - low, atol=1e-7)
    assert "scaled by 2, fitted on 3 images of validation" in case.title
    assert calibrate(folder).quantiles is None


def test_the_report_has_a_section_on_uncertainty(tmp_path):
    sure, other = sure_images(), sure_images()
    plain = {"file0": {name: other["file0"][name] for name in ("", "zero_filled", "reference")}}
    folders = [make_folder(tmp_path / "a", plain, method="tv"), make_folder(tmp_path / "b", sure, method="score")]
    scaled_index(folders[1], 1.0, {"images": 3, "input": "validation", "records": ["file0/001"]})
    text = write_report(folders, tmp_path / "report.html", indices=[1]).read_text()
    assert "<h3>Uncertainty</h3>" in text and "fitted on 3 images of validation" in text
    assert "score: the interval scale was fitted on 1 of these 4 images" in text
    assert text.count("data:image/png") == 3  # the slice, reliability, its uncertainty
    without = write_report(folders[:1], tmp_path / "plain.html", indices=[1]).read_text()
    assert "Uncertainty" not in without


def test_from_validation_to_test_on_the_command_line(tmp_path, capsys):
    validation = make_folder(tmp_path / "validation", sure_images(slices=6))
    test = make_folder(tmp_path / "test", sure_images(slices=6, seed=1))
    scale = tmp_path / "scale.json"
    assert run_verb("evaluate", [f"--recon={validation}", f"--fit_interval_scale={scale}"]) == 0
    said = capsys.readouterr().out
    factor = float(re.search(r"an interval scale of ([\d.]+) fits", said).group(1))
    assert factor == pytest.approx(2, rel=0.05) and f"and {scale}" in said
    words = [f"--recon={test}", "--calibration", f"--interval_scale={scale}", f"--output={tmp_path / 'scores'}"]
    assert run_verb("evaluate", words) == 0
    said = capsys.readouterr().out
    assert f"intervals scaled by {factor:.4g}, fitted on 6 images of phantom" in said
    assert "covered" in said and "warning: the interval" not in said
    content = json.loads((tmp_path / "scores" / "calibration.json").read_text())
    assert content["observed"][3] == pytest.approx(0.9, abs=0.03) and content["scale"]["fitted_on"]["images"] == 6
    assert width_of(tmp_path / "scores" / "reliability.png") > 300
    figure = tmp_path / "sure.png"
    assert run_verb("plot", [f"--input={test}", "--uncertainty", "--indices=0,1", f"--save={figure}"]) == 0
    assert width_of(figure) > 5 * SHAPE[1]


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        ("evaluate", ["--recon={plain}", "--calibration"], "no std/"),
        ("evaluate", ["--recon={sure}", "--interval_scale=0"], "interval scale of 0"),
        ("evaluate", ["--recon={sure}", "--fit_interval_scale=scale.txt"], "no .json file"),
        ("evaluate", ["--recon={sure}", "--fit_also={sure}"], "without --fit_interval_scale"),
        ("evaluate", ["--recon={sure}", "--fit_interval_scale=a.json", "--fit_also={plain}"], "no std/"),
        ("plot", ["--input={plain}", "--uncertainty", "--save=a.png"], "no std/"),
        ("plot", ["--input={sure},{plain}", "--uncertainty", "--save=a.png"], "one folder"),
        ("plot", ["--input={sure}", "--uncertainty", "--grid", "--save=a.png"], "no --grid"),
    ],
)
def test_bad_words_are_one_line(tmp_path, capsys, verb, words, said):
    places = {"plain": make_folder(tmp_path / "plain"), "sure": make_folder(tmp_path / "sure", sure_images())}
    assert run_verb(verb, [word.format(**places) for word in words]) == EXIT_BAD_INPUT
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tfrecon: ")]
    assert len(lines) == 1 and said in lines[0]
