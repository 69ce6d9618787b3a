"""Gradients with respect to complex images, against closed forms."""

import numpy as np
import pytest
from keras import ops

from tfrecon.util.complex import energy
from tfrecon.util.gradients import gradient_with_extra

pytestmark = pytest.mark.mathematics

_generator = np.random.default_rng(0)
X = (_generator.normal(size=(3, 2, 4, 2)) @ np.array([1, 1j])).astype("complex64")


def test_the_gradient_of_a_squared_residual_is_the_adjoint_of_the_residual():
    matrix = (_generator.normal(size=(4, 4, 2)) @ np.array([1, 1j])).astype("complex64")
    data = X[:, :, ::-1].copy()

    def half_squared(x):
        residual = ops.tensordot(x, matrix.T, axes=1) - data
        return 0.5 * ops.sum(energy(residual), axis=(-2, -1)), residual

    residual, gradient = gradient_with_extra(half_squared, X)
    expected = X @ matrix.T - data
    np.testing.assert_allclose(ops.convert_to_numpy(residual), expected, atol=1e-5)
    assert ops.convert_to_numpy(gradient).dtype == np.complex64
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), expected @ matrix.conj(), atol=1e-4)


def test_a_function_of_the_real_part_alone_has_a_real_gradient():
    _, gradient = gradient_with_extra(lambda x: (ops.sum(ops.real(x) ** 2, axis=(-2, -1)), ()), X)
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), 2 * X.real, rtol=1e-6)
