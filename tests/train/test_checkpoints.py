"""Checkpoints appear whole or not at all, are found by their step, and wrong ones are refused."""

import errno

import numpy as np
import pytest
import tensorflow as tf
import toy_data

from tfrecon.train.checkpoints import Checkpoints, load_checkpoint
from tfrecon.train.model_folder import save_model_folder
from tfrecon.train.state import create_state
from tfrecon.train.workdir import Workdir, write_config
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture(scope="module")
def experiment():
    return toy_data.toy_experiment("data")


def make_state(experiment, value=0.0):
    """A state whose averaged weights are all `value`."""
    state = create_state(experiment, experiment.make_method())
    for model in state.ema.values():
        for weight in model.weights:
            weight.assign(np.full(weight.shape, value, np.float32))
    return state


def values(models):
    return {float(w) for model in models.values() for weight in model.get_weights() for w in np.ravel(weight)}


@pytest.fixture
def workdir(experiment, tmp_path):
    """Checkpoints of steps 10, 20 and 30, whose averaged weights are all 10, 20 and 30."""
    write_config(Workdir(tmp_path), experiment)
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
    for step in (10, 20, 30):
        checkpoints.save(make_state(experiment, step).checkpoint(), step, experiment, {"seconds": 0.1 * step})
    return tmp_path


def test_what_was_saved_comes_back(workdir, experiment):
    state = make_state(experiment)
    facts = Checkpoints(workdir / "checkpoints").restore(state.checkpoint(), 20, experiment)
    assert facts["step"] == 20 and facts["seconds"] == 2.0 and values(state.ema) == {20.0}


def test_the_latest_are_kept(workdir, experiment):
    checkpoints = Checkpoints(workdir / "checkpoints", keep=2)
    checkpoints.save(make_state(experiment).checkpoint(), 40, experiment, {})
    assert checkpoints.steps() == (30, 40)


def test_weights_are_loaded_by_step_or_name(workdir, experiment):
    assert values(load_checkpoint(workdir, 10)[2]) == {10.0} and values(load_checkpoint(workdir, "20")[2]) == {20.0}
    assert values(load_checkpoint(workdir)[2]) == {30.0}, "the latest, where there is nothing better"
    save_model_folder(workdir / "final", experiment, make_state(experiment, 3).ema)
    assert values(load_checkpoint(workdir)[2]) == {3.0}
    save_model_folder(workdir / "best", experiment, make_state(experiment, 2).ema)
    read, method, models = load_checkpoint(workdir)
    assert read == experiment and method.name == "toy" and values(models) == {2.0}
    assert values(load_checkpoint(workdir, "final")[2]) == {3.0}


def test_a_step_that_is_not_there_is_answered_with_those_that_are(workdir, experiment, tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint '25'; there are 30, 20, 10$"):
        load_checkpoint(workdir, 25)
    with pytest.raises(InputError, match=r"no checkpoint 'best'; there are 30"):
        load_checkpoint(workdir, "best")
    with pytest.raises(InputError, match=r"no checkpoint of step 25; there are 10, 20, 30"):
        Checkpoints(workdir / "checkpoints").restore(make_state(experiment).checkpoint(), 25, experiment)
    with pytest.raises(InputError, match="no such workdir"):
        load_checkpoint(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no trained weights"):
        load_checkpoint(tmp_path / "empty")
    with pytest.raises(InputError, match=r"no checkpoint '3'; train first"):
        load_checkpoint(tmp_path / "empty", 3)


def test_one_of_another_method_or_architecture_is_refused(workdir, experiment):
    checkpoints = Checkpoints(workdir / "checkpoints")
    other = toy_data.toy_experiment("data", model={"features": 7})
    with pytest.raises(InputError, match=r"step-00000010: is a checkpoint of another architecture \(model.features"):
        checkpoints.restore(make_state(other).checkpoint(), 10, other)
    facts = workdir / "checkpoints" / "step-00000010" / "facts.json"
    text = facts.read_text()
    facts.write_text(text.replace('"toy"', '"tea"'))
    with pytest.raises(InputError, match="is a checkpoint of method 'tea', not 'toy'"):
        load_checkpoint(workdir, 10)
    # Settings that say the same, and variables that are others all the same.
    facts.write_text(text.replace('"features": 4', '"features": 7'))
    with pytest.raises(InputError, match="is a checkpoint of other variables"):
        checkpoints.restore(make_state(other).checkpoint(), 10, other)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["state.index", "state.data-00000-of-00001"])
def test_a_damaged_one_is_refused_and_says_what_is_left(name, kept, workdir):
    path = workdir / "checkpoints" / "step-00000030" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(InputError, match=r"step-00000030: is damaged .*remove this folder to go on from step 20"):
        load_checkpoint(workdir, 30)


def test_changed_bits_are_noticed(workdir):
    path = workdir / "checkpoints" / "step-00000030" / "state.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    position = data.index(np.full(4, 30.0, np.float32).tobytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="is damaged"):
        load_checkpoint(workdir, 30)


def full_for_tensorflow(self, path, *_):
    raise tf.errors.ResourceExhaustedError(None, None, f"{{{{function_node x}}}} {path}; No space left [Op:SaveV2]")


def full_for_python(self, path, *_):
    raise OSError(errno.ENOSPC, "No space left on device", path)


@pytest.mark.parametrize("full", [full_for_tensorflow, full_for_python])
def test_a_full_disk_leaves_the_earlier_ones(full, workdir, experiment, monkeypatch):
    checkpoints = Checkpoints(workdir / "checkpoints", keep=1)
    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr("tensorflow.train.Checkpoint.write", full)
        checkpoints.save(make_state(experiment).checkpoint(), 40, experiment, {})
    assert "step-00000040" in str(error.value) and "o space left" in str(error.value)
    assert "function_node" not in str(error.value) and "[Op" not in str(error.value)
    assert checkpoints.steps() == (10, 20, 30)
    assert values(load_checkpoint(workdir, 30)[2]) == {30.0}
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {f"step-{n:08d}" for n in (10, 20, 30)}


def test_the_place_that_is_written_to_may_be_another(workdir, experiment, tmp_path):
    """As for workers other than the chief."""
    checkpoints = Checkpoints(workdir / "checkpoints", keep=1, output=tmp_path / "elsewhere")
    checkpoints.save(make_state(experiment).checkpoint(), 40, experiment, {})
    assert checkpoints.steps() == (10, 20, 30) and [p.name for p in (tmp_path / "elsewhere").iterdir()]
