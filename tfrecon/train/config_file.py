"""Config files, what the command line says on top of them, and what differs between two experiments.

`ml_collections.config_flags` is not used: it reads `sys.argv`, so that a verb runs once in a process only,
cannot override lists or settings that are None, and answers mistakes with tracebacks. What a config
holds is an `ml_collections.ConfigDict` all the same.
"""

from __future__ import annotations

import ast
import pathlib
import runpy
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from tfrecon.train.config import Experiment, resolve_experiment
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json


def read_experiment_file(path: str, overrides: Mapping[str, str] | None = None) -> Experiment:
    """The experiment of a config file.

    Args:
        path: `FILE.py`, whose `get_config()` is called; `FILE.py:WORD`, which calls `get_config("WORD")`;
            or a `config.json` that a training wrote.
        overrides: values by dotted key ("train.steps"), as the command line has them.

    Raises:
        InputError: no such file, it cannot be run, or what it says is no experiment.
    """
    if path.endswith(".json"):
        config = read_json(path)
        if not isinstance(config, dict):
            raise InputError("is not the config of an experiment", path, "check the path")
    else:
        config = _run(path)
    return resolve_experiment(override(config, overrides or {}), path)


def override(config: Mapping[str, Any], overrides: Mapping[str, str]) -> dict[str, Any]:
    """A config with values replaced; lists and dictionaries are written as in Python.

    Args:
        config: nested dictionaries.
        overrides: strings by dotted key. Whether a key exists, and whether its value has the right
            type, is for `resolve_experiment` to say.

    Raises:
        InputError: a key goes through a value that holds no keys.
    """
    result = dict(config)
    for name, value in overrides.items():
        section, *rest = name.split(".")
        place, keys = result, [section, *rest]
        for depth, key in enumerate(keys[:-1], 1):
            inner = place.get(key, {})
            if not isinstance(inner, Mapping):
                raise InputError(f"config.{'.'.join(keys[:depth])} holds no key {keys[depth]!r}", fix="check the name")
            place[key] = dict(inner)
            place = place[key]
        place[keys[-1]] = _literal(value)
    return result


def differing_keys(one: Experiment, two: Experiment) -> tuple[str, ...]:
    """The dotted keys in which two experiments differ, in the order of a config."""
    first, second = (dict(_leaves(experiment.to_json())) for experiment in (one, two))
    missing = object()
    return tuple(
        key
        for key in dict.fromkeys([*first, *second])
        if key != "tfrecon" and first.get(key, missing) != second.get(key, missing)
    )


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield path + key, value


def _literal(value: str) -> Any:
    """Lists and dictionaries become such; all else is converted when the type of its key is known."""
    if not value.lstrip().startswith(("[", "(", "{")):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return value


def _run(path: str) -> dict[str, Any]:
    file, colon, word = path.partition(":")
    if not pathlib.Path(file).is_file():
        raise InputError("no such config file", file, "check the path")
    try:
        get_config = runpy.run_path(file).get("get_config")
        if not callable(get_config):
            raise InputError("has no function get_config()", file, "see configs/ for examples")
        config = get_config(word) if colon else get_config()
    except InputError as error:
        raise InputError(error.what, error.where or file, error.fix) from error
    except Exception as error:  # whatever the user's Python raises is said in one line, with its place
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else "?"
        raise InputError(f"{type(error).__name__}: {error}", f"{file} line {line}", "correct the file") from error
    if isinstance(config, ConfigDict):
        return config.to_dict()
    if not isinstance(config, Mapping):
        raise InputError(f"get_config() returned {type(config).__name__}, not a ConfigDict", file)
    return dict(config)
