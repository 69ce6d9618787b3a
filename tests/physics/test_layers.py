import keras
import numpy as np
import pytest
import sense_numpy
from autodiff import gradients
from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.layers import (
    GradientDataConsistency,
    HardDataConsistency,
    ProximalDataConsistency,
    solve_normal,
)
from tfrecon.physics.operators import SenseOperator
from tfrecon.physics.solvers import conjugate_gradient
from tfrecon.util.complex import energy, to_channels, to_complex
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

LAYERS = [HardDataConsistency, GradientDataConsistency, ProximalDataConsistency]
SIZE = (7, 9)


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def example(coils=3, sets=1, batch=2, lines=False):
    """Image, noisy (inconsistent) k-space, mask and unit-energy maps."""
    maps = complex_array((batch, sets, coils, *SIZE), 1)
    maps /= np.sqrt((abs(maps) ** 2).sum((1, 2), keepdims=True))
    mask = (np.random.default_rng(2).random((batch, 1, 1 if lines else SIZE[0], SIZE[1])) < 0.5).astype(np.float32)
    kspace = complex_array((batch, coils, *SIZE), 3) * mask
    image = complex_array((batch, sets, *SIZE), 4)
    return {
        "image": image if sets > 1 else image[:, 0],
        "kspace": kspace,
        "mask": mask,
        "maps": maps if sets > 1 else maps[:, 0],
    }


def with_sets(inputs):
    """Image and maps in the transcription's layout, with a set axis."""
    many = inputs["maps"].ndim == inputs["kspace"].ndim + 1
    image, maps = inputs["image"].astype(complex), inputs["maps"].astype(complex)
    return (image, maps) if many else (image[:, None], maps[:, None])


def test_hard_replacement_with_one_coil_is_exact():
    inputs = example(coils=1)
    del inputs["maps"]
    kspace = np.asarray(fourier.fft2c(HardDataConsistency()(inputs)))
    mask = inputs["mask"][:, 0] > 0
    np.testing.assert_allclose(kspace[mask], inputs["kspace"][:, 0][mask], atol=1e-5)
    np.testing.assert_allclose(kspace[~mask], sense_numpy.fft2c(inputs["image"])[~mask], atol=1e-5)


def test_hard_replacement_of_coil_images_is_exact_for_each_coil():
    inputs = example(coils=3)
    coil_images = complex_array(inputs["kspace"].shape, 7)
    result = HardDataConsistency()((coil_images, inputs["kspace"], inputs["mask"]))
    replaced = np.where(inputs["mask"] > 0, inputs["kspace"], sense_numpy.fft2c(coil_images))
    np.testing.assert_allclose(result, sense_numpy.ifft2c(replaced), atol=1e-5)


@pytest.mark.parametrize("norm", [1.0, 3.0])
def test_hard_replacement_of_many_coils_combines_by_least_squares(norm):
    inputs = example(coils=4)
    inputs["maps"] = norm * inputs["maps"]
    inputs["maps"][:, :, 2, 3] = 0  # a pixel that no coil sees
    image, maps = with_sets(inputs)
    kspace = sense_numpy.fft2c(maps[:, 0] * image)
    coil_images = sense_numpy.ifft2c(np.where(inputs["mask"] > 0, inputs["kspace"], kspace))
    coil_energy = (abs(maps[:, 0]) ** 2).sum(1)
    combined = (maps[:, 0].conj() * coil_images).sum(1) / np.where(coil_energy > 0, coil_energy, 1)
    combined[:, 2, 3] = inputs["image"][:, 2, 3]
    np.testing.assert_allclose(HardDataConsistency()(inputs), combined, atol=1e-5)


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("lines", [False, True])
def test_gradient_step_equals_its_formula(sets, lines):
    inputs = example(sets=sets, lines=lines)
    image, maps = with_sets(inputs)
    residual = sense_numpy.forward(image, maps, inputs["mask"]) - inputs["kspace"]
    expected = image - 0.7 * sense_numpy.adjoint(residual, maps, inputs["mask"])
    result = GradientDataConsistency(step=0.7)(inputs)
    np.testing.assert_allclose(result, expected.reshape(inputs["image"].shape), atol=1e-5)


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("lines", [False, True])
def test_proximal_step_solves_its_equation(sets, lines):
    inputs, mu = example(sets=sets, lines=lines), 0.2
    image, maps = with_sets(inputs)
    layer = ProximalDataConsistency(mu=mu, iterations=30, tolerance=1e-6)
    x = np.asarray(layer(inputs)).reshape(image.shape)
    left = sense_numpy.adjoint(sense_numpy.forward(x, maps, inputs["mask"]), maps, inputs["mask"]) + mu * x
    right = sense_numpy.adjoint(inputs["kspace"], maps, inputs["mask"]) + mu * image
    np.testing.assert_allclose(left, right, atol=1e-5)


