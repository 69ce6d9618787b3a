"""Reconstruction: network calls, starts, leading axes, samples, independence, scale, what is refused."""

import numpy as np
import pytest
import sense_numpy
import tensorflow as tf
from keras import ops
from score_cases import Network, knowing, make_method, measurement_of, models_of, perturbed
from ssdiffrecon_cases import make_batch, one_of

from tfrecon.diffusion.factory import make_path
from tfrecon.methods.priors.reconstruction import item_seeds
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.sampling import prepare, sample
from tfrecon.serve.batches import in_own_units
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement
from tfrecon.util import rng
from tfrecon.util.errors import InputError

SAMPLERS = (
    "dds",
    "ancestral",
    "ddim",
    "dpm_solver",
    "ode",
    "pc",
    "reverse_diffusion",
    "euler_maruyama",
    "dps",
    "diffpir",
)
X0 = {"parameterization": {"output": "x0", "label": "std"}}
"""The network sees the state itself and says the image."""

MILD = {**X0, "path": {"sigma_max": 1.0}}
"""With noise that a few steps can walk down, so that rounding errors are those of images."""


def half_right(inputs):
    return 0.5 * inputs["image"][..., :2]


def run(models, measurement, method=None, seed=0, **options):
    options = ScoreOptions(**{"nfe": 4, "cg_iterations": 2, **options})
    return (method or make_method()).reconstruct(models, measurement, rng.make_seed(seed), options)


def image_of(*arguments, **options):
    return np.asarray(run(*arguments, **options).image)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("kind", [pytest.param("ve", marks=pytest.mark.slow), "hfs"])
def test_samplers_call_the_network_within_their_budget(sampler, kind):
    network, method = Network(half_right), make_method(kind, **X0)
    image = image_of(models_of(network), measurement_of(make_batch(lines=True)), method, nfe=5, sampler=sampler)
    assert len(network.calls) == ScoreOptions(sampler=sampler, nfe=5).calls
    assert np.isfinite(image).all() and image.shape == (2, 15, 17)
    assert network.calls[0]["image"].shape == (2, 15, 17, 2 if kind == "ve" else 4)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "dps"])
def test_with_a_network_that_is_right_the_image_is_the_truth(sampler):
    batch = make_batch(lines=True)
    image = image_of(
        models_of(knowing(batch["reference"])), measurement_of(batch), make_method(**MILD), sampler=sampler
    )
    np.testing.assert_allclose(image, batch["reference"], atol=2e-4)


def test_states_have_the_noise_of_their_times():
    """Each call is told sigma, and sees the image with just that noise."""
    batch = make_batch(coils=1, shape=(40, 40))
    for kind, sampler in (("ve", "dds"), ("vp", "ancestral"), ("vp", "dds")):
        network, method = knowing(batch["reference"]), make_method(kind, **X0)
        run(models_of(network), measurement_of(batch), method, nfe=6, sampler=sampler, data_step="none")
        for call in network.calls:
            state, sigma = call["image"][..., 0] + 1j * call["image"][..., 1], call["time"][0]
            alpha = 1 if kind == "ve" else np.sqrt(1 - sigma**2)
            noise = (state - alpha * batch["reference"]) / sigma
            if call is not network.calls[0] or kind == "vp":  # VE begins with noise alone
                assert np.mean(abs(noise) ** 2) == pytest.approx(2, rel=0.08)


def test_starts():
    batch = make_batch(coils=3, shape=(30, 31), rate=0.8)
    method = make_method("vp", **X0)
    path = make_path(method.model.path)
    zero_filled = sense_numpy.adjoint(batch["kspace"], batch["maps"][:, None], batch["mask"])[:, 0]
    for start_image, error in (("zero_filled", 1e-4), ("cg_sense", 0.2)):
        network = Network(half_right)
        run(models_of(network), measurement_of(batch), method, start=0.1, start_image=start_image)
        state = network.calls[0]["image"][..., 0] + 1j * network.calls[0]["image"][..., 1]
        assert network.calls[0]["time"][0] == pytest.approx(float(path.sigma(0.1)), rel=1e-4)
        wanted = zero_filled if start_image == "zero_filled" else batch["reference"]
        noise = (state - float(path.alpha(0.1)) * wanted) / float(path.sigma(0.1))
        assert np.mean(abs(noise) ** 2) == pytest.approx(2, rel=0.1 + error)


