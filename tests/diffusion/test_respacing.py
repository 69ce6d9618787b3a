"""Respacing notations against their transcription, and what follows for the chain from `path.posterior` alone."""

import improved_ddpm_numpy as reference
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.path import posterior
from tfrecon.diffusion.respacing import respaced_times
from tfrecon.diffusion.steps import levels_of
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

NOTATIONS = ["1", "2", "7", "250", "10,20,30", "15,15,8,6,6", "1,1,1,1,1,1,1", "ddim2", "ddim25", "ddim50", "ddim250"]


def published(notation, steps):
    """Rising."""
    if notation.startswith("ddim"):
        return reference.times_with_stride(int(notation[4:]), steps)
    return reference.times_in_sections([int(part) for part in notation.split(",")], steps)


@pytest.mark.parametrize("steps", [1000, 4000])
@pytest.mark.parametrize("notation", NOTATIONS)
def test_notations_name_the_published_times(notation, steps):
    times = respaced_times(notation, steps)
    assert times.dtype == np.int32 and times[-1] == 0 and (np.diff(times) < 0).all()
    np.testing.assert_array_equal(times[::-1], published(notation, steps))


def test_every_number_of_steps_is_rounded_as_published():
    for steps in (1, 10, 37, 100):
        for count in range(1, steps + 1):
            np.testing.assert_array_equal(
                respaced_times(str(count), steps)[::-1], reference.times_in_sections([count], steps)
            )


def test_sections_share_a_chain_that_they_do_not_divide():
    """11 steps in three sections: 0 … 3, 4 … 7, 8 … 10."""
    assert respaced_times("2,2,2", 11).tolist() == [10, 8, 7, 4, 3, 0]
    assert respaced_times(" 4, 1 ,3", 11).tolist() == [10, 9, 8, 4, 3, 2, 1, 0]


def test_no_respacing_is_the_whole_chain():
    for notation in ("", " ", "20", "ddim20"):
        assert respaced_times(notation, 20).tolist() == list(range(19, -1, -1))


@pytest.mark.parametrize("schedule", ["linear_scaled", "cosine"])
@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_respaced_chain_is_the_published_one(schedule, notation):
    """The posterior between kept times is that of a new chain of betas 1 - ab(S_i)/ab(S_{i-1})."""
    path = DiscretePath.from_settings(ChainSettings(1000, schedule))
    times = respaced_times(notation, path.steps)
    chain = reference.Chain(reference.shortened(path.betas, published(notation, path.steps)))
    law = [ops.convert_to_numpy(part)[::-1] for part in posterior(*levels_of(path, times))]
    np.testing.assert_allclose(law[0], chain.of_image, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(law[1], chain.of_state, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(law[2] ** 2, chain.variance, rtol=2e-3)
    np.testing.assert_allclose(law[3] ** 2, chain.betas, rtol=2e-3)


@pytest.mark.parametrize("wrong", ["a", "ddim", "ddim-5", "10,,5", "10;5", "0", "-3", "5,0", "2.5", "²", "ddim5,5"])
def test_what_cannot_be_read(wrong):
    with pytest.raises(InputError, match=r"cannot be read.*'50'.*'10,10,30'.*'ddim50'"):
        respaced_times(wrong, 1000)


@pytest.mark.parametrize(
    "notation, steps, message",
    [
        ("1001", 1000, "a chain of 1000 steps cannot be respaced to 1001; give at most 1000"),
        ("10,51", 100, "a section of 50 steps cannot be respaced to 51; give at most 50"),
        ("ddim300", 1000, "no integer stride makes 300 of 1000 steps; give ddim250 or ddim334"),
        ("ddim21", 20, "no integer stride makes 21 of 20 steps; give ddim20"),
    ],
)
def test_what_does_not_fit_the_chain(notation, steps, message):
    with pytest.raises(InputError, match=message):
        respaced_times(notation, steps)
