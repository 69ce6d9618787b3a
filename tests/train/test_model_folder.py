"""Trained weights are handed over whole, come back bit for bit, and wrong ones are refused."""

import errno
import json
import pathlib

import numpy as np
import pytest
import toy_method  # noqa: F401  (makes the method known)

from tfrecon.train.config import resolve_experiment
from tfrecon.train.model_folder import load_model_folder, read_experiment, save_model_folder, take_weights
from tfrecon.util.errors import InputError

pytestmark = [
    pytest.mark.mathematics,
    # Keras 3.15's variables, on JAX
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture
def experiment():
    return resolve_experiment({"method": "toy", "model": {"features": 3}, "train": {"steps": 7}, "seed": 5})


@pytest.fixture
def folder(experiment, tmp_path):
    return save_model_folder(tmp_path / "best", experiment, changed(experiment.make_method().build(1)))


def changed(models):
    """Weights that no seed gives."""
    for model in models.values():
        model.set_weights([weight + np.float32(0.125) for weight in model.get_weights()])
    return models


def weights(models):
    return {name: [w.tobytes() for w in model.get_weights()] for name, model in models.items()}


def test_a_folder_gives_back_experiment_and_weights(experiment, folder):
    read, method, models = load_model_folder(folder)
    assert read == experiment and method.name == "toy" and method.model.features == 3
    assert weights(models) == weights(changed(experiment.make_method().build(1)))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "denoiser.keras", "gain.keras"]


def test_a_new_folder_takes_the_place_of_an_older_one(experiment, folder):
    (folder / "stray.txt").write_text("from before")
    save_model_folder(folder, experiment, experiment.make_method().build(2))
    assert weights(load_model_folder(folder)[2]) == weights(experiment.make_method().build(2))
    assert [path.name for path in folder.parent.iterdir()] == ["best"] and not (folder / "stray.txt").exists()


def test_a_full_disk_leaves_the_older_folder(experiment, folder, monkeypatch):
    before = weights(load_model_folder(folder)[2])

    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(InputError, match="no space left"):
        patch.setattr("keras.Model.save", full)
        save_model_folder(folder, experiment, experiment.make_method().build(2))
    assert weights(load_model_folder(folder)[2]) == before
    assert [path.name for path in folder.parent.iterdir()] == ["best"]


def test_a_kill_between_the_renames_loses_nothing(experiment, folder):
    hidden = folder.with_name(".best.previous")
    before = weights(load_model_folder(folder)[2])
    folder.rename(hidden)
    (folder.parent / ".best-x.unfinished").mkdir()
    assert weights(load_model_folder(folder)[2]) == before
    assert hidden.is_dir(), "a reader changes nothing"
    save_model_folder(folder, experiment, experiment.make_method().build(2))
    assert [path.name for path in folder.parent.iterdir()] == ["best"]


def truncated(folder):
    data = (folder / "gain.keras").read_bytes()
    (folder / "gain.keras").write_bytes(data[: len(data) // 2])


def other_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model"]["features"] = 6
    (folder / "config.json").write_text(json.dumps(config))


def other_method(folder):
    (folder / "config.json").write_text('{"method": "magic"}')


def classical_method(folder):
    (folder / "config.json").write_text('{"method": "cg_sense"}')


def list_for_config(folder):
    (folder / "config.json").write_text("[]")


CASES = {
    truncated: ("gain.keras", "truncated"),
    other_architecture: ("denoiser.keras", "architecture"),
    other_method: ("magic", "choose one of"),
    classical_method: ("cg_sense", "no weights"),
    list_for_config: ("config.json", "not the config"),
    lambda folder: (folder / "gain.keras").unlink(): ("gain.keras", "lacks a model"),
    lambda folder: (folder / "config.json").unlink(): ("config.json", "no such file"),
    lambda folder: folder.rename(folder.with_name("elsewhere")): ("best", "no such model folder"),
}


@pytest.mark.parametrize("damage", CASES)
def test_what_cannot_be_used_is_refused_in_one_line(damage, folder):
    damage(folder)
    with pytest.raises(InputError) as error:
        load_model_folder(folder)
    assert all(words in str(error.value) for words in CASES[damage]), error.value
    assert "\n" not in str(error.value)


def test_config_alone_can_be_read(experiment, folder):
    assert read_experiment(pathlib.Path(folder)) == experiment


def test_models_start_from_the_weights_of_a_folder_or_of_a_workdirs_best(experiment, folder):
    for source in (folder, folder.parent):
        models = experiment.make_method().build(2)
        take_weights(models, source)
        assert weights(models) == weights(load_model_folder(folder)[2])


def test_models_may_have_weights_that_the_folder_lacks(tmp_path):
    """Learned data consistency, begun with a network whose consistency learns nothing."""
    sizes = {"channels": 4, "cascades": 2, "tokens": 3, "token_width": 8, "mapper_blocks": 1}
    hard = resolve_experiment({"method": "ssdiffrecon", "model": sizes})
    save_model_folder(tmp_path / "hard", hard, hard.make_method().build(1))
    proximal = resolve_experiment({"method": "ssdiffrecon", "model": {**sizes, "consistency": "proximal"}})
    models = proximal.make_method().build(2)
    lacking = take_weights(models, tmp_path / "hard")
    assert lacking == ["consistency_0/weight", "consistency_1/weight", "consistency_out/weight"]
    other = load_model_folder(tmp_path / "hard")[2]
    kept = [variable for variable in models["denoiser"].variables if variable.path not in lacking]
    for own, theirs in zip(kept, other["denoiser"].variables, strict=True):
        np.testing.assert_array_equal(own, theirs)
    with pytest.raises(InputError, match="another architecture"):  # weights that have no place here
        save_model_folder(tmp_path / "proximal", proximal, models)
        take_weights(hard.make_method().build(1), tmp_path / "proximal")


def test_models_that_cannot_start_from_a_folder_are_left_as_they_were(experiment, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no trained models to start from"):
        take_weights(experiment.make_method().build(2), tmp_path / "empty")
    other = resolve_experiment({"method": "toy", "model": {"features": 5}})
    models = other.make_method().build(2)
    with pytest.raises(InputError, match="its 'denoiser' has another architecture"):
        take_weights(models, folder)
    assert weights(models) == weights(other.make_method().build(2))
