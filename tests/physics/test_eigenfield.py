import numpy as np
import pytest

from tfrecon.physics import eigenfield

pytestmark = pytest.mark.mathematics


def field_coefficients(coils, size, seed=0, rank=3):
    """Coefficients of a positive semidefinite field with eigenvalues in [0, 1]: the squares of a low-degree one."""
    generator = np.random.default_rng(seed)
    factors = generator.normal(size=(coils, rank, *size)) + 1j * generator.normal(size=(coils, rank, *size))
    factors *= np.array([1.0, 0.5, 0.2])[:, None, None]
    coefficients = np.zeros((coils, coils, 2 * size[0] - 1, 2 * size[1] - 1), complex)
    for i, j in np.ndindex(*size):
        block = np.einsum("cr,drhw->cdhw", factors[:, :, i, j], factors.conj())
        coefficients[:, :, i : i + size[0], j : j + size[1]] += block[:, :, ::-1, ::-1]
    bound = np.sum(np.abs(factors)) ** 2 / coils
    return (coefficients / bound).astype(np.complex64)


def direct_sum(coefficients, shape):
    h, w = coefficients.shape[-2:]
    rows, columns = (np.arange(n) - n // 2 for n in shape)
    along_rows = np.exp(2j * np.pi * np.outer(rows, np.arange(h) - h // 2) / shape[0])
    along_columns = np.exp(2j * np.pi * np.outer(columns, np.arange(w) - w // 2) / shape[1])
    return np.einsum("cdhw,yh,xw->yxcd", coefficients, along_rows, along_columns)


@pytest.mark.parametrize("shape", [(20, 24), (33, 17), (70, 9)])
@pytest.mark.parametrize("count", [1, 2])
def test_eigenpairs_are_those_of_the_summed_field(shape, count):
    coefficients = field_coefficients(5, (3, 4))
    field = direct_sum(coefficients, shape)
    scale = np.linalg.eigvalsh(field).max()
    coefficients, field = coefficients / np.float32(scale), field / scale
    start = np.ones((5, 1, 1), np.complex64)
    vectors, values = eigenfield.leading_eigenvectors(coefficients, shape, start, floor=0.3, count=count)
    expected = np.moveaxis(np.linalg.eigvalsh(field)[..., ::-1][..., :count], -1, 0)
    accurate = expected > (0.36 if count == 1 else 0)
    assert vectors.shape == (count, 5, *shape) and vectors.dtype == np.complex64
    assert np.abs(values - expected)[accurate].max() < 1e-3
    assert (values <= expected + 1e-4).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    images = np.einsum("yxcd,sdyx->scyx", field, vectors)
    residual = np.linalg.norm(images - values[:, None] * vectors, axis=1)
    assert residual[accurate].max() < 5e-3


def test_a_start_of_zero_or_of_the_wrong_eigenvector_still_finds_the_leading_one():
    field = np.diag([0.9, 0.8, 0.1]).astype(np.complex64)[:, :, None, None]
    for start in (np.zeros(3), np.array([0, 1.0, 0])):
        vectors, values = eigenfield.leading_eigenvectors(
            field, (4, 5), start.astype(np.complex64)[:, None, None], floor=0.5
        )
        expected = 0.9 if not start.any() else 0.8  # an exact eigenvector has nothing of the other to grow
        np.testing.assert_allclose(values, expected, atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_unit_trace_makes_the_result_independent_of_scale():
    coefficients = field_coefficients(4, (2, 2))
    start = np.ones((4, 1, 1), np.complex64)
    vectors, values = eigenfield.leading_eigenvectors(coefficients, (9, 8), start, floor=0.3, unit_trace=True)
    again = eigenfield.leading_eigenvectors(coefficients * 1e-12, (9, 8), start, floor=0.3, unit_trace=True)
    np.testing.assert_allclose(again[1], values, rtol=1e-4)
    assert np.abs(np.sum(np.conj(vectors) * again[0], axis=1)).min() > 0.999
    assert values.max() <= 1 + 1e-5


def test_phase_ramps_are_accurate_at_large_sizes():
    ramps = eigenfield.phase_ramps(1001, -40, 81)
    exact = np.exp(2j * np.pi * np.outer(np.arange(1001) - 500, np.arange(-40, 41)) / 1001)
    assert np.abs(ramps - exact).max() < 1e-6
