"""Config files are run, overridden and compared; what is wrong with one is said with its line."""

import json

import pytest
import toy_data

from tfrecon.train.config_file import differing_keys, override, read_experiment_file
from tfrecon.util.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "my.py"
        path.write_text("\n".join(["from tfrecon.train.config import default_config", *lines]) + "\n")
        return str(path)

    return write


def test_a_file_says_what_it_changes(write):
    path = write("def get_config():", "  c = default_config('toy')", "  c.train.steps = 7", "  return c")
    experiment = read_experiment_file(path, {"seed": "4", "optimizer.clip_norm": "none", "train.jit": "true"})
    assert (experiment.train.steps, experiment.seed, experiment.optimizer.clip_norm) == (7, 4, None)
    assert experiment.train.jit is True


def test_a_word_and_plain_dictionaries_will_do(write):
    path = write("def get_config(word):", "  return {'method': 'toy', 'model': {'features': int(word)}}")
    assert read_experiment_file(f"{path}:9").model.features == 9


def test_a_config_json_will_do(tmp_path):
    experiment = toy_data.toy_experiment("a")
    (tmp_path / "config.json").write_text(json.dumps(experiment.to_json()))
    assert read_experiment_file(str(tmp_path / "config.json")) == experiment


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["x = 1"], "my.py: has no function get_config()"),
        (["def get_config(:"], "my.py line 2: SyntaxError"),
        (["def get_config():", "  return 1 / 0"], "my.py line 3: ZeroDivisionError: division by zero"),
        (["import nothing_of_that_name"], "my.py line 2: ModuleNotFoundError"),
        (["def get_config():", "  c = default_config('toy')", "  c.train.steps = 'x'"], "my.py line 4: TypeError"),
        (["def get_config():", "  return default_config('magic')"], "my.py: no method 'magic'; choose one of"),
        (["def get_config():", "  pass"], "returned NoneType, not a ConfigDict"),
        (["def get_config():", "  return {'method': 'toy', 'sed': 3}"], "no key 'sed'; did you mean 'seed'?"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(lines, said, write):
    with pytest.raises(InputError) as error:
        read_experiment_file(write(*lines))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_told(tmp_path):
    for name in ("none.py", "none.py:word", "none.json"):
        with pytest.raises(InputError, match="no such"):
            read_experiment_file(str(tmp_path / name))
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="not the config of an experiment"):
        read_experiment_file(str(tmp_path / "list.json"))


def test_overrides_leave_the_original_alone():
    config = {"a": {"b": {"c": 1}}, "d": 2}
    assert override(config, {"a.b.c": "3", "a.e": "[1, {'x': 2}]", "f.g": "h"}) == {
        "a": {"b": {"c": "3"}, "e": [1, {"x": 2}]},
        "d": 2,
        "f": {"g": "h"},
    }
    assert config == {"a": {"b": {"c": 1}}, "d": 2}
    assert override({}, {"a": "[not python"}) == {"a": "[not python"}
    with pytest.raises(InputError, match=r"config\.d holds no key 'e'"):
        override(config, {"d.e": "1"})


def test_differences_are_named_by_dotted_keys():
    one = toy_data.toy_experiment("a")
    other = toy_data.toy_experiment("b", model={"features": 9}, train={"steps": 1}, seed=4)
    assert differing_keys(one, other) == ("model.features", "data.train", "train.steps", "seed")
    assert differing_keys(one, one) == ()
    undersampled = toy_data.toy_experiment("a", data={"undersample": [{**toy_data.LINES, "acceleration": 5}]})
    assert differing_keys(one, undersampled) == ("data.undersample",)
