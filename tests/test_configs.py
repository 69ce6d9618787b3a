"""Every config of the repository builds and takes a step, at a size that a test can afford."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tfrecon.train.config_file import read_experiment_file
from tfrecon.train.dry_run import dry_run

ROOT = pathlib.Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
WORDS = {"ixi": ("fixed", "faithful"), "fastmri": ("fixed", "faithful"), "small": ("single_coil", "multi_coil")}
"""What the `get_config` of a file takes; the others take nothing."""

CASES = [(path, word) for path in CONFIGS for word in WORDS.get(path.stem, ("",))]


def reduced(experiment):
    """Few channels, one example of the dummy data, masks for its 40 x 36 samples."""
    model = dataclasses.replace(experiment.model, channels=4, cascades=2)
    if model.canvas:
        model = dataclasses.replace(model, canvas=40, label_width=0)
    masks = tuple(dataclasses.replace(mask, acceleration=3.0, acs_lines=6) for mask in experiment.data.undersample)
    folder = str(ROOT / "dummy_data" / "records" / "train")
    data = dataclasses.replace(experiment.data, train=folder, batch_size=1, undersample=masks)
    train = dataclasses.replace(experiment.train, accumulate=1, start_from="")
    return dataclasses.replace(experiment, model=model, data=data, train=train)


@pytest.mark.parametrize(("path", "word"), CASES, ids=[f"{p.parent.name}-{p.stem}-{w}" for p, w in CASES])
def test_config_builds_and_takes_a_step(path, word):
    experiment = read_experiment_file(f"{path}:{word}" if word else str(path))
    assert experiment.data.train and experiment.data.undersample and experiment.train.steps >= 100
    done = dry_run(reduced(experiment))
    assert np.isfinite(done.loss) and done.loss > 0
    assert all(trained > 0 for trained, _ in done.parameters.values())


def test_every_config_says_how_it_is_run():
    assert len(CONFIGS) >= 4
    for path in CONFIGS:
        text = path.read_text()
        assert f"--config={path.relative_to(ROOT)}" in text, path
        assert "def get_config(" in text
