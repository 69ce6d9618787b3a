"""An experiment survives JSON and ConfigDict, and mistakes are named with the nearest known key."""

import json

import pytest
import toy_data
from ml_collections import ConfigDict

import tfrecon
from tfrecon.data.transforms import Undersampling
from tfrecon.train.config import default_config, resolve_experiment
from tfrecon.util.errors import InputError


def test_defaults_are_an_experiment_with_every_key():
    config = default_config("toy")
    assert isinstance(config, ConfigDict) and config.model.features == 4 and config.train.nonfinite == "skip"
    experiment = resolve_experiment(config)
    assert experiment == resolve_experiment({"method": "toy"})
    assert set(config) == set(experiment.to_json()) - {"tfrecon"}


def test_json_gives_back_the_experiment():
    experiment = toy_data.toy_experiment("a", "b", optimizer={"clip_norm": None}, train={"accumulate": 2})
    text = json.dumps(experiment.to_json())
    assert resolve_experiment(json.loads(text)) == experiment
    assert json.loads(text)["tfrecon"] == tfrecon.__version__
    assert experiment.data.undersample == (Undersampling("gaussian1d", 3, acs_lines=4),)


def test_the_method_is_made_with_its_settings():
    method = toy_data.toy_experiment("a", model={"features": 6}, objective={"noise": 0.5}).make_method()
    assert (method.name, method.model.features, method.objective.noise) == ("toy", 6, 0.5)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "config names no method"),
        ({"method": 3}, "config names no method"),
        ({"method": "magic"}, "no method 'magic'"),
        ({"method": "toy", "trian": {}}, "config has no key 'trian'; did you mean 'train'?"),
        ({"method": "toy", "x": 1}, "config has no key 'x'; its keys are: method, seed, model"),
        ({"method": "toy", "train": {"stpes": 1}}, "config.train has no key 'stpes'; did you mean 'steps'?"),
        ({"method": "toy", "train": {"steps": "few"}}, "config.train: 'steps' is int, not 'few'"),
        ({"method": "toy", "train": 5}, "'train' is a dictionary of settings, not 5"),
        ({"method": "toy", "seed": "x"}, "config: 'seed' is int, not 'x'"),
        ({"method": "toy", "model": {"depth": 2}}, "config.model has no key 'depth'"),
    ],
)
def test_mistakes_are_named(config, said):
    with pytest.raises(InputError) as error:
        resolve_experiment(config, "my.py")
    assert said in str(error.value) and ("my.py" in str(error.value) or "no method 'magic'" in said)
