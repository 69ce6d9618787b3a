"""Options: budgets, and what is refused in one line."""

import pytest

from tfrecon.methods.base import get_method, resolve_options
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.util.errors import InputError


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
    ],
)
def test_wrong_options_are_said_in_one_line(wrong, says):
    with pytest.raises(InputError, match=says) as caught:
        resolve_options(get_method("score"), wrong)
    assert "\n" not in str(caught.value)
