"""score-MRI's algorithms against a transcription, step by step with the same noise; their parts; what is refused."""

import dataclasses
import functools

import numpy as np
import pytest
import score_mri_numpy as reference
import sense_numpy
from keras import ops
from score_cases import Network, make_method, measurement_of, models_of, tiny
from ssdiffrecon_cases import make_batch

from tfrecon.methods.score.coil_data import CoilData, root_sum_of_plain_squares
from tfrecon.methods.score.method import item_seeds
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.published import images_of, published_scale
from tfrecon.methods.score.published_options import SWITCHES, PublishedSampling
from tfrecon.methods.score.sampling import prepare
from tfrecon.methods.score.score_mri import Layout
from tfrecon.physics.fourier import fft2c
from tfrecon.typing import Measurement
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

ALGORITHMS = ("real", "prospective", "complex", "ssos", "hybrid")
SHAPE = (7, 8)
SETTINGS = {"parameterization": {"output": "x0", "label": "std"}, "path": {"sigma_max": 2.0, "sigma_min": 0.05}}
"""The network sees the state itself and says the image; few steps suffice for the noise."""


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def estimate(x, sigma, mean=0.3):
    """The mean of pixels of variance one about 0.3, given that they were noised: what the stand-in says."""
    return mean + (x - mean) / (1 + sigma**2)


def score(x, sigma):
    return (estimate(x, sigma, 0.3 + 0.3j if np.iscomplexobj(x) else 0.3) - x) / sigma**2


def stand_in(channels):
    return Network(lambda i: estimate(i["image"], i["time"][:, None, None, None]), channels)


def case(algorithm, shape=SHAPE, **settings):
    """A batch of one, of real images for those that need them."""
    coils = 3 if algorithm in ("ssos", "hybrid") else 1
    batch = make_batch(1, coils, shape, **{"lines": True, "rate": 0.4, **settings})
    if algorithm in ("real", "prospective"):
        batch["reference"] = abs(batch["reference"]).astype("complex64")
        batch["kspace"] = (batch["mask"] * sense_numpy.fft2c(batch["reference"][:, None])).astype("complex64")
    return batch


def prepared(algorithm, batch, channels="magnitude", samples=1, **options):
    options = ScoreOptions(algorithm=algorithm, **{"nfe": 6, **options})
    model = tiny("ve", channels=channels, **SETTINGS)
    seeds = item_seeds(rng.make_seed(3), len(batch["kspace"]), samples)
    network = stand_in(model.image_channels)
    return prepare(network, model, measurement_of(batch), seeds, options), network, model, seeds


def drawn(run, count, seeds, purpose="steps"):
    """The noise of each item at each step, `noise(step, part, coil, channel)`, for one image."""
    own = rng.for_purpose(run.layout.seeds(seeds), purpose)
    each = 2 if run.layout.apart else 1

    @functools.cache
    def units(step, part):
        key = own if purpose == "start" else rng.fold_in(rng.fold_in(own, step), part)
        unit = numpy(run.prior.path.noise(key, (ops.shape(own)[0], *SHAPE))).astype(complex)
        return unit.reshape(count, each, *SHAPE)

    def noise(step, part, coil, channel):
        item = units(step, part)[coil, channel]
        return item.real if run.prior.path.real else item

    return noise


def transcribed(algorithm, batch, run, seeds, published, joint):
    """Coil images at the end, from the equations."""
    coils, samples, mask = batch["kspace"].shape[1], batch["kspace"][0].astype(complex), batch["mask"][0]
    real = algorithm in ("real", "prospective")
    channels = reference.of_real_images if real else reference.jointly if joint else reference.separately
    count = len(run.times)
    sigmas = reference.geometric_levels(0.05, 2.0, count) if published else numpy(run.prior.path.sigma(run.times))
    put, seen = (samples, mask) if published or not real else reference.with_opposites(samples, mask)

    def project(images):
        images = reference.put_in(images, put, seen)
        return images.real if real else images

    start = drawn(run, coils, seeds, "start")
    state = channels(np.zeros((coils, *SHAPE), complex), lambda _, c, k: 2.0 * start(0, 0, c, k))
    if published and algorithm == "complex":
        state = state.real
    if not (published and coils > 1):
        state = project(state)
    after = None
    if algorithm == "hybrid":

        def after(images, step):
            if step % 2:
                return images
            weight = reference.falling_weight(step, 2000 if published else count)
            step_of = reference.published_sense_step if published else reference.sense_step
            images = step_of(images, samples, mask, batch["maps"][0], weight)
            return images if published else project(images)

    order = "predictor_first" if published and coils > 1 else "corrector_first"
    rules = {"order": order, "noisy_result": published and real, "after": after, "repeats": 2}
    return reference.walk(state, sigmas, score, drawn(run, coils, seeds), channels, project, **rules)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("published", [True, False], ids=["published", "mended"])
