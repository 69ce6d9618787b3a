"""A run that was interrupted and goes on is the run that was not, bit for bit."""

import csv
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
import toy_data

from tfrecon.data.dataset_info import read_dataset_info
from tfrecon.train.checkpoints import load_checkpoint
from tfrecon.train.config import resolve_experiment
from tfrecon.train.loop import train
from tfrecon.train.model_folder import load_model_folder
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

CLOCKS = {"steps_per_second", "seconds"}
"""Columns that no two runs have in common."""


def stop_after(calls):
    """What `train` takes as `stop`: True once it was asked so often."""
    counter = itertools.count(1)
    return lambda: next(counter) >= calls


def contents(workdir):
    """All of a workdir's last checkpoint, bit for bit."""
    place = sorted((workdir / "checkpoints").iterdir())[-1]
    reader = tf.train.load_checkpoint(str(place / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: np.asarray(reader.get_tensor(name)).tobytes() for name in names}


def rows(workdir, name):
    with open(workdir / name, newline="") as file:
        return [{key: value for key, value in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]


def model_weights(folder):
    return {name: [w.tobytes() for w in m.get_weights()] for name, m in load_model_folder(folder)[2].items()}


def assert_same_run(one, other):
    assert contents(one) == contents(other) and len(contents(one)) > 20
    for name in ("metrics.csv", "validation.csv"):
        assert rows(one, name) == rows(other, name), name
    for name in ("best", "final"):
        assert model_weights(one / name) == model_weights(other / name), name
    assert (one / "config.json").read_text() == (other / "config.json").read_text()


@pytest.fixture(scope="session")
def experiment(train_data, validation_data):
    return toy_data.toy_experiment(train_data, validation_data)


@pytest.fixture(scope="session")
def finished(experiment, tmp_path_factory):
    """The workdir of a run that nothing interrupted, and its summary."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    return workdir, train(experiment, workdir)


def test_a_run_writes_what_its_workdir_promises(finished, experiment):
    workdir, summary = finished
    assert (summary.step, summary.steps, summary.stopped, summary.skipped) == (12, 12, False, 0)
    names = {path.name for path in workdir.iterdir() if not path.name.startswith(".")}
    assert names == {"config.json", "checkpoints", "best", "final", "metrics.csv", "validation.csv", "tb", "log.txt"}
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["step-00000008", "step-00000012"]
    config = json.loads((workdir / "config.json").read_text())
    assert config["tfrecon"] and resolve_experiment(config) == experiment
    assert [row["step"] for row in rows(workdir, "metrics.csv")] == ["5", "10", "12"]
    assert [row["step"] for row in rows(workdir, "validation.csv")] == ["6", "12"]
    assert list((workdir / "tb").glob("events.out.tfevents.*"))
    text = (workdir / "log.txt").read_text()
    assert "begins, until step 12" in text and "step 6: validation psnr" in text and "finished step 12" in text


def test_the_log_tells_the_truth(finished, experiment):
    workdir, summary = finished
    found = rows(workdir, "metrics.csv")
    losses = [float(row["loss"]) for row in found]
    assert losses[-1] < 0.9 * losses[0], "the toy learns"
    assert all(float(row["gradient_norm"]) > 0 and row["skipped"] == "0" for row in found)
    best = max(rows(workdir, "validation.csv"), key=lambda row: float(row["psnr"]))
    assert summary.best["psnr"] == float(best["psnr"]) and 10 < summary.best["psnr"] < 60
    assert 0 < float(best["ssim"]) < 1


def test_final_holds_the_averaged_weights_of_the_last_checkpoint(finished):
    workdir, _ = finished
    averaged = load_checkpoint(workdir, 12)[2]
    assert {k: [w.tobytes() for w in m.get_weights()] for k, m in averaged.items()} == model_weights(workdir / "final")


@pytest.mark.parametrize(
    "interruptions", [(7, 2), *(pytest.param((n,), marks=pytest.mark.slow) for n in (1, 4, 6, 11))]
)
def test_interrupted_and_resumed_is_the_same_run(interruptions, finished, experiment, tmp_path):
    for steps in interruptions:
        summary = train(experiment, tmp_path / "run", stop=stop_after(steps))
        assert summary.stopped
    assert summary.step == sum(interruptions)
    assert "go on with: tfrecon train --workdir=" in (tmp_path / "run" / "log.txt").read_text()
    assert not train(None, tmp_path / "run").stopped
    assert_same_run(finished[0], tmp_path / "run")


def test_steps_after_the_last_checkpoint_are_made_again(finished, experiment, tmp_path, monkeypatch):
    """As after a kill -9: logs and best validation are ahead of the checkpoint."""
    run = tmp_path / "run"

    class KilledError(Exception):
        pass

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr("tfrecon.train.loop._Run._validate", lambda self, _: die() if self.step == 12 else None)
        train(experiment, run)
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == ["step-00000004", "step-00000008"]
    with open(run / "metrics.csv", "a") as file:
        file.write("11,0.5,unfinis")
    train(experiment, run)
    assert [row["step"] for row in rows(run, "metrics.csv")] == ["5", "10", "12"]
    assert contents(run) == contents(finished[0]) and rows(run, "metrics.csv") == rows(finished[0], "metrics.csv")


def test_a_finished_run_is_left_as_it_is(finished, experiment, tmp_path):
    before = contents(finished[0]), rows(finished[0], "metrics.csv")
    summary = train(experiment, finished[0])
    assert summary.step == 12 and (contents(finished[0]), rows(finished[0], "metrics.csv")) == before


@pytest.mark.slow
def test_more_steps_can_be_asked_for(train_data, tmp_path):
    def constant(steps):
        settings = {"steps": steps, "checkpoint_every": 0, "log_every": 2}
        return toy_data.toy_experiment(train_data, train=settings, optimizer={"schedule": "constant"})

    train(constant(4), tmp_path / "a")
    train(constant(6), tmp_path / "a")
    train(constant(6), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert [row["step"] for row in rows(tmp_path / "a", "metrics.csv")] == ["2", "4", "6"]
    assert not (tmp_path / "a" / "best").exists(), "there was no validation"


def test_a_checkpoint_is_written_after_some_minutes(train_data, tmp_path):
    settings = {"steps": 3, "checkpoint_every": 0, "checkpoint_minutes": 0.0, "keep_checkpoints": 9}
    train(toy_data.toy_experiment(train_data, train=settings), tmp_path / "run")
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 3


@pytest.mark.slow
def test_records_without_reference_are_validated_by_the_loss(tmp_path):
    data = toy_data.write_toy_dataset(tmp_path / "data", 6, reference=False)
    experiment = toy_data.toy_experiment(data, data, objective={"supervised": False}, train={"steps": 6})
    summary = train(experiment, tmp_path / "run")
    assert set(summary.best) == {"step", "loss", "seconds"} and 0 < summary.best["loss"] < 10


def with_nan(batch):
    """A batch whose second example is not finite."""
    bad = tf.tensor_scatter_nd_update(batch["kspace"], [[1, 0, 0, 0]], [complex("nan")])
    return {**batch, "kspace": bad}


@pytest.fixture
def spoiled(monkeypatch):
    """From step 5 on, each batch holds a NaN."""

    def batches(self, *arguments):
        return (with_nan(batch) if step > 4 else batch for step, batch in enumerate(original(self, *arguments), 1))

    import tfrecon.train.loop as loop

    original = loop.training_batches
    monkeypatch.setattr(loop, "training_batches", batches)


@pytest.mark.parametrize(("policy", "step"), [("skip", 7), ("raise", 5)])
def test_too_many_bad_steps_end_the_run_in_one_line(policy, step, spoiled, train_data, tmp_path):
    settings = {"nonfinite": policy, "max_nonfinite": 3}
    with pytest.raises(InputError) as error:
        train(toy_data.toy_experiment(train_data, train=settings), tmp_path / "run")
    text = str(error.value)
    assert f"step {step}: not finite" in text and "volume-" in text and "t = " in text and "\n" not in text
    assert "gradient of denoiser/" in text or "gradient of gain/" in text
    assert f"step {step}: not finite" in (tmp_path / "run" / "log.txt").read_text()
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-00000004"]


def test_skipped_steps_are_counted_and_left_out_of_the_means(spoiled, train_data, tmp_path):
    summary = train(toy_data.toy_experiment(train_data, train={"steps": 10}), tmp_path / "run")
    assert summary.skipped == 6
    first, second = rows(tmp_path / "run", "metrics.csv")
    assert first["skipped"] == "1" and np.isfinite(float(first["loss"]))
    assert second["skipped"] == "6" and np.isnan(float(second["loss"]))


def test_a_record_that_is_damaged_meanwhile_is_told(tmp_path):
    data = toy_data.write_toy_dataset(tmp_path / "data")
    (shard,) = read_dataset_info(data).files

    def damage():
        with open(shard, "r+b") as file:
            file.seek(-40, 2)
            file.write(b"damaged!")
        return False

    with pytest.raises(InputError, match=r"data: a record is damaged .*; convert the data again"):
        train(toy_data.toy_experiment(data, train={"steps": 50}), tmp_path / "run", stop=damage)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"train": ""}}, "config.data.train names no dataset"),
        ({"data": {"train": "missing"}}, "missing"),
        ({"data": {"batch_size": 0}}, "batch"),
        ({"method": "cg_sense"}, "nothing to train"),
    ],
)
def test_what_cannot_be_trained_leaves_no_config(changes, said, train_data, tmp_path):
    config = toy_data.toy_config(train_data, **changes)
    with pytest.raises(InputError, match=said):
        train(resolve_experiment(config), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_multi_coil_records_without_maps_are_told(train_data, tmp_path, monkeypatch):
    monkeypatch.setattr("tfrecon.train.loop.choose_fields", lambda info, fields: ())
    with pytest.raises(InputError, match="2 coils but no sensitivity maps"):
        train(toy_data.toy_experiment(train_data), tmp_path / "run")


def test_a_run_starts_from_the_weights_of_another_and_goes_on_from_its_own(train_data, tmp_path):
    first = toy_data.toy_experiment(train_data, train={"steps": 3})
    train(first, tmp_path / "first")
    settings = {"steps": 2, "start_from": str(tmp_path / "first")}
    second = toy_data.toy_experiment(train_data, train=settings, optimizer={"learning_rate": 1e-30}, seed=9)
    train(second, tmp_path / "second", stop=stop_after(1))
    (tmp_path / "first").rename(tmp_path / "moved")
    train(None, tmp_path / "second")
    assert model_weights(tmp_path / "second" / "final") == model_weights(tmp_path / "moved" / "final")
