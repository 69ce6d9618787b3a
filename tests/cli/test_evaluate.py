import json
import subprocess
import sys

import numpy as np
import pytest
from image_folders import images_of, make_folder, save_npy, save_volume, truth

from tfrecon.cli.main import run_verb


def run(capsys, verb, *words):
    code = run_verb(verb, [str(word) for word in words])
    return code, *capsys.readouterr()


def last_line(text):
    """What is on stderr below the progress bars."""
    return text.replace("\r", "\n").strip().splitlines()[-1]


def test_evaluate_prints_the_table_and_writes_beside_the_images(tmp_path, capsys):
    make_folder(tmp_path)
    code, out, _ = run(capsys, "evaluate", f"--recon={tmp_path}")
    assert code == 0
    assert "convention fastmri" in out and "zero_filled" in out and "cg_sense" in out
    assert f"wrote {tmp_path / 'metrics.json'} and {tmp_path / 'metrics.csv'}" in out
    assert json.loads((tmp_path / "metrics.json").read_text())["passport"]["result"]["method"] == "cg_sense"


@pytest.mark.parametrize("words", [["--convention=slice", "--convention=v2"], ["--convention=slice,v2"]])
def test_conventions_may_be_repeated_or_listed(tmp_path, capsys, words):
    make_folder(tmp_path / "a")
    code, _, _ = run(capsys, "evaluate", f"--recon={tmp_path / 'a'}", f"--output={tmp_path / 'scores'}", *words)
    assert code == 0
    assert list(json.loads((tmp_path / "scores" / "metrics.json").read_text())["summary"]) == ["slice", "v2"]


def test_all_conventions_on_a_single_file(tmp_path, capsys):
    for kind, stack in images_of()["file0"].items():
        save_volume(tmp_path / (kind or "recon") / "file0", stack, "h5")
    code, out, _ = run(
        capsys,
        "evaluate",
        f"--recon={tmp_path / 'recon' / 'file0.h5'}",
        f"--reference={tmp_path / 'reference'}",
        f"--zero_filled={tmp_path / 'zero_filled'}",
        "--convention=all",
    )
    assert code == 0 and out.count("convention ") == 4
    assert (tmp_path / "recon" / "metrics.csv").is_file()


def broken_image(folder):
    (folder / "im_1samples.npy").write_bytes(b"\x93NUMPY")


def nan_image(folder):
    save_npy(folder / "im_1samples.npy", np.full_like(truth(0), np.nan))


def broken_index(folder):
    (folder / "index.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "words", "message"),
    [
        (None, ["--recon={}/nowhere"], "nowhere: no such folder; check the path"),
        (None, ["--recon={}", "--reference={}/empty"], "empty: holds no images"),
        (
            None,
            ["--recon={}", "--convention=mean"],
            "no convention 'mean'; choose one of fastmri, slice, v2, hfs_sde, or all",
        ),
        (None, ["--recon={}", "--zero_filled={}/nowhere"], "no such folder"),
        (None, [], "--recon"),
        (None, ["--recon={}", "--values=phase"], "values"),
        (broken_image, ["--recon={}"], "im_1samples.npy: cannot be read, it is truncated or damaged"),
        (nan_image, ["--recon={}"], "holds 720 NaN or Inf pixels; reconstruct it again"),
        (broken_index, ["--recon={}"], "index.json: is not valid JSON"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, spoil, words, message):
    make_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    if spoil:
        spoil(tmp_path)
    code, out, err = run(capsys, "evaluate", *[word.format(tmp_path) for word in words])
    line = last_line(err)
    assert code == 2 and message in line and line.startswith("tfrecon: evaluate: ")
    assert "Traceback" not in out + err
    assert not (tmp_path / "metrics.json").exists()


def test_plot_draws_what_is_there_and_says_what_is_not(tmp_path, capsys):
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "b", method="tv")
    both = f"--input={tmp_path / 'a'},{tmp_path / 'b'}"
    code, out, _ = run(capsys, "plot", both, "--indices=0,9", f"--save={tmp_path / 'x.png'}", "--dpi=40")
    assert code == 0 and (tmp_path / "x.png").stat().st_size > 5000
    assert "there is no image number 9\n" in out and f"wrote {tmp_path / 'x.png'}" in out


def test_plot_without_zero_filled_images(tmp_path, capsys):
    make_folder(tmp_path, {"file0": {"": truth(0)[None], "reference": truth(1)[None]}})
    code, _, _ = run(capsys, "plot", f"--input={tmp_path}", f"--save={tmp_path / 'x.png'}", "--dpi=40")
    assert code == 0 and (tmp_path / "x.png").is_file()


@pytest.mark.parametrize("extra", [["--grid"], ["--indices=1,0", "--rows=1"]])
def test_plot_of_a_plain_folder_is_a_grid(tmp_path, capsys, extra):
    for k in range(3):
        save_npy(tmp_path / "a" / f"im_{k}samples.npy", truth(k)[None])
    words = [f"--input={tmp_path / 'a'}", f"--save={tmp_path / 'x.png'}", "--dpi=40", *extra]
    code, _, _ = run(capsys, "plot", *words)
    assert code == 0 and (tmp_path / "x.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--indices=one"], "--indices holds 'one'; give whole numbers"),
        (["--indices=55"], "no image number 55; there are 0 to 5"),
        (["--save={}/x.doc"], "no kind of figure file"),
        (["--input={},{}", "--grid"], "several folders are compared beside references"),
        (["--input="], "no folder was given"),
    ],
)
def test_plot_bad_input(tmp_path, capsys, words, message):
    make_folder(tmp_path)
    words = [f"--input={tmp_path}", f"--save={tmp_path / 'x.png'}", *(w.replace("{}", str(tmp_path)) for w in words)]
    code, _, err = run(capsys, "plot", *words)
    assert code == 2 and message in last_line(err)
    assert not list(tmp_path.glob("x.*"))


def test_report_writes_one_page(tmp_path, capsys):
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "b", method="tv")
    words = [f"--input={tmp_path / 'a'},{tmp_path / 'b'}", "--indices=0", "--title=Heads & necks"]
    code, out, _ = run(capsys, "report", *words, f"--output={tmp_path / 'r.html'}")
    assert code == 0 and out == f"wrote {tmp_path / 'r.html'}\n"
    assert "<h1>Heads &amp; necks</h1>" in (tmp_path / "r.html").read_text()


def test_report_bad_input(tmp_path, capsys):
    code, _, err = run(capsys, "report", f"--input={tmp_path}", f"--output={tmp_path / 'r.html'}")
    assert code == 2 and "holds no images" in last_line(err) and list(tmp_path.iterdir()) == []


def test_as_a_process_without_tensorflow(tmp_path):
    make_folder(tmp_path)
    code = (
        "import sys; from tfrecon.cli.main import main; code = main(sys.argv[1:]);"
        "print({'tensorflow', 'keras'} & set(sys.modules)); sys.exit(code)"
    )
    command = [sys.executable, "-W", "error", "-c", code, "evaluate", f"--recon={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("set()\n") and "convention fastmri" in done.stdout


def test_as_a_process_on_a_truncated_file(tmp_path):
    make_folder(tmp_path, style="h5")
    (tmp_path / "file1.h5").write_bytes((tmp_path / "file1.h5").read_bytes()[:1000])
    command = [sys.executable, "-m", "tfrecon", "evaluate", f"--recon={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "file1.h5: cannot be read, it is truncated or damaged" in last_line(done.stderr)
