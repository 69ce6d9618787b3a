"""Samplers in parts: one after the other they are the whole; what is carried has the best image so far."""

import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.guided import diffpir, dps
from tfrecon.diffusion.samplers import ancestral, ddim
from tfrecon.diffusion.steps import Carried, SomeSteps, all_steps, count_of
from tfrecon.diffusion.stochastic import PredictorCorrector, predictor_corrector
from tfrecon.util import rng
from tfrecon.util.complex import energy
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SHAPE, COUNT = (2, 5, 6), 5
PATH = make_path(PathSettings("vp"))
TIMES = make_times(PATH, COUNT)
DATA = np.random.default_rng(0).normal(size=(*SHAPE, 2)).astype("float32").view("complex64")[..., 0]


def denoiser(x_t, t):
    return 0.3 * x_t / (1.0 + ops.cast(PATH.sigma(t), "complex64"))


def data_step(x0_hat, t):
    return 0.5 * (x0_hat + DATA)


def distance(x0_hat):
    return ops.sqrt(ops.sum(energy(x0_hat - DATA), axis=(-2, -1)) + 1e-12)


def proximal(x0_hat, weight):
    weight = ops.cast(weight, "complex64")
    return (DATA + weight * x0_hat) / (1.0 + weight)


def scored(**rules):
    def sampler(seed, start, loop):
        arguments = denoiser, PATH, data_step, TIMES, seed, start
        return predictor_corrector(*arguments, rules=PredictorCorrector(**rules), loop=loop)

    return sampler


SAMPLERS = {
    "ancestral": lambda s, x, loop: ancestral(denoiser, PATH, data_step, TIMES, s, x, loop=loop),
    "ddim": lambda s, x, loop: ddim(denoiser, PATH, data_step, TIMES, s, x, eta=0.4, loop=loop),
    "before data": lambda s, x, loop: ddim(denoiser, PATH, data_step, TIMES, s, x, direction="before_data", loop=loop),
    "pc": scored(),
    "corrector last": scored(order="predictor_first"),
    "corrector alone": scored(predictor="none"),
    "euler_maruyama": scored(predictor="euler_maruyama", corrector_steps=0),
    "dps": lambda s, x, loop: dps(denoiser, PATH, distance, TIMES, s, x, loop=loop),
    "diffpir": lambda s, x, loop: diffpir(denoiser, PATH, proximal, TIMES, s, x, noise_std=0.1, loop=loop),
}


def start():
    return PATH.prior(PATH.noise(rng.make_seeds(1, 0, 2), SHAPE))


def number(value):
    return ops.convert_to_tensor(value, "int32")


@pytest.mark.parametrize("name", SAMPLERS)
def test_parts_make_the_whole(name):
    seeds, sampler = rng.make_seeds(0, 0, 2), SAMPLERS[name]
    whole = ops.convert_to_numpy(sampler(seeds, start(), all_steps))
    carried, images = None, []
    for first, last in ((0, 1), (1, 4), (4, COUNT)):
        carried = sampler(seeds, start(), SomeSteps(number(first), number(last), carried))
        images.append(ops.convert_to_numpy(carried.image))
    np.testing.assert_array_equal(images[-1], whole)
    if name in ("ancestral", "ddim", "pc", "diffpir"):
        errors = [abs(image - whole).mean() for image in images[:2]]
        assert errors[1] < errors[0] < abs(ops.convert_to_numpy(start()) - whole).mean()


def test_the_image_of_a_part_is_the_newest_estimate():
    seeds = rng.make_seeds(0, 0, 2)
    one = ddim(denoiser, PATH, data_step, TIMES, seeds, start(), loop=SomeSteps(number(0), number(1)))
    expected = data_step(denoiser(start(), TIMES[0]), TIMES[0])
    np.testing.assert_allclose(ops.convert_to_numpy(one.image), ops.convert_to_numpy(expected), rtol=1e-6)
    assert abs(ops.convert_to_numpy(one.state - one.image)).max() > 0.1


def test_an_estimate_that_has_not_met_the_data_does_so_when_a_part_ends():
    def project(state, t):
        return ops.convert_to_tensor(DATA) + 0 * state

    arguments = denoiser, PATH, None, TIMES, rng.make_seeds(0, 0, 2), start()
    one = predictor_corrector(*arguments, project_state=project, loop=SomeSteps(number(0), number(2)))
    np.testing.assert_allclose(ops.convert_to_numpy(one.image), DATA, rtol=1e-6)


def test_parts_that_carry_nothing_begin_at_the_start():
    nothing = SomeSteps(number(0), number(0))(3, lambda index, carried: carried, start())
    assert isinstance(nothing, Carried)
    np.testing.assert_array_equal(ops.convert_to_numpy(nothing.state), ops.convert_to_numpy(start()))


def test_a_sampler_has_a_step():
    assert count_of(TIMES) == COUNT
    with pytest.raises(InputError, match="without a single step"):
        count_of(np.zeros(0, np.float32))
