import numpy as np
import pytest
from keras import ops

from tfrecon.util import rng

pytestmark = pytest.mark.mathematics


def draw(*arguments, **keywords):
    return np.asarray(rng.normal(rng.make_seed(*arguments, **keywords), (16,)))


def test_the_same_arguments_give_the_same_numbers():
    np.testing.assert_array_equal(draw(3, 5, 1, purpose="noise"), draw(3, 5, 1, purpose="noise"))
    traced_step = ops.convert_to_tensor(5, "int32")
    np.testing.assert_array_equal(draw(3, traced_step, 1, purpose="noise"), draw(3, 5, 1, purpose="noise"))


def test_every_argument_matters():
    seeds = [0, 1, 2**31, 2**32 + 5, 2**40]
    streams = [draw(seed) for seed in seeds]
    streams += [draw(0, step=1), draw(0, replica=1), draw(0, purpose="noise"), draw(0, purpose="partition")]
    for i, first in enumerate(streams):
        for second in streams[i + 1 :]:
            assert np.abs(first - second).max() > 1e-3


def test_step_and_replica_are_not_interchangeable():
    assert np.abs(draw(0, step=1, replica=2) - draw(0, step=2, replica=1)).max() > 1e-3


def test_distributions():
    seed = rng.make_seed(0)
    normal = np.asarray(rng.normal(seed, (20000,)))
    assert normal.dtype == np.float32
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03
    uniform = np.asarray(rng.uniform(seed, (20000,)))
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.02


def test_complex_noise_has_unit_energy_and_is_circular():
    noise = np.asarray(rng.complex_normal(rng.make_seed(1), (100, 200)))
    assert noise.dtype == np.complex64
    assert np.mean(abs(noise) ** 2) == pytest.approx(1, abs=0.03)
    assert noise.real.var() == pytest.approx(noise.imag.var(), rel=0.05)
    assert abs(np.mean(noise**2)) < 0.03


def test_numpy_generator_depends_on_every_key_and_its_type():
    def first(*keys):
        return rng.numpy_generator(*keys).random()

    assert first(0, "a", 1) == first(0, "a", 1)
    values = [first(0), first(1), first(0, "a"), first(0, 1), first(0, "1"), first(0, "a", "b"), first(0, "ab")]
    assert len(set(values)) == len(values)


def test_purpose_codes_are_fixed():
    """Changing them would change every stored result."""
    assert rng.purpose_code("noise") == 1877124544  # the first 31 bits of SHA-256, by hashlib
    assert 0 <= rng.purpose_code("") < 2**31


@pytest.mark.parametrize("draw", [rng.normal, rng.uniform, rng.complex_normal])
def test_a_batch_of_seeds_draws_for_each_item_what_its_seed_alone_draws(draw):
    seeds = rng.make_seeds(3, 7, 4, purpose="noise")
    together = np.asarray(draw(seeds, (4, 3, 5)))
    assert together.shape == (4, 3, 5)
    for index in range(4):
        alone = np.asarray(draw(seeds[index : index + 1], (1, 3, 5)))
        np.testing.assert_array_equal(alone[0], together[index])
        np.testing.assert_array_equal(np.asarray(draw(seeds[index], (3, 5))), together[index])
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_seeds_of_a_batch_do_not_depend_on_how_it_is_split():
    whole = np.asarray(rng.make_seeds(3, 7, 4, purpose="noise"))
    parts = [np.asarray(rng.make_seeds(3, 7, 2, first, purpose="noise")) for first in (0, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole, axis=0)) == 4
    assert (np.asarray(rng.make_seeds(3, 8, 4, purpose="noise")) != whole).any()


def test_folding_a_value_into_each_seed_of_a_batch():
    seeds = rng.make_seeds(0, 0, 3)
    folded = np.asarray(rng.fold_in(seeds, 5))
    each = np.asarray(rng.fold_in(seeds, np.array([5, 6, 5], np.int32)))
    np.testing.assert_array_equal(folded[1], np.asarray(rng.fold_in(seeds[1], 5)))
    np.testing.assert_array_equal(each[[0, 2]], folded[[0, 2]])
    assert (each[1] != folded[1]).any()
