"""The training loss: which images are encoded, by what they are judged, and on what an image's loss depends."""

import numpy as np
import pytest
import sense_numpy
from keras import ops
from ssdiffrecon_cases import make_batch, one_of

from tfrecon.methods.autoencoder.objective import AutoencoderObjective
from tfrecon.methods.base import get_method
from tfrecon.methods.priors.autoencoder import AutoencoderModel
from tfrecon.nets.autoencoder import Moments
from tfrecon.physics.phase import low_resolution_phase
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings

pytestmark = pytest.mark.mathematics

TINY = {"latent_channels": 4, "width": 8, "multipliers": (1, 2), "blocks": 1}
PLAIN = {"scale_jitter": 0.0}


class Codec:
    """A stand-in that remembers the images it is given, and decodes them times a factor."""

    def __init__(self, factor=0.8 + 0.1j):
        self.images, self.latents, self.factor = [], [], factor

    def encode(self, image):
        image = ops.convert_to_numpy(image)
        self.images.append(image @ np.array([1, 1j], "complex64"))
        return Moments(ops.convert_to_tensor(image[:, ::2, ::2]), ops.zeros_like(image[:, ::2, ::2]) - 1.0)

    def decode(self, latent, size):
        self.latents.append(ops.convert_to_numpy(latent))
        assert tuple(size) == self.images[-1].shape[1:]
        decoded = self.factor * self.images[-1]
        return ops.convert_to_tensor(np.stack([decoded.real, decoded.imag], -1).astype("float32"))


def make_method(phase="normalised", **objective):
    model = AutoencoderModel(**TINY, phase=phase)
    return get_method("autoencoder", model, make_settings(AutoencoderObjective, objective, "objective"))


def batch_of(count=3, coils=2, shape=(24, 26), **settings):
    return make_batch(count, **{"coils": coils, "shape": shape, "rate": 0.4, "lines": True, **settings})


def losses_of(method, batch, network, step=0, training=True):
    seeds = rng.make_seeds(0, step, len(batch["mask"]))
    losses, logs = method.loss({"autoencoder": network}, batch, seeds, training)
    return ops.convert_to_numpy(losses), {name: ops.convert_to_numpy(value) for name, value in logs.items()}


def seen_by(method, batch, **settings):
    codec = Codec()
    losses_of(method, batch, codec, **settings)
    return codec.images[0]


def phase_of(batch):
    return ops.convert_to_numpy(low_resolution_phase(batch["maps"], batch["kspace"], batch["mask"]))


def test_fields():
    assert make_method().fields() == ("reference",)
    assert make_method(images="measured").fields() == ()


