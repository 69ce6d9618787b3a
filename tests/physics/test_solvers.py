import keras
import numpy as np
import pytest
import sense_numpy
from autodiff import gradients
from keras import ops

from tfrecon.physics import solvers
from tfrecon.physics.operators import SenseOperator
from tfrecon.util import rng
from tfrecon.util.complex import energy, to_channels, to_complex

pytestmark = pytest.mark.mathematics

ITEMS, SHAPE, SIZE = 3, (2, 4), 8


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def hermitian(conditions=(3.0, 30.0, 300.0)):
    """One Hermitian positive definite 8x8 matrix for each item, with eigenvalues from 1 to its condition number."""
    matrices = []
    for seed, condition in enumerate(conditions):
        q, _ = np.linalg.qr(complex_array((SIZE, SIZE), seed))
        matrices.append((q * np.geomspace(1, condition, SIZE)) @ q.conj().T)
    return np.array(matrices)


def as_operator(matrices):
    matrices = ops.convert_to_tensor(matrices.astype(np.complex64))

    def operator(x):
        columns = ops.reshape(x, (-1, SIZE, 1))
        return ops.reshape(ops.matmul(matrices, columns), ops.shape(x))

    return operator


def exact(matrices, rhs):
    return np.linalg.solve(matrices, rhs.reshape(-1, SIZE, 1).astype(complex)).reshape(rhs.shape)


def test_conjugate_gradient_solves_hermitian_systems():
    matrices, rhs = hermitian(), complex_array((ITEMS, *SHAPE))
    x, info = solvers.conjugate_gradient(as_operator(matrices), rhs, tolerance=1e-6, iterations=50)
    np.testing.assert_allclose(x, exact(matrices, rhs), atol=2e-5)
    assert np.all(np.asarray(info.residual) <= 1e-6)
    true = as_operator(matrices)(x) - rhs
    relative = np.linalg.norm(np.reshape(true, (ITEMS, -1)), axis=1) / np.linalg.norm(rhs.reshape(ITEMS, -1), axis=1)
    assert np.all(relative < 5e-6)


@pytest.mark.parametrize("iterations", [1, 3, 6])
def test_conjugate_gradient_follows_the_textbook(iterations):
    matrices, rhs = hermitian(), complex_array((ITEMS, *SHAPE))
    x, info = solvers.conjugate_gradient(as_operator(matrices), rhs, iterations=iterations, tolerance=0)
    for item in range(ITEMS):
        expected = sense_numpy.conjugate_gradient(lambda v, m=matrices[item]: m @ v, rhs[item].ravel(), iterations)
        np.testing.assert_allclose(np.ravel(x[item]), expected, atol=1e-5)
        residual = np.linalg.norm(matrices[item] @ expected - rhs[item].ravel()) / np.linalg.norm(rhs[item])
        assert float(info.residual[item]) == pytest.approx(residual, rel=1e-2, abs=1e-6)
    np.testing.assert_array_equal(info.iterations, [iterations] * ITEMS)


def test_items_that_have_converged_stay_bit_for_bit():
    matrices, rhs = hermitian(), complex_array((ITEMS, *SHAPE))
    operator = as_operator(matrices)
    x, info = solvers.conjugate_gradient(operator, rhs, tolerance=1e-3, iterations=50)
    counts = np.asarray(info.iterations)
    assert counts[0] < counts[1] < counts[2]
    for item, count in enumerate(counts):
        until, _ = solvers.conjugate_gradient(operator, rhs, tolerance=0, iterations=int(count))
        np.testing.assert_array_equal(x[item], until[item])


def test_a_batch_gives_what_its_items_give():
    matrices, rhs = hermitian(), complex_array((ITEMS, *SHAPE))
    together, info = solvers.conjugate_gradient(as_operator(matrices), rhs, tolerance=1e-4)
    for item in range(ITEMS):
        alone, own = solvers.conjugate_gradient(as_operator(matrices[item : item + 1]), rhs[item], tolerance=1e-4)
        np.testing.assert_allclose(together[item], alone, atol=1e-6)
        assert int(info.iterations[item]) == int(own.iterations)


def test_axes_make_one_item_of_several_planes():
    matrices = hermitian((10.0, 40.0))
    rhs = complex_array((2, 2, 2, 2))
    x, info = solvers.conjugate_gradient(as_operator(matrices), rhs, axes=(-3, -2, -1))
    np.testing.assert_allclose(x, exact(matrices, rhs), atol=2e-5)
    assert info.residual.shape == (2,)


