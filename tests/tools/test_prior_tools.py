"""The tools that measure diffusion priors, run as a user runs them on a tiny prior."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from score_cases import perturbed, tiny

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
