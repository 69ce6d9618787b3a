"""SSDiffReconV2's four scripts: their flags, what they make, and what they refuse in one line."""

import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from fastmri_metrics import v2_scores
from image_folders import degraded, save_npy, truth
from PIL import Image
from raw_files import write_float_records

from tfrecon.cli import v2_tools
from tfrecon.cli.main import run_verb
from tfrecon.data.sources import open_source
from tfrecon.data.tfrecord import read_dataset_info, read_records

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.filterwarnings("always:.*nothing says which of its"),
    pytest.mark.filterwarnings("always:the original's networks"),
]
TOOLS = ("convert_to_tfr_with_split", "export_test_reference", "run_analysis", "plot_reference_images")


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """An empty current folder, and none of the user's variables."""
    monkeypatch.chdir(tmp_path)
    for name in (v2_tools.RECORDS_VARIABLE, v2_tools.DATA_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def images(folder, numbers, noise=None):
    for k in numbers:
        save_npy(pathlib.Path(folder) / f"im_{k}samples.npy", truth(k) if noise is None else degraded(k, noise))


def run_script(name, *words):
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def last_line(text):
    return text.replace("\r", "\n").strip().splitlines()[-1]


def test_folders_follow_the_variables(monkeypatch):
    assert v2_tools.records_folder() == pathlib.Path("data/datasets/tfrecords-datasets")
    monkeypatch.setenv(v2_tools.DATA_VARIABLE, "/scratch")
    assert v2_tools.records_folder() == pathlib.Path("/scratch/datasets/tfrecords-datasets")
    monkeypatch.setenv(v2_tools.RECORDS_VARIABLE, "/records")
    assert v2_tools.records_folder() == pathlib.Path("/records")
    assert v2_tools.data_folder() == pathlib.Path("/scratch")


def test_convert_has_v2s_defaults(monkeypatch, somewhere, capsys):
    images(v2_tools.RESULTS, range(10))
    monkeypatch.setenv(v2_tools.RECORDS_VARIABLE, str(somewhere / "records"))
    assert v2_tools.convert_to_tfr_with_split(["--undersample", "gaussian2d", "--acceleration=3"]) == 0
    said = capsys.readouterr()
    assert "slices of a subject may fall on both sides" in said.err
    train, test = (read_dataset_info(somewhere / "records" / part) for part in ("train", "test"))
    assert (train.records, test.records) == (8, 2)
    assert train.made["seed"] == 42 and train.made["splits"] == {"train": 0.8, "test": 0.2}
    for record in read_records(test.path):
        assert record.kspace.shape == (1, 24, 30) and record.record_id.startswith("im_")
        assert record.attrs["undersampling"]["acceleration"] == pytest.approx(3, rel=0.01)
        assert record.attrs["simulated"]["phase"] == "smooth random"


def test_convert_by_subject_and_in_the_originals_layout(somewhere, capsys):
    images("images", range(12))
    words = ["--input", "images", "--output", "out", "--train", "0.75", "--seed", "7", "--slices_per_volume", "3"]
    assert v2_tools.convert_to_tfr_with_split([*words, "--layout=ssdiffrecon", "--undersample=gaussian2d"]) == 0
    printed = capsys.readouterr()
    assert "out/train: 9 records: us_im, mask, reference; no labels" in printed.out and "both sides" not in printed.err
    train, test = (set(record.volume_id for record in open_source(f"out/{part}")) for part in ("train", "test"))
    assert len(train) == 3 and len(test) == 1 and not train & test


def test_export_writes_zero_filled_magnitudes_in_order(somewhere, capsys):
    """From the original's own records, in which |us_im| is the zero-filled image."""
    rng = np.random.default_rng(0)
    stored = []
    for k in range(12):
        mask = rng.random((16, 20)) < 0.5
        mask[8, 10] = True
        image = np.fft.ifft2(np.fft.ifftshift(np.fft.fftshift(np.fft.fft2(truth(k, (16, 20)))) * mask))
        stored.append((np.stack([image.real, image.imag]), mask[None]))
    write_float_records(somewhere / "tfr" / "us_im" / "us_im-r05.tfrecords", [image for image, _ in stored])
    write_float_records(somewhere / "tfr" / "mask" / "mask-r05.tfrecords", [mask for _, mask in stored])
    assert v2_tools.export_test_reference(["--input", "tfr", "--out", "gt", "--max", "11"]) == 0
    assert sorted(path.name for path in (somewhere / "gt").glob("im_*")) == sorted(
        f"im_{k}samples.npy" for k in range(11)
    )
    for k in range(11):
        found = np.load(somewhere / "gt" / f"im_{k}samples.npy")
        assert found.dtype == np.float32 and found.shape == (16, 20)
        np.testing.assert_allclose(found, np.hypot(*stored[k][0]), atol=1e-5)


def test_names_and_numbers_are_those_of_reconstruct(somewhere, monkeypatch):
    images("images", range(5))
    save_npy(somewhere / "images" / "im_1samples.npy", np.zeros((24, 30)))  # skipped: later numbers move up in all
    words = ["--input=images", "--output=records", "--coils=1", "--undersample=gaussian2d", "--acceleration=3"]
    assert run_verb("convert", [*words, "--slices_per_volume=5"]) == 0
    monkeypatch.setenv(v2_tools.RECORDS_VARIABLE, "records")
    assert v2_tools.export_test_reference([]) == 0
    assert v2_tools.export_test_reference(["--out=truth", "--kind", "ground_truth", "--max=2"]) == 0
    assert run_verb("reconstruct", ["--input=records", "--output=recon", "--method=zero_filled"]) == 0
    indexes = {
        name: [(e["file"], e["record_id"]) for e in json.loads((somewhere / name / "index.json").read_text())["images"]]
        for name in ("data/ixi_test_reference", "truth", "recon")
    }
    expected = [(f"im_{k}samples.npy", f"im_{n}samples") for k, n in enumerate((0, 2, 3, 4))]
    assert indexes["data/ixi_test_reference"] == indexes["recon"] == expected and indexes["truth"] == expected[:2]
    for k in range(4):
        name = f"im_{k}samples.npy"
        np.testing.assert_array_equal(np.load(f"data/ixi_test_reference/{name}"), np.load(f"recon/{name}"))
        np.testing.assert_array_equal(np.load(f"recon/zero_filled/{name}"), np.load(f"recon/{name}"))
    for k in range(2):
        np.testing.assert_array_equal(
            np.load(f"truth/im_{k}samples.npy"), np.load(f"recon/reference/im_{k}samples.npy")
        )


def test_analysis_has_v2s_numbers(somewhere, capsys):
    images(v2_tools.RESULTS, range(12), noise=0.05)
    images("data/ixi_test_reference", range(1, 14))
    assert v2_tools.run_analysis([]) == 0
    said = capsys.readouterr().out
    scores = [v2_scores(truth(k), degraded(k, 0.05)) for k in range(1, 12)]
    mean = {name: np.mean([score[name] for score in scores]) for name in ("psnr", "ssim", "nmse")}
    std = {name: np.std([score[name] for score in scores], ddof=1) for name in mean}
    line = next(line for line in said.splitlines() if line.startswith("result "))
    for name, digits in (("psnr", 2), ("ssim", 4), ("nmse", 4)):
        assert f"{mean[name]:.{digits}f} ± {std[name]:.{digits}f}" in line
    assert "over 11 slices" in said
    assert "1 images have no reference and are not scored: im_0samples.npy" in said
    assert "2 references have no image: what is missing is not in the mean: im_12samples.npy, im_13samples.npy" in said
    assert said.splitlines()[-1] == v2_tools.BEFORE_BELIEVING
    with (somewhere / v2_tools.RESULTS / "metrics.csv").open(newline="") as file:
        rows = {row["volume_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 11
    for k, score in zip(range(1, 12), scores, strict=True):
        for name, value in score.items():
            assert float(rows[f"im_{k}samples"][name]) == pytest.approx(value, abs=1e-9)
    passport = json.loads((somewhere / v2_tools.RESULTS / "metrics.json").read_text())["passport"]
    assert passport["unmatched"]["images"] == ["im_0samples.npy"]
    assert passport["zero_filled"] == "none: left out on request"


def test_analysis_scores_the_zero_filled_images_where_there_are_any(capsys):
    images("recon", range(3), noise=0.05)
    images("gt", range(3))
    images("zf", range(3), noise=0.2)
    assert v2_tools.run_analysis(["--recon", "recon", "--gt=gt", "--zero_filled", "zf", "--output", "scores"]) == 0
    said = capsys.readouterr().out
    psnr = np.mean([v2_scores(truth(k), degraded(k, 0.2))["psnr"] for k in range(3)])
    assert any(line.startswith("zero_filled") and f"{psnr:.2f} ±" in line for line in said.splitlines())
    images("recon/zero_filled", range(3), noise=0.2)
    assert v2_tools.run_analysis(["--recon", "recon", "--gt=gt"]) == 0
    assert f"{psnr:.2f} ±" in capsys.readouterr().out
    assert pathlib.Path("scores/metrics.csv").is_file()
    assert v2_tools.run_analysis(["--recon", "recon", "--gt", "recon/zero_filled"]) == 0
    assert "the reference is the zero-filled image itself" in capsys.readouterr().out


def test_plot_draws_at_least_a_pixel_for_a_pixel(capsys):
    for k in (0, 100, 500):
        save_npy(pathlib.Path(f"data/ixi_test_reference/im_{k}samples.npy"), np.tile(truth(k), (12, 12))[None])
    assert v2_tools.plot_reference_images([]) == 0
    said = capsys.readouterr().out
    assert "there is no image number 1000" in said and "wrote reference_images.png" in said
    with Image.open("reference_images.png") as picture:
        assert picture.width > 2 * 360 and picture.height > 2 * 288
    words = ["data/ixi_test_reference", "--indices", "0,100", "--rows", "1", "--out", "x.png", "--dpi", "200"]
    assert v2_tools.plot_reference_images(words) == 0
    with Image.open("x.png") as picture:
        assert picture.width > 2 * picture.height * 0.8 and picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)


@pytest.mark.parametrize(
    ("tool", "words", "said"),
    [
        ("convert_to_tfr_with_split", [], "no such file or folder; check the path"),
        ("convert_to_tfr_with_split", ["--train", "1.5"], "--train=1.5 is no part of a whole"),
        ("convert_to_tfr_with_split", ["--train", "most"], "argument --train: invalid float value: 'most'; see --help"),
        ("convert_to_tfr_with_split", ["--input=images", "--nonsense=1"], "nonsense"),
        ("convert_to_tfr_with_split", ["--input=images", "--layout=ssdiffrecon"], "is fully sampled"),
        ("convert_to_tfr_with_split", ["--input=images", "--layout=ssdiffrecon", "--shards=2"], "--shards is for"),
        ("convert_to_tfr_with_split", ["--input=images", "--mask=grey.npy"], "values other than 0 and 1"),
        ("convert_to_tfr_with_split", ["--input=images", "--mask=nonzero"], "--mask=nonzero is for k-space"),
        ("convert_to_tfr_with_split", ["--input=images", "--mask=m.npy", "--undersample=poisson"], "were both given"),
        ("convert_to_tfr_with_split", ["--input=images", "--volumes=none.csv"], "none.csv: no such file"),
        ("convert_to_tfr_with_split", ["--input=images", "--undersample=magic"], "magic"),
        ("export_test_reference", [], "no such folder of records; give --input=FOLDER, or set SSDIFFRECON_TFRECORDS"),
        ("export_test_reference", ["--input=nowhere"], "no such file or folder"),
        ("export_test_reference", ["--input=images", "--kind=best"], "kind"),
        ("export_test_reference", ["--max=none"], "argument --max: invalid int value"),
        ("run_analysis", [], "no such folder; check the path"),
        ("run_analysis", ["--recon=images", "--gt=other"], "(24, 30) and reference (30, 24) do not fit"),
        ("run_analysis", ["--recon=images", "extra"], "unrecognized arguments: extra"),
        ("plot_reference_images", ["images", "--indices=7"], "no image number 7"),
        ("plot_reference_images", ["images", "--indices=a"], "--indices holds 'a'"),
        ("plot_reference_images", ["nowhere"], "nowhere: no such folder"),
        ("plot_reference_images", ["images", "--save=x.doc"], "is no kind of figure file"),
        ("plot_reference_images", ["images", "--rows=0"], "rows"),
    ],
)
def test_bad_input_is_one_line(somewhere, capsys, tool, words, said):
    images("images", range(3))
    for k in range(3):
        save_npy(somewhere / "other" / f"im_{k}samples.npy", truth(k).T)
    save_npy(somewhere / "grey.npy", np.full((24, 30), 0.5))
    there = {path.name for path in somewhere.iterdir()}
    assert getattr(v2_tools, tool)(words) == 2
    captured = capsys.readouterr()
    line = last_line(captured.err)
    assert line.startswith("tfrecon: ") and said in line and captured.err.count("tfrecon: ") <= 2  # a warning at most
    assert "Traceback" not in captured.err
    assert {path.name for path in somewhere.iterdir()} <= {*there, "data"} and not list(somewhere.rglob("*.tfrecord*"))


@pytest.mark.parametrize(
    ("tool", "words", "said"),
    [
        ("convert_to_tfr_with_split", ["--train=2"], "--train=2 is no part of a whole"),
        ("export_test_reference", [], "no such folder of records"),
        ("run_analysis", ["--recon", "nowhere"], "nowhere: no such folder"),
        ("plot_reference_images", ["--dpi=x"], "argument --dpi: invalid int value: 'x'"),
    ],
)
def test_scripts_refuse_in_one_line(tool, words, said):
    done = run_script(tool, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and said in done.stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_help_of_every_script(capsys, tool):
    with pytest.raises(SystemExit) as ended:
        getattr(v2_tools, tool)(["--help"])
    assert ended.value.code == 0 and f"usage: {tool}.py" in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_way_in_processes(somewhere):
    images("results/ixi_samples/test", range(10))
    for tool, words in (
        ("convert_to_tfr_with_split", ["--undersample=gaussian2d", "--acceleration=3", "--slices_per_volume=2"]),
        ("export_test_reference", []),
        ("run_analysis", ["--recon", "data/ixi_test_reference"]),
        ("plot_reference_images", ["--indices=0,1", "--save", "figure.png"]),
    ):
        done = run_script(tool, *words)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (somewhere / "figure.png").stat().st_size > 5000