def test_the_solution_is_a_fixed_point():
    matrices, rhs = hermitian(), complex_array((ITEMS, *SHAPE))
    solution = exact(matrices, rhs).astype(np.complex64)
    x, info = solvers.conjugate_gradient(as_operator(matrices), rhs, solution, tolerance=1e-5)
    np.testing.assert_array_equal(x, solution)
    np.testing.assert_array_equal(info.iterations, [0] * ITEMS)


def test_a_start_shortens_the_way():
    matrices, rhs = hermitian(), complex_array((ITEMS, *SHAPE))
    near = (exact(matrices, rhs) * 1.001).astype(np.complex64)
    x, info = solvers.conjugate_gradient(as_operator(matrices), rhs, near, tolerance=1e-4)
    _, cold = solvers.conjugate_gradient(as_operator(matrices), rhs, tolerance=1e-4)
    np.testing.assert_allclose(x, exact(matrices, rhs), atol=1e-3)
    assert np.all(np.asarray(info.iterations) <= np.asarray(cold.iterations))


@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_zero_data_gives_zero_without_nan(tolerance):
    rhs = complex_array((ITEMS, *SHAPE))
    rhs[1] = 0
    x, info = solvers.conjugate_gradient(as_operator(hermitian()), rhs, tolerance=tolerance)
    assert np.isfinite(np.asarray(x)).all()
    np.testing.assert_array_equal(x[1], np.zeros(SHAPE))
    assert int(info.iterations[1]) == 0 and float(info.residual[1]) == 0


def test_a_singular_operator_gives_the_minimum_norm_solution():
    x, _ = solvers.conjugate_gradient(lambda x: x * np.array([1, 2, 0, 0], "complex64"), np.ones(SHAPE, "complex64"))
    assert np.isfinite(np.asarray(x)).all()
    consistent = np.tile(np.array([1, 2, 0, 0], "complex64"), (2, 1))
    x, _ = solvers.conjugate_gradient(lambda x: x * np.array([1, 2, 0, 0], "complex64"), consistent)
    np.testing.assert_allclose(x, np.tile([1, 1, 0, 0], (2, 1)), atol=1e-6)


def test_a_zero_operator_is_left_at_once():
    rhs = complex_array(SHAPE)
    x, info = solvers.conjugate_gradient(lambda x: 0.0 * x, rhs)
    np.testing.assert_array_equal(x, np.zeros(SHAPE))
    assert int(info.iterations) == 0 and float(info.residual) == pytest.approx(1.0)


def test_iterations_go_on_long_after_convergence_without_harm():
    matrices, rhs = hermitian((2.0, 3.0, 4.0)), complex_array((ITEMS, *SHAPE))
    x, _ = solvers.conjugate_gradient(as_operator(matrices), rhs, tolerance=0, iterations=200)
    np.testing.assert_allclose(x, exact(matrices, rhs), atol=1e-5)


def test_unrolled_gradient_agrees_with_differences():
    matrices, rhs, target = hermitian((3.0, 5.0, 9.0)), complex_array((ITEMS, *SHAPE)), complex_array(SHAPE, 5)

    def loss(channels):
        solution, _ = solvers.conjugate_gradient(as_operator(matrices), to_complex(channels), iterations=4, tolerance=0)
        return ops.sum(energy(solution - target))

    channels = np.asarray(to_channels(rhs))
    (gradient,) = gradients(loss, channels)
    direction = np.random.default_rng(6).normal(size=channels.shape).astype(np.float32)
    step = 1e-2
    difference = (float(loss(channels + step * direction)) - float(loss(channels - step * direction))) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(difference, rel=5e-3)


def test_power_iteration_finds_the_largest_eigenvalue_of_each_item():
    matrices = hermitian((3.0, 30.0, 300.0))
    values, vectors = solvers.power_iteration(as_operator(matrices), complex_array((ITEMS, *SHAPE)), iterations=60)
    np.testing.assert_allclose(values, [3, 30, 300], rtol=1e-4)
    image = np.asarray(as_operator(matrices)(vectors))
    np.testing.assert_allclose(image, np.asarray(values)[:, None, None] * np.asarray(vectors), atol=1.0)
    np.testing.assert_allclose(np.linalg.norm(np.reshape(vectors, (ITEMS, -1)), axis=1), 1, rtol=1e-5)


