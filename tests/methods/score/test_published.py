"""Published algorithms from measurement to image: units, parts, sizes that are not known, what a user hands over."""

import numpy as np
import pytest
import sense_numpy
import tensorflow as tf
from score_cases import Network, make_method, measurement_of, models_of
from ssdiffrecon_cases import make_batch

from tfrecon.data.sources import open_source
from tfrecon.data.transforms import to_measurement
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.published import published_image
from tfrecon.methods.score.published_options import PublishedSampling
from tfrecon.serve.batches import in_own_units
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement
from tfrecon.util import rng

SETTINGS = {"parameterization": {"output": "x0", "label": "std"}, "path": {"sigma_max": 2.0, "sigma_min": 0.05}}
CASES = [("complex", ()), ("ssos", ()), ("hybrid", ("all",)), ("hfs_sde", ()), ("hfs_sde", ("all",))]
SEED = rng.make_seed(2)


def shrinking(inputs):
    noise = inputs["time"][:, None, None, None]
    return inputs["image"][..., :2] / (1 + noise**2)


def case(algorithm, parity, count=2, **options):
    channels = "magnitude" if "all" in parity and algorithm != "hfs_sde" else "complex"
    path = {} if algorithm == "hfs_sde" else SETTINGS["path"]
    kind = "hfs" if algorithm == "hfs_sde" else "ve"
    method = make_method(kind, **{**SETTINGS, "path": path}, channels=channels)
    batch = make_batch(count, 1 if algorithm == "complex" else 2, (15, 16), lines=True, noise=0.01)
    return method, models_of(Network(shrinking)), batch, ScoreOptions(algorithm=algorithm, parity=parity, **options)


@pytest.mark.parametrize(
    "algorithm, images",
    [("real", 10), ("prospective", 10), ("complex", 20), ("ssos", 60), ("hybrid", 60), ("hfs_sde", 10)],
)
def test_network_calls_as_they_are_counted_in_the_literature(algorithm, images):
    """Two for each step, channel and coil: 4000, 8000, for 15 coils at N = 500 30000. HFS-SDE: two for each step."""
    kind, channels = ("hfs", "complex") if algorithm == "hfs_sde" else ("ve", "magnitude")
    method = make_method(kind, parameterization={"output": "x0"}, channels=channels)
    network, coils = Network(shrinking), 3 if algorithm in ("ssos", "hybrid", "hfs_sde") else 1
    batch = make_batch(1, coils, (8, 9), lines=True)
    options = ScoreOptions(algorithm=algorithm, sampling=PublishedSampling(N=5))
    method.reconstruct(models_of(network), measurement_of(batch), SEED, options)
    assert sum(len(call["image"]) for call in network.calls) == images
    assert options.calls == len(network.calls) == 10


def test_an_aliased_image_and_its_mask_from_files_to_an_image(tmp_path):
    """score-MRI's prospective layout; what was measured stays as it was."""
    image = abs(make_batch(1, 1, (16, 18))["reference"][0])
    mask = np.broadcast_to((np.arange(18) % 3 == 0) | (abs(np.arange(18) - 9) < 3), (16, 18))
    aliased = abs(sense_numpy.ifft2c(mask * sense_numpy.fft2c(image)))
    np.save(tmp_path / "007.npy", aliased.astype("float32"))
    np.save(tmp_path / "007_mask.npy", mask.astype("float32"))
    (record,) = open_source(tmp_path)
    method, options = make_method(channels="magnitude", **SETTINGS), ScoreOptions(algorithm="prospective", nfe=6)
    measurement = to_measurement(record)
    method.check(measurement, options)
    found = np.asarray(method.reconstruct(models_of(Network(shrinking)), measurement, SEED, options).image)
    symmetric = mask & np.roll(mask[:, ::-1], 1, axis=1)
    error = (sense_numpy.fft2c(found) - sense_numpy.fft2c(aliased))[symmetric]
    assert np.linalg.norm(error) < 1e-5 * np.linalg.norm(aliased) and (found.imag == 0).all()


@pytest.mark.parametrize("algorithm, parity", CASES)
def test_images_are_in_the_units_of_the_measurement(algorithm, parity):
    method, models, batch, options = case(algorithm, parity, nfe=6)
    compiled, images = compiled_reconstruct(method, options, models), []
    for scale in (1.0, 0.1, 10.0):
        measurement = measurement_of(batch)
        own = measurement._replace(kspace=scale * measurement.kspace, noise_std=scale * measurement.noise_std)
        images.append(in_own_units(compiled, own, SEED).image / scale)
    assert images[0].shape == (2, 15, 16) and abs(images[0]).max() > 0.1
    for image in images[1:]:
        assert np.linalg.norm(image - images[0]) < 1e-4 * np.linalg.norm(images[0])


