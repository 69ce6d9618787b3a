"""One battery for score networks and autoencoder: counts, saving, precision, sizes, transcription of NCSN++."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import score_networks_numpy as reference
from autodiff import gradients
from keras import ops

from tfrecon.nets.autoencoder import AutoencoderSettings, KLAutoencoder
from tfrecon.nets.ddpm_unet import DDPM, DDPMSettings, build_ddpm, small
from tfrecon.nets.improved_unet import ImprovedUNet, ImprovedUNetSettings
from tfrecon.nets.ncsnpp import NCSNpp, NCSNppSettings, build_ncsnpp
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings, to_dictionary

# Keras hands variables to NumPy in a way that NumPy 2 deprecates; any other warning is an error.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

TINY = {"width": 8, "multipliers": (1, 2), "blocks": 1}
SETTINGS = {
    "ncsnpp": NCSNppSettings(**TINY),
    "ncsnpp_plain": NCSNppSettings(
        **TINY,
        channels=2,
        extra_channels=1,
        progressive_input="none",
        resampling="box",
        embedding="positional",
        attention_levels=(1,),
    ),
    "ddpm": DDPMSettings(**TINY, dropout=0.2),
    "small": dataclasses.replace(small(extra_channels=2), **TINY),
    "improved": ImprovedUNetSettings(**TINY, attention_levels=(1,)),
    "patches": DDPMSettings(width=8, multipliers=(1,), blocks=1, patch=2, bottleneck_attention=False),
    "autoencoder": AutoencoderSettings(**TINY),
}


def build(settings, **options):
    networks = {
        NCSNppSettings: NCSNpp,
        DDPMSettings: DDPM,
        ImprovedUNetSettings: ImprovedUNet,
        AutoencoderSettings: KLAutoencoder,
    }
    return networks[type(settings)](settings, **options)


def perturbed(model, size=0.1):
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable.value) + size * random.normal(size=variable.shape).astype(np.float32))
    return model


def example(settings, batch=2, size=(8, 12), seed=0):
    random = np.random.default_rng(seed)
    channels = settings.channels + getattr(settings, "extra_channels", 0)
    image = random.random((batch, *size, channels)).astype(np.float32)
    return {"image": image, "time": random.normal(size=batch).astype(np.float32)}


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


@pytest.fixture(params=SETTINGS)
def settings(request):
    return SETTINGS[request.param]


def test_published_ncsnpp_has_its_parameters():
    model = build_ncsnpp(NCSNppSettings())
    assert count(model.trainable_variables) == 61_433_473
    assert count(model.non_trainable_variables) == 128


def test_published_ddpm_has_its_parameters():
    model = build_ddpm(DDPMSettings())
    assert (count(model.trainable_variables), count(model.non_trainable_variables)) == (34_425_602, 0)


def test_small_prior_is_small():
    assert count(build_ddpm(small(extra_channels=2)).variables) <= 2_300_000


@pytest.mark.mathematics
@pytest.mark.parametrize(("multipliers", "attention_levels"), [((2,), ()), ((1, 2), (1,)), ((1, 2, 1), (0, 2))])
def test_ncsnpp_equals_its_transcription(multipliers, attention_levels):
    settings = NCSNppSettings(
        channels=2, width=8, multipliers=multipliers, blocks=2, attention_levels=attention_levels, fourier_scale=1.0
    )
    model = perturbed(build_ncsnpp(settings))
    inputs = example(settings, size=(12, 8))
    output = np.asarray(model(inputs))
    weights = reference.weights_of(model)
    for item in range(2):
        image, time = inputs["image"][item].astype(np.float64), float(inputs["time"][item])
        expected = reference.ncsnpp(weights, image, time, len(multipliers), 2, attention_levels)
        np.testing.assert_allclose(output[item], expected, atol=1e-4 * abs(expected).max())


def test_config_round_trip(settings):
    model = build(settings, seed=5, name="prior")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin) is type(model) and twin.settings == settings and twin.get_config() == model.get_config()
    for ours, theirs in zip(model.variables, twin.variables, strict=True):
        assert ours.path == theirs.path
        np.testing.assert_array_equal(ours.value, theirs.value)


def test_saved_and_loaded_network_gives_the_same(settings, tmp_path):
    model, inputs = perturbed(build(settings)), example(settings)
    for variable in model.non_trainable_variables:  # frequencies, which another seed would draw otherwise
        variable.assign(np.asarray(variable.value) * 1.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))


def test_settings_round_trip(settings):
    assert make_settings(type(settings), json.loads(json.dumps(to_dictionary(settings))), "model") == settings


def test_weights_are_those_of_the_seed_and_outputs_start_near_zero(settings):
    first, second, other = build(settings), build(settings, name="other"), build(settings, seed=1)
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    kernels = zip(first.trainable_variables, other.trainable_variables, strict=True)
    assert all(not np.array_equal(a.value, b.value) for a, b in kernels if a.name == "kernel")
    start = abs(np.asarray(first(example(settings)))).max()
    assert start < 1e-2 or isinstance(settings, AutoencoderSettings)  # which has to say something from the first step


def test_items_do_not_see_each_other(settings):
    model, inputs = perturbed(build(settings)), example(settings, batch=3)
    together = np.asarray(model(inputs))
    alone = np.asarray(model({name: values[1:2] for name, values in inputs.items()}))
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5 * abs(together).max())


def test_any_size(settings):
    """What is padded inside is the image reflected at its edges, half on each side."""
    size = (7, 9)
    model, inputs = perturbed(build(settings)), example(settings, size=size)
    output = np.asarray(model(inputs))
    assert output.shape == (2, *size, getattr(settings, "output_channels", settings.channels))
    missing = [-n % settings.multiple for n in size]
    pads = [(0, 0), *((more // 2, more - more // 2) for more in missing), (0, 0)]
    padded = np.asarray(model({**inputs, "image": np.pad(inputs["image"], pads, mode="reflect")}))
    top, left = (before for before, _ in pads[1:3])
    np.testing.assert_array_equal(output, padded[:, top : top + size[0], left : left + size[1]])


def test_time_image_and_extra_channels_matter(settings):
    model, inputs = perturbed(build(settings)), example(settings)
    output = np.asarray(model(inputs))
    if not isinstance(settings, AutoencoderSettings):
        assert abs(np.asarray(model({**inputs, "time": inputs["time"] + 0.3})) - output).max() > 1e-4
    for channel in {0, inputs["image"].shape[-1] - 1}:
        other = inputs["image"].copy()
        other[..., channel] += np.random.default_rng(5).random(other.shape[:3])
        assert abs(np.asarray(model({**inputs, "image": other})) - output).max() > 1e-4


def test_mixed_precision(settings):
    exact, mixed = perturbed(build(settings)), perturbed(build(settings, dtype="mixed_bfloat16"))
    assert all(variable.dtype == "float32" for variable in mixed.variables)
    inputs = example(settings)
    expected, output = np.asarray(exact(inputs)), mixed(inputs)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    difference = np.linalg.norm(np.asarray(output) - expected) / np.linalg.norm(expected)
    assert 0 < difference < 0.05


def test_every_weight_gets_a_gradient(settings):
    model, inputs = perturbed(build(settings)), example(settings, size=(8, 8))
    values = [np.asarray(variable.value) for variable in model.trainable_variables]

    def loss(*trainable):
        output, _ = model.stateless_call(trainable, [v.value for v in model.non_trainable_variables], inputs)
        return ops.sum(ops.square(output))

    paths = [variable.path for variable in model.trainable_variables]
    for path, gradient in zip(paths, gradients(loss, *values), strict=True):
        # Attention does not change if all of a query's logits do.
        assert np.isfinite(gradient).all() and (np.any(gradient) or path.endswith("key/bias")), path


@pytest.mark.mathematics
def test_dropout_is_active_in_training_alone_and_needs_seeds():
    model = perturbed(build(SETTINGS["ddpm"]))
    inputs = example(model.settings, batch=3)
    plain = np.asarray(model(inputs))
    with pytest.raises(InputError, match="dropout_seed"):
        model(inputs, training=True)
    inputs["dropout_seed"] = rng.make_seeds(0, 0, 3)
    np.testing.assert_array_equal(model(inputs), plain)
    dropped = np.asarray(model(inputs, training=True))
    assert abs(dropped - plain).max() > 1e-3
    alone = np.asarray(model({name: values[1:2] for name, values in inputs.items()}, training=True))
    np.testing.assert_allclose(alone[0], dropped[1], atol=1e-5 * abs(dropped).max())


def test_an_image_too_small_to_reflect_is_refused():
    model = build(NCSNppSettings(width=4, multipliers=(1, 1, 1, 1), blocks=1))
    with pytest.raises(InputError, match="3×8 is too small"):
        model({"image": np.zeros((1, 3, 8, 1), np.float32), "time": np.zeros(1, np.float32)})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 7}, "width"),
        ({"multipliers": ()}, "multipliers"),
        ({"attention_levels": (4,)}, "levels are 0 to 3"),
        ({"blocks": 0}, "blocks"),
        ({"extra_channels": -1}, "extra_channels"),
        ({"dropout": 1.0}, "dropout"),
        ({"fourier_scale": 0.0}, "fourier_scale"),
        ({"resampling": "cubic"}, "resampling"),
    ],
)
@pytest.mark.parametrize("kind", [NCSNppSettings, DDPMSettings])
def test_wrong_settings_are_refused(kind, wrong, message):
    with pytest.raises(InputError, match=message):
        make_settings(kind, wrong, "model")
