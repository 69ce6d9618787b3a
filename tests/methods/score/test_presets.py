"""Presets: the published numbers, settings that survive a configuration, and what goes together."""

import numpy as np
import pytest
from score_cases import Network, measurement_of, models_of, tiny
from ssdiffrecon_cases import make_batch

from tfrecon.methods.score import presets
from tfrecon.methods.score.method import Score
from tfrecon.methods.score.model import PriorPath, ScoreModel, SmallSettings
from tfrecon.methods.score.objective import ScoreObjective
from tfrecon.nets import ddpm_unet
from tfrecon.nets.ddpm_unet import DDPMSettings
from tfrecon.nets.ncsnpp import NCSNppSettings
from tfrecon.train.config import Experiment, resolve_experiment
from tfrecon.util import rng
from tfrecon.util.errors import InputError

PRESETS = {
    "small": presets.score_small(),
    "small vp": presets.score_small("vp"),
    "patch": presets.patch_small(8),
    "hfs": presets.hfs_small(),
    "large": presets.large(),
    "large hfs": presets.large("hfs"),
    "published ve": presets.ve_published(),
    "published complex": presets.ve_published("complex"),
    "ve baseline": presets.ve_baseline(),
    "published vp": presets.vp_published(),
    "published hfs": presets.hfs_published(),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_a_configuration(name):
    preset = PRESETS[name]
    experiment = Experiment("score", preset.model, preset.objective, preset.reconstruct)
    assert resolve_experiment(experiment.to_json()) == experiment


def test_a_partial_configuration_keeps_the_other_defaults():
    given = {"model": {"path": {"sigma_max": 30}, "small": {"width": 16}}, "objective": {"matching": {"log_std": 2.0}}}
    experiment = resolve_experiment({"method": "score", **given})
    assert experiment.model.path == PriorPath(sigma_max=30.0) and experiment.model.path.sigma_min == 0.005
    assert experiment.model.small.fourier_scale == 1.0 and experiment.objective.matching.times == "log_normal"


def test_the_defaults_are_the_small_prior():
    method = Score()
    assert (method.model, method.objective) == PRESETS["small"][:2]
    assert method.model.network_settings == ddpm_unet.small()
    assert PRESETS["patch"].model.network_settings == ddpm_unet.small(extra_channels=2)
    assert PRESETS["hfs"].model.extra_channels == 2


def test_small_priors_begin_with_an_image_and_others_with_noise():
    small = [PRESETS[name].reconstruct for name in ("small", "small vp", "patch", "hfs")]
    assert all(options == presets.FOR_IMAGES and options.start == 0.5 for options in small)
    assert PRESETS["large"].reconstruct == PRESETS["large hfs"].reconstruct == Score.options_type()
    assert presets.FOR_IMAGES.start_image == "cg_sense" and presets.FOR_IMAGES.eta == 1.0
    assert all(PRESETS[name].reconstruct.start == 1.0 for name in PRESETS if "large" in name or "published" in name)


def test_published_numbers():
    ve, vp, hfs = (PRESETS[f"published {name}"] for name in ("ve", "vp", "hfs"))
    assert ve.model.network_settings == NCSNppSettings()
    assert vp.model.network_settings == hfs.model.network_settings == DDPMSettings(dropout=0.1)
    assert (ve.model.path.sigma_min, ve.model.path.sigma_max) == (0.01, 378.0)
    assert ve.model.training_path().real and ve.model.training_path().noise_variance == 1.0
    assert (vp.model.path.beta_min, vp.model.path.beta_max) == (0.1, 20.0)
    assert (ve.reconstruct.steps, vp.reconstruct.steps, hfs.reconstruct.steps) == (500, 1000, 1000)
    assert PRESETS["published complex"].reconstruct.steps == 2000
    options = [preset.reconstruct.for_path(preset.model.path.kind) for preset in (ve, vp, hfs)]
    assert [option.sampling.snr for option in options] == [0.16, 0.27, 0.16]
    assert [option.sampling.mse for option in options] == [None, 2.5, 2.5]
    assert PRESETS["ve baseline"].model.path.sigma_max == 348.0
    assert ve.objective.matching.reduction == "sum" and vp.objective.matching.reduction == "mean"
    assert not hfs.model.told_width and hfs.objective.low_frequencies.most == 0.05


@pytest.mark.parametrize("name", PRESETS)
def test_presets_train_and_reconstruct(name):
    """With a stand-in network and few steps."""
    preset = PRESETS[name]
    method = Score(preset.model, preset.objective)
    batch = make_batch(coils=1, lines=True, rate=2.0)
    channels = preset.model.image_channels
    network = Network(lambda inputs: 0.1 * inputs["image"][..., :channels])
    losses, logs = method.loss(models_of(network), batch, rng.make_seeds(0, 0, 2), True)
    assert np.isfinite(np.asarray(losses)).all() and losses.shape == (2,) and set(logs) == {"t"}
    width = channels + preset.model.extra_channels
    assert network.calls[0]["image"].shape[-1] == width and network.training == [True]
    assert ("dropout_seed" in network.calls[0]) == (preset.model.network_settings.dropout > 0)
    options = type(preset.reconstruct)(**{**vars(preset.reconstruct), "nfe": 6})
    network = Network(lambda inputs: 0.1 * inputs["image"][..., :channels])
    image = np.asarray(method.reconstruct(models_of(network), measurement_of(batch), None, options).image)
    assert image.shape == (2, 15, 17) and np.isfinite(image).all()
    assert len(network.calls) == options.calls and network.calls[0]["image"].shape[-1] == width
    assert network.training[0] is False and "dropout_seed" not in network.calls[0]


def test_the_small_network_is_built_with_its_channels():
    models = Score(tiny("hfs", patch=8), ScoreObjective(patches=0)).build(0)
    assert models["network"].settings.extra_channels == 4
    same = Score(tiny("hfs", patch=8), ScoreObjective(patches=0)).build(0)
    for one, other in zip(models["network"].variables, same["network"].variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one.value), np.asarray(other.value))


def test_what_does_not_go_together():
    with pytest.raises(InputError, match="'channels' decides it"):
        ScoreModel(path=PriorPath(real=True))
    with pytest.raises(InputError, match="needs complex images"):
        ScoreModel(path=PriorPath("hfs"), channels="magnitude")
    with pytest.raises(InputError, match="not single patches"):
        Score(ScoreModel(path=PriorPath("hfs"), patch=32))
    with pytest.raises(InputError, match="'patch' is -1"):
        ScoreModel(patch=-1)
    with pytest.raises(InputError, match="'width' is 3"):
        ScoreModel(small=SmallSettings(width=3))