def test_proximal_step_of_coil_images_has_a_closed_form():
    inputs, mu = example(coils=3), 0.5
    coil_images = complex_array(inputs["kspace"].shape, 7)
    result = ProximalDataConsistency(mu=mu)((coil_images, inputs["kspace"], inputs["mask"]))
    expected = (inputs["kspace"] + mu * sense_numpy.fft2c(coil_images)) / (inputs["mask"] + mu)
    np.testing.assert_allclose(sense_numpy.fft2c(np.asarray(result)), expected, atol=2e-5)


@pytest.mark.parametrize("layer_type", LAYERS)
def test_dictionary_and_tuple_inputs_are_the_same(layer_type):
    inputs = example()
    layer = layer_type()
    np.testing.assert_array_equal(layer(inputs), layer(tuple(inputs.values())))
    alone = {**example(coils=1), "maps": None}
    np.testing.assert_array_equal(layer(alone), layer(tuple(alone.values())[:3]))


@pytest.mark.parametrize("layer_type", LAYERS)
def test_series_share_maps_between_frames(layer_type):
    inputs = example(batch=2)
    maps = inputs["maps"][:1]
    series = {**{key: value[None] for key, value in inputs.items()}, "maps": maps[None]}
    expected = layer_type()({**inputs, "maps": np.repeat(maps, 2, 0)})
    np.testing.assert_allclose(layer_type()(series)[0], expected, atol=1e-6)


def test_missing_and_unknown_inputs_are_named():
    inputs = example()
    with pytest.raises(InputError, match=r"lacks \['mask'\]"):
        HardDataConsistency()({key: value for key, value in inputs.items() if key != "mask"})
    with pytest.raises(InputError, match=r"got \['csm'\] too many"):
        HardDataConsistency()({**inputs, "csm": inputs["maps"]})


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_weights_must_be_positive(weight):
    with pytest.raises(InputError, match="give a positive number"):
        ProximalDataConsistency(mu=weight)


@pytest.mark.parametrize("value", [1e-4, 0.05, 1.0, 50.0])
def test_a_learnable_weight_starts_at_its_value(value):
    learned, fixed = ProximalDataConsistency(mu=value), ProximalDataConsistency(mu=value, learnable=False)
    for layer in (learned, fixed):
        layer.build(None)
        assert float(layer.mu) == pytest.approx(value, rel=1e-5)
    assert len(learned.trainable_variables) == 1 and not fixed.variables
    learned.trainable_variables[0].assign(-40.0)
    assert 0 < float(learned.mu) < 1e-10


@pytest.mark.parametrize("layer_type", LAYERS)
def test_config_round_trip(layer_type):
    layer = layer_type(name="dc")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(twin) is layer_type and twin.get_config() == layer.get_config()


def network(layer):
    shapes = {"image": (None, None), "kspace": (None, None, None), "mask": (1, None, None), "maps": (None, None, None)}
    inputs = {
        name: keras.Input(shape, name=name, dtype="float32" if name == "mask" else "complex64")
        for name, shape in shapes.items()
    }
    return keras.Model(inputs, layer(inputs))


# Keras hands variables to NumPy in a way that NumPy 2 deprecates; any other warning is an error.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("layer_type", LAYERS)
def test_saved_and_loaded_model_gives_the_same(layer_type, tmp_path):
    model, inputs = network(layer_type()), example()
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert ops.dtype(model(inputs)) == "complex64"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
@pytest.mark.parametrize("layer_type", LAYERS)
def test_precision_policies_do_not_reach_the_physics(layer_type, policy):
    inputs = example()
    expected = layer_type()(inputs)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        layer = layer_type()
        result = layer({**inputs, "mask": ops.cast(inputs["mask"], "float16")})
    finally:
        keras.config.set_dtype_policy(previous)
    np.testing.assert_array_equal(result, expected)
    assert layer.compute_dtype == layer.variable_dtype == "float32"


@pytest.mark.parametrize("layer_type", [GradientDataConsistency, ProximalDataConsistency])
def test_gradient_of_the_weight_agrees_with_differences(layer_type):
    inputs = example()
    layer = layer_type(0.4)
    layer.build(None)

    def loss(raw):
        layer._raw_weight = raw  # the variable's place: differentiates alike on every backend
        return ops.sum(energy(layer(inputs) - 1.0))

    raw, step = np.float32(0.1), 1e-2
    (gradient,) = gradients(loss, raw)
    difference = (float(loss(raw + step)) - float(loss(raw - step))) / (2 * step)
    assert float(gradient) == pytest.approx(difference, rel=5e-3)


WEIGHTED = np.linspace(-1, 1, SIZE[1], dtype=np.float32)[:, None]


def losses(mask, tolerance=0.0):
    """The same loss through the implicit derivative and through the unrolled iterations."""

    def operator(maps):
        return SenseOperator(to_complex(maps), mask).pre_shifted()

    def implicit(mu, rhs, maps):
        x = solve_normal(operator(maps), to_complex(rhs), mu, iterations=40, tolerance=tolerance)
        return ops.sum(ops.square(to_channels(x)) * WEIGHTED)

    def unrolled(mu, rhs, maps):
        a = operator(maps)
        shift = ops.cast(mu, "complex64")
        x, _ = conjugate_gradient(lambda x: a.normal(x) + shift * x, to_complex(rhs), iterations=14, tolerance=0)
        return ops.sum(ops.square(to_channels(x)) * WEIGHTED)

    return implicit, unrolled