@pytest.mark.parametrize("sampler", ["dds", "pc", *(pytest.param(n, marks=pytest.mark.slow) for n in SAMPLERS[1:])])
def test_reconstruction_is_a_function_of_the_seed(sampler):
    measurement, models = measurement_of(make_batch()), models_of(Network(half_right))
    first, again, other = (image_of(models, measurement, seed=seed, sampler=sampler) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 1e-5
    unseeded = make_method().reconstruct(
        models, measurement, None, ScoreOptions(sampler=sampler, nfe=4, cg_iterations=2)
    )
    np.testing.assert_array_equal(unseeded.image, first)


@pytest.mark.parametrize("kind, patch", [("ve", 0), ("hfs", 0), pytest.param("ve", 8, marks=pytest.mark.slow)])
def test_an_image_depends_on_its_own_measurement_and_seed_alone(kind, patch):
    """With a real network: a batch of three against one of them, and two samples against each by itself."""
    method = make_method(kind, {"patches": 0}, patch=patch)
    batch, network = make_batch(3, lines=True), perturbed(method.build(1))["network"]
    seeds, options = item_seeds(rng.make_seed(0), 3, 2), ScoreOptions(nfe=3)
    together = np.asarray(sample(network, method.model, measurement_of(batch), seeds, options))
    for number in (1, 5):
        item = number % 3
        alone = sample(network, method.model, measurement_of(one_of(batch, item)), seeds[number : number + 1], options)
        np.testing.assert_allclose(np.asarray(alone)[0], together[number], atol=1e-4)


def test_more_samples_and_larger_batches_change_nothing_in_those_that_are_there():
    seed = rng.make_seed(3)
    few, many = (np.asarray(item_seeds(seed, 2, samples)).reshape(samples, 2, 2) for samples in (2, 5))
    np.testing.assert_array_equal(many[:2], few)
    wide = np.asarray(item_seeds(seed, 4, 2)).reshape(2, 4, 2)
    np.testing.assert_array_equal(wide[:, :2], few)
    assert len({tuple(one) for one in many.reshape(-1, 2)}) == 10


def test_several_samples_give_their_mean_and_deviation():
    models, measurement = models_of(Network(half_right)), measurement_of(make_batch())
    result = run(models, measurement, samples=4)
    samples = np.asarray(result.samples)
    assert samples.shape == (4, 2, 15, 17)
    np.testing.assert_allclose(result.image, samples.mean(0), atol=1e-6)
    np.testing.assert_allclose(result.std, np.sqrt((abs(samples - samples.mean(0)) ** 2).sum(0) / 3), atol=1e-6)
    alone = run(models, measurement)
    assert alone.std is None and alone.samples is None
    np.testing.assert_allclose(alone.image, samples[0], atol=1e-5)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_leading_axes(lead):
    """Frames of a series are images of their own."""
    batch = make_batch(max(int(np.prod(lead)), 1))
    fields = {name: array.reshape((*lead, *array.shape[1:])) for name, array in batch.items()}
    result = run(models_of(Network(half_right)), measurement_of(fields), samples=2)
    assert result.image.shape == result.std.shape == (*lead, 15, 17)
    assert result.samples.shape == (2, *lead, 15, 17)
    flat = image_of(models_of(Network(half_right)), measurement_of(batch), samples=2)
    np.testing.assert_allclose(np.asarray(result.image).reshape(flat.shape), flat, atol=1e-5)


@pytest.mark.parametrize("kind", [pytest.param("ve", marks=pytest.mark.slow), "hfs"])
def test_images_are_in_the_units_of_the_measurement(kind):
    method, batch = make_method(kind), make_batch(noise=0.02, lines=True)
    models = perturbed(method.build(0))
    compiled = compiled_reconstruct(method, ScoreOptions(nfe=3), models)
    images = []
    for scale in (1.0, 0.1, 10.0):
        measurement = measurement_of(batch)
        own = measurement._replace(kspace=scale * measurement.kspace, noise_std=scale * measurement.noise_std)
        images.append(in_own_units(compiled, own, rng.make_seed(0)).image / scale)
    assert abs(images[0]).max() > 0.1
    for image in images[1:]:
        assert np.linalg.norm(image - images[0]) < 1e-4 * np.linalg.norm(images[0])


@pytest.mark.parametrize("sampler", ["dds", "ancestral", "dpm_solver", "ode", "pc"])
def test_projection_leaves_measured_samples_exact_with_one_coil(sampler):
    batch = make_batch(coils=1)
    options = {"sampler": sampler, "data_step": "projection"}
    cases = [options, {**options, "data_at": "state"}] if sampler == "pc" else [options]
    for case in cases:
        image = image_of(models_of(Network(half_right)), measurement_of(batch), make_method(**MILD), **case)
        error = batch["mask"] * (sense_numpy.fft2c(image[:, None]) - batch["kspace"])
        assert np.linalg.norm(error) < 1e-5 * np.linalg.norm(batch["kspace"])


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "diffpir"])
@pytest.mark.parametrize("nfe", [2, pytest.param(9, marks=pytest.mark.slow)])
def test_low_frequencies_are_left_alone(sampler, nfe):
    """Whatever the network says: with one coil they are those that were measured."""
    batch, network = make_batch(coils=1, lines=True, rate=0.3), Network(lambda i: 0.7 * i["image"][..., :2] + 0.3)
    method = make_method("hfs", {"low_frequencies": {"most": 0.3}})
    for lock, data_step in (("data", "none"), ("calibration", "gradient"), ("calibration", "none")):
        image = image_of(
            models_of(network), measurement_of(batch), method, sampler=sampler, nfe=nfe, lock=lock, data_step=data_step
        )
        difference = sense_numpy.fft2c(image)[:, :, 6:11] - batch["kspace"][:, 0, :, 6:11]
        assert np.linalg.norm(difference) < 1e-5 * np.linalg.norm(batch["kspace"])


