"""What an autoencoder makes of measurements: the images of fully sampled ones, and nothing of others."""

import keras
import numpy as np
import pytest
from keras import ops
from ssdiffrecon_cases import make_batch

from tfrecon.methods.autoencoder.presets import large, small
from tfrecon.methods.base import NoSettings, get_method, resolve_options
from tfrecon.methods.priors.autoencoder import AutoencoderModel
from tfrecon.metrics.ceiling import reproduction_ceiling
from tfrecon.serve.learned import TrainedModel
from tfrecon.train.config import default_config, resolve_experiment
from tfrecon.typing import Measurement
from tfrecon.util import rng
from tfrecon.util.errors import InputError

TINY = {"latent_channels": 4, "width": 8, "multipliers": (1, 2), "blocks": 1}


def make_method(phase="normalised"):
    return get_method("autoencoder", AutoencoderModel(**TINY, phase=phase))


def full(count=2, coils=3, shape=(15, 17)):
    return make_batch(count, coils, shape, lines=True, rate=2.0)


def measurement_of(batch):
    return Measurement(batch["kspace"], batch["mask"], batch["maps"])


def perfect(inputs):
    """A stand-in for an autoencoder that loses nothing."""
    return ops.convert_to_tensor(inputs["image"])


def close(found, expected):
    """Beyond the object the phase is that of rounding, and a new network says something there."""
    return np.linalg.norm(found - expected) < 3e-3 * np.linalg.norm(expected)


@pytest.mark.mathematics
@pytest.mark.parametrize("phase", ["normalised", "random"])
@pytest.mark.parametrize("coils", [1, 3])
def test_a_perfect_autoencoder_gives_the_image_itself(phase, coils):
    batch = full(coils=coils)
    found = make_method(phase).reconstruct({"autoencoder": perfect}, measurement_of(batch), None, NoSettings())
    np.testing.assert_allclose(ops.convert_to_numpy(found.image), batch["reference"], atol=1e-4)
    assert found.std is None


@pytest.mark.mathematics
def test_leading_axes_are_kept():
    batch = full(6, coils=2)
    method = make_method()
    models = method.build(0)
    whole = method.reconstruct(models, measurement_of(batch), None, NoSettings()).image
    folded = Measurement(*(batch[name].reshape(3, 2, *batch[name].shape[1:]) for name in ("kspace", "mask", "maps")))
    found = method.reconstruct(models, folded, None, NoSettings()).image
    assert tuple(found.shape) == (3, 2, 15, 17)
    np.testing.assert_allclose(ops.convert_to_numpy(found).reshape(6, 15, 17), ops.convert_to_numpy(whole), atol=1e-5)


def test_the_phase_of_an_image_goes_past_the_autoencoder():
    """With a normalised phase, turning what is measured turns what is reproduced."""
    batch, method = full(), make_method()
    models = method.build(0)
    once = np.asarray(method.reconstruct(models, measurement_of(batch), None, NoSettings()).image)
    batch["kspace"] = (np.exp(1.1j) * batch["kspace"]).astype("complex64")
    turned = np.asarray(method.reconstruct(models, measurement_of(batch), None, NoSettings()).image)
    assert close(turned, np.exp(1.1j) * once)


def test_a_loaded_model_reproduces_what_is_fully_sampled_at_its_own_scale():
    method, batch = make_method(), full()
    model = TrainedModel(method, method.build(0), NoSettings(), {})
    once = model(batch["kspace"], batch["mask"], batch["maps"])
    assert once.shape == (2, 15, 17) and np.isfinite(once).all()
    scaled = model(1000 * batch["kspace"], batch["mask"], batch["maps"])
    assert close(scaled, 1000 * once)