def test_step_by_step_with_the_same_noise(algorithm, published):
    batch = case(algorithm)
    # Of all that is published but the scale, which is tested by itself.
    switches = ("schedule", "order", "start", "separate", "projection", "result", "combination", "sense", "weights")
    options = {"nfe": 12, "corrector_steps": 2, "sampling": {"sense_every": 2} if algorithm == "hybrid" else {}}
    parity = [name for name in switches if published and applies(algorithm, name)]
    run, *_, seeds = prepared(algorithm, batch, parity=tuple(parity), **sampling_of(options))
    found = run.layout.images(run.run())
    expected = transcribed(algorithm, batch, run, seeds, published, joint=False)
    np.testing.assert_allclose(numpy(found)[0], expected, atol=2e-3 * abs(expected).max())


def applies(algorithm, switch):
    return algorithm in SWITCHES[switch]


def sampling_of(options):
    return {**options, "sampling": PublishedSampling(**options["sampling"])}


@pytest.mark.parametrize("algorithm", ["complex", "ssos", "hybrid"])
def test_a_prior_of_complex_images_sees_coil_images_whole(algorithm):
    batch = case(algorithm)
    options = {"nfe": 12, "corrector_steps": 2, "sampling": {"sense_every": 2} if algorithm == "hybrid" else {}}
    run, network, *_, seeds = prepared(algorithm, batch, "complex", **sampling_of(options))
    expected = transcribed(algorithm, batch, run, seeds, False, joint=True)
    np.testing.assert_allclose(numpy(run.layout.images(run.run()))[0], expected, atol=2e-3 * abs(expected).max())
    assert network.calls[0]["image"].shape == (batch["kspace"].shape[1], *SHAPE, 2)


