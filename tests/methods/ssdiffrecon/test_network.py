import dataclasses
import json
import logging

import keras
import numpy as np
import pytest
import sense_numpy
import ssdiffrecon_numpy as reference
from autodiff import gradients
from keras import ops

from tfrecon.methods.ssdiffrecon.model import (
    SSDiffReconModel,
    faithful_multi,
    faithful_single,
    fixed,
    small,
)
from tfrecon.methods.ssdiffrecon.network import Denoiser, build_networks
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings, to_dictionary

pytestmark = [
    pytest.mark.mathematics,
    # Keras hands variables to NumPy in a way that NumPy 2 deprecates; any other warning is an error.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

TINY = {"channels": 6, "cascades": 2, "mapper_blocks": 2, "tokens": 5, "token_width": 8, "stem_kernel": 5}
PUBLISHED = {"channels": 6, "cascades": 2, "mapper_blocks": 2}
SETTINGS = {
    "fixed": dataclasses.replace(fixed(label_width=3), **TINY, dropout=0.0),
    "small": dataclasses.replace(small(), **TINY),
    "begin": dataclasses.replace(small(), **TINY, begin="cg_sense"),
    "proximal": dataclasses.replace(
        small(),
        **TINY,
        consistency="proximal",
        consistency_weight=0.1,
        consistency_iterations=3,
        train_consistency=False,
    ),
    "plain": dataclasses.replace(small(), **TINY, attention_every=0, layers_per_cascade=3),
    "attention_first": dataclasses.replace(small(), **TINY, attention_every=3, condition_on_input=False),
    "faithful_single": dataclasses.replace(faithful_single(), **PUBLISHED, canvas=16, dropout=0.0),
    "faithful_multi": dataclasses.replace(faithful_multi(), **PUBLISHED, canvas=18, dropout=0.0),
}


def complex_array(shape, seed):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


def example(settings, batch=2, coils=3, size=(11, 14), lines=False, seed=0):
    """Inputs of mapper and denoiser; maps of unit energy but for some pixels that no coil sees, none with one coil."""
    random = np.random.default_rng(seed)
    mask = (random.random((batch, 1, 1 if lines else size[0], size[1])) < 0.4).astype(np.float32)
    kspace = complex_array((batch, coils, *size), seed + 1) * mask
    inputs = {"image": complex_array((batch, *size), seed + 2), "kspace": kspace, "mask": mask}
    if coils > 1:
        maps = complex_array(kspace.shape, seed + 3)
        inputs["maps"] = maps / np.sqrt((abs(maps) ** 2).sum(1, keepdims=True))
        inputs["maps"][..., :3, 2:7] = 0
    condition = {"time": np.array([3.0, 517.0, 0.0, 999.0], np.float32)[:batch]}
    if settings.label_width:
        condition["label"] = random.random((batch, settings.label_width)).astype(np.float32)
    return condition, inputs


def perturbed(models, size=0.3):
    """The same models with all weights moved: biases and zero outputs would hide mistakes."""
    random = np.random.default_rng(5)
    for model in models.values():
        for variable in model.variables:
            variable.assign(np.asarray(variable.value) + size * random.normal(size=variable.shape).astype(np.float32))
    return models


def apply(models, condition, inputs, **seeds):
    tokens = models["mapper"]({**condition, **seeds})
    return np.array(models["denoiser"]({**inputs, "tokens": tokens, **seeds}))


def test_fixed_has_nothing_frozen_and_no_size():
    for model in build_networks(SETTINGS["fixed"]).values():
        assert not model.non_trainable_variables
        assert all(max(variable.shape, default=1) < 64 for variable in model.variables)


@pytest.mark.parametrize("zero", [True, False])
def test_pixels_that_no_coil_sees_are_zero(zero):
    settings = dataclasses.replace(SETTINGS["small"], zero_unseen=zero)
    condition, inputs = example(settings)
    image = apply(perturbed(build_networks(settings)), condition, inputs)
    unseen = (inputs["maps"] == 0).all(1)
    assert unseen.sum() == 2 * 15 and (image[~unseen] != 0).all()
    assert (image[unseen] == 0).all() == zero


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_networks_equal_their_transcription(name, coils):
    settings = SETTINGS[name]
    models = perturbed(build_networks(settings, seed=1))
    condition, inputs = example(settings, coils=coils, lines=name == "small")
    tokens = np.asarray(models["mapper"](condition))
    output = apply(models, condition, inputs)
    weights = {key: reference.weights_of(model) for key, model in models.items()}
    for item in range(2):
        label = condition["label"][item] if "label" in condition else None
        expected = reference.mapper(weights["mapper"], settings, condition["time"][item], label)
        # The published offset of the logits rounds them to about 1e-3 in float32.
        rounding = 2e-3 if settings.logit_offset else 1e-5
        np.testing.assert_allclose(tokens[item], expected, atol=rounding * abs(expected).max())
        measured = [inputs[key][item].astype(complex) for key in ("kspace", "mask")]
        maps = inputs["maps"][item] if coils > 1 else np.ones((1, 1, 1))
        noisy, inside = padded(inputs["image"][item], settings.canvas)
        image = reference.denoiser(weights["denoiser"], settings, noisy, tokens[item], *measured, maps)[inside]
        np.testing.assert_allclose(output[item], image, atol=1e-4 * abs(image).max())


def padded(image, canvas):
    if not canvas:
        return image.astype(complex), np.s_[:, :]
    top, left = (canvas // 2 - n // 2 for n in image.shape)
    inside = np.s_[top : top + image.shape[0], left : left + image.shape[1]]
    noisy = np.zeros((canvas, canvas), complex)
    noisy[inside] = image
    return noisy, inside


@pytest.mark.parametrize("name", ["fixed", "small", "faithful_multi"])
def test_examples_do_not_see_each_other(name):
    settings = dataclasses.replace(SETTINGS[name], dropout=0.3, dropout_at_inference=True)
    models = perturbed(build_networks(settings))
    condition, inputs = example(settings, batch=4)
    seeds = rng.make_seeds(3, 0, 4, purpose="dropout")
    together = apply(models, condition, inputs, dropout_seed=seeds)
    for item in range(4):
        alone = [{key: value[item : item + 1] for key, value in part.items()} for part in (condition, inputs)]
        single = apply(models, *alone, dropout_seed=seeds[item : item + 1])
        np.testing.assert_allclose(single[0], together[item], atol=2e-5 * abs(together).max())


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (16, 7)])
@pytest.mark.parametrize("coils", [1, 2, 5])
def test_any_size_and_any_coils(size, coils):
    settings = SETTINGS["small"]
    models = build_networks(settings)
    output = apply(models, *example(settings, coils=coils, size=size))
    assert output.shape == (2, *size) and output.dtype == np.complex64 and np.isfinite(output).all()


