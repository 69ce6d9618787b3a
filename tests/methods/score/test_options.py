"""Options: budgets, and what is refused in one line."""

from typing import get_args

import pytest

from tfrecon.methods.base import get_method, resolve_options
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.published_options import ALGORITHMS, SWITCHES, Switch
from tfrecon.util.errors import InputError
from tfrecon.util.settings import to_dictionary


def test_calls_of_an_image_are_those_of_all_its_samples():
    method = get_method("score")
    options = {"sampler": "pc", "nfe": 51, "samples": 4}
    assert method.network_calls(resolve_options(method, options)) == 200
    published = {"algorithm": "real", "sampling.N": 300}
    assert method.network_calls(resolve_options(method, published)) == 600
    assert method.network_calls(resolve_options(method, {"algorithm": "ssos"})) is None  # depends on the coils


@pytest.mark.parametrize(
    "options, steps, calls",
    [
        ({}, 50, 50),
        ({"nfe": 1}, 1, 1),
        ({"sampler": "pc", "nfe": 51}, 25, 50),
        ({"sampler": "pc", "nfe": 50, "corrector_steps": 3}, 12, 48),
        ({"sampler": "reverse_diffusion", "nfe": 7}, 7, 7),
        ({"sampler": "ode", "nfe": 1}, 1, 1),
        ({"sampler": "ode", "nfe": 10}, 5, 9),
    ],
)
def test_budgets(options, steps, calls):
    options = ScoreOptions(**options)
    assert (options.steps, options.calls) == (steps, calls) and calls <= options.nfe


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"nfe": 0}, "'nfe' is 0"),
        ({"samples": 0}, "'samples' is 0"),
        ({"eta": 1.5}, "'eta' is 1.5"),
        ({"start": 0.0}, "'start' is 0"),
        ({"start": 0.3}, "no image to start from"),
        ({"snr": 0.0}, "'snr' is 0"),
        ({"gamma": -1.0}, "'gamma' is -1"),
        ({"noise": -0.1}, "'noise' is -0.1"),
        ({"sampler": "pc", "nfe": 1}, "not one step of 2"),
        ({"data_at": "state"}, "not for sampler 'dds'"),
        ({"data_at": "state", "sampler": "pc"}, "data_step 'cg'"),
        ({"sampler": "euler"}, "'sampler' is one of"),
        ({"data_step": "pocs"}, "'data_step' is one of"),
        ({"nfe": "many"}, "'nfe' is int"),
        ({"steps": 5}, "no key 'steps'"),
        ({"algorithm": "pocs"}, "'algorithm' is one of"),
        ({"algorithm": "ssos", "nfe": 1}, "not one step of 2"),
        ({"algorithm": "ssos", "sampler": "ddim"}, "is a sampler of its own, beside sampler 'ddim'"),
        ({"algorithm": "ssos", "sampling.N": "0"}, "'sampling.N' is 0"),
        ({"algorithm": "ssos", "sampling.snr": 0}, "'sampling.snr' is 0"),
        ({"algorithm": "hybrid", "sampling.sense_every": 0}, "'sampling.sense_every' is 0"),
        ({"algorithm": "ssos", "sampling.accelerated_sampling": "true"}, "is not of algorithm 'ssos'"),
        ({"algorithm": "real", "parity": "gradient"}, "choose of all, schedule, projection, result, scale"),
        ({"algorithm": "real", "parity": "everything"}, "'parity' is a list of one of 'all'"),
        ({"algorithm": "hfs_sde", "parity": "score"}, "'score' needs 'gradient'"),
        ({"algorithm": "hfs_sde", "sampling.mse": 2.0}, "give parity=gradient"),
        ({"parity": "all"}, "option 'parity' is of published algorithms, but none is asked for"),
        ({"sampling.N": 5}, "option 'sampling' is of published algorithms"),
        ({"sampling.accelerated": 1}, "no key 'sampling.accelerated'; did you mean 'sampling.accelerated_sampling'"),
    ],
)
def test_wrong_options_are_said_in_one_line(wrong, says):
    with pytest.raises(InputError, match=says) as caught:
        resolve_options(get_method("score"), wrong)
    assert "\n" not in str(caught.value)


def test_options_of_published_algorithms_from_a_command_line():
    method = get_method("score")
    given = {"algorithm": "hfs_sde", "parity": "gradient,norm", "sampling.N": "30", "sampling.mse": "2"}
    options = resolve_options(method, given)
    assert options.parity == ("gradient", "norm") and (options.steps, options.calls) == (30, 60)
    # The default prior is on the path "ve": what was left out is what was published for it.
    assert (options.sampling.snr, options.sampling.mse, options.sampling.corrector_mse) == (0.10, 2.0, 5.0)
    again = resolve_options(method, {**to_dictionary(options), "sampling.N": 40})
    assert again.steps == 40 and again.sampling.mse == 2.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_all_parity_is_of_the_behaviours_of_the_algorithm(algorithm):
    options = ScoreOptions(algorithm=algorithm, parity=("all",))
    kept = {switch for switch in SWITCHES if options.follows(switch)}
    assert kept == {switch for switch, algorithms in SWITCHES.items() if algorithm in algorithms}
    assert {"schedule", "scale"} < kept and options.grid == "linear"
    mended = ScoreOptions(algorithm=algorithm)
    assert not any(map(mended.follows, SWITCHES)) and mended.grid == "karras"
    assert set(get_args(Switch)) == {"all", *SWITCHES}
