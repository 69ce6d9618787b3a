import numpy as np
import pytest

from tfrecon.data import coil_simulation as simulation
from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator

pytestmark = pytest.mark.mathematics

MAKERS = {
    "birdcage": lambda coils, shape, **options: simulation.birdcage_maps(coils, shape, **options),
    "random": lambda coils, shape, **options: simulation.random_maps(coils, shape, 4, **options),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(("coils", "shape"), [(1, (8, 8)), (5, (33, 40)), (8, (64, 63))])
def test_maps_have_unit_norm_and_are_smooth(maker, coils, shape):
    maps = MAKERS[maker](coils, shape)
    assert maps.shape == (coils, *shape) and maps.dtype == np.complex64
    np.testing.assert_allclose(np.sum(np.abs(maps) ** 2, axis=0), 1, rtol=1e-5)
    if min(shape) >= 32 and coils > 1:
        rows, columns = (np.linspace(-1, 1, size) for size in shape)
        inside = rows[:, None] ** 2 + columns[None, :] ** 2 <= 1  # legs may stand just off the corners
        for axis in (0, 1):
            steps = np.abs(np.diff(np.where(inside, maps, np.nan), axis=axis + 1))
            assert np.nanmax(steps) < 0.25


@pytest.mark.parametrize("maker", MAKERS)
def test_coils_differ_and_are_complex(maker):
    maps = MAKERS[maker](8, (48, 48)).reshape(8, -1)
    assert np.linalg.cond(maps @ maps.conj().T) < 1e5  # eight independent views of the object
    brightest = np.argmax(np.abs(maps), axis=1)
    assert len(set(brightest.tolist())) >= 6
    relative = maps[1:] * maps[:1].conj()
    assert np.ptp(np.angle(relative)) > 1.0


@pytest.mark.parametrize("seed", range(3))
def test_eight_random_coils_unfold_fourfold_acceleration(seed):
    size, fold = 48, 4
    maps = simulation.random_maps(8, (size, size), seed)
    grid = (np.arange(size) - size // 2) * 2 / size
    inside = (grid[:, None] / 0.9) ** 2 + (grid[None, :] / 0.7) ** 2 <= 1
    folded = (maps * inside).reshape(8, size, fold, size // fold).transpose(1, 3, 0, 2)
    support = inside.reshape(size, fold, size // fold).transpose(0, 2, 1)
    gram = np.swapaxes(folded.conj(), -1, -2) @ folded + np.eye(fold) * ~support[..., None, :]
    # g-factor of Pruessmann et al. for maps of unit norm.
    g_factor = np.sqrt(np.einsum("hwii->hwi", np.linalg.inv(gram)).real)[support]
    assert 1.2 < g_factor.mean() < 2.2


def test_unnormalised_birdcage_is_the_field_of_straight_legs():
    maps = simulation.birdcage_maps(6, (17, 16), radius=1.7, normalise=False)
    np.testing.assert_allclose(np.abs(maps[:, 8, 8]), 1, rtol=1e-6)  # one at the centre
    row, column = 3, 14
    for coil in range(6):
        leg = 1.7 * np.array([np.cos(2 * np.pi * coil / 6), np.sin(2 * np.pi * coil / 6)])
        point = np.array([(column - 8) * 2 / 16, -(row - 8) * 2 / 17])
        assert np.abs(maps[coil, row, column]) == pytest.approx(1.7 / np.linalg.norm(point - leg), rel=1e-5)


def test_birdcage_looks_alike_from_every_leg():
    maps = simulation.birdcage_maps(4, (33, 33))
    # A quarter turn of the picture goes to the next leg.
    np.testing.assert_allclose(np.abs(np.rot90(maps[0])), np.abs(maps[1]), atol=1e-5)


def test_random_maps_are_functions_of_their_seed():
    first, again, other = (simulation.random_maps(3, (16, 16), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    given = simulation.random_maps(3, (16, 16), numpy_generator(1, "random_maps"))
    np.testing.assert_array_equal(first, given)


def test_smooth_phase_has_the_strength_asked_for_and_low_degree():
    phase = simulation.smooth_phase((40, 33), 7, strength=0.8, order=2)
    assert phase.dtype == np.float32 and phase.shape == (40, 33)
    assert phase.std() == pytest.approx(0.8, rel=1e-4)
    assert np.abs(np.diff(phase.astype(np.float64), n=3, axis=0)).max() < 1e-5  # of degree 2 along each axis
    assert np.abs(phase - simulation.smooth_phase((40, 33), 8, strength=0.8)).max() > 0.1
    assert simulation.smooth_phase((1, 1), 0).shape == (1, 1)


def test_white_noise_is_circular_with_the_standard_deviation_asked_for():
    noise = simulation.complex_noise((4, 120, 100), 0.3, 2)
    assert noise.dtype == np.complex64
    assert np.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(0.3, rel=0.01)
    assert abs(np.mean(noise**2)) < 0.002
    assert abs(np.mean(noise)) < 0.005
    assert np.std(noise.real) == pytest.approx(np.std(noise.imag), rel=0.02)


@pytest.mark.parametrize("leading", [(), (3,)])
def test_correlated_noise_has_the_covariance_asked_for(leading):
    covariance = simulation.random_covariance(4, 3, correlation=0.5)
    noise = simulation.complex_noise((*leading, 4, 150, 150), 2.0, 5, covariance=covariance)
    samples = np.moveaxis(noise, -3, 0).reshape(4, -1)
    estimate = samples @ samples.conj().T / samples.shape[1]
    np.testing.assert_allclose(estimate, 4 * covariance, atol=0.12)


def test_random_covariance_is_hermitian_definite_and_as_correlated_as_asked():
    covariance = simulation.random_covariance(6, 1, correlation=0.4, spread=0.3)
    np.testing.assert_allclose(covariance, covariance.conj().T, atol=1e-7)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.mean(np.diag(covariance).real) == pytest.approx(1, rel=1e-5)
    stds = np.sqrt(np.diag(covariance).real)
    coefficients = np.abs(covariance / np.outer(stds, stds) - np.eye(6))
    assert coefficients.max() == pytest.approx(0.4, rel=1e-4)
    assert simulation.random_covariance(1, 0) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulation.random_maps(0, (8, 8)), "at least one"),
        (lambda: simulation.birdcage_maps(-1, (8, 8)), "at least one"),
        (lambda: simulation.birdcage_maps(4, (8, 8), radius=1.0), "legs inside"),
        (lambda: simulation.random_covariance(4, correlation=1.0), "correlation of coil noise"),
        (lambda: simulation.complex_noise((3, 8, 8), covariance=np.eye(4)), "does not fit"),
        (lambda: simulation.complex_noise((2, 8, 8), covariance=np.array([[1, 1j], [1j, 1]])), "not Hermitian"),
        (lambda: simulation.complex_noise((2, 8, 8), covariance=-np.eye(2)), "positive definite"),
    ],
)
def test_bad_arguments_are_one_clear_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