@pytest.mark.parametrize("algorithm, parity", [("hybrid", ("all",)), ("hfs_sde", ())])
def test_parts_give_what_the_whole_gives(algorithm, parity):
    """And before the end the best image so far, of coils combined."""
    method, models, batch, options = case(algorithm, parity, nfe=8, samples=2)
    measurement, stepwise = measurement_of(batch), method.stepwise(options)
    carried = stepwise.begin(models, measurement, SEED)
    for first, last in ((0, 3), (3, stepwise.count)):
        carried = stepwise.advance(models, measurement, SEED, carried, tf.constant(first), tf.constant(last))
        result = stepwise.result(measurement, carried)
        assert result.image.shape == result.std.shape == (2, 15, 16) and np.isfinite(result.image).all()
    whole = method.reconstruct(models, measurement, SEED, options)
    np.testing.assert_allclose(result.samples, whole.samples, atol=1e-5)


@pytest.mark.parametrize("algorithm, parity", [("hybrid", ()), ("hfs_sde", ("all",))])
def test_sizes_and_coils_that_are_not_known(algorithm, parity):
    method, models, batch, options = case(algorithm, parity, nfe=6)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None] * 4, tf.complex64),
            tf.TensorSpec([None, 1, None, None], tf.float32),
            tf.TensorSpec([None] * 4, tf.complex64),
        ],
        autograph=False,
    )
    def reconstruct(kspace, mask, maps):
        return method.reconstruct(models, Measurement(kspace, mask, maps), SEED, options).image

    fields = batch["kspace"], batch["mask"], batch["maps"]
    known = method.reconstruct(models, Measurement(*fields), SEED, options).image
    np.testing.assert_allclose(reconstruct(*fields), known, atol=5e-4)


@pytest.mark.parametrize("algorithm", ["complex", "ssos", "hybrid"])
def test_with_a_network_that_is_right_the_image_is_the_truth(algorithm):
    method, _, batch, options = case(algorithm, (), nfe=10)
    batch["kspace"] = batch["mask"] * sense_numpy.fft2c(batch["maps"] * batch["reference"][:, None])
    coils = (batch["maps"] * batch["reference"][:, None]).reshape(-1, 15, 16)
    knowing = Network(lambda inputs: np.stack([coils.real, coils.imag], axis=-1).astype("float32"))
    image = method.reconstruct(models_of(knowing), measurement_of(batch), SEED, options).image
    truth = batch["reference"] if algorithm == "complex" else abs(batch["reference"])
    np.testing.assert_allclose(image, truth, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["complex", "hfs_sde"])
def test_independent_pixels_are_drawn_from_their_posterior(algorithm):
    """Without noise what was not measured is as in the prior, whose score is known."""
    batch, variance = make_batch(1, 1, (8, 9), lines=True, rate=0.4), 0.05
    mean = 0.8 * batch["reference"][0]

    def best(inputs):
        part = variance / (variance + inputs["time"][:, None, None, None] ** 2)
        known = np.stack([mean.real, mean.imag], axis=-1).astype("float32")
        return known + part * (inputs["image"][..., :2] - known)

    path = {"sigma_max": 5.0, "sigma_min": 0.02}
    method = make_method("ve", parameterization={"output": "x0", "label": "std", "data_std": variance**0.5}, path=path)
    options = ScoreOptions(algorithm=algorithm, nfe=200, samples=200, noise=1e-4)
    compiled = compiled_reconstruct(method, options, models_of(Network(best)))
    samples = np.asarray(compiled(measurement_of(batch), SEED).samples)[:, 0]
    kspace, measured = sense_numpy.fft2c(samples), np.broadcast_to(batch["mask"][0, 0], (8, 9)) > 0
    np.testing.assert_allclose(kspace[:, measured] - batch["kspace"][0, 0][measured], 0, atol=1e-3)
    rest, expected = kspace[:, ~measured], sense_numpy.fft2c(mean)[~measured]
    assert np.linalg.norm(rest.mean(0) - expected) < 0.1 * np.linalg.norm(rest[0] - expected) + 0.02
    assert np.var(rest, axis=0).mean() == pytest.approx(2 * variance, rel=0.15)


def test_images_as_they_were_shown_to_the_published_algorithms():
    random = np.random.default_rng(0)
    image = published_image(random.normal(size=(6, 7, 2)) @ np.array([1, 1j]))
    assert image.real.min() >= 0 and image.imag.min() >= 0 and abs(image).max() == pytest.approx(1)
    assert abs(image).min() == 0 and np.angle(image[abs(image) > 0]).max() <= 1 + 1e-6
    assert np.isfinite(published_image(np.ones((3, 3), complex))).all()