@pytest.mark.parametrize("lines", [True, False])
def test_gaps_are_refused_in_one_line(lines):
    method, batch = make_method(), make_batch(2, 3, (15, 17), lines=lines, rate=0.5)
    model = TrainedModel(method, {"autoencoder": perfect}, NoSettings(), {})
    with pytest.raises(InputError, match=r"reproduces images .* k-space has gaps; .* train a prior") as caught:
        model(batch["kspace"], batch["mask"], batch["maps"])
    assert "\n" not in str(caught.value)


def test_edges_that_were_not_sampled_are_no_gaps():
    method, batch = make_method(), full()
    for edges in (batch["mask"].copy(), np.repeat(batch["mask"], 15, axis=2)):
        edges[..., :2] = edges[..., -1:] = 0
        method.check(Measurement(batch["kspace"], edges, batch["maps"]), NoSettings())
        edges[0, ..., 5] = 0
        with pytest.raises(InputError, match="has gaps"):
            method.check(Measurement(batch["kspace"], edges, batch["maps"]), NoSettings())
        with pytest.raises(InputError, match="has gaps"):
            method.check(Measurement(batch["kspace"], 0 * edges, batch["maps"]), NoSettings())


def test_ceiling_of_a_method():
    method, batch = make_method("random"), full(3)
    models = method.build(0)

    def reproduce(images):
        return np.asarray(method.reproduce(models, images))

    found = reproduction_ceiling(reproduce, [batch["reference"]])
    image = np.asarray(method.reconstruct(models, measurement_of(batch), None, NoSettings()).image)
    again = reproduction_ceiling(lambda images: image, [batch["reference"]])
    assert found.count == 3 and found.mean == pytest.approx(again.mean, abs=0.01)


def test_encoder_and_decoder_for_other_software():
    method, batch = make_method(), full()
    models = method.build(0)
    functions = method.serving_functions(models, NoSettings())
    moments = functions["encode"].call(batch["reference"])
    assert set(moments) == {"mean", "log_variance"} and tuple(moments["mean"].shape) == (2, 8, 9, 4)
    image = np.asarray(functions["decode"].call(moments["mean"], ops.convert_to_tensor([15, 17])))
    np.testing.assert_allclose(image, np.asarray(method.reproduce(models, batch["reference"])), atol=1e-5)


def test_presets():
    config = default_config("autoencoder", small(2))
    config.data.train = "none"
    experiment = resolve_experiment(config)
    method = experiment.make_method()
    assert method.fully_sampled and method.model == small(2).model and method.model.phase == "normalised"
    assert method.build()["autoencoder"].settings.multiple == 2
    assert get_method("autoencoder").model == small(4).model
    assert large(128).model.network_settings.width == 128 and large().model.network_settings.blocks == 2
    assert resolve_options(method, {}) == NoSettings()
    with pytest.raises(InputError, match="has no key 'nfe'"):
        resolve_options(method, {"nfe": 5})


@pytest.mark.slow
def test_a_tiny_network_learns_to_reproduce_a_phantom():
    import tensorflow as tf

    method = get_method("autoencoder", AutoencoderModel(**{**TINY, "width": 16}))
    batch = {name: tf.constant(array) for name, array in make_batch(4, 2, (32, 32), lines=True).items()}
    models = method.build(0)
    variables = models["autoencoder"].trainable_variables
    optimizer = keras.optimizers.Adam(3e-3, global_clipnorm=1.0)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def update(step):
        with tf.GradientTape() as tape:
            losses, _ = method.loss(models, batch, rng.make_seeds(0, step, 4), True)
            mean = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(mean, [v.value for v in variables]), variables)
        return mean

    whole = measurement_of(make_batch(4, 2, (32, 32), lines=True, rate=2.0))

    def ceiling():
        image = np.asarray(method.reconstruct(models, whole, None, NoSettings()).image)
        return reproduction_ceiling(lambda images: image, [np.asarray(batch["reference"])]).mean

    before = ceiling()
    for step in range(300):
        update(tf.constant(step))
    assert ceiling() > max(24.0, before + 8)
