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
    "ssdiffrecon/ixi": ("fixed", "faithful"),
    "ssdiffrecon/fastmri": ("fixed", "faithful"),
    "ssdiffrecon/small": ("single_coil", "multi_coil"),
    "score/ve_small": ("image", "patch"),
    **dict.fromkeys(("score/vp_fastmri", "score/hfs_fastmri"), ("fixed", "published")),
    "score/ve_fastmri": ("fixed", "published", "baseline"),
    "ddpm/singlecoil": ("fixed", "published"),
    "ddpm/multicoil": ("M", "L"),
    "ddpm/autoencoder": ("f4", "f2"),
    "ddpm/latent": ("f4", "f2"),
    "ddpm/conditional": ("small", "published"),
}
"""What the `get_config` of a file takes; the others take nothing."""

SLOW = (
    "score/vp_small",
    "score/ve_fastmri",
    "score/vp_fastmri",
    "score/hfs_fastmri",
    "ddpm/autoencoder:f2",
    "ddpm/latent:f2",
    "ddpm/singlecoil",
    "ddpm/multicoil:L",
    "ddpm/conditional:published",
)
"""Files, or words of them, that are too much to compile for the fast tests."""


def name_of(path):
    """For instance "ddpm/small"."""
    return path.relative_to(ROOT / "configs").with_suffix("").as_posix()


CASES = [(path, name_of(path), word) for path in CONFIGS for word in WORDS.get(name_of(path), ("",))]
CASES = [
    pytest.param(
        path,
        word,
        id=f"{name.replace('/', '-')}-{word}",
        marks=[pytest.mark.slow] * (name in SLOW or f"{name}:{word}" in SLOW),
    )
    for path, name, word in CASES
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


def reduced_autoencoder(model):
    """Few channels and levels."""
    return dataclasses.replace(model, width=4, multipliers=(1,))


def reduced_latent(model):
    """Few channels and levels in both stages."""
    return dataclasses.replace(reduced_ddpm(model), autoencoder=reduced_autoencoder(model.autoencoder))


def reduced_ddpm(model):
    """Few channels and levels."""
    network = dataclasses.replace(model.network, width=8, multipliers=(1,), blocks=1, attention_levels=())
    return dataclasses.replace(model, network=network)


REDUCED = {
    "ssdiffrecon": reduced_ssdiffrecon,
    "score": reduced_score,
    "ddpm": reduced_ddpm,
    "autoencoder": reduced_autoencoder,
    "latent": reduced_latent,
    "conditional": reduced_ddpm,
}


def reduced(experiment):
    """Few channels, one example of the dummy data, masks for its 40 x 36 samples."""
    model = REDUCED[experiment.method](experiment.model)
    masks = tuple(dataclasses.replace(mask, acceleration=3.0, acs_lines=6) for mask in experiment.data.undersample)
    folder = str(ROOT / "dummy_data" / "records" / "train")
    own = {"train": folder, "batch_size": 1, "undersample": masks}
    if experiment.data.buckets:
        own |= {"buckets": 8, "pixels_per_batch": 40 * 40}
    data = dataclasses.replace(experiment.data, **own)
    train = dataclasses.replace(experiment.train, accumulate=1, start_from="")
    return dataclasses.replace(experiment, model=model, data=data, train=train)


@pytest.mark.parametrize(("path", "word"), CASES)
def test_config_builds_and_takes_a_step(path, word):
    experiment = read_experiment_file(f"{path}:{word}" if word else str(path))
    assert experiment.data.train and experiment.train.steps >= 100
    # What is trained on the measured images themselves has to take them as they are.
    measured = getattr(experiment.objective, "images", "") == "measured"
    assert bool(experiment.data.undersample) != measured or experiment.model.channels == "magnitude"
    done = dry_run(reduced(experiment))
    assert np.isfinite(done.loss) and done.loss > 0
    frozen = {"autoencoder", "statistics"} if experiment.method == "latent" else set()
    assert {name for name, (trained, _) in done.parameters.items() if trained == 0} == frozen


def test_every_config_says_how_it_is_run():
    assert len(CONFIGS) >= 4
    for path in CONFIGS:
        text = path.read_text()
        assert f"--config={path.relative_to(ROOT)}" in text, path
        assert "def get_config(" in text
