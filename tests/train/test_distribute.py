import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import train_steps

from tfrecon.train import distribute
from tfrecon.util.errors import InputError

DATA = pathlib.Path(__file__).parents[2] / "dummy_data" / "records" / "train"
SPOILED = "phantom01/001"


def run(distribution, output, settings, **environment):
    arguments = [train_steps.__file__, distribution, str(output), str(DATA), json.dumps(settings)]
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, output):
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text[-4000:]
    with np.load(output) as file:
        return dict(file)


def assert_equal_training(got, expected):
    for key, value in expected.items():
        if key in ("ids", "chief", "replicas"):
            continue
        # Gradients and their squares differ by the rounding of their sums, a few times 1e-7 of the largest.
        tolerance = 1e-5 if key.startswith("optimizer") else 1e-6
        scale = np.nanmax(abs(value * 1.0)) or 1
        np.testing.assert_allclose(got[key] * 1.0, value * 1.0, rtol=0, atol=tolerance * scale, err_msg=key)
    np.testing.assert_array_equal(got["logs/t"], expected["logs/t"])  # the same random numbers


MEMORY = {"method": "toy_with_memory"}
"""What a method changes besides the weights is the same on each device, in the order of the global batch."""


@pytest.mark.parametrize("settings", [MEMORY, pytest.param({"accumulate": 2, "jit": True}, marks=pytest.mark.slow)])
def test_two_devices_train_as_one(tmp_path, settings):
    settings = {**settings, "spoil": SPOILED}
    expected = train_steps.train("", DATA, **settings)
    got = finish(run("mirrored", tmp_path / "out.npz", settings), tmp_path / "out.npz")
    assert got["replicas"] == 2 and expected["replicas"] == 1 and got["step"] == 4 and bool(got["chief"])
    assert got["ids"] == expected["ids"]
    assert_spoiled_steps_are_skipped(got)
    assert_equal_training(got, expected)


def assert_spoiled_steps_are_skipped(got):
    ids = [list(step.values()) for step in json.loads(str(got["ids"]))]
    expected = [[record != SPOILED for record in step] for step in ids]
    assert got["result/example_finite"].tolist() == expected
    assert got["result/finite"].tolist() == [all(step) for step in expected]
    assert 0 < got["skipped"] < 4 and got["optimizer/0"] == 4 - got["skipped"]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run_workers(tmp_path, settings):
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        output = tmp_path / f"{index}.npz"
        processes.append((run("multi_worker", output, settings, TF_CONFIG=json.dumps(config)), output))
    try:
        return [finish(*one) for one in processes]
    finally:
        for process, _ in processes:
            process.kill()  # one waits for ever for the other


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"spoil": SPOILED}, {"spoil": SPOILED, "accumulate": 2, "nonfinite": "zero"}], ids=str
)
def test_two_processes_train_as_one(tmp_path, settings):
    expected = train_steps.train("", DATA, **settings)
    first, second = run_workers(tmp_path, settings)
    for key in set(first) - {"ids", "chief"}:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)
    assert first["replicas"] == 2 and bool(first["chief"]) and not second["chief"]
    ids = [json.loads(str(outcome["ids"])) for outcome in (first, second, expected)]
    assert [a | b for a, b in zip(*ids[:2], strict=True)] == ids[2]
    assert_equal_training(first, expected)


def test_one_device_is_the_default_strategy():
    assert distribute.make_strategy() is distribute.make_strategy("") is tf.distribute.get_strategy()
    assert distribute.is_chief(distribute.make_strategy())


def test_mirrored_takes_the_devices_there_are():
    strategy = distribute.make_strategy("mirrored")
    assert strategy.num_replicas_in_sync == len(tf.config.list_logical_devices("GPU") or [None])


def test_records_have_places_and_may_have_no_ids():
    strategy = distribute.make_strategy()
    assert distribute.record_ids(strategy, {"record_id": tf.constant(["a", "b/c"])}) == {0: "a", 1: "b/c"}
    assert distribute.record_ids(strategy, {"kspace": tf.zeros(2)}) == {}


def test_an_unknown_distribution_is_refused():
    with pytest.raises(InputError, match="no distribution 'tpu'; choose mirrored, multi_worker"):
        distribute.make_strategy("tpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "TF_CONFIG is not set; set it to"),
        ("{", "does not describe this worker .JSONDecodeError"),
        ('{"cluster": {}}', "KeyError: 'task'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "list index out of range"),
        ("[]", "TypeError"),
    ],
)
def test_workers_need_a_cluster(monkeypatch, text, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=message):
        distribute.make_strategy("multi_worker")


class Worker:
    """What `is_chief` and `record_ids` ask of a strategy."""

    def __init__(self, kind, index, **jobs):
        self.cluster_resolver = self
        self.task_type, self.task_id = kind, index
        self._cluster = tf.train.ClusterSpec(jobs)

    def cluster_spec(self):
        return self._cluster

    def experimental_local_results(self, value):
        return tuple(tf.split(value, 2))


@pytest.mark.parametrize(
    ("worker", "chief", "places"),
    [
        (Worker("worker", 0, worker=["a:1", "b:1"]), True, {0, 1}),
        (Worker("worker", 1, worker=["a:1", "b:1"]), False, {2, 3}),
        (Worker("chief", 0, chief=["c:1"], worker=["a:1"]), True, {0, 1}),
        (Worker("worker", 0, chief=["c:1"], worker=["a:1"]), False, {2, 3}),
    ],
)
def test_one_worker_writes_and_each_knows_its_places(worker, chief, places):
    assert distribute.is_chief(worker) is chief
    assert distribute.record_ids(worker, {"record_id": tf.constant(["a", "b"])}).keys() == places