@pytest.mark.parametrize("parity", [(), ("all",)], ids=["mended", "published"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_measured_samples_are_exact(algorithm, parity):
    """In every coil image; of real images as published if the mask knows -k where it knows k."""
    batch = case(algorithm, shape=(8, 9))
    batch["mask"][..., 2:7] = 1
    if parity and algorithm in ("real", "prospective"):
        batch["mask"] = np.maximum(batch["mask"], batch["mask"][..., ::-1])
    batch["kspace"] = batch["mask"] * sense_numpy.fft2c(batch["maps"] * batch["reference"][:, None]).astype("complex64")
    sampling = PublishedSampling(sense_every=4 if algorithm == "hybrid" else None)  # not after the last step
    run, _, model, _ = prepared(algorithm, batch, nfe=12, parity=parity, samples=2, sampling=sampling)
    items = run.run()
    scale = numpy(published_scale(measurement_of(batch), algorithm)) if parity else 1.0
    if algorithm in ("ssos", "hybrid"):
        images = numpy(run.layout.images(items)) * scale
    else:
        images = numpy(images_of(items, model, measurement_of(batch), run.options))[:, None]
    error = batch["mask"] * (sense_numpy.fft2c(images) - batch["kspace"])
    assert np.linalg.norm(error) < 2e-5 * np.linalg.norm(batch["kspace"])
    assert images.shape == (2, batch["kspace"].shape[1], 8, 9)


@pytest.mark.parametrize("shape", [(7, 8), (8, 9)])
@pytest.mark.parametrize("lines", [True, False])
def test_samples_put_in_twice_are_put_in_once(shape, lines):
    batch = make_batch(2, 3, shape, lines=lines, rate=0.4, noise=0.1)
    images = np.random.default_rng(0).normal(size=(4, 3, *shape, 2)) @ np.array([1, 1j])
    data = CoilData(measurement_of(batch))
    found = numpy(data.projected(images.astype("complex64"), 0.7))
    samples, mask = np.tile(0.7 * batch["kspace"], (2, 1, 1, 1)), np.tile(batch["mask"], (2, 1, 1, 1))
    both = reference.put_in(images, samples, mask)
    np.testing.assert_allclose(found, both, atol=1e-5)
    np.testing.assert_allclose(numpy(data.projected(found, 0.7)), found, atol=1e-5)
    np.testing.assert_allclose(numpy(data.zero_filled()), sense_numpy.ifft2c(batch["kspace"]), atol=1e-5)


def test_opposites_of_the_samples_of_real_images():
    """Real images stay real, also with masks that know k but not -k; those that agree already stay as they are."""
    batch = case("real", shape=(6, 9), lines=False)
    data, random = CoilData(measurement_of(batch), real=True), np.random.default_rng(1)
    images = random.normal(size=(1, 1, 6, 9)).astype("complex64")
    found = numpy(data.projected(images))
    full, seen = reference.with_opposites(batch["kspace"][0], batch["mask"][0])
    np.testing.assert_allclose(found[0], reference.put_in(images[0], full, seen), atol=1e-5)
    np.testing.assert_allclose(found.imag, 0, atol=1e-6)
    truth = batch["reference"][:, None]
    np.testing.assert_allclose(numpy(data.projected(truth)), truth, atol=1e-5)
    plain = numpy(CoilData(measurement_of(batch)).projected(images)).real
    assert np.linalg.norm(batch["mask"] * sense_numpy.fft2c(plain) - batch["kspace"]) > 0.05


@pytest.mark.parametrize("loudness", [1.0, 3.0])
def test_images_that_agree_with_maps_and_data_are_the_fixed_point_of_a_sense_step(loudness):
    batch = make_batch(2, 5, (15, 16), rate=0.4)
    images = batch["maps"] * batch["reference"][:, None]
    data = CoilData(Measurement(loudness * batch["kspace"], batch["mask"], loudness * batch["maps"]))
    moved = numpy(data.sense_step(loudness * images, 0.8)) - loudness * images
    assert np.linalg.norm(moved) < 1e-5 * np.linalg.norm(loudness * images)
    published = numpy(data.published_sense_step(loudness * images, 0.8)) - loudness * images
    assert np.linalg.norm(published) > 0.3 * np.linalg.norm(images)


def test_sense_steps_are_those_of_the_equations():
    batch = make_batch(2, 3, SHAPE, rate=0.4, noise=0.1)
    images = (np.random.default_rng(0).normal(size=(4, 3, *SHAPE, 2)) @ np.array([1, 1j])).astype("complex64")
    data = CoilData(measurement_of(batch))
    for ours, theirs in (
        (data.sense_step, reference.sense_step),
        (data.published_sense_step, reference.published_sense_step),
    ):
        found = numpy(ours(images, 0.6))
        for i, image in enumerate(images):
            fields = (batch[name][i % 2] for name in ("kspace", "mask", "maps"))
            np.testing.assert_allclose(found[i], theirs(image, *fields, 0.6), atol=2e-5)


def test_the_layout_of_coils_and_parts():
    images = (np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)) @ np.array([1, 1j])).astype("complex64")
    apart, whole = Layout(3, True), Layout(3, False)
    np.testing.assert_array_equal(numpy(apart.items(images))[3], images[0, 1].imag)
    np.testing.assert_array_equal(numpy(whole.items(images))[4], images[1, 1])
    for layout, each in ((apart, 6), (whole, 3)):
        np.testing.assert_array_equal(numpy(layout.images(layout.items(images))), images)
        seeds = numpy(layout.seeds(rng.make_seeds(0, 0, 2)))
        assert len({tuple(seed) for seed in seeds}) == 2 * each
        np.testing.assert_array_equal(numpy(layout.seeds(rng.make_seeds(0, 0, 1))), seeds[:each])


def test_combinations_of_coils():
    batch = case("ssos")
    images = (np.random.default_rng(0).normal(size=(2, 3, *SHAPE, 2)) @ np.array([1, 1j])).astype("complex64")
    model = tiny("ve", channels="complex", **SETTINGS)
    items = Layout(3, False).items(images)
    found = numpy(images_of(items, model, measurement_of(batch), ScoreOptions(algorithm="ssos")))
    with_samples = reference.put_in(images, batch["kspace"], batch["mask"])
    np.testing.assert_allclose(found, np.sqrt((abs(with_samples) ** 2).sum(1)), atol=1e-5)
    plain = numpy(root_sum_of_plain_squares(images))
    np.testing.assert_allclose(plain, np.sqrt((images**2).sum(1)), atol=1e-5)
    assert abs(plain).mean() < 0.9 * np.sqrt((abs(images) ** 2).sum(1)).mean()