def test_power_iteration_is_a_function_of_its_seed():
    operator, like = as_operator(hermitian()), complex_array((ITEMS, *SHAPE))
    first = [solvers.power_iteration(operator, like, rng.make_seed(seed), iterations=2)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(first[0], first[1])
    assert np.any(np.asarray(first[0]) != np.asarray(first[2]))


def test_power_iteration_of_zero_is_zero():
    value, _ = solvers.power_iteration(lambda x: 0.0 * x, complex_array(SHAPE))
    assert float(value) == 0


def soft(x, threshold):
    magnitude = np.abs(x)
    return x * np.maximum(1 - threshold / np.maximum(magnitude, 1e-30), 0)


def keras_soft(x, threshold):
    magnitude = ops.abs(x)
    return x * ops.cast(ops.maximum(1.0 - threshold / ops.maximum(magnitude, 1e-30), 0.0), "complex64")


WEIGHT = 0.4


def l1_optimality(matrices, rhs, x):
    """Largest violation of the optimality of ½x^H A x - Re<rhs, x> + WEIGHT |x|_1."""
    gradient = (matrices @ x.reshape(-1, SIZE, 1) - rhs.reshape(-1, SIZE, 1)).reshape(x.shape)
    zero = x == 0
    at_zero = np.maximum(np.abs(gradient[zero]) - WEIGHT, 0)
    elsewhere = np.abs(gradient + WEIGHT * x / np.maximum(np.abs(x), 1e-30))[~zero]
    return max(at_zero.max(initial=0), elsewhere.max(initial=0))


@pytest.mark.parametrize("restart", [True, False])
def test_fista_meets_the_optimality_conditions(restart):
    matrices, rhs = hermitian((3.0, 10.0, 30.0)), complex_array((ITEMS, *SHAPE))
    operator = as_operator(matrices)
    x, info = solvers.fista(
        lambda x: operator(x) - rhs,
        lambda x, step, _: keras_soft(x, step * WEIGHT),
        np.zeros_like(rhs),
        1 / np.array([3.0, 10.0, 30.0]),
        iterations=300,
        restart=restart,
    )
    assert (np.asarray(x) == 0).any()
    assert l1_optimality(matrices, rhs, np.asarray(x)) < 2e-4
    assert np.all(np.asarray(info.residual) < 1e-4)


def test_restart_does_not_slow_fista_down():
    matrices, rhs = hermitian((200.0, 200.0, 200.0)), complex_array((ITEMS, *SHAPE))
    operator = as_operator(matrices)
    errors = {}
    for restart in (True, False):
        x, _ = solvers.fista(
            lambda x: operator(x) - rhs, lambda x, *_: x, rhs, 1 / 200, iterations=150, restart=restart
        )
        errors[restart] = np.linalg.norm(x - exact(matrices, rhs))
    assert errors[True] < 0.5 * errors[False]


def test_fista_stops_each_item_and_leaves_it_alone():
    matrices, rhs = hermitian((2.0, 30.0, 300.0)), complex_array((ITEMS, *SHAPE))
    operator, step = as_operator(matrices), 1 / np.array([2.0, 30.0, 300.0])

    def run(**options):
        return solvers.fista(lambda x: operator(x) - rhs, lambda x, *_: x, rhs, step, **options)

    x, info = run(iterations=400, tolerance=1e-4)
    counts = np.asarray(info.iterations)
    assert counts[0] < counts[1] < counts[2] < 400
    until, _ = run(iterations=int(counts[0]))
    np.testing.assert_array_equal(x[0], until[0])


def test_fista_tells_the_proximal_map_its_iteration():
    def proximal(x, step, iteration):
        return x + ops.cast(iteration, "complex64")

    x, _ = solvers.fista(lambda x: 0.0 * x, proximal, np.zeros(SHAPE, "complex64"), 1.0, iterations=1)
    np.testing.assert_array_equal(x, np.zeros(SHAPE))
    x, _ = solvers.fista(lambda x: 0.0 * x, proximal, np.ones(SHAPE, "complex64"), 1.0, iterations=2, restart=False)
    np.testing.assert_allclose(x, np.full(SHAPE, 2.0), atol=1e-6)


@pytest.mark.parametrize("relaxation", [1.0, 1.6])
def test_admm_meets_the_optimality_conditions(relaxation):
    matrices, rhs = hermitian((3.0, 10.0, 30.0)), complex_array((ITEMS, *SHAPE))
    operator, rho = as_operator(matrices), 4.0

    def minimise(target, x):
        return solvers.conjugate_gradient(
            lambda u: operator(u) + rho * u, rhs + rho * target, x, iterations=6, tolerance=0
        )[0]

    x, info = solvers.admm(
        minimise,
        lambda v, inverse_rho: keras_soft(v, inverse_rho * WEIGHT),
        rhs,
        rho=rho,
        iterations=60,
        relaxation=relaxation,
    )
    small = np.abs(np.asarray(x)) < 1e-4
    assert small.any()
    assert l1_optimality(matrices, rhs, np.where(small, 0, np.asarray(x))) < 3e-3
    assert np.all(np.asarray(info.residual) < 1e-4)


def test_admm_with_a_transform_solves_a_quadratic():
    """G(z) = ½|z|² of stacked (x, 2x) makes a ridge of weight 1 + 4."""
    matrices, rhs = hermitian((3.0, 10.0, 30.0)), complex_array((ITEMS, *SHAPE))
    operator = as_operator(matrices)
    rho = np.array([1.0, 2.0, 4.0], np.float32)
    weight = rho[:, None, None].astype("complex64")

    def minimise(target, x):
        pulled = target[:, 0] + 2 * target[:, 1]
        normal = lambda u: operator(u) + 5 * weight * u  # noqa: E731
        return solvers.conjugate_gradient(normal, rhs + weight * pulled, x, iterations=6, tolerance=0)[0]

    x, info = solvers.admm(
        minimise,
        lambda v, inverse_rho: v / (1 + ops.cast(inverse_rho, "complex64")),
        rhs,
        transform=lambda x: ops.stack([x, 2 * x], axis=1),
        rho=rho,
        iterations=60,
        split_axes=(-3, -2, -1),
    )
    np.testing.assert_allclose(x, exact(matrices + 5 * np.eye(SIZE), rhs), atol=1e-4)
    assert info.residual.shape == (ITEMS,)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has unknown sizes")
@pytest.mark.parametrize(("jit", "tolerance"), [(False, 0.0), (True, 1e-4)], ids=["plain", "xla"])
def test_solvers_run_in_a_graph_of_unknown_sizes(jit, tolerance):
    import tensorflow as tf

    unknown = tf.TensorSpec([None] * 3, tf.complex64)

    @tf.function(input_signature=[unknown, tf.TensorSpec([None] * 4, tf.complex64)], jit_compile=jit, autograph=False)
    def run(rhs, maps):
        def normal(x):
            return SenseOperator(maps).normal(x) + 0.5 * x

        largest, _ = solvers.power_iteration(normal, rhs, iterations=40)
        solved, _ = solvers.conjugate_gradient(normal, rhs, tolerance=tolerance)
        descended, _ = solvers.fista(
            lambda x: normal(x) - rhs, lambda x, *_: x, rhs, 1 / largest, iterations=200, tolerance=tolerance / 100
        )
        split, _ = solvers.admm(
            lambda target, x: solvers.conjugate_gradient(lambda u: normal(u) + u, rhs + target, x)[0],
            lambda v, _: v,
            rhs,
            iterations=60,
        )
        return largest, solved, descended, split

    for items, size in ((2, (4, 5)), (3, (7, 9))):
        maps, rhs = complex_array((items, 3, *size)), complex_array((items, *size), 1)
        diagonal = (abs(maps) ** 2).sum(1) + 0.5
        largest, solved, descended, split = run(rhs, maps)
        np.testing.assert_allclose(largest, diagonal.max((-2, -1)), rtol=0.02)
        np.testing.assert_allclose(solved, rhs / diagonal, atol=2e-3)
        np.testing.assert_allclose(descended, rhs / diagonal, atol=2e-2)
        np.testing.assert_allclose(split, rhs / diagonal, atol=2e-2)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the other backend's compiler")
@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_conjugate_gradient_under_jax_jit(tolerance):
    import jax

    matrices, rhs = hermitian(), complex_array((ITEMS, *SHAPE))
    run = jax.jit(lambda rhs: solvers.conjugate_gradient(as_operator(matrices), rhs, tolerance=tolerance)[0])
    np.testing.assert_allclose(run(rhs), exact(matrices, rhs), atol=2e-5)