def test_loss_is_the_sum_of_its_terms():
    weights = {"magnitude_weight": 0.2, "kspace_weight": 0.5, "kl_weight": 0.3}
    codec, batch = Codec(), batch_of()
    losses, logs = losses_of(make_method(**weights, **PLAIN), batch, codec, training=False)
    image = codec.images[0].astype(complex)
    error = (codec.factor - 1) * image
    rows, columns = (2 * (np.arange(n) - n // 2) / n for n in image.shape[1:])
    radius = np.hypot(rows[:, None], columns)
    mean = image[:, ::2, ::2]
    latents = 2 * mean[0].size
    expected = {
        "image": abs(error).mean((1, 2)),
        "magnitude": abs(abs(codec.factor) - 1) * abs(image).mean((1, 2)),
        "kspace": (radius * abs(sense_numpy.fft2c(error))).mean((1, 2)) / radius.mean(),
        "kl": 0.5 * ((abs(mean) ** 2).sum((1, 2)) + latents * (np.exp(-1) - 1 + 1)) / (2 * 24 * 26),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-4)
    total = expected["image"] + 0.2 * expected["magnitude"] + 0.5 * expected["kspace"] + 0.3 * expected["kl"]
    np.testing.assert_allclose(losses, total, rtol=1e-4)


def test_what_is_reproduced_exactly_has_no_loss_but_that_of_its_latents():
    codec = Codec(factor=1.0)
    losses, logs = losses_of(make_method(kl_weight=1e-6), batch_of(), codec)
    np.testing.assert_allclose(losses, 1e-6 * logs["kl"], rtol=1e-4)


def test_latents_are_drawn_in_training_alone():
    batch, codec = batch_of(), Codec()
    for training in (False, True):
        losses_of(make_method(), batch, codec, training=training)
    mean = codec.images[0][:, ::2, ::2]
    np.testing.assert_allclose(codec.latents[0] @ np.array([1, 1j]), mean, atol=1e-6)
    noise = codec.latents[1] @ np.array([1, 1j]) - mean
    assert np.mean(abs(noise) ** 2) == pytest.approx(2 * np.exp(-1), rel=0.15)


@pytest.mark.parametrize("coils", [1, 3])
def test_normalised_images_are_nearly_real(coils):
    batch = batch_of(coils=coils, shape=(40, 40))
    batch["mask"][..., 14:27] = 1
    full = sense_numpy.fft2c(batch["maps"] * batch["reference"][:, None])
    batch["kspace"] = (full * batch["mask"]).astype("complex64")
    images = seen_by(make_method(**PLAIN), batch)
    np.testing.assert_allclose(images, batch["reference"] * phase_of(batch).conj(), atol=1e-5)
    share = [np.linalg.norm(part.imag) / np.linalg.norm(part) for part in images]
    assert max(share) < 0.2 < min(np.linalg.norm(x.imag) / np.linalg.norm(x) for x in batch["reference"])


def test_without_maps_there_is_one_coil():
    batch = batch_of(coils=1)
    expected = seen_by(make_method(**PLAIN), batch)
    del batch["maps"]
    np.testing.assert_array_equal(seen_by(make_method(**PLAIN), batch), expected)


def test_random_phases_and_scales():
    batch = batch_of(8)
    images = seen_by(make_method("random"), batch)
    factors = [np.vdot(x0, x) / np.vdot(x0, x0) for x0, x in zip(batch["reference"], images, strict=True)]
    for factor, x0, x in zip(factors, batch["reference"], images, strict=True):
        np.testing.assert_allclose(x, factor * x0, atol=1e-4)
    assert np.std(np.angle(factors)) > 0.5
    assert 0.8 <= min(np.abs(factors)) < 0.95 and 1.05 < max(np.abs(factors)) <= 1.2
    normalised = seen_by(make_method(), batch)
    ratios = abs(normalised).max((1, 2)) / abs(batch["reference"]).max((1, 2))
    np.testing.assert_allclose(ratios, np.abs(factors), rtol=1e-4)


def test_measured_images_are_the_coils_combined():
    batch = batch_of(coils=3, rate=2.0)
    wanted = seen_by(make_method("random", **PLAIN), batch)
    batch["reference"] = 0 * batch["reference"]
    found = seen_by(make_method("random", images="measured", **PLAIN), batch)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_cropped_reference_takes_the_phase_of_its_own_pixels():
    batch = batch_of(shape=(24, 26))
    whole = seen_by(make_method(**PLAIN), batch)
    batch["reference"] = batch["reference"][:, 12 - 8 : 12 + 8, 13 - 9 : 13 + 10]
    cut = seen_by(make_method(**PLAIN), batch)
    np.testing.assert_allclose(cut, whole[:, 4:20, 4:23], atol=1e-6)


@pytest.mark.parametrize("phase", ["normalised", "random"])
def test_a_loss_is_a_function_of_its_own_image_and_seed(phase):
    method, batch = make_method(phase), batch_of(3)
    network = method.build(0)["autoencoder"]
    losses, logs = losses_of(method, batch, network)
    assert np.isfinite(losses).all() and len(set(losses)) == 3
    seeds = rng.make_seeds(0, 0, 3)[1:2]
    alone, own = method.loss({"autoencoder": network}, one_of(batch, 1), seeds, True)
    np.testing.assert_allclose(ops.convert_to_numpy(alone), losses[1:2], rtol=2e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(own["kl"]), logs["kl"][1:2], rtol=2e-4)
    other, _ = losses_of(method, batch, network, step=1)
    assert abs(other - losses).min() > 0


def test_series_are_refused():
    batch = {"kspace": np.zeros((1, 2, 1, 8, 8), "complex64"), "reference": np.zeros((1, 2, 8, 8), "complex64")}
    with pytest.raises(InputError, match="trains on slices"):
        make_method().loss({"autoencoder": Codec()}, batch, rng.make_seeds(0, 0, 1), True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"magnitude_weight": -1.0}, "'magnitude_weight' is -1"),
        ({"kspace_weight": -0.1}, "'kspace_weight' is -0.1"),
        ({"kl_weight": -1e-6}, "'kl_weight' is -1e-06"),
        ({"scale_jitter": 1.0}, "'scale_jitter' is 1"),
        ({"images": "all"}, "'images' is one of"),
    ],
)
def test_wrong_objectives_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        make_method(**wrong)
