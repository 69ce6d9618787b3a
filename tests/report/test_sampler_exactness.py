"""The problem with a known posterior, and the table of samplers on it."""

import dataclasses

import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.path import residual_variance
from tfrecon.report.figures import save_figure
from tfrecon.report.gaussian_problem import Law, TabulatedEstimate, make_problem, relative_errors
from tfrecon.report.sampler_exactness import (
    EXACT,
    PROXIMAL,
    ROWS,
    _proximal,
    figure,
    measure,
    table,
)
from tfrecon.util.errors import InputError


@pytest.fixture(scope="module")
def problem():
    return make_problem(size=4, coils=2, acceleration=4 / 3)


def draw(law, count, seed=0):
    generator = np.random.default_rng(seed)
    white = generator.normal(size=(count, len(law.mean), 2)) @ np.array([1, 1j]) * np.sqrt(0.5)
    side = int(np.sqrt(len(law.mean)))
    return (law.mean + white @ np.linalg.cholesky(law.covariance).T).reshape(count, side, side)


def test_the_posterior_solves_the_regularised_normal_equations(problem):
    normal, precision = problem.matrix.conj().T @ problem.matrix, np.linalg.inv(problem.prior.covariance)
    covariance = np.linalg.inv(normal / problem.noise_std**2 + precision)
    mean = covariance @ problem.matrix.conj().T @ problem.data / problem.noise_std**2
    np.testing.assert_allclose(problem.posterior.covariance, covariance, atol=1e-6)
    np.testing.assert_allclose(problem.posterior.mean, mean, atol=1e-5)
    assert len(problem.matrix) == 2 * 4 * 3 and np.linalg.norm(problem.matrix, 2) <= 1 + 1e-5
    assert np.sqrt(np.trace(problem.prior.covariance).real / 16) == pytest.approx(0.5)


def test_errors_are_those_of_the_law_not_of_the_number_of_samples(problem):
    law = problem.posterior
    right = relative_errors(draw(law, 4000), law)
    assert right[0] < 0.01 and right[1] < 0.05
    wrong = draw(Law(1.1 * law.mean, 1.44 * law.covariance), 4000)
    assert relative_errors(wrong, law) == pytest.approx((0.1, 0.44), rel=0.1)


def test_the_proximal_step_is_the_posterior_of_independent_pixels(problem):
    variance, path = 0.25, make_path(PathSettings("vp"))
    times = make_times(path, 3)
    law = Law(np.zeros(16, complex), variance * np.eye(16))
    denoisers = [
        TabulatedEstimate(which, path, times, 4)
        for which in (law, law.given(problem.matrix, problem.data, problem.noise_std))
    ]
    state = draw(law, 3).astype("complex64")
    weight = problem.noise_std**2 / residual_variance(path, times[1], variance)
    found = _proximal(problem)(denoisers[0](state, times[1]), weight)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(denoisers[1](state, times[1])), atol=1e-3
    )


def test_a_table_of_every_row(problem, tmp_path):
    points = measure(problem, [6], 8)
    assert len(points) == len(ROWS) and all(np.isfinite([point.mean, point.covariance]).all() for point in points)
    lines = table(points, covariance=True).splitlines()
    assert sum(line.startswith("|") for line in lines) == len(ROWS) + 2
    save_figure(figure(points), tmp_path / "errors.svg")
    assert (tmp_path / "errors.svg").stat().st_size > 1000


@pytest.mark.slow
def test_samplers_that_know_the_posterior_end_in_it(problem):
    rows = [row for row in ROWS if row.data == EXACT and row.path != "hfs"]
    for point in measure(problem, [400], 2000, rows):
        assert point.mean < 0.03 and point.covariance < 0.25, point
    first, second = measure(problem, [10, 400], 2000, [next(row for row in ROWS if row.data == PROXIMAL)])
    assert second.mean < first.mean and second.covariance < first.covariance


def rows_of(sampler, data):
    found = [row for row in ROWS if row.sampler.startswith(sampler) and row.data == data]
    assert found, (sampler, data)
    return found


@pytest.fixture(scope="module")
def coils():
    """The problem of docs/samplers.md: four coils, 3 of 8 lines, noise."""
    return make_problem()


@pytest.mark.slow
def test_predictor_and_corrector_at_a_thousand_steps_give_the_exact_mean(coils):
    (point,) = measure(coils, [2000], 1000, rows_of("predictor-corrector", EXACT))
    assert point.mean < 0.03 and point.covariance < 0.25


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler, data",
    [
        ("ancestral", PROXIMAL),
        ("DDIM", PROXIMAL),
        ("DDS", "γ = 1"),
        ("predictor-corrector", "each state"),
    ],
)
def test_errors_of_samplers_with_data_steps_fall_with_network_calls(coils, sampler, data):
    for row in rows_of(sampler, data):
        few, many = measure(coils, [10, 200], 500, [row])
        assert many.mean < few.mean and many.covariance < few.covariance, row


@pytest.mark.slow
def test_what_is_biased_by_design_is_shown(coils):
    """With 200 calls: DPS, DiffPIR and deterministic samplers with the proximal step stay away from the mean.

    The samplers themselves are not to blame: they reach it if they know E[x_0 | x_t, y].
    """
    biased = [*rows_of("DPS", "gradient"), *rows_of("DiffPIR", "proximal, λ = 1"), *rows_of("DPM", PROXIMAL)]
    for point in measure(coils, [200], 500, biased):
        assert 0.05 < point.mean < 0.4, point
    sound = [*rows_of("ancestral", EXACT), *rows_of("DPM", EXACT)]
    for point in measure(coils, [200], 500, sound):
        assert point.mean < 0.04, point


def test_bad_input(problem):
    with pytest.raises(InputError, match="3 samples"):
        measure(problem, [5], 3)
    with pytest.raises(InputError, match="not one step of 2"):
        measure(problem, [1], 8, [dataclasses.replace(ROWS[0])])
