"""The tools that measure diffusion priors, run as a user runs them on a tiny prior."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from score_cases import perturbed, tiny
from score_files import calibration, likelihoods, steps, write

from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.writer import write_dataset
from tfrecon.train.config import resolve_experiment
from tfrecon.train.model_folder import save_model_folder
from tfrecon.util.settings import to_dictionary

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder and a dataset of two slices."""
    folder = tmp_path_factory.mktemp("prior")
    experiment = resolve_experiment({"method": "score", "model": to_dictionary(tiny())})
    save_model_folder(folder / "model", experiment, perturbed(experiment.make_method().build(4), 0.02))
    write_dataset(
        folder / "data",
        [
            simulate_acquisition(
                ellipse_phantom((24, 20), seed=k), record_id=f"v/{k}", volume_id="v", coils=2, store_maps=True
            )
            for k in range(2)
        ],
    )
    return folder


def run(tool, *arguments):
    command = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_likelihood(folder):
    output = folder / "likelihood.json"
    given = f"--model={folder / 'model'}", f"--input={folder / 'data'}", f"--output={output}"
    answer = run("likelihood", *given, "--round_trip", "--option=probes=2", "--option=tolerance=1e-4")
    assert answer.returncode == 0, answer.stderr
    assert "2 images" in answer.stdout and "bits/dim" in answer.stdout
    images = json.loads(output.read_text())["images"]
    assert [image["record_id"] for image in images] == ["v/0", "v/1"]
    for image in images:
        assert image["dimensions"] == 2 * 24 * 20 and 0 < image["bits"] < 20
        assert image["bits"] == pytest.approx(8 - image["nats"] / image["dimensions"] / np.log(2), rel=1e-4)
        assert image["round_trip"] < 0.02 and image["noise_power"] > 0 and image["calls"] > 20
    wrong = run("likelihood", *given, "--option=tolerances=1")
    assert wrong.returncode == 1 and wrong.stderr.splitlines()[-1].startswith("likelihood: ")
    assert "Traceback" not in wrong.stderr
    nothing = run("likelihood", given[0], f"--input={folder / 'none'}")
    assert nothing.returncode == 1 and "no such file or folder" in nothing.stderr


def test_compare_methods_and_its_table(folder):
    output, page = folder / "table.json", folder / "page.md"
    given = f"--test={folder / 'data'}", f"--validation={folder / 'data'}", "--methods=zero_filled,tv", "--values=1e-3"
    models = [f"--model={name}={folder / 'model'}:nfe={nfe}" for name, nfe in (("few", 2), ("more", "4:samples=3"))]
    answer = run("compare_methods", *given, "--mask=gaussian1d:2:8", *models, "--option=eta=0", f"--output={output}")
    assert answer.returncode == 0, answer.stderr
    lines = json.loads(output.read_text())
    assert [(line["method"], line["calls"]) for line in lines] == [
        ("zero_filled", None),
        ("tv", None),
        ("few", 2),
        ("more", 12),
    ]
    assert [line["parameters"] is None for line in lines] == [True, True, False, False]
    assert lines[3]["options"] == {"eta": "0", "nfe": "4", "samples": "3"}
    assert all(line["records"] == ["v/0", "v/1"] and len(line["slices"]) == 2 for line in lines)
    ahead = lines[3]["over_classical"]
    assert ahead["psnr"]["mean"] == pytest.approx(lines[3]["psnr"] - max(line["psnr"] for line in lines[:2]), abs=1e-6)
    assert "12 calls" in answer.stdout and "dB over" in answer.stdout

    page.write_text("<!-- generated scores -->\n<!-- end of generated scores -->\n")
    table = "score_tables", f"--compare={output}", "--label=more=**more**", "--over=more:few"
    answer = run(*table, f"--page={page}", "--mark=scores")
    assert answer.returncode == 0, answer.stderr
    assert "| **more** |" in answer.stdout and "| more over few, dB |" in page.read_text()

    for words, said in (
        (["--model=few"], "NAME=FOLDER"),
        ([f"--model=tv={folder / 'model'}"], "two methods are called 'tv'"),
        ([f"--model=few={folder / 'model'}:nfs=2"], "nfs"),
        (["--mask=gaussian1d"], "KIND:ACCELERATION:ACS_LINES"),
    ):
        wrong = run("compare_methods", *given, *words)
        assert wrong.returncode == 1 and wrong.stderr.splitlines()[-1].startswith("compare_methods: ")
        assert said in wrong.stderr and "Traceback" not in wrong.stderr


def test_score_tables(tmp_path):
    for name, content in (("steps", steps()), ("calibration", calibration()), ("likelihood", likelihoods())):
        write(tmp_path / f"{name}.json", content)
    words = [f"--steps={tmp_path / 'steps.json'}", f"--likelihood=test={tmp_path / 'likelihood.json'}"]
    answer = run("score_tables", *words, f"--calibration=lines, R = 4={tmp_path / 'calibration.json'}")
    assert answer.returncode == 0, answer.stderr
    for said in ("| dds | 20 |", "100 × fewer", "| lines, R = 4 | 10 |", "| test | 2 | 2.500"):
        assert said in answer.stdout
    for words, said in (
        ([], "nothing to make tables of"),
        (["--calibration=a.json"], "not LABEL=FILE"),
        (["--compare=a.json", "--over=a"], "not two words"),
        (["--steps=missing.json"], "no such file"),
        ([*[f"--likelihood=a={tmp_path / 'likelihood.json'}"] * 2], "two files called 'a'"),
    ):
        wrong = run("score_tables", *words)
        assert wrong.returncode == 1 and said in wrong.stderr and "Traceback" not in wrong.stderr


def test_steps_and_quality(folder):
    output = folder / "steps"
    given = f"--model={folder / 'model'}", f"--test={folder / 'data'}", f"--output={output}", "--mask=gaussian1d:2:8"
    curves = "--curve=dds:2,4", "--curve=pc:8", "--against=pc", "--format=png"
    answer = run("steps_and_quality", *given, *curves)
    assert answer.returncode == 0, answer.stderr
    assert "dds with" in answer.stdout or "dds stays" in answer.stdout
    assert (output / "steps_and_quality.png").stat().st_size > 1000
    found = json.loads((output / "steps_and_quality.json").read_text())
    assert [(one["curve"], one["nfe"], len(one["slices"])) for one in found["runs"]] == [
        ("dds", 2, 2),
        ("dds", 4, 2),
        ("pc", 8, 2),
    ]
    assert (output / "steps_and_quality.md").read_text().count("gaussian1d:2:8 |") == 3
    before = (output / "steps_and_quality.json").read_text()
    assert run("steps_and_quality", *given, *curves).returncode == 0
    assert (output / "steps_and_quality.json").read_text() == before
    wrong = run("steps_and_quality", *given, "--curve=dds:2:etta=1")
    assert wrong.returncode == 1 and "etta" in wrong.stderr and "Traceback" not in wrong.stderr
    other = run("steps_and_quality", *given, *curves, "--seed=1")
    assert other.returncode == 1 and "was measured with another seed" in other.stderr