@pytest.mark.parametrize("name", ["fixed", "small"])
def test_first_output_is_the_zero_filled_image(name):
    settings = SETTINGS[name]
    condition, inputs = example(settings, coils=1)
    output = apply(build_networks(settings), condition, inputs)
    zero_filled = sense_numpy.ifft2c(inputs["kspace"][:, 0])
    np.testing.assert_allclose(output, zero_filled, atol=1e-5 * abs(zero_filled).max())


def test_first_output_of_faithful_is_badly_scaled():
    settings = dataclasses.replace(faithful_single(), canvas=16, channels=32)
    condition, inputs = example(settings, coils=1, size=(16, 16), batch=1)
    inputs["kspace"], inputs["mask"] = 0 * inputs["kspace"], 0 * inputs["mask"]
    outputs = [
        apply(build_networks(settings), condition, inputs, dropout_seed=rng.make_seeds(0, step, 1)) for step in range(2)
    ]
    assert outputs[0].std() > 4
    assert (outputs[0] - outputs[1]).std() > 1  # dropout is never off


def test_output_has_the_measured_samples():
    settings = SETTINGS["small"]
    condition, inputs = example(settings, coils=1)
    output = apply(perturbed(build_networks(settings)), condition, inputs)
    sampled = inputs["mask"][:, 0] > 0
    kspace = sense_numpy.fft2c(output)
    assert abs(kspace - inputs["kspace"][:, 0])[sampled].max() <= 1e-5 * abs(kspace).max()


def test_larger_image_than_kspace_is_zero_around_it():
    settings = SETTINGS["faithful_multi"]
    condition, inputs = example(settings)
    inputs["image"] = complex_array((2, 18, 18), 9)
    output = apply(build_networks(settings), condition, inputs)
    assert output.shape == (2, 18, 18)
    inside = np.s_[:, 9 - 5 : 9 + 6, 9 - 7 : 9 + 7]
    assert abs(output[inside]).min() > 0
    output[inside] = 0
    assert not output.any()


