"""Settings: presets, budgets, and what is refused in one line."""

import numpy as np
import pytest
from ddpm_cases import batch_of, make_method, tiny
from score_cases import measurement_of

from tfrecon.methods.base import get_method, resolve_options
from tfrecon.methods.ddpm import presets
from tfrecon.methods.ddpm.method import DDPM
from tfrecon.nets.improved_unet import PRESETS
from tfrecon.train.config import Experiment, resolve_experiment
from tfrecon.util.errors import InputError
from tfrecon.util.settings import to_dictionary

ALL = {"small": presets.small(), "S": presets.sized("S"), "L": presets.sized("L"), "published": presets.published()}


@pytest.mark.parametrize("name", ALL)
def test_presets_survive_a_configuration(name):
    preset = ALL[name]
    experiment = Experiment("ddpm", preset.model, preset.objective, preset.reconstruct)
    assert resolve_experiment(experiment.to_json()) == experiment


def test_the_defaults_are_the_small_prior_and_sizes_those_of_the_networks():
    method = DDPM()
    assert (method.model, method.objective, method.options_type()) == presets.small()
    parameters = sum(int(np.prod(v.shape)) for v in method.build(0)["network"].trainable_variables)
    assert 1.2e6 < parameters <= 1.5e6
    for name in ("S", "L"):
        assert ALL[name].model.network_settings == PRESETS[name]
    settings = tiny(heteroscedastic=True).network_settings
    assert settings.output_channels == 5 and settings.channels == 2


def test_published_numbers():
    model, objective, options = ALL["published"]
    assert (model.chain.steps, model.chain.schedule, model.path.channel_std) == (4000, "cosine", 1.0)
    assert (model.parameterization.output, objective.loss, objective.vlb_weight) == ("eps", "hybrid", 1e-3)
    assert (options.sampler, options.steps, options.variance) == ("ancestral", 250, "learned")


def test_a_cosine_chain_ends_with_next_to_nothing_of_the_image():
    assert DDPM().model.path.alphas[-1] == pytest.approx(5e-5, rel=0.02)


@pytest.mark.parametrize(
    "given, steps",
    [
        ({}, 50),
        ({"nfe": 7}, 7),
        ({"timestep_respacing": "10,10,30"}, 50),
        ({"timestep_respacing": "ddim25", "nfe": 3}, 25),
    ],
)
def test_budgets(given, steps):
    method = make_method(chain={"steps": 1000})
    options = resolve_options(method, given)
    assert options.steps == steps == method.network_calls(options)
    assert method.network_calls(resolve_options(method, {**given, "samples": 3})) == 3 * steps
    assert (method.budgeted(options) is None) == ("timestep_respacing" in given)
    again = resolve_options(method, {**to_dictionary(options), "eta": "0.1"})
    assert again.steps == steps and again.eta == 0.1


def test_exported_budgets_end_with_the_chain():
    budgeted = make_method().budgeted(resolve_options(make_method(), {}))
    assert (budgeted.least, budgeted.most) == (1, 60)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"timestep_respacing": "fifty"}, "respacing 'fifty' cannot be read; write a number of steps"),
        ({"timestep_respacing": "10,,3"}, "respacing '10,,3' cannot be read"),
        ({"timestep_respacing": "ddim"}, "respacing 'ddim' cannot be read"),
        ({"timestep_respacing": "ddim10,3"}, "respacing 'ddim10,3' cannot be read"),
        ({"timestep_respacing": "-5"}, "respacing '-5' cannot be read"),
        ({"timestep_respacing": "ddim59"}, "no integer stride makes 59 of 60 steps; give ddim30 or ddim60"),
        ({"timestep_respacing": "40,10"}, "a section of 30 steps cannot be respaced to 40"),
        ({"nfe": 61}, "a chain of 60 steps cannot be respaced to 61"),
        ({"nfe": 31, "end": 0.5}, "a chain of 30 steps"),
        ({"nfe": 0}, "'nfe' is 0"),
        ({"end": 1.0}, "'end' is 1"),
        ({"start": 0.3}, "no image to start from"),
        ({"clip": 0.0}, "'clip' is 0"),
        ({"eta": 2.0}, "'eta' is 2"),
        ({"sampler": "pc"}, "'sampler' is one of 'dds', 'ancestral'"),
        ({"variance": "huge"}, "'variance' is one of"),
        ({"respacing": "5"}, "did you mean 'timestep_respacing'"),
    ],
)
def test_wrong_options_are_said_in_one_line(wrong, says):
    with pytest.raises(InputError, match=says) as caught:
        resolve_options(make_method(), wrong)
    assert "\n" not in str(caught.value)


def test_measurements_that_a_prior_cannot_take():
    method, options = make_method(), get_method("ddpm").options_type()
    batch = batch_of(coils=2, shape=(16, 18))
    method.check(measurement_of(batch), options)
    without = {**batch, "mask": batch["mask"].copy()}
    without["mask"][1, ..., 9] = 0
    with pytest.raises(InputError, match=r"of mask 1 are sampled at the centre.*model\.phase=random"):
        method.check(measurement_of(without), options)
    make_method(phase="random").check(measurement_of(without), options)
    with pytest.raises(InputError, match="does not fit k-space"):
        method.check(measurement_of({**batch, "mask": batch["mask"][..., :9]}), options)
    with pytest.raises(InputError, match="no sensitivity maps"):
        method.reconstruct({"network": None}, measurement_of({**batch, "maps": None}), None, options)
