"""SSDiffRecon's reconstruction: samplers, options, leading axes, the correction of noisy samples."""

import numpy as np
import pytest
import sense_numpy
import tensorflow as tf
from keras import ops
from ssdiffrecon_cases import Networks, make_batch, tiny

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath, rebuilt_path
from tfrecon.methods.base import get_method, resolve_options
from tfrecon.methods.ssdiffrecon.objective import SSDiffReconObjective
from tfrecon.methods.ssdiffrecon.options import SSDiffReconOptions
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement
from tfrecon.util import rng
from tfrecon.util.errors import InputError

TRAINED = DiscretePath.from_settings(ChainSettings())
SHORT = rebuilt_path(ChainSettings(), 5)


def make_method(model=None, **objective):
    return get_method("ssdiffrecon", model or tiny(), SSDiffReconObjective(**objective))


def measurement_of(batch, *names):
    return Measurement(batch["kspace"], batch["mask"], batch.get("maps"), *(batch[name] for name in names))


def run(models, measurement, method=None, seed=0, **options):
    method = method or make_method()
    return method.reconstruct(models, measurement, rng.make_seed(seed), SSDiffReconOptions(**options))


def image_of(*arguments, **options):
    return np.asarray(run(*arguments, **options).image)


def half_right(inputs):
    """A stand-in that depends on all it is given, time aside: state and data."""
    kspace = ops.sum(inputs["kspace"], axis=1) * ops.cast(inputs["mask"], "complex64")[:, 0]
    return 0.5 * inputs["image"] + 0.1 * kspace


def called_at(models):
    return [int(np.asarray(inputs["time"])[0]) for inputs, _ in models.times]


@pytest.mark.parametrize(
    "options, times",
    [
        ({}, [999, 749, 500, 250, 0]),
        ({"steps": 1}, [0]),
        ({"steps": 3, "depth": 0.2}, [200, 100, 0]),
        ({"sampler": "ddim", "steps": 2}, [999, 0]),
        ({"sampler": "legacy5"}, [4, 3, 2, 1, 0]),
    ],
)
def test_the_networks_are_called_as_often_as_asked_and_told_trained_times(options, times):
    models = Networks()
    run(models, measurement_of(make_batch()), **options)
    assert called_at(models) == times
    assert all(training is False for _, training in models.times)


def test_states_have_the_noise_of_training_at_each_time():
    """Where the published sampler gives the network states that are far cleaner than it has seen."""
    batch = make_batch(coils=1, shape=(40, 40))
    truth = batch["reference"]
    for sampler, path in (("respaced", TRAINED), ("ddim", TRAINED), ("legacy5", SHORT)):
        models = Networks(lambda _: ops.convert_to_tensor(truth))
        run(models, measurement_of(batch), sampler=sampler)
        for call, t in zip(models.calls[1:], called_at(models)[1:], strict=True):
            noise = call["image"] - path.alphas[t] * truth
            level = np.sqrt(np.mean(abs(noise) ** 2))
            trained = TRAINED.sigmas[t]
            if sampler == "legacy5":
                assert level > 1.5 * trained
            else:
                assert level == pytest.approx(trained, rel=0.06)


def test_starts():
    batch = make_batch(coils=3, shape=(30, 31))
    zero_filled = sense_numpy.adjoint(batch["kspace"], batch["maps"][:, None], batch["mask"])[:, 0]
    first = {}
    for start in ("zero_filled", "perturbed", "noise"):
        models = Networks()
        run(models, measurement_of(batch), start=start, depth=0.3)
        first[start] = models.calls[0]["image"]
    np.testing.assert_allclose(first["zero_filled"], zero_filled, atol=1e-5)
    t = TRAINED.respaced(5, 0.3)[0]
    added = (first["perturbed"] - TRAINED.alphas[t] * zero_filled) / TRAINED.sigmas[t]
    for noise in (added, first["noise"]):
        assert np.mean(abs(noise) ** 2) == pytest.approx(1, rel=0.06)
        assert abs(np.vdot(noise, zero_filled)) < 0.1 * np.linalg.norm(noise) * np.linalg.norm(zero_filled)