def spread(settings, **seeds):
    """Standard deviation over the local tokens, relative to their size."""
    condition, _ = example(settings)
    tokens = np.asarray(build_networks(settings)["mapper"]({**condition, **seeds}))[:, 0, :-1]
    return tokens.std(axis=1).max() / abs(tokens).max()


def test_tokens_collapse_in_faithful_and_not_in_fixed():
    faithful = dataclasses.replace(faithful_single(), channels=4, canvas=16)
    assert spread(dataclasses.replace(faithful, dropout=0.0)) < 1e-5
    assert spread(faithful, dropout_seed=rng.make_seeds(0, 0, 2)) > 0.01
    assert spread(fixed()) > 0.1


@pytest.mark.parametrize("name, cured", [("faithful_single", False), ("fixed", True)])
def test_queries_get_gradients_where_tokens_differ(name, cured):
    settings = SETTINGS[name]
    models = build_networks(settings)
    condition, inputs = example(settings, coils=1)
    denoiser = models["denoiser"]
    for variable in denoiser.trainable_variables:  # outputs start at zero, and nothing would reach the queries
        if variable.path.startswith(("to_image", "head/convolution/kernel")):
            variable.assign(np.asarray(variable.value) + 1.0)
    inputs["tokens"] = models["mapper"](condition)
    attention = denoiser.styled[0].attention
    kernels = [attention.query.kernel, attention.value.kernel]

    def loss(*values):
        return ops.sum(ops.square(ops.real(stateless(denoiser, kernels, values, inputs))))

    query, value = gradients(loss, *(np.asarray(kernel.value) for kernel in kernels))
    assert (abs(query).max() > 1e-4 * abs(value).max()) == cured


def test_dropout_is_active_in_training_only():
    settings = dataclasses.replace(SETTINGS["fixed"], dropout=0.5)
    models = perturbed(build_networks(settings))
    condition, _ = example(settings)
    mapper = models["mapper"]
    np.testing.assert_array_equal(mapper(condition), mapper(condition))
    seeds = rng.make_seeds(0, 0, 2), rng.make_seeds(0, 1, 2)
    first, second = (np.asarray(mapper({**condition, "dropout_seed": seed}, training=True)) for seed in seeds)
    again = np.asarray(mapper({**condition, "dropout_seed": seeds[0]}, training=True))
    np.testing.assert_array_equal(first, again)
    assert abs(first - second).max() > 0.01 * abs(first).max()
    with pytest.raises(InputError, match="no 'dropout_seed'"):
        mapper(condition, training=True)


