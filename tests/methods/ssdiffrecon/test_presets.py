"""Presets: the published method to its chain, and what the default one cures."""

import dataclasses

import numpy as np
import pytest
from ssdiffrecon_cases import Networks, make_batch

from tfrecon.methods.ssdiffrecon import presets
from tfrecon.methods.ssdiffrecon.method import SSDiffRecon
from tfrecon.methods.ssdiffrecon.model import faithful_multi, faithful_single
from tfrecon.methods.ssdiffrecon.network import build_networks
from tfrecon.train.config import Experiment, resolve_experiment
from tfrecon.typing import Measurement
from tfrecon.util import rng

PRESETS = {
    "faithful single-coil": presets.faithful(),
    "faithful multi-coil": presets.faithful(coils=5),
    "fixed": presets.fixed(),
    "small": presets.small(),
}


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


@pytest.mark.mathematics
def test_faithful_single_has_the_published_parameters():
    models = build_networks(faithful_single())
    assert count(models["denoiser"].trainable_variables) == 3_240_858
    assert count(models["mapper"].trainable_variables) == 51_712
    assert count(models["denoiser"].non_trainable_variables) == 0
    assert count(models["mapper"].non_trainable_variables) == 512


@pytest.mark.mathematics
def test_faithful_multi_has_the_published_parameters():
    models = build_networks(faithful_multi())
    assert count(models["denoiser"].trainable_variables) == 680_666
    assert count(models["mapper"].trainable_variables) == 51_712
    assert count(models["denoiser"].non_trainable_variables) == 12 * 512**2
    assert count(models["mapper"].non_trainable_variables) == 512


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_a_configuration(name):
    preset = PRESETS[name]
    experiment = Experiment("ssdiffrecon", preset.model, preset.objective, preset.reconstruct)
    assert resolve_experiment(experiment.to_json()) == experiment


def test_a_partial_configuration_keeps_the_other_defaults():
    experiment = resolve_experiment(
        {"method": "ssdiffrecon", "objective": {"partition": {"selection": "gaussian"}, "chain": {"steps": 50}}}
    )
    assert experiment.objective.partition.ratio == 0.05 and experiment.objective.chain.beta_end == 0.02


def test_fixed_is_the_default_and_cures_what_faithful_keeps():
    method, published = SSDiffRecon(), presets.faithful(coils=5)
    assert (method.model, method.objective) == (presets.fixed().model, presets.fixed().objective)
    assert presets.fixed().reconstruct == method.options_type()
    ours = presets.fixed()
    differing = {
        field.name
        for field in dataclasses.fields(ours.objective)
        if getattr(ours.objective, field.name) != getattr(published.objective, field.name)
    }
    assert differing == {"loss", "average", "partition", "chain", "data"}
    assert ours.objective.partition.acs == 4 and published.objective.partition.acs == 0
    assert ours.reconstruct.sampler == "respaced" and published.reconstruct.sampler == "legacy5"
    assert presets.faithful().objective.values == "shifted"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_train_and_reconstruct(name):
    """With stand-in networks; images are restored to the units of the measurement."""
    preset = PRESETS[name]
    coils = 1 if "single" in name else 3
    batch, method = make_batch(coils=coils), SSDiffRecon(preset.model, preset.objective)
    losses, _ = method.loss(Networks(), batch, rng.make_seeds(0, 0, 2), True)
    assert np.isfinite(np.asarray(losses)).all() and losses.shape == (2,)
    measurement = Measurement(batch["kspace"], batch["mask"], batch["maps"])
    models = Networks()
    result = method.reconstruct(models, measurement, rng.make_seed(0), preset.reconstruct)
    image = np.asarray(result.image)
    assert len(models.calls) == 5 and image.shape == (2, 15, 17)
    if name.startswith("faithful"):
        assert [int(np.asarray(inputs["time"])[0]) for inputs, _ in models.times] == [4, 3, 2, 1, 0]
        assert "dropout_seed" in models.calls[0]
    if "single" in name:  # a box of [-1, 1] around the shifted values is one of [0, 1] around the image's
        assert min(image.real.min(), image.imag.min()) > -1e-6
        assert max(image.real.max(), image.imag.max()) < 1 + 1e-6
