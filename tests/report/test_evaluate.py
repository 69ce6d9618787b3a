import csv
import json
import math

import numpy as np
import pytest
from fastmri_metrics import fastmri_scores, v2_scores
from image_folders import images_of, make_folder, save_npy, save_volume, truth

import tfrecon
from tfrecon.report.evaluate import evaluate
from tfrecon.util.errors import InputError

ARRAYS = images_of()["file0"]


def score(recon=ARRAYS[""], reference=ARRAYS["reference"], zero_filled=ARRAYS["zero_filled"], **options):
    return evaluate(recon, reference, zero_filled=zero_filled, **options)


@pytest.mark.parametrize("style", ["npy", "h5", "nifti"])
def test_folders_equal_the_published_formulas(tmp_path, style):
    report = tfrecon.evaluate(make_folder(tmp_path, style=style))
    for role, kind in (("result", ""), ("zero_filled", "zero_filled")):
        expected = [fastmri_scores(kinds["reference"], kinds[kind]) for kinds in images_of().values()]
        for metric in ("psnr", "ssim", "nmse"):
            values = [scores[metric] for scores in expected]
            found = report.summary["fastmri"][role][metric]
            assert found["mean"] == pytest.approx(np.mean(values), abs=1e-6)
            assert found["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
            assert found["count"] == 2


def test_arrays_equal_folders(tmp_path):
    images = {"file0": ARRAYS}
    folder = evaluate(make_folder(tmp_path, images), convention="all")
    arrays = score(convention="all")
    for name in ("fastmri", "slice", "v2"):
        for metric in ("psnr", "ssim", "nmse", "nrmse"):
            assert arrays.mean(metric, convention=name) == folder.mean(metric, convention=name)


def test_slices_and_series_of_one_image(tmp_path):
    report = score(ARRAYS[""][0], ARRAYS["reference"][0], ARRAYS["zero_filled"][0], convention="v2")
    assert report.mean("nmse") == pytest.approx(v2_scores(ARRAYS["reference"][0], ARRAYS[""][0])["nmse"])
    for kind, stack in ARRAYS.items():
        save_npy(tmp_path / kind / "heart.npy", stack)  # [T, H, W]
    series = evaluate(tmp_path, convention="slice")
    assert [row["frame"] for row in series.rows if row["image"] == "result"] == [0, 1, 2]
    assert series.mean("psnr") == pytest.approx(score(convention="slice").mean("psnr"))


def test_rows_hold_every_slice_and_say_what_is_counted(tmp_path):
    report = evaluate(make_folder(tmp_path), convention=["fastmri", "slice"])
    rows = [row for row in report.rows if row["convention"] == "fastmri" and row["image"] == "result"]
    assert [(row["level"], row["counted"]) for row in rows] == ([("slice", False)] * 3 + [("volume", True)]) * 2
    assert [row.get("slice_index") for row in rows] == [0, 1, 2, None] * 2
    assert rows[4]["record_id"] == "file1/000" and rows[4]["acceleration"] == 3.2
    slices = [row for row in report.rows if row["convention"] == "slice"]
    assert len(slices) == 12 and all(row["counted"] for row in slices)


def test_saved_files_are_strict_json_and_one_line_per_row(tmp_path):
    recon = ARRAYS[""].copy()
    recon[1] = ARRAYS["reference"][1]  # an infinite PSNR must not become a word that JSON does not know
    report = score(recon, convention="all", output=tmp_path / "scores")
    text = (tmp_path / "scores" / "metrics.json").read_text()
    content = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert content["summary"]["fastmri"]["result"]["psnr"]["mean"] == report.mean("psnr")
    assert content["passport"]["conventions"]["v2"]["data_range"] == "1"
    with open(tmp_path / "scores" / "metrics.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(report.rows) == 2 * (4 + 3 + 3 + 3)
    same = [line for line in lines if line["note"] == "identical to the reference"]
    assert len(same) == 4 and all(line["psnr"] == "" and float(line["ssim"]) == pytest.approx(1) for line in same)
    assert any("slice: 1 units equal their reference" in line for line in report.warnings)


def test_the_passport_says_what_was_done(tmp_path):
    reference = {v: kinds | {"reference": kinds["reference"][:, 2:-2, 1:-1]} for v, kinds in images_of().items()}
    passport = evaluate(make_folder(tmp_path, reference)).passport
    cut = "image 24×30 → 20×28 (around the centre)"
    assert passport["crop"] == [cut, f"zero-filled {cut}"]
    assert passport["reference"]["type"] == "rss" and passport["result"]["method"] == "cg_sense"
    assert passport["paired_by"] == "record id" and passport["slices"] == 6 and passport["volumes"] == 2
    assert passport["acquisition"] == {"acceleration": [3.2, 3.2], "acs": [[24, 4]], "seconds_per_image": 0.25}
    assert "seed 0" in passport["aggregation"] and passport["unmatched"]["images"] == []


def test_cropping_is_around_the_centre(tmp_path):
    cut = {v: kinds | {"reference": kinds["reference"][:, 2:-2, 1:-1]} for v, kinds in images_of().items()}
    both = {v: {kind: stack[:, 2:-2, 1:-1] for kind, stack in kinds.items()} for v, kinds in images_of().items()}
    found = evaluate(make_folder(tmp_path / "a", cut)).summary
    assert found == evaluate(make_folder(tmp_path / "b", both)).summary


def test_a_global_scale_error_is_named_with_its_factor():
    report = score(0.7 * ARRAYS["reference"] + 0.001 * ARRAYS[""])
    (line,) = report.warnings
    assert "global scale error" in line and "in 1 of 1 volumes" in line and "times 1.43 fits" in line
    assert "1.43" in report.table()
    assert score().warnings == []


def test_a_pure_scale_error_is_all_of_the_error():
    assert "explains all of the error" in score(2 * ARRAYS["reference"]).warnings[0]


def test_an_all_zero_reference_is_left_out_counted_and_said(tmp_path):
    images = images_of()
    images["file1"]["reference"] = np.zeros_like(images["file1"]["reference"])
    report = evaluate(make_folder(tmp_path, images), convention="all")
    assert report.summary["fastmri"]["result"]["nmse"]["undefined"] == 1
    assert report.summary["slice"]["result"]["psnr"] == score(convention="slice").summary["slice"]["result"]["psnr"] | {
        "undefined": 3
    }
    assert "fastmri: 1 units with an all-zero reference are left out" in report.warnings
    assert {row["note"] for row in report.rows if row["volume_id"] == "file1"} == {"reference is zero everywhere"}


def test_nothing_but_empty_references_is_undefined_not_a_crash():
    report = score(reference=np.zeros_like(ARRAYS[""]))
    assert math.isnan(report.mean("psnr")) and "undefined" in report.table()


def test_the_zero_filled_image_is_always_scored_or_its_absence_is_said(tmp_path):
    make_folder(tmp_path)
    for file in (tmp_path / "zero_filled").iterdir():
        file.rename(tmp_path / "mask" / f"zf_{file.name}")
    (tmp_path / "zero_filled").rmdir()
    with pytest.raises(InputError, match=r'no zero-filled images.*zero_filled=FOLDER.*"none"'):
        evaluate(tmp_path)
    report = evaluate(tmp_path, zero_filled="none")
    assert list(report.summary["fastmri"]) == ["result"]
    assert report.passport["zero_filled"] == "none: left out on request"
    with pytest.raises(InputError, match="the arrays given"):
        evaluate(ARRAYS[""], ARRAYS["reference"])


def test_zero_filled_is_its_own_baseline(tmp_path):
    images = {"file0": {"": ARRAYS["zero_filled"], "reference": ARRAYS["reference"]}}
    report = evaluate(make_folder(tmp_path, images, method="zero_filled"))
    assert report.summary["fastmri"]["result"] == report.summary["fastmri"]["zero_filled"]
    assert "zero_filled (baseline)" in report.table()


def test_a_baseline_over_fewer_slices_is_refused(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "zero_filled" / "im_4samples.npy").unlink()
    with pytest.raises(InputError, match=r"1 images have no zero-filled partner, first .*file1/001"):
        evaluate(tmp_path)


def test_a_reference_that_is_the_zero_filled_image_is_called_so(tmp_path):
    report = evaluate(make_folder(tmp_path), tmp_path / "zero_filled")
    assert any("best score goes to doing nothing" in line for line in report.warnings)
    assert any("doing nothing" in line for line in score(reference=ARRAYS["zero_filled"]).warnings)


def test_unmatched_images_are_listed_not_skipped(tmp_path):
    make_folder(tmp_path / "a")
    for volume_id, kinds in images_of(volumes=3).items():
        if volume_id != "file0":
            save_volume(tmp_path / "val" / volume_id, kinds["reference"], "h5", "reconstruction_rss")
    report = evaluate(tmp_path / "a", tmp_path / "val")
    assert report.passport["unmatched"]["images"] == [f"im_{k}samples.npy (file0/{k:03d})" for k in range(3)]
    assert report.passport["unmatched"]["references"] == [f"file2.h5[{n}]" for n in range(3)]
    text = report.table()
    assert "3 images have no reference and are not scored: im_0samples.npy (file0/000)" in text
    assert "3 references have no image" in text and "reference rss" in text


def test_bare_folders_count_each_file_as_a_volume_and_say_so(tmp_path):
    for k in range(2):
        save_npy(tmp_path / "a" / f"im_{k}samples.npy", truth(k) + np.float32(0.01))
        save_npy(tmp_path / "b" / f"im_{k}samples.npy", truth(k))
    report = evaluate(tmp_path / "a", tmp_path / "b", zero_filled="none")
    assert report.passport["volumes"] == 2 and any("no index says" in line for line in report.warnings)
    assert "of unknown type" in report.table()


def test_complex_values_count_the_phase(tmp_path):
    turned = {kind: stack * np.exp(0.2j).astype(np.complex64) for kind, stack in ARRAYS.items()}
    turned["reference"] = ARRAYS["reference"].astype(np.complex64)
    folder = make_folder(tmp_path, {"file0": turned})
    magnitude, complex_ = evaluate(folder), evaluate(folder, values="complex")
    assert magnitude.mean("nmse") == pytest.approx(score().mean("nmse"), abs=1e-6)
    error = np.linalg.norm(turned[""].astype(complex) - turned["reference"]) / np.linalg.norm(turned["reference"])
    assert complex_.mean("nrmse") == pytest.approx(error, rel=1e-5)
    assert complex_.mean("ssim") == pytest.approx(magnitude.mean("ssim"), abs=1e-9)
    assert list(evaluate(folder, convention="all", values="complex").summary) == ["fastmri", "slice"]
    with pytest.raises(InputError, match="'v2' is defined on magnitudes"):
        evaluate(folder, convention="v2", values="complex")
    with pytest.raises(InputError, match="is float32, not complex"):
        score(values="complex")


def test_the_table_names_convention_range_and_reference():
    text = score(convention=["fastmri", "v2"]).table()
    assert "convention fastmri: scored per volume, data range maximum of the reference volume" in text
    assert "over 1 volume (3 slices, 1 volume)" in text and "reference of unknown type" in text
    assert text.index("zero_filled") < text.index("result")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "psnr"}, "no convention 'psnr'"),
        ({"convention": []}, "no convention was named"),
        ({"values": "phase"}, "values is 'phase'"),
        ({"recon": ARRAYS[""][:2]}, "2 images and 3 references"),
        ({"reference": None}, "no reference was given"),
        ({"recon": np.full_like(ARRAYS[""], np.inf)}, "NaN or Inf"),
        ({"recon": ARRAYS[""][:, :6], "reference": ARRAYS["reference"][:, :6]}, "smaller than SSIM's"),
        ({"zero_filled": ARRAYS[""][:, :20]}, "smaller than the result"),
        ({"zero_filled": ARRAYS[""][:1]}, "no zero-filled partner"),
        ({"recon": np.swapaxes(ARRAYS[""], 1, 2)}, "look swapped"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(InputError, match=message):
        score(**options)


def test_slices_of_several_sizes_in_one_volume(tmp_path):
    make_folder(tmp_path)
    for kind in ("", "zero_filled", "reference"):
        save_npy(tmp_path / kind / "im_1samples.npy", truth(1, (30, 36)))
    with pytest.raises(InputError, match="'file0' has slices of several sizes: 24×30 and 30×36"):
        evaluate(tmp_path)


def test_folders_without_references_and_outputs_that_are_files(tmp_path):
    make_folder(tmp_path / "b", {"file0": {"": ARRAYS[""], "zero_filled": ARRAYS["zero_filled"]}})
    with pytest.raises(InputError, match="no reference images beside it; name them with --reference"):
        evaluate(tmp_path / "b")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, not a folder"):
        score(output=tmp_path / "file")
    with pytest.raises(InputError, match="was not evaluated"):
        score().mean("psnr", convention="slice")