@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_implicit_derivative_equals_the_unrolled_one(tolerance):
    inputs = example()
    arguments = (np.float32(0.3), np.array(to_channels(inputs["image"])), np.array(to_channels(inputs["maps"])))
    implicit, unrolled = losses(inputs["mask"], tolerance)
    assert float(implicit(*arguments)) == pytest.approx(float(unrolled(*arguments)), rel=1e-4)
    pairs = zip(gradients(implicit, *arguments), gradients(unrolled, *arguments), strict=True)
    for ours, reference in pairs:
        assert np.linalg.norm(ours - reference) <= 2e-3 * np.linalg.norm(reference)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["weight", "right-hand side", "maps"])
def test_implicit_derivative_agrees_with_differences(which):
    inputs = example()
    arguments = [np.float32(0.3), np.array(to_channels(inputs["image"])), np.array(to_channels(inputs["maps"]))]
    implicit, _ = losses(inputs["mask"])
    direction = np.random.default_rng(9).normal(size=arguments[which].shape).astype(np.float32)
    gradient = gradients(implicit, *arguments)[which]
    step = 5e-3

    def moved(sign):
        return float(implicit(*(a + sign * step * direction if i == which else a for i, a in enumerate(arguments))))

    assert float((gradient * direction).sum()) == pytest.approx((moved(1) - moved(-1)) / (2 * step), rel=5e-3, abs=0.02)


@pytest.mark.parametrize("derivative", ["unrolled", "implicit"])
def test_derivative_of_few_iterations(derivative):
    """Unrolled, it is the one of what was computed; implicit, it is that of a solution not reached."""
    inputs = example()
    layer = ProximalDataConsistency(mu=0.05, learnable=False, iterations=2, derivative=derivative)

    def loss(image):
        x = layer({**inputs, "image": to_complex(image)})
        return ops.sum(ops.square(to_channels(x)) * WEIGHTED)

    image = np.array(to_channels(inputs["image"]))
    direction = np.random.default_rng(9).normal(size=image.shape).astype(np.float32)
    step = 1e-2
    difference = (float(loss(image + step * direction)) - float(loss(image - step * direction))) / (2 * step)
    (gradient,) = gradients(loss, image)
    agrees = float((gradient * direction).sum()) == pytest.approx(difference, rel=5e-3)
    assert agrees == (derivative == "unrolled")


@pytest.mark.parametrize("layer_type", [GradientDataConsistency, ProximalDataConsistency])
def test_a_given_weight_takes_the_place_of_the_layers_own(layer_type):
    inputs = example()
    expected = layer_type(0.3)(inputs)
    np.testing.assert_allclose(layer_type(0.05)({**inputs, "weight": np.float32(0.3)}), expected, atol=1e-6)
    assert np.abs(layer_type(0.05)(inputs) - expected).max() > 1e-2
    with pytest.raises(InputError, match=r"got \['weight'\] too many"):
        HardDataConsistency()({**inputs, "weight": np.float32(0.3)})


def test_derivatives_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="no derivative 'exact'"):
        ProximalDataConsistency(derivative="exact")
    with pytest.raises(InputError, match="do not stop early"):
        ProximalDataConsistency(derivative="unrolled", tolerance=1e-3)


def test_each_item_may_have_its_own_weight():
    inputs = example()
    operator = SenseOperator(inputs["maps"], inputs["mask"])
    together = solve_normal(operator, inputs["image"], np.float32([0.1, 2.0]), iterations=30)
    for item, weight in enumerate((0.1, 2.0)):
        one = SenseOperator(inputs["maps"][item], inputs["mask"][item])
        np.testing.assert_allclose(
            together[item], solve_normal(one, inputs["image"][item], weight, iterations=30), atol=1e-5
        )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs")
@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain", "xla"])
def test_layers_train_in_a_graph_of_unknown_sizes(jit):
    import tensorflow as tf

    layer = ProximalDataConsistency()
    layer.build(None)
    specs = [tf.TensorSpec([None] * rank, tf.complex64) for rank in (3, 4)]
    specs += [tf.TensorSpec([None] * 4, tf.float32), tf.TensorSpec([None] * 4, tf.complex64)]

    @tf.function(input_signature=specs, jit_compile=jit)
    def step(image, kspace, mask, maps):
        with tf.GradientTape() as tape:
            x = layer((image, kspace, mask, maps))
            loss = tf.reduce_sum(energy(x))
        return x, tape.gradient(loss, layer.trainable_variables[0])

    for batch in (1, 3):
        inputs = example(batch=batch)
        x, gradient = step(*inputs.values())
        np.testing.assert_allclose(x, layer(inputs), atol=1e-5)
        assert np.isfinite(float(gradient)) and float(gradient) != 0
