"""`tfrecon train`: configs and their overrides, going on, stopping on signals, and what it refuses."""

import csv
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import toy_data

from tfrecon.cli.main import EXIT_BAD_INPUT, run_verb

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

REFERENCE = pathlib.Path(toy_data.__file__).parent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy_data.write_toy_dataset(tmp_path_factory.mktemp("data") / "train")


@pytest.fixture(scope="module")
def config(data):
    """A config file as users write them."""
    path = data.parent / "toy.py"
    lines = [
        '"""A toy."""',
        "import sys",
        f"sys.path.insert(0, {str(REFERENCE)!r})",
        "import toy_method",
        "from tfrecon.train.config import default_config",
        "def get_config(steps='5'):",
        "    config = default_config('toy')",
        f"    config.data.train = {str(data)!r}",
        "    config.data.batch_size = 4",
        f"    config.data.undersample = [{toy_data.LINES!r}]",
        "    config.train.steps = int(steps)",
        "    config.train.log_every = 1",
        "    return config",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "toy"
    assert run_verb("train", [f"--config={config}", f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def run(finished, tmp_path):
    """A finished workdir of five steps, to be changed at will."""
    return shutil.copytree(finished, tmp_path / "run")


def steps_in(workdir):
    with open(workdir / "metrics.csv", newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def losses_in(workdir):
    with open(workdir / "metrics.csv", newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


def refusal(words, capsys):
    """The one line with which the verb refuses."""
    capsys.readouterr()
    assert run_verb("train", words) == EXIT_BAD_INPUT
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tfrecon: ")]
    assert len(err) == 1 and err[0].startswith("tfrecon: train: ")
    return err[0]


def test_trains_from_a_file_and_says_where_it_wrote(config, tmp_path, capsys):
    words = [f"--config={config}", f"--workdir={tmp_path / 'run'}", "--config.train.steps=2", "--config.seed", "7"]
    assert run_verb("train", words) == 0
    said = capsys.readouterr().out
    assert f"wrote {tmp_path / 'run'}: final/" in said and "next: tfrecon reconstruct --workdir=" in said
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (written["train"]["steps"], written["seed"], written["method"]) == (2, 7, "toy")
    assert steps_in(tmp_path / "run") == [1, 2]


def test_goes_on_without_a_config_and_with_more_steps(run, capsys):
    assert run_verb("train", [f"--workdir={run}", "--config.train.steps=7"]) == 0
    assert steps_in(run) == [1, 2, 3, 4, 5, 6, 7]
    assert "goes on from step 5, until step 7" in capsys.readouterr().err


def test_the_word_after_a_colon_is_given_to_get_config(config, tmp_path):
    assert run_verb("train", [f"--config={config}:1", f"--workdir={tmp_path}"]) == 0
    assert steps_in(tmp_path) == [1]


def test_a_dry_run_writes_nothing(config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_verb("train", [f"--config={config}", "--dry_run", "--config.train.steps=3600"]) == 0
    said = capsys.readouterr().out
    assert "toy: 158 trained parameters" in said and "denoiser: 150 of 150" in said
    assert "kspace [4, 2, 16, 14]" in said and "all 3,600 steps:" in said and "MiB" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "named", "said"),
    [
        ("--config.train.stepss=3", "config.train has no key 'stepss'", "did you mean 'steps'?"),
        ("--config.trian.steps=3", "config has no key 'trian'", "did you mean 'train'?"),
        ("--config.train.steps=many", "'steps' is int, not 'many'", ""),
        ("--config.train.jit=2.5", "'jit' is bool, not '2.5'", ""),
        ("--config.train.nonfinite=hope", "one of 'skip', 'zero', 'raise'", "hope"),
        ("--config.data.undersample=[{'kind': 'x', 'acs': 3}]", "'undersample.acs'", "'undersample.acs_lines'?"),
        ("--config.model.features.deep=3", "config.model.features holds no key 'deep'", ""),
        ("--config.train=3", "'train' is a dictionary of settings", ""),
        ("--config.method=magic", "magic", "choose one of"),
        ("--config.train.steps", "--config.train.steps lacks a value", "=VALUE"),
        ("--config.=3", "names no key", ""),
        ("--workdirr=x", "workdirr", ""),
        ("--distribute=everywhere", "everywhere", "mirrored"),
    ],
)
def test_wrong_keys_and_values_are_refused(word, named, said, config, tmp_path, capsys):
    line = refusal([f"--config={config}", f"--workdir={tmp_path / 'run'}", word], capsys)
    assert named in line and said in line
    assert not (tmp_path / "run").exists()


def test_what_a_run_may_not_change_is_named(config, run, capsys):
    words = [f"--workdir={run}", "--config.model.features=8", "--config.optimizer.learning_rate=1"]
    line = refusal(words, capsys)
    assert "its run has other values of model.features, optimizer.learning_rate" in line and str(run) in line
    line = refusal([f"--config={config}", "--config.seed=9", f"--workdir={run}"], capsys)
    assert "its run has other values of seed;" in line


def other_method(run):
    (run / "config.json").write_text('{"method": "cg_sense"}')


def no_config(run):
    (run / "config.json").unlink()


def broken_config(run):
    (run / "config.json").write_text('{"method"')


def unknown_key(run):
    config = json.loads((run / "config.json").read_text())
    config["train"]["speed"] = 3
    (run / "config.json").write_text(json.dumps(config))


def damaged_checkpoint(run):
    (state,) = (run / "checkpoints").glob("*/state.data*")
    state.write_bytes(state.read_bytes()[:100])


def checkpoint_of_another_architecture(run):
    (facts,) = (run / "checkpoints").glob("*/facts.json")
    facts.write_text(facts.read_text().replace('"features": 4', '"features": 5'))


@pytest.mark.parametrize(
    ("damage", "named", "said"),
    [
        (other_method, "is of method 'cg_sense', not 'toy'", "another --workdir"),
        (no_config, "checkpoints/ of a run but no config.json", "another --workdir"),
        (broken_config, "config.json", "not valid JSON"),
        (unknown_key, "config.train has no key 'speed'", "config.json"),
        (damaged_checkpoint, "step-00000005", "is damaged"),
        (checkpoint_of_another_architecture, "step-00000005", "model.features is 5, not 4"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_workdirs_of_something_else_are_refused(damage, named, said, config, run, capsys):
    damage(run)
    line = refusal([f"--config={config}", f"--workdir={run}"], capsys)
    assert named in line and said in line


def test_missing_pieces_are_told(config, tmp_path, capsys):
    assert "--workdir must be given" in refusal([f"--config={config}"], capsys)
    assert "has no config.json to go on with; give --config=FILE.py" in refusal([f"--workdir={tmp_path}"], capsys)
    assert "no such config file" in refusal(["--config=missing.py", f"--workdir={tmp_path}"], capsys)
    (tmp_path / "file").touch()
    assert "is a file, not a folder" in refusal([f"--config={config}", f"--workdir={tmp_path / 'file'}"], capsys)


PROGRAM = f"import sys; sys.path.insert(0, {str(REFERENCE)!r}); import toy_method"
RUN = "from tfrecon.cli.main import run_verb; sys.exit(run_verb('train', sys.argv[1:]))"
ENDLESS = ["--config.train.steps=1000000", "--config.train.checkpoint_every=0", "--config.train.log_every=1"]


def start(words, before="", **environment):
    """The verb in a process of its own; `before` is Python that is run first."""
    code = "\n".join([PROGRAM, before, RUN])
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def wait_for_line(workdir, count=3):
    """Waits until so many steps are logged."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (workdir / "metrics.csv").is_file() and (workdir / "metrics.csv").read_text().count("\n") > count:
            return
        time.sleep(0.02)
    raise AssertionError("the training did not begin")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_between_two_steps_and_nothing_is_lost(number, code, config, tmp_path):
    """Stopped wherever the signal finds it, then gone on with: the log is that of one run."""
    workdir = tmp_path / "run"
    process = start([f"--config={config}", f"--workdir={workdir}", *ENDLESS])
    wait_for_line(workdir)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert f"go on with: tfrecon train --workdir={workdir}" in out and "Traceback" not in err
    (checkpoint,) = (workdir / "checkpoints").iterdir()
    reached = int(checkpoint.name.removeprefix("step-"))
    assert steps_in(workdir) == list(range(1, reached + 1)) and (workdir / "final" / "denoiser.keras").is_file()
    steps = f"--config.train.steps={reached + 3}"
    assert run_verb("train", [f"--workdir={workdir}", steps]) == 0
    words = [f"--config={config}", f"--workdir={tmp_path / 'whole'}", *ENDLESS, steps]
    assert run_verb("train", words) == 0
    assert losses_in(workdir) == losses_in(tmp_path / "whole") and len(losses_in(workdir)) == reached + 3


DIE_WRITING = """
import os, signal, tensorflow as tf
write = tf.train.Checkpoint.write
calls = []
def write_half_of_the_second(self, path, *arguments):
    calls.append(path)
    if len(calls) == 2:
        open(path + ".index", "wb").write(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return write(self, path, *arguments)
tf.train.Checkpoint.write = write_half_of_the_second
"""


@pytest.mark.slow
def test_kill_9_while_a_checkpoint_is_written_costs_only_the_steps_since_the_last(config, tmp_path):
    workdir = tmp_path / "run"
    process = start([f"--config={config}:9", f"--workdir={workdir}", "--config.train.checkpoint_every=3"], DIE_WRITING)
    _, err = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL, err
    names = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    assert len(names) == 2 and names[0].endswith(".unfinished") and names[1] == "step-00000003"
    assert run_verb("train", [f"--workdir={workdir}"]) == 0
    names = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    assert names == ["step-00000006", "step-00000009"]
    assert run_verb("train", [f"--config={config}:9", f"--workdir={tmp_path / 'whole'}"]) == 0
    assert losses_in(workdir) == losses_in(tmp_path / "whole")


FULL_DISK = """
import resource, tensorflow as tf
write = tf.train.Checkpoint.write
calls = []
def second_meets_a_full_disk(self, path, *arguments):
    calls.append(path)
    limit = 1000 if len(calls) == 2 else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        return write(self, path, *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
tf.train.Checkpoint.write = second_meets_a_full_disk
"""


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_line_and_the_last_good_checkpoint_survives(config, tmp_path):
    workdir = tmp_path / "run"
    process = start([f"--config={config}:9", f"--workdir={workdir}", "--config.train.checkpoint_every=3"], FULL_DISK)
    _, err = process.communicate(timeout=240)
    assert process.returncode == EXIT_BAD_INPUT
    (line,) = [line for line in err.splitlines() if line.startswith("tfrecon: ")]
    assert "step-00000006: checkpoint cannot be written" in line and "goes on from the last checkpoint" in line
    assert [path.name for path in (workdir / "checkpoints").iterdir()] == ["step-00000003"]
    assert run_verb("train", [f"--workdir={workdir}"]) == 0
    assert steps_in(workdir) == list(range(1, 10))


@pytest.mark.slow
def test_two_trainings_in_one_workdir_are_refused(config, tmp_path, capsys):
    workdir = tmp_path / "run"
    process = start([f"--config={config}", f"--workdir={workdir}", *ENDLESS])
    try:
        wait_for_line(workdir)
        assert "another process is training in it" in refusal([f"--workdir={workdir}"], capsys)
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 143


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.slow
def test_workers_stop_together_and_one_device_goes_on(config, tmp_path):
    """The signal reaches the second of two workers alone."""
    workdir = tmp_path / "run"
    hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
    tasks = [{"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}} for index in (0, 1)]
    words = [f"--config={config}", f"--workdir={workdir}", "--distribute=multi_worker", *ENDLESS]
    workers = [start(words, TF_CONFIG=json.dumps(task)) for task in tasks]
    try:
        wait_for_line(workdir)
        workers[1].send_signal(signal.SIGTERM)
        said = [worker.communicate(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [143, 143], said
    assert "go on with" in said[0][0] and said[1][0] == "", "the chief speaks for all"
    (checkpoint,) = (workdir / "checkpoints").iterdir()
    reached = int(checkpoint.name.removeprefix("step-"))
    steps = f"--config.train.steps={reached + 2}"
    assert run_verb("train", [f"--workdir={workdir}", steps]) == 0
    assert run_verb("train", [f"--config={config}", f"--workdir={tmp_path / 'whole'}", *ENDLESS, steps]) == 0
    losses = [[float(loss) for loss in losses_in(folder)] for folder in (workdir, tmp_path / "whole")]
    assert len(losses[0]) == reached + 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
