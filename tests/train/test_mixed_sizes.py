"""Training on images of several sizes: one compiled step for each bucket, any number of devices, and resuming."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import toy_data
import toy_images  # noqa: F401  (makes the method known)
import train_steps

from tfrecon.data.pipeline import dataset
from tfrecon.train.config import resolve_experiment
from tfrecon.train.loop import train, training_batches
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SHAPES = ((16, 14), (15, 16), (12, 24), (16, 22))
BUCKETS = {"buckets": 8, "pixels_per_batch": 16 * 24 * 2, "batch_size": 1}
"""Buckets of 16×16, three to a batch, and 16×24, two to a batch."""


@pytest.fixture(scope="session")
def mixed_data(tmp_path_factory):
    return toy_data.write_toy_dataset(tmp_path_factory.mktemp("mixed") / "train", 8, SHAPES)


def experiment_of(folder, method="toy_images", **changes):
    return toy_data.toy_experiment(folder, **{"method": method, "data": BUCKETS, **changes})


def ids(batches, count):
    return [next(batches)["record_id"].numpy().tolist() for _ in range(count)]


@pytest.mark.parametrize("images", ["reference", "measured"])
def test_a_bucket_is_traced_once(mixed_data, images):
    experiment = experiment_of(mixed_data, objective={"images": images}, data={**BUCKETS, "undersample": []})
    method = experiment.make_method()
    _, step = train_steps.start(experiment, method=method)
    batches, shapes = iter(training_batches(experiment, method, tf.distribute.get_strategy(), 0)), []
    for _ in range(10):
        batch = next(batches)
        shapes.append(tuple(batch["image"].shape))
        result = step(batch)
        assert bool(result.finite) and result.example_finite.shape == shapes[-1][:1]
    assert set(shapes) == {(3, 16, 16), (2, 16, 24)} and method.losses_made == 2


@pytest.mark.slow
def test_a_run_says_its_buckets_and_goes_on_where_it_was(mixed_data, tmp_path):
    experiment = experiment_of(mixed_data, train={"steps": 6, "checkpoint_every": 3, "validate_every": 0})
    whole = train(experiment, tmp_path / "whole")
    calls = iter(range(1, 9))
    assert train(experiment, tmp_path / "parts", stop=lambda: next(calls) >= 4).stopped
    assert train(experiment, tmp_path / "parts").step == whole.step == 6
    one, other = ((tmp_path / name / "metrics.csv").read_text().splitlines()[-1] for name in ("whole", "parts"))
    assert one.split(",")[:2] == other.split(",")[:2]
    log = (tmp_path / "whole" / "log.txt").read_text()
    assert "buckets: 16×16 in batches of 3 (4 records), 16×24 in batches of 2 (4 records); " in log


def test_without_buckets_batches_are_the_pipelines(mixed_data):
    """New settings change nothing of experiments that do not use them, bit for bit."""
    experiment = toy_data.toy_experiment(mixed_data, data={"batch_size": 2})
    data = experiment.data
    assert (data.buckets, data.pixels_per_batch, data.pad_coils) == (0, 0, False)
    plain = dataset(
        data.train, batch_size=2, seed=3, undersample=data.undersample, mask_seed=0, training=True, verify=False
    )
    made = iter(training_batches(experiment, experiment.make_method(), tf.distribute.get_strategy(), 0))
    for expected, _ in zip(plain, range(5), strict=False):
        batch = next(made)
        for key in ("kspace", "mask", "maps", "reference", "scale"):
            assert batch[key].numpy().tobytes() == expected[key].numpy().tobytes(), key


def test_resuming_starts_at_the_step(mixed_data):
    experiment = experiment_of(mixed_data)
    method, one = experiment.make_method(), tf.distribute.get_strategy()
    whole = ids(iter(training_batches(experiment, method, one, 0)), 6)
    assert ids(iter(training_batches(experiment, method, one, 4)), 2) == whole[4:]


def test_coils_are_padded_where_it_is_asked_for(mixed_data):
    experiment = toy_data.toy_experiment(mixed_data, data={"pad_coils": True, "batch_size": 2})
    batch = next(iter(training_batches(experiment, experiment.make_method(), tf.distribute.get_strategy(), 0)))
    assert batch["kspace"].shape[:2] == batch["maps"].shape[:2] == (2, 2)


def test_a_method_of_measurements_has_no_buckets(mixed_data):
    experiment = experiment_of(mixed_data, "toy")
    with pytest.raises(
        InputError, match=r"method 'toy' as configured learns from measurements, .*; set data.buckets=0"
    ):
        training_batches(experiment, experiment.make_method(), tf.distribute.get_strategy(), 0)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"buckets": 32}, "data.buckets is set without data.pixels_per_batch; set both, or neither"),
        ({"pixels_per_batch": 1000}, "data.pixels_per_batch is set without data.buckets"),
        ({"buckets": -1, "pixels_per_batch": 1000}, "are 0 or more"),
        ({**BUCKETS, "pad_coils": True}, "padded images have no coils to pad"),
    ],
)
def test_settings_that_make_no_sense_together(data, said):
    with pytest.raises(InputError, match=said):
        resolve_experiment({"method": "toy_images", "data": data})


def test_a_budget_that_holds_no_image_is_said(mixed_data):
    experiment = experiment_of(mixed_data, data={**BUCKETS, "pixels_per_batch": 300})
    with pytest.raises(InputError, match=r"no batch of 300 pixels holds an image of 16×24; set data.pixels_per_batch"):
        training_batches(experiment, experiment.make_method(), tf.distribute.get_strategy(), 0)


PROGRAM = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import test_mixed_sizes as own
print(json.dumps(own.steps_on("mirrored", sys.argv[2])))
"""


def steps_on(distribution, data):
    """(record ids by place, losses) of some steps on batches that two devices can share."""
    strategy = train_steps.distribute.make_strategy(distribution)
    experiment = experiment_of(data, data={**BUCKETS, "batch_size": 2, "pixels_per_batch": 16 * 24 * 4})
    method = experiment.make_method()
    _, step = train_steps.start(experiment, strategy, method)
    batches, told = iter(training_batches(experiment, method, strategy, 0)), []
    for _ in range(4):
        batch = next(batches)
        places = train_steps.distribute.record_ids(strategy, batch)
        told.append([[places[place] for place in sorted(places)], float(step(batch).loss)])
    return told


@pytest.mark.slow
def test_two_devices_train_as_one(mixed_data):
    folder = pathlib.Path(__file__).parent
    path = os.pathsep.join(map(str, (folder.parents[1], folder.parent / "reference")))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(mixed_data)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    got, expected = json.loads(done.stdout.splitlines()[-1]), steps_on("", mixed_data)
    assert [names for names, _ in got] == [names for names, _ in expected]
    assert {len(names) for names, _ in got} == {4, 6}
    np.testing.assert_allclose([loss for _, loss in got], [loss for _, loss in expected], rtol=1e-5)