def test_an_image_of_several_does_not_depend_on_the_others():
    method = make_method(channels="magnitude", **SETTINGS)
    batch = make_batch(2, 2, SHAPE, lines=True)
    options = ScoreOptions(algorithm="hybrid", nfe=6, samples=2)
    models = models_of(stand_in(1))
    together = numpy(method.reconstruct(models, measurement_of(batch), rng.make_seed(1), options).samples)
    first = {name: array[:1] for name, array in batch.items()}
    alone = numpy(method.reconstruct(models, measurement_of(first), rng.make_seed(1), options).samples)
    np.testing.assert_allclose(together[:, :1], alone, atol=1e-5)
    assert abs(together[0] - together[1]).max() > 1e-3 and together.shape == (2, 2, *SHAPE)


@pytest.mark.parametrize("start_image", ["zero_filled", "cg_sense"])
def test_warm_starts(start_image):
    batch = case("ssos", shape=(20, 21))
    run, *_ = prepared("ssos", batch, "complex", start=0.5, start_image=start_image)
    sigma, sampled = float(run.prior.path.sigma(np.float32(0.5))), np.broadcast_to(batch["mask"], (1, 3, 20, 21)) > 0
    assert run.times[0] == np.float32(0.5)
    kspace = numpy(fft2c(run.layout.images(run.start)))
    np.testing.assert_allclose(kspace[sampled], batch["kspace"][sampled], atol=1e-5)
    rest = kspace[~sampled]
    if start_image == "zero_filled":
        assert np.mean(abs(rest) ** 2) == pytest.approx(2 * sigma**2, rel=0.2)
    else:
        truth = sense_numpy.fft2c(batch["maps"] * batch["reference"][:, None])[~sampled]
        assert abs(np.vdot(truth, rest)) > 0.3 * np.linalg.norm(truth) ** 2


def test_published_scales():
    batch = make_batch(2, 3, SHAPE, lines=True)
    k = batch["kspace"].astype(complex)
    brightest = abs(sense_numpy.ifft2c(k)).max(axis=(1, 2, 3))
    np.testing.assert_allclose(numpy(published_scale(measurement_of(batch), "ssos")), brightest, rtol=1e-5)
    spread = [1.5 * np.std(one) for one in k]
    np.testing.assert_allclose(numpy(published_scale(measurement_of(batch), "hfs_sde")), spread, rtol=1e-5)


@pytest.mark.parametrize(
    "algorithm, model, options, coils, said",
    [
        ("real", {"channels": "complex"}, {}, 1, "needs a prior of magnitudes.*take algorithm=complex"),
        ("prospective", {"channels": "complex"}, {}, 1, "config.model.channels=magnitude"),
        ("complex", {"channels": "complex"}, {"parity": ("all",)}, 1, "without 'separate'"),
        ("complex", {"channels": "magnitude"}, {}, 3, "is for one coil, but k-space has 3; take algorithm=ssos"),
        ("ssos", {"kind": "hfs"}, {}, 3, "not 'hfs'; take algorithm=hfs_sde"),
    ],
)
def test_priors_and_coils_that_do_not_go_with_an_algorithm(algorithm, model, options, coils, said):
    method, batch = make_method(**model), make_batch(1, coils, SHAPE)
    with pytest.raises(InputError, match=said) as caught:
        method.reconstruct(
            models_of(stand_in(1)), measurement_of(batch), None, ScoreOptions(algorithm=algorithm, **options)
        )
    assert "\n" not in str(caught.value)


def test_hybrid_needs_maps_and_ssos_does_not():
    batch, method = make_batch(1, 3, SHAPE), make_method(channels="magnitude", **SETTINGS)
    bare = measurement_of({name: batch[name] for name in ("kspace", "mask")})
    options = ScoreOptions(algorithm="ssos", nfe=4)
    image = numpy(method.reconstruct(models_of(stand_in(1)), bare, None, options).image)
    assert np.isfinite(image).all() and (image.imag == 0).all()
    with pytest.raises(InputError, match="no sensitivity maps"):
        method.reconstruct(models_of(stand_in(1)), bare, None, dataclasses.replace(options, algorithm="hybrid"))
