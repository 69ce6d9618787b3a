import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import toy_method
from trained_toys import toy_experiment

import tfrecon
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.writer import write_dataset
from tfrecon.train.arrays import TrainingArrays, write_arrays
from tfrecon.train.csv_log import read_rows

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
REFERENCE = pathlib.Path(toy_method.__file__).parent

ON_JAX = """
import importlib.util, json, os, sys

class NoTensorFlow:  # Keras looks whether it is there when it saves
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoTensorFlow())
sys.path.insert(0, sys.argv[1])
import toy_method  # makes the method known
spec = importlib.util.spec_from_file_location("train_jax", sys.argv[2])
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

def run(words):
    if words[0].startswith("stop="):
        from tfrecon.train import signals
        left = [int(words[0].removeprefix("stop="))]
        def told(self):
            left[0] -= 1
            return left[0] <= 0
        known, signals.StopOnSignal.__call__ = signals.StopOnSignal.__call__, told
        code = tool.main(["train_jax", *words[1:]])
        signals.StopOnSignal.__call__ = known
        return code
    return tool.main(["train_jax", *words])

codes = [run(words) for words in json.loads(sys.argv[3])]
if len(sys.argv) > 4:
    import numpy as np
    from tfrecon.train.model_folder import load_model_folder
    from tfrecon.typing import Measurement
    experiment, method, models = load_model_folder(sys.argv[4])
    batch = toy_method.toy_batch(2, 9, 7)
    measurement = Measurement(batch["kspace"], batch["mask"], batch["maps"])
    np.save(sys.argv[5], method.reconstruct(models, measurement, None, method.options_type(passes=2)).image)
print(json.dumps(codes))
"""


def load_tool(name, monkeypatch):
    """A script of tools/ as a module, in this process and so on this backend."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_jax(*runs, more=()):
    """Runs tools/train_jax.py once for each list of words, in one process that finds no TensorFlow."""
    words = [str(REFERENCE), str(TOOLS / "train_jax.py"), json.dumps(runs), *map(str, more)]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", ON_JAX, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six records in two sizes."""
    folder = tmp_path_factory.mktemp("data") / "train"
    write_dataset(
        folder,
        [
            simulate_acquisition(
                ellipse_phantom((16, 18 + 2 * (index % 2)), seed=index),
                record_id=f"v{index}/0",
                volume_id=f"v{index}",
                coils=2,
                noise=0.01,
                store_maps=True,
            )
            for index in range(6)
        ],
    )
    return folder


