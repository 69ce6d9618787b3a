"""Every config of the repository builds and takes a step, at a size that a test can afford."""

import dataclasses
import pathlib

import numpy as np
import pytest

from tfrecon.train.config_file import read_experiment_file
from tfrecon.train.dry_run import dry_run

ROOT = pathlib.Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
WORDS = {
    "ixi": ("fixed", "faithful"),
    "fastmri": ("fixed", "faithful"),
    "small": ("single_coil", "multi_coil"),
    "ve_small": ("image", "patch"),
    **dict.fromkeys(("vp_fastmri", "hfs_fastmri"), ("fixed", "published")),
    "ve_fastmri": ("fixed", "published", "baseline"),
}
"""What the `get_config` of a file takes; the others take nothing."""

SLOW = ("vp_small", "ve_fastmri", "vp_fastmri", "hfs_fastmri")
"""Too much to compile for the fast tests."""

CASES = [(path, word) for path in CONFIGS for word in WORDS.get(path.stem, ("",))]
CASES = [
    pytest.param(
        path, word, id=f"{path.parent.name}-{path.stem}-{word}", marks=[pytest.mark.slow] * (path.stem in SLOW)
    )
    for path, word in CASES
]


def reduced_ssdiffrecon(model):
    """Few channels and cascades, one layer with attention at least."""
    layers = min(model.layers_per_cascade, model.attention_every)
    model = dataclasses.replace(model, channels=4, cascades=2, layers_per_cascade=layers, mapper_blocks=1)
    return dataclasses.replace(model, canvas=40, label_width=0) if model.canvas else model


def reduced_score(model):
    """Few channels and levels, small patches."""
    network = dataclasses.replace(getattr(model, model.network), width=8, multipliers=(1,), blocks=1)
    return dataclasses.replace(model, **{model.network: network}, patch=16 if model.patch else 0)


REDUCED = {"ssdiffrecon": reduced_ssdiffrecon, "score": reduced_score}


def reduced(experiment):
    """Few channels, one example of the dummy data, masks for its 40 x 36 samples."""
    model = REDUCED[experiment.method](experiment.model)
    masks = tuple(dataclasses.replace(mask, acceleration=3.0, acs_lines=6) for mask in experiment.data.undersample)
    folder = str(ROOT / "dummy_data" / "records" / "train")
    data = dataclasses.replace(experiment.data, train=folder, batch_size=1, undersample=masks)
    train = dataclasses.replace(experiment.train, accumulate=1, start_from="")
    return dataclasses.replace(experiment, model=model, data=data, train=train)


@pytest.mark.parametrize(("path", "word"), CASES)
def test_config_builds_and_takes_a_step(path, word):
    experiment = read_experiment_file(f"{path}:{word}" if word else str(path))
    assert experiment.data.train and experiment.train.steps >= 100
    # What is trained on the measured images themselves has to take them as they are.
    measured = experiment.method == "score" and experiment.objective.images == "measured"
    assert bool(experiment.data.undersample) != measured or experiment.model.channels == "magnitude"
    done = dry_run(reduced(experiment))
    assert np.isfinite(done.loss) and done.loss > 0
    assert all(trained > 0 for trained, _ in done.parameters.values())


def test_every_config_says_how_it_is_run():
    assert len(CONFIGS) >= 4
    for path in CONFIGS:
        text = path.read_text()
        assert f"--config={path.relative_to(ROOT)}" in text, path
        assert "def get_config(" in text
