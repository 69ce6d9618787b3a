import json
import subprocess
import sys

import numpy as np
import pytest
from trained_toys import make_model_folder, make_workdir

import tfrecon
from tfrecon.cli.main import EXIT_BAD_INPUT, run_verb
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.writer import write_dataset

SHAPE = (32, 36)
MASK = ["--undersample=equispaced", "--acceleration=2", "--acs_lines=14"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three records of two sizes, without maps."""
    folder = tmp_path_factory.mktemp("data") / "set"
    records = [
        simulate_acquisition(
            ellipse_phantom((SHAPE[0], SHAPE[1] + 3 * index), seed=index),
            record_id=f"anna/{index:03d}",
            volume_id="anna",
            slice_index=index,
            coils=3,
            noise=0.005,
        )
        for index in range(3)
    ]
    write_dataset(folder, records)
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return make_workdir(tmp_path_factory.mktemp("runs") / "first", best=True)[0]


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported") / "saved"
    assert run_verb("export", [f"--workdir={workdir}", f"--output={output}"]) == 0
    return output


def image_of(folder, k=0):
    return np.load(folder / f"im_{k}samples.npy")


def test_export_says_what_comes_next(workdir, tmp_path, capsys):
    output = tmp_path / "saved"
    words = [f"--workdir={workdir}", "--checkpoint=10", "--option=passes=3", f"--output={output}"]
    assert run_verb("export", words) == 0
    said = capsys.readouterr().out
    assert f"wrote {output}" in said and f"tfrecon reconstruct --model={output}" in said
    assert json.loads((output / "tfrecon.json").read_text())["options"] == {"passes": 3, "noise": 0.05}
    assert run_verb("export", words) == EXIT_BAD_INPUT
    assert "--overwrite" in capsys.readouterr().err
    assert run_verb("export", [*words, "--overwrite"]) == 0


def test_workdir_and_saved_model_give_the_same_images(dataset, workdir, exported, tmp_path):
    for name, model in (("live", f"--workdir={workdir}"), ("saved", f"--model={exported}")):
        words = [f"--input={dataset}", f"--output={tmp_path / name}", model, "--complex", *MASK, "--seed=4"]
        assert run_verb("reconstruct", words) == 0
    for k in range(3):
        live, saved = (image_of(tmp_path / name, k) for name in ("live", "saved"))
        assert live.shape == (SHAPE[0], SHAPE[1] + 3 * k) and np.abs(live - saved).max() < 1e-5 * np.abs(live).max()
    index = json.loads((tmp_path / "live" / "index.json").read_text())
    assert index["method"] == "toy" and index["model"]["folder"] == str(workdir)
    assert index["images"][0]["attrs"]["maps"]["method"] == "espirit"


def test_checkpoint_and_options_of_a_workdir(dataset, workdir, tmp_path):
    first = [f"--input={dataset}", f"--workdir={workdir}", "--max=1", *MASK]
    variants = {"best": [], "step": ["--checkpoint=10"], "once": ["--option=passes=1"]}
    for name, words in variants.items():
        assert run_verb("reconstruct", [*first, f"--output={tmp_path / name}", *words]) == 0
    images = [image_of(tmp_path / name) for name in variants]
    assert min(np.abs(images[0] - other).max() for other in images[1:]) > 1e-3 * images[0].max()
    model = make_model_folder(tmp_path / "model", seed=1)[0]
    words = [f"--input={dataset}", f"--model={model}", "--max=1", f"--output={tmp_path / 'handed_over'}", *MASK]
    assert run_verb("reconstruct", words) == 0
    np.testing.assert_allclose(image_of(tmp_path / "handed_over"), images[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        ("reconstruct", ["--method=tv", "--workdir={workdir}"], "--method and --workdir were both given"),
        ("reconstruct", ["--workdir={workdir}", "--model={exported}"], "--workdir and --model were both"),
        ("reconstruct", ["--model={exported}", "--checkpoint=10"], "--checkpoint was given without --workdir"),
        ("reconstruct", ["--workdir={workdir}", "--checkpoint=15"], "there are best, 20, 10"),
        ("reconstruct", ["--workdir={workdir}", "--option=pases=2"], "did you mean 'passes'"),
        ("reconstruct", ["--workdir={missing}"], "no such folder"),
        ("reconstruct", ["--model={data}"], "holds no trained model"),
        ("reconstruct", ["--method=toy"], "--workdir or --model"),
        ("reconstruct", ["--workdir={workdir}", "--undersample=equispaced", "--acs_lines=2"], "--maps=walsh"),
        ("export", [], "--workdir must be given"),
        ("export", ["--workdir={missing}"], "no such folder"),
        ("export", ["--workdir={exported}"], "SavedModel already"),
    ],
)
def test_bad_words_are_one_line(verb, words, said, dataset, workdir, exported, tmp_path, capsys):
    places = {"workdir": workdir, "exported": exported, "missing": tmp_path / "missing", "data": dataset}
    words = [word.format(**places) for word in words]
    if verb == "reconstruct":
        words.append(f"--input={dataset}")
    assert run_verb(verb, [*words, f"--output={tmp_path / 'out'}"]) == EXIT_BAD_INPUT
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tfrecon: ")]
    assert len(err) == 1 and said in err[0]
    assert not (tmp_path / "out").exists()


WITHOUT_THE_METHOD = """
import sys
from tfrecon.cli.main import main
code = main(sys.argv[1:])
methods = {name for name in sys.modules if name.startswith("tfrecon.methods.") and "classical" not in name}
assert methods == {"tfrecon.methods.base", "tfrecon.methods.offers"}, methods
assert "toy_method" not in sys.modules
sys.exit(code)
"""


@pytest.mark.slow
def test_a_saved_model_runs_without_the_python_of_its_method(dataset, workdir, exported, tmp_path):
    words = ["reconstruct", f"--input={dataset}", f"--output={tmp_path / 'out'}", f"--model={exported}", *MASK]
    command = [sys.executable, "-c", WITHOUT_THE_METHOD, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    mask = np.load(tmp_path / "out" / "mask" / "im_1samples.npy")
    record = simulate_acquisition(
        ellipse_phantom((SHAPE[0], SHAPE[1] + 3), seed=1), record_id="anna/001", volume_id="anna", coils=3, noise=0.005
    )
    model = tfrecon.load(workdir)
    from tfrecon.serve.reconstruct import as_measurement

    expected = model.reconstructor()(as_measurement(record.kspace, mask, "espirit"), key="anna/001").image
    found = image_of(tmp_path / "out", 1)
    assert np.abs(found - np.abs(expected)).max() < 1e-5 * found.max()