def test_seed_decides_the_weights():
    first, again, other = (build_networks(SETTINGS["small"], seed)["denoiser"] for seed in (1, 1, 2))
    for a, b in zip(first.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    assert any(
        abs(np.asarray(a.value) - np.asarray(b.value)).max() > 0.1
        for a, b in zip(first.variables, other.variables, strict=True)
    )


def test_label_of_another_width_is_refused():
    models = build_networks(SETTINGS["fixed"])
    with pytest.raises(InputError, match="labels have width 2 but the model's is 3"):
        models["mapper"]({"time": np.float32([1]), "label": np.ones((1, 2), np.float32)})
    with pytest.raises(InputError, match="labels have width 0 but the model's is 3"):
        models["mapper"]({"time": np.float32([1])})


@pytest.mark.parametrize(
    "wrong",
    [{"channels": 0}, {"token_width": 6}, {"dropout": 1.0}, {"epsilon": 0.0}, {"noise_maps": "frozen"}, {"canvas": -1}],
)
def test_settings_that_cannot_be_built_are_refused(wrong):
    with pytest.raises(InputError, match=r"'|noise maps"):
        SSDiffReconModel(**wrong)


@pytest.mark.parametrize("preset", [faithful_single, faithful_multi, fixed, small])
def test_presets_survive_json(preset):
    text = json.dumps(to_dictionary(preset()))
    assert make_settings(SSDiffReconModel, json.loads(text), "model") == preset()


@pytest.mark.parametrize("consistency", ["hard", "proximal", "gradient"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_saved_and_loaded_networks_give_the_same(consistency, policy, tmp_path):
    settings = dataclasses.replace(SETTINGS["fixed"], consistency=consistency)
    keras.config.set_dtype_policy(policy)
    try:
        models = perturbed(build_networks(settings))
    finally:
        keras.config.set_dtype_policy("float32")
    condition, inputs = example(settings)
    loaded = {}
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        loaded[name] = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert json.dumps(loaded[name].get_config()) == json.dumps(model.get_config())
    np.testing.assert_array_equal(apply(loaded, condition, inputs), apply(models, condition, inputs))


def test_bfloat16_reaches_convolutions_only():
    settings = SETTINGS["small"]
    exact = perturbed(build_networks(settings), 0.1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build_networks(settings)
    finally:
        keras.config.set_dtype_policy("float32")
    for name, model in mixed.items():
        model.set_weights(exact[name].get_weights())
        assert all(variable.dtype == "float32" for variable in model.variables)
    condition, inputs = example(settings, coils=1)
    np.testing.assert_array_equal(mixed["mapper"](condition), exact["mapper"](condition))
    expected, output = apply(exact, condition, inputs), apply(mixed, condition, inputs)
    assert output.dtype == np.complex64
    assert 0 < np.linalg.norm(output - expected) < 0.02 * np.linalg.norm(expected)
    sampled = inputs["mask"][:, 0] > 0
    np.testing.assert_allclose(sense_numpy.fft2c(output)[sampled], inputs["kspace"][:, 0][sampled], atol=1e-4)


@pytest.mark.parametrize("damage", ["zero image", "no samples", "tiny"])
def test_gradients_stay_finite(damage):
    settings = SETTINGS["fixed"]
    models = build_networks(settings)
    condition, inputs = example(settings)
    if damage == "zero image":
        inputs["image"], inputs["kspace"] = 0 * inputs["image"], 0 * inputs["kspace"]
    elif damage == "no samples":
        inputs["mask"], inputs["kspace"] = 0 * inputs["mask"], 0 * inputs["kspace"]
    else:
        inputs["image"], inputs["kspace"] = 1e-20 * inputs["image"], 1e-20 * inputs["kspace"]
    denoiser = models["denoiser"]
    values = [np.asarray(variable.value) for variable in denoiser.trainable_variables]

    def loss(*values):
        tokens = models["mapper"](condition)
        output = stateless(denoiser, denoiser.trainable_variables, values, {**inputs, "tokens": tokens})
        return ops.sum(ops.abs(ops.real(output)))

    for gradient in gradients(loss, *values):
        assert np.isfinite(gradient).all()


def stateless(model, variables, values, inputs):
    """The model with other values of some variables: differentiates alike on every backend."""
    mapping = [(variable, ops.convert_to_tensor(value)) for variable, value in zip(variables, values, strict=True)]
    with keras.StatelessScope(state_mapping=mapping):
        return model(inputs)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's export")
def test_exported_denoiser_takes_any_batch_and_size(tmp_path, caplog):
    import tensorflow as tf

    settings = SETTINGS["small"]
    models = perturbed(build_networks(settings))
    kinds = {
        "image": (3, tf.complex64),
        "kspace": (4, tf.complex64),
        "mask": (4, tf.float32),
        "maps": (4, tf.complex64),
    }
    signature = {name: tf.TensorSpec([None] * rank, dtype, name=name) for name, (rank, dtype) in kinds.items()}
    width = settings.tokens + 1, settings.token_width
    signature["tokens"] = tf.TensorSpec([None, settings.depth, *width], tf.float32, name="tokens")
    with caplog.at_level(logging.ERROR):
        models["denoiser"].export(tmp_path / "denoiser", input_signature=[signature], verbose=False)
    served = tf.saved_model.load(tmp_path / "denoiser")
    for batch, size in ((1, (12, 9)), (3, (7, 16))):
        condition, inputs = example(settings, batch=batch, size=size)
        inputs["tokens"] = models["mapper"](condition)
        expected = models["denoiser"](inputs)
        np.testing.assert_allclose(served.serve(inputs), expected, atol=1e-5 * abs(np.asarray(expected)).max())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs")
def test_models_train_in_a_graph_of_unknown_sizes():
    import tensorflow as tf

    settings = SETTINGS["small"]
    denoiser = Denoiser(settings)
    condition, inputs = example(settings)
    inputs["tokens"] = build_networks(settings)["mapper"](condition)
    specs = {name: tf.TensorSpec([None] * len(value.shape), value.dtype) for name, value in inputs.items()}

    @tf.function(input_signature=[specs])
    def step(inputs):
        with tf.GradientTape() as tape:
            output = denoiser(inputs, training=True)
            loss = tf.reduce_sum(tf.square(tf.math.real(output)))
        return output, tape.gradient(loss, denoiser.trainable_variables)

    output, graph_gradients = step(inputs)
    np.testing.assert_allclose(output, denoiser(inputs), atol=1e-4)
    assert all(gradient is not None for gradient in graph_gradients)