def test_the_legacy_sampler_scales_and_noises_the_data_but_for_the_last_call():
    batch, models = make_batch(coils=1, shape=(30, 31)), Networks()
    run(models, measurement_of(batch), sampler="legacy5", start="zero_filled")
    sampled = batch["mask"] > 0
    for call, t in zip(models.calls, called_at(models), strict=True):
        if t == 0:
            np.testing.assert_allclose(call["kspace"], batch["kspace"], atol=1e-6)
            continue
        noise = (call["kspace"] - SHORT.alphas[t] * batch["kspace"])[sampled]
        assert np.std(noise) == pytest.approx(0.01 * SHORT.sigmas[t], rel=0.06)
    models = Networks()
    run(models, measurement_of(batch), sampler="respaced")
    for call in models.calls:
        np.testing.assert_array_equal(call["kspace"], batch["kspace"])


def test_reprojected_data_are_those_of_the_combined_image():
    batch, models = make_batch(coils=3), Networks()
    run(models, measurement_of(batch), make_method(data="reprojected"), steps=1)
    combined = sense_numpy.adjoint(batch["kspace"], batch["maps"][:, None], batch["mask"])
    expected = sense_numpy.forward(combined, batch["maps"][:, None], batch["mask"])
    np.testing.assert_allclose(models.calls[0]["kspace"], expected, atol=1e-5)
    assert abs(expected - batch["kspace"]).max() > 0.01