def test_with_coils_data_steps_refine_the_low_frequencies():
    batch = make_batch(coils=3, lines=True, rate=0.4)
    method = make_method("hfs", {"low_frequencies": {"most": 0.3}}, **X0)
    truth = sense_numpy.fft2c(batch["reference"])[:, :, 6:11]
    errors = {}
    for lock in ("data", "calibration"):
        image = image_of(models_of(knowing(batch["reference"])), measurement_of(batch), method, lock=lock, noise=0.001)
        errors[lock] = np.linalg.norm(sense_numpy.fft2c(image)[:, :, 6:11] - truth)
    assert errors["data"] < errors["calibration"] < 0.2 * np.linalg.norm(truth)


def test_the_noise_that_counts():
    """The option before the measurement before a guess; more noise means more trust in the network."""
    batch = make_batch(coils=1, noise=0.05)
    measurement, models = measurement_of(batch), models_of(Network(half_right))
    known = image_of(models, measurement)
    np.testing.assert_array_equal(known, image_of(models, measurement._replace(noise_std=None), noise=0.05))
    guessed = image_of(models, measurement._replace(noise_std=None))
    np.testing.assert_array_equal(guessed, image_of(models, measurement, noise=0.01))
    assert abs(known - guessed).max() > 1e-3


def test_magnitude_priors_see_real_and_imaginary_part_apart():
    batch = make_batch(coils=1, lines=True)
    method, network = make_method(channels="magnitude", **X0), Network(lambda i: 0.5 * i["image"], channels=1)
    found = image_of(models_of(network), measurement_of(batch), method)
    assert network.calls[0]["image"].shape == (4, 15, 17, 1)
    both = image_of(models_of(Network(half_right)), measurement_of(batch), make_method(**X0))
    np.testing.assert_allclose(found, both, atol=1e-6)


def test_patch_priors_draw_a_partition_at_each_call_and_may_see_whole_images():
    batch = make_batch(1, coils=1, shape=(20, 24))
    method, network = make_method(patch=8, **X0), Network(half_right)
    found = image_of(models_of(network), measurement_of(batch), method)
    plain = image_of(models_of(Network(half_right)), measurement_of(batch), make_method(**X0))
    np.testing.assert_allclose(found, plain, atol=1e-5)
    first = [call["image"][0, 0, 0, 2:] for call in network.calls]
    assert network.calls[0]["image"].shape == (4 * 4, 8, 8, 4) and len({tuple(place) for place in first}) > 1
    whole = Network(half_right)
    run(models_of(whole), measurement_of(batch), method, whole_images=True)
    assert whole.calls[0]["image"].shape == (1, 20, 24, 4)


def test_line_masks_and_full_masks_of_lines_agree():
    batch = make_batch(lines=True)
    full = {**batch, "mask": np.repeat(batch["mask"], 15, axis=2)}
    for kind in ("ve", "hfs"):
        images = [
            image_of(models_of(Network(half_right)), measurement_of(given), make_method(kind))
            for given in (batch, full)
        ]
        np.testing.assert_allclose(images[0], images[1], atol=2e-4)