CONFIG = """
from tfrecon.train.config import default_config

def get_config():
    config = default_config("toy")
    config.data.batch_size = 2
    config.data.undersample = [{"kind": "random1d", "acceleration": 2.0, "acs_lines": 4}]
    config.train.steps, config.train.log_every, config.train.checkpoint_every = 7, 2, 3
    config.optimizer.warmup_steps, config.optimizer.learning_rate = 2, 0.02
    return config
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "toy.py").write_text(CONFIG)
    return tmp_path / "toy.py"


def test_arrays_are_what_training_sees(dataset, config, tmp_path, monkeypatch, capsys):
    export = load_tool("export_training_arrays", monkeypatch)
    words = [f"--config={config}", f"--output={tmp_path / 'arrays'}", f"--config.data.train={dataset}"]
    assert export.main(["export", *words]) == 0
    assert "6 records" in capsys.readouterr().out
    arrays = TrainingArrays(tmp_path / "arrays")
    assert arrays.records == 6 and arrays.fields == ("kspace", "maps", "mask", "reference", "scale", "slice_index")
    batches = arrays.batches(1, 0, shuffle=False)
    found = {names[0]: batch for batch, names in (next(batches) for _ in range(6))}
    from tfrecon.train.config_file import read_experiment_file
    from tfrecon.train.distribute import make_strategy
    from tfrecon.train.loop import training_batches

    experiment = read_experiment_file(str(config), {"data.train": str(dataset)})
    for batch, _ in zip(training_batches(experiment, toy_method.Toy(), make_strategy(), 0), range(4), strict=False):
        for row, name in enumerate(batch["record_id"].numpy()):
            for key in arrays.fields:
                np.testing.assert_array_equal(found[name.decode()][key][0], batch[key][row])
    assert export.main(["export", *words, "--max=2"]) == 0
    assert TrainingArrays(tmp_path / "arrays").records == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--config and --output must be given"),
        (["--config=missing.py", "--output=out"], "missing.py"),
        (["--config={config}", "--output=out"], "names no dataset"),
        (["--config={config}", "--output=out", "--config.data.train=none"], "none"),
        (["--config={config}", "--output=out", "--config.data.tain=x"], "did you mean 'train'"),
        (["--max=0"], "max"),
    ],
)
def test_wrong_words_of_the_export(config, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    export = load_tool("export_training_arrays", monkeypatch)
    assert export.main(["export", *(word.format(config=config) for word in words)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("export_training_arrays: ") and err.count("\n") == 1 and said in err
    assert [path.name for path in tmp_path.iterdir()] == ["toy.py"]


def test_wrong_words_of_the_training(tmp_path, monkeypatch, capsys):
    tool = load_tool("train_jax", monkeypatch)
    for words, said in [([], "--arrays and --workdir"), (["--arrays=a", "--workdir=b"], "KERAS_BACKEND")]:
        assert tool.main(["train_jax", *words]) == 2
        err = capsys.readouterr().err
        assert err.startswith("train_jax: ") and err.count("\n") == 1 and said in err


@needs_jax
@pytest.mark.slow
def test_from_records_to_images(dataset, config, tmp_path, monkeypatch):
    """Arrays, a whole run and an interrupted one on JAX, images on TensorFlow."""
    export = load_tool("export_training_arrays", monkeypatch)
    arrays, whole, cut = (tmp_path / name for name in ("arrays", "whole", "cut"))
    assert export.main(["", f"--config={config}", f"--output={arrays}", f"--config.data.train={dataset}"]) == 0
    image = tmp_path / "image.npy"
    codes, _ = on_jax(
        [f"--arrays={arrays}", f"--workdir={whole}"],
        ["stop=4", f"--arrays={arrays}", f"--workdir={cut}"],
        [f"--arrays={arrays}", f"--workdir={cut}"],
        [f"--arrays={arrays}", f"--workdir={cut}"],
        more=(whole / "final", image),
    )
    assert codes == [0, 128 + 15, 0, 0]
    checkpoints = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (whole, cut)]
    assert checkpoints == [["jax-00000006.npz", "jax-00000007.npz"]] * 2
    states = [dict(np.load(run / "checkpoints" / "jax-00000007.npz")) for run in (whole, cut)]
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value)
    rows = [read_rows(run / "metrics.csv") for run in (whole, cut)]
    assert [row["step"] for row in rows[0]] == ["2", "4", "6", "7"]
    for first, second in zip(*rows, strict=True):
        assert {k: v for k, v in first.items() if k != "steps_per_second"} == {
            k: v for k, v in second.items() if k != "steps_per_second"
        }
    assert float(rows[0][-1]["loss"]) < float(rows[0][0]["loss"])
    loaded = tfrecon.load(whole)
    assert loaded.settings["model"]["sha256"] == tfrecon.load(cut / "final").settings["model"]["sha256"]
    batch = toy_method.toy_batch(2, 9, 7)
    from tfrecon.typing import Measurement

    measurement = Measurement(batch["kspace"], batch["mask"], batch["maps"])
    method = toy_method.Toy()
    expected = method.reconstruct(loaded.models, measurement, None, method.options_type(passes=2)).image
    np.testing.assert_allclose(np.load(image), expected, atol=1e-5)


@needs_jax
@pytest.mark.slow
def test_what_goes_wrong_on_jax_is_said_in_one_line(tmp_path):
    settings = {"train": {"steps": 3, "max_nonfinite": 2}, "data": {"batch_size": 2}}
    experiment = toy_experiment(**settings)
    batches = [toy_method.toy_batch(1, seed=number) for number in range(4)]
    write_arrays(tmp_path / "good", batches, experiment.to_json())
    write_arrays(
        tmp_path / "bare",
        [{k: v for k, v in batch.items() if k != "reference"} for batch in batches],
        experiment.to_json(),
    )
    for batch in batches:
        batch["kspace"] = np.full_like(batch["kspace"], np.nan)
        batch["record_id"] = [b"knee/7"]
    write_arrays(tmp_path / "bad", batches, experiment.to_json())
    run, other = f"--workdir={tmp_path / 'run'}", f"--workdir={tmp_path / 'other'}"
    good = f"--arrays={tmp_path / 'good'}"
    codes, err = on_jax(
        [good, run],
        [good, run, "--config.seed=5"],
        [good, other, "--config.data.mask_seed=5"],
        [good, other, "--config.train.accumulate=4"],
        [good, other, "--config.train.stpes=4"],
        [f"--arrays={tmp_path / 'bare'}", other],
        [f"--arrays={tmp_path / 'bad'}", other],
        [f"--arrays={tmp_path / 'none'}", other],
    )
    assert codes == [0] + 7 * [2]
    lines = [line for line in err.splitlines() if line.startswith("train_jax: ")]
    wanted = [
        "values of seed",
        "another data.mask_seed",
        "accumulate=4",
        "'steps'",
        "'reference'",
        "knee/7",
        "none",
    ]
    assert len(lines) == len(wanted) and all(a in b for a, b in zip(wanted, lines, strict=True)), lines
    (tmp_path / "run" / "checkpoints" / "jax-00000003.npz").write_bytes(b"PK")
    codes, err = on_jax([good, run])
    assert codes == [2] and "damaged checkpoint" in err