@pytest.mark.parametrize("sampler", ["respaced", "ddim", "legacy5"])
def test_reconstruction_is_a_function_of_the_seed(sampler):
    measurement, models = measurement_of(make_batch()), Networks(half_right)
    first, again, other = (image_of(models, measurement, seed=seed, sampler=sampler) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 1e-4
    unseeded = make_method().reconstruct(models, measurement, None, SSDiffReconOptions(sampler=sampler))
    np.testing.assert_array_equal(unseeded.image, first)


def test_real_networks_are_deterministic_and_do_not_mix_the_batch():
    batch, method = make_batch(3), make_method(tiny(zero_init=False))
    models = method.build(1)
    together = image_of(models, measurement_of(batch), method)
    np.testing.assert_array_equal(together, image_of(models, measurement_of(batch), method))
    changed = {**batch, "kspace": batch["kspace"] * np.array([1, 1, 5], "float32")[:, None, None, None]}
    np.testing.assert_allclose(
        image_of(models, measurement_of(changed), method)[:2], together[:2], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_leading_axes(lead):
    batch = make_batch(max(int(np.prod(lead)), 1))
    fields = {name: array.reshape((*lead, *array.shape[1:])) for name, array in batch.items()}
    result = run(Networks(half_right), measurement_of(fields), samples=2)
    assert result.image.shape == result.std.shape == (*lead, 15, 17)
    assert result.samples.shape == (2, *lead, 15, 17)
    flat = image_of(Networks(half_right), measurement_of(batch), samples=2)
    np.testing.assert_allclose(np.asarray(result.image).reshape(flat.shape), flat, atol=1e-5)


def test_mask_and_maps_are_shared_along_leading_axes():
    batch = make_batch(1)
    several = {**batch, "kspace": np.repeat(batch["kspace"], 4, axis=0)}
    result = image_of(Networks(half_right), measurement_of(several), start="zero_filled", sampler="ddim")
    one = image_of(Networks(half_right), measurement_of(batch), start="zero_filled", sampler="ddim")
    np.testing.assert_allclose(result, np.repeat(one, 4, axis=0), atol=1e-5)


def test_line_masks_and_full_masks_of_lines_agree():
    batch = make_batch(lines=True)
    full = {**batch, "mask": np.repeat(batch["mask"], 15, axis=2)}
    images = [image_of(Networks(half_right), measurement_of(given)) for given in (batch, full)]
    np.testing.assert_allclose(images[0], images[1], atol=1e-5)


def test_what_was_not_sampled_does_not_count():
    batch = make_batch()
    dirty = {**batch, "kspace": batch["kspace"] + 9 * (1 - batch["mask"]).astype("complex64")}
    images = [image_of(Networks(half_right), measurement_of(given)) for given in (batch, dirty)]
    np.testing.assert_array_equal(images[0], images[1])
    scaled = {**batch, "mask": 3 * batch["mask"]}
    np.testing.assert_array_equal(image_of(Networks(half_right), measurement_of(scaled)), images[0])


def test_several_samples_give_their_mean_and_deviation():
    result = run(Networks(half_right), measurement_of(make_batch()), samples=5)
    samples = np.asarray(result.samples)
    np.testing.assert_allclose(result.image, samples.mean(0), atol=1e-6)
    np.testing.assert_allclose(result.std, np.sqrt((abs(samples - samples.mean(0)) ** 2).sum(0) / 4), atol=1e-6)
    assert np.asarray(result.std).min() > 0
    alone = run(Networks(half_right), measurement_of(make_batch()))
    assert alone.std is None and alone.samples is None
    np.testing.assert_allclose(alone.image, samples[0], atol=1e-6)


def test_consistency_is_exact_with_one_coil():
    batch = make_batch(coils=1)
    for clip in ("none", "magnitude"):
        models = Networks(lambda inputs: 3 * inputs["image"] + 0.4)
        image = image_of(models, measurement_of(batch), consistency=True, clip=clip)
        error = batch["mask"] * (sense_numpy.fft2c(image[:, None]) - batch["kspace"])
        assert np.linalg.norm(error) < 1e-5 * np.linalg.norm(batch["kspace"])


def test_consistency_with_measured_coils_leaves_the_true_image():
    batch = make_batch(coils=3)
    models = Networks(lambda _: ops.convert_to_tensor(batch["reference"]))
    image = image_of(models, measurement_of(batch), consistency=True)
    assert np.linalg.norm(image - batch["reference"]) < 1e-5 * np.linalg.norm(image)


def test_weight_of_the_consistency_may_be_another_than_in_training():
    measurement = measurement_of(make_batch(coils=3))
    sizes = {"zero_init": False, "consistency": "proximal", "train_consistency": False}
    method, other = (make_method(tiny(**sizes, consistency_weight=weight)) for weight in (0.3, 0.02))
    models = method.build(1)
    given = image_of(models, measurement, method, consistency_weight=0.02)
    np.testing.assert_allclose(given, image_of(other.build(1), measurement, other), atol=1e-5)
    assert np.abs(given - image_of(models, measurement, method)).max() > 1e-2
    with pytest.raises(InputError, match="not of a model with hard data consistency"):
        run(make_method().build(1), measurement, consistency_weight=0.02)


@pytest.mark.parametrize("clip", ["none", "magnitude", "box"])
def test_bounds(clip):
    models = Networks(lambda inputs: 5 * inputs["image"])
    image = image_of(models, measurement_of(make_batch()), clip=clip, limit=0.7, start="zero_filled")
    parts = np.maximum(abs(image.real), abs(image.imag))
    if clip == "none":
        assert abs(image).max() > 1
    elif clip == "magnitude":
        assert abs(image).max() == pytest.approx(0.7, rel=1e-5)
    else:
        assert parts.max() == pytest.approx(0.7, rel=1e-5) and abs(image).max() > 0.75
    # A phase of its own is not the clip's business.
    plain = image_of(models, measurement_of(make_batch()), start="zero_filled", steps=1)
    bounded = image_of(models, measurement_of(make_batch()), start="zero_filled", steps=1, clip="magnitude", limit=0.7)
    small = abs(plain) < 0.7
    np.testing.assert_allclose(bounded[small], plain[small], rtol=1e-5)
    np.testing.assert_allclose(np.angle(bounded), np.angle(plain), atol=1e-4)


def test_shifted_values_come_back():
    batch = make_batch(coils=1, rate=2.0)
    image = image_of(Networks(), measurement_of(batch), make_method(values="shifted"), start="zero_filled", steps=1)
    np.testing.assert_allclose(image, batch["reference"], atol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_a_robust_model_gives_the_noiseless_samples_on_average(alpha):
    """With k-space of unit variance and the best linear network, E[y | noisier data], the correction is Wiener's."""
    random, noise = np.random.default_rng(0), 0.6
    shape = (1, 1, 64, 64)
    clean = (random.normal(size=shape) + 1j * random.normal(size=shape)) / np.sqrt(2)
    noisy = clean + noise / np.sqrt(2) * (random.normal(size=shape) + 1j * random.normal(size=shape))
    measurement = Measurement(noisy.astype("complex64"), np.ones((1, 1, 64, 64), "float32"), None, np.float32([noise]))
    variance = 1 + noise**2
    best = np.complex64(variance / (variance + (alpha * noise) ** 2))
    method = make_method(tiny(consistency="proximal"), loss="robust", alpha=alpha)
    models = Networks(lambda inputs: tf.cast(sense_numpy_image(inputs["kspace"]), tf.complex64) * best)
    image = image_of(models, measurement, method, steps=1)
    seen = models.calls[0]["kspace"]
    wiener = sense_numpy.ifft2c(seen / (1 + noise**2 * (1 + alpha**2)))[:, 0]
    np.testing.assert_allclose(image, wiener, atol=2e-5)
    plain = image_of(models, measurement, method, steps=1, correct=False)
    np.testing.assert_allclose(plain, sense_numpy.ifft2c(noisy * best)[:, 0], atol=1e-4)
    with pytest.raises(InputError, match="needs the noise of the measurement"):
        run(models, measurement._replace(noise_std=None), method, steps=1)


def sense_numpy_image(kspace):
    return sense_numpy.ifft2c(np.asarray(kspace))[:, 0]


def test_labels_and_other_options_are_checked():
    measurement, labelled = measurement_of(make_batch()), make_method(tiny(label_width=2))
    models = Networks()
    run(models, measurement, labelled, label=(0.0, 1.0), steps=1)
    np.testing.assert_array_equal(np.asarray(models.times[0][0]["label"]), [[0, 1], [0, 1]])
    own = measurement._replace(label=np.float32([[1, 0], [0, 1]]))
    run(models, own, labelled, steps=1, samples=2)
    np.testing.assert_array_equal(np.asarray(models.times[1][0]["label"]), [[1, 0], [0, 1], [1, 0], [0, 1]])
    run(models, own, labelled, label=(0.5, 0.5), steps=1)
    np.testing.assert_array_equal(np.asarray(models.times[2][0]["label"]), [[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(InputError, match=r"labels are \(2, 1\), but the model takes \[batch, 2\]"):
        run(models, measurement._replace(label=np.ones((2, 1), np.float32)), labelled)
    with pytest.raises(InputError, match="has 3 numbers, but the model takes 2"):
        run(models, measurement, labelled, label=(1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="has 1 numbers, but the model takes 0"):
        run(models, measurement, label=(1.0,))
    assert resolve_options(labelled, {"label": "0,1", "steps": "3"}).label == (0.0, 1.0)
    wrong = ({"steps": 0}, {"samples": 0}, {"eta": 2.0}, {"depth": 0.0}, {"limit": -1.0}, {"sampler": "euler"})
    for option in wrong:
        with pytest.raises(InputError, match=next(iter(option))):
            resolve_options(labelled, option)
    with pytest.raises(InputError, match="1001 steps"):
        run(models, measurement, steps=1001)


def test_what_cannot_be_reconstructed():
    batch = make_batch()
    with pytest.raises(InputError, match="no sensitivity maps"):
        run(Networks(), Measurement(batch["kspace"], batch["mask"]))
    with pytest.raises(InputError, match="one set of maps"):
        run(Networks(), Measurement(batch["kspace"], batch["mask"], batch["maps"][:, None]))


def test_compiled_the_sampler_is_one_loop_traced_once():
    method, measurement = make_method(), measurement_of(make_batch())
    models = Networks(half_right)
    compiled = compiled_reconstruct(method, SSDiffReconOptions(steps=50), models)
    image = compiled(measurement, rng.make_seed(0)).image
    assert len(models.calls) == 1
    eager = image_of(Networks(half_right), measurement, method, steps=50)
    np.testing.assert_allclose(image, eager, atol=1e-4)


def test_compiled_for_sizes_that_are_not_known():
    method = make_method(tiny(zero_init=False))
    models, options = method.build(0), SSDiffReconOptions(steps=2, samples=2)
    spec = [None] * 4

    @tf.function(
        input_signature=[
            tf.TensorSpec(spec, tf.complex64),
            tf.TensorSpec([None, 1, None, None], tf.float32),
            tf.TensorSpec(spec, tf.complex64),
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
        known = run(models, Measurement(*fields), method, seed=3, steps=2, samples=2)
        np.testing.assert_allclose(image, known.image, atol=2e-4)
        assert std.shape == image.shape == (count, *shape) and samples.shape == (2, count, *shape)


def test_the_denoiser_is_served():
    method, batch = make_method(tiny(zero_init=False)), make_batch()
    models = method.build(0)
    function = method.serving_functions(models, SSDiffReconOptions())["denoise"]
    given = {"x_t": batch["reference"], "t": np.float32([3, 700])}
    given |= {name: batch[name] for name in ("kspace", "mask", "maps")}
    assert list(function.inputs) == list(given)
    image = np.asarray(function.call(**given))
    tokens = models["mapper"]({"time": given["t"]})
    inputs = {name: batch[name] for name in ("kspace", "mask", "maps")}
    expected = models["denoiser"]({"image": batch["reference"], "tokens": tokens, **inputs})
    np.testing.assert_allclose(image, expected, atol=1e-6)