def test_what_was_not_sampled_does_not_count():
    batch = make_batch()
    dirty = {
        **batch,
        "kspace": batch["kspace"] + 9 * (1 - batch["mask"]).astype("complex64"),
        "mask": 3 * batch["mask"],
    }
    models = models_of(Network(half_right))
    images = [image_of(models, measurement_of(given)) for given in (batch, dirty)]
    np.testing.assert_array_equal(images[0], images[1])


def test_what_cannot_be_reconstructed():
    batch, models = make_batch(), models_of(Network(half_right))
    with pytest.raises(InputError, match="no sensitivity maps"):
        run(models, Measurement(batch["kspace"], batch["mask"]))
    with pytest.raises(InputError, match="one set of maps"):
        run(models, Measurement(batch["kspace"], batch["mask"], batch["maps"][:, None]))
    with pytest.raises(InputError, match="not 'hfs'"):
        run(models, measurement_of(batch), make_method("hfs"), sampler="pc", data_step="projection", data_at="state")


def test_compiled_the_sampler_is_one_loop_traced_once():
    method, measurement = make_method(), measurement_of(make_batch())
    network = Network(half_right)
    compiled = compiled_reconstruct(method, ScoreOptions(nfe=20, cg_iterations=2), models_of(network))
    image = compiled(measurement, rng.make_seed(0)).image
    assert len(network.calls) == 1
    eager = image_of(models_of(Network(half_right)), measurement, method, nfe=20)
    np.testing.assert_allclose(image, eager, atol=1e-4)


@pytest.mark.parametrize(
    "kind, patch", [("hfs", 0), *(pytest.param(k, 8, marks=pytest.mark.slow) for k in ("ve", "hfs"))]
)
def test_compiled_for_sizes_that_are_not_known(kind, patch):
    method = make_method(kind, {"patches": 0}, patch=patch)
    models, options = perturbed(method.build(0)), ScoreOptions(nfe=2, samples=2)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None] * 4, tf.complex64),
            tf.TensorSpec([None, 1, None, None], tf.float32),
            tf.TensorSpec([None] * 4, tf.complex64),
            tf.TensorSpec([2], tf.int32),
        ],
        autograph=False,
    )
    def reconstruct(kspace, mask, maps, seed):
        return tuple(method.reconstruct(models, Measurement(kspace, mask, maps), seed, options))

    for count, coils, shape in ((2, 3, (15, 17)), (1, 1, (12, 8))):
        batch = make_batch(count, coils, shape)
        fields = batch["kspace"], batch["mask"], batch["maps"]
        image, std, samples = reconstruct(*fields, rng.make_seed(3))
        known = run(models, Measurement(*fields), method, seed=3, nfe=2, samples=2, cg_iterations=5)
        np.testing.assert_allclose(image, known.image, atol=5e-4)
        assert std.shape == image.shape == (count, *shape) and samples.shape == (2, count, *shape)


@pytest.mark.parametrize("kind", ["ve", "hfs"])
def test_the_denoiser_is_served(kind):
    method, batch = make_method(kind, **X0), make_batch(lines=True)
    function = method.serving_functions(models_of(Network(half_right)), ScoreOptions())["denoise"]
    given = {"x_t": batch["reference"], "t": np.float32([0.2, 0.7])}
    if kind == "hfs":
        given["mask"] = batch["mask"]
    assert list(function.inputs) == list(given)
    image = np.asarray(function.call(**given))
    if kind == "ve":
        np.testing.assert_allclose(image, 0.5 * batch["reference"], atol=1e-6)
    else:
        before, after = sense_numpy.fft2c(batch["reference"]), sense_numpy.fft2c(image)
        np.testing.assert_allclose(after[..., 8], before[..., 8], atol=1e-5)
        np.testing.assert_allclose(after[..., :6], 0.5 * before[..., :6], atol=1e-5)


def test_prepared_times_are_known_before_a_graph_is_traced():
    method, batch = make_method("hfs"), make_batch(lines=True)
    seeds = item_seeds(rng.make_seed(0), 2, 1)
    found = []

    @tf.function(autograph=False)
    def traced(kspace):
        measurement = measurement_of(batch)._replace(kspace=kspace)
        sampling = prepare(Network(), method.model, measurement, seeds, ScoreOptions(nfe=7))
        found.append(sampling.times)
        return sampling.start

    assert np.isfinite(traced(ops.convert_to_tensor(batch["kspace"]))).all()
    assert isinstance(found[0], np.ndarray) and found[0].shape == (7,)
    assert found[0][0] == 1 and found[0][-1] == pytest.approx(1e-3)
