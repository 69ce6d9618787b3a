"""Reconstruction with a prior of latents: against NumPy, what it is invariant to, and that its ways agree."""

import keras
import latent_numpy
import numpy as np
import pytest
import sense_numpy
from keras import ops
from latent_cases import decoded, encoded, knowing, make_method, models_of, options_of
from score_cases import Network, measurement_of
from ssdiffrecon_cases import make_batch

from tfrecon.diffusion.latent import data_steps
from tfrecon.methods.base import resolve_options
from tfrecon.methods.latent.options import LatentOptions
from tfrecon.methods.latent.sampling import prepare, sampling_times
from tfrecon.physics.phase import low_resolution_phase
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

STD, SHAPE = 0.5, (14, 16)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def batch_of(count=2, coils=3, shape=SHAPE, **settings):
    return make_batch(count, coils, shape, **{"lines": True, "rate": 0.4, **settings})


def shrinking():
    """A linear network, whose output depends on every channel."""
    return Network(lambda inputs: 0.7 * inputs["image"])


def test_equals_its_transcription():
    method, options, batch = make_method("random"), options_of(noise=0.05), batch_of(coils=1)
    batch["maps"] = np.ones_like(batch["maps"])
    models, seeds = models_of(shrinking()), rng.make_seeds(0, 0, 2)
    run = prepare(models, method.model, measurement_of(batch), seeds, options)
    path, times, steps = method.model.path, run.times, rng.for_purpose(seeds, "steps")
    kept = path.alphas[times] ** 2
    mask, data = batch["mask"][:, 0], batch["kspace"][:, 0].astype(complex)

    def data_step(image, i):
        unknown = (1 - kept[i]) * 0.2 + 0.001
        weight = 0.05**2 / unknown
        return sense_numpy.ifft2c((mask * data + weight * sense_numpy.fft2c(image)) / (mask + weight))

    shape = run.start.shape
    noises = [numpy(path.noise(rng.fold_in(steps, i), shape)) for i in range(len(times))]
    latent = latent_numpy.resample(
        lambda z, i: 0.7 * z,
        lambda image: encoded(image, STD),
        lambda z: decoded(z, STD),
        data_step,
        kept,
        numpy(run.start).astype(complex),
        noises,
        numpy(data_steps(len(times), options.rule)),
        options.strength,
    )
    expected = data_step(decoded(latent, STD), len(times) - 1)
    np.testing.assert_allclose(numpy(run.run()), expected, atol=1e-3 * abs(expected).max())


@pytest.mark.parametrize("phase", ["normalised", "random"])
@pytest.mark.parametrize("coils", [1, 3])
def test_a_prior_that_knows_the_image_gives_it(phase, coils):
    """Whatever the coils: the phase that was taken off comes back."""
    batch, method = batch_of(coils=coils), make_method(phase)
    turn = 1.0
    if phase == "normalised":
        turn = numpy(low_resolution_phase(batch["maps"], batch["kspace"], batch["mask"]))
    network = knowing(batch["reference"] * np.conj(turn), STD)
    found = method.reconstruct(models_of(network), measurement_of(batch), rng.make_seed(0), options_of())
    np.testing.assert_allclose(numpy(found.image), batch["reference"], atol=2e-4)


def test_what_is_turned_comes_out_turned():
    """A phase of the image moves into the maps, so that the prior sees the same."""
    batch, method = batch_of(), make_method()

    def run():
        found = method.reconstruct(models_of(shrinking()), measurement_of(batch), rng.make_seed(0), options_of())
        return numpy(found.image)

    once = run()
    batch["kspace"] = (np.exp(1.1j) * batch["kspace"]).astype("complex64")
    np.testing.assert_allclose(run(), np.exp(1.1j) * once, atol=2e-3 * abs(once).max())


@pytest.mark.parametrize("shape", [SHAPE, (15, 17)])
def test_in_parts_it_is_the_same(shape):
    batch, method, options = batch_of(shape=shape), make_method(), options_of(samples=2)
    models, seed, measurement = models_of(shrinking()), rng.make_seed(3), measurement_of(batch)
    whole = method.reconstruct(models, measurement, seed, options)
    assert whole.samples.shape == (2, 2, *shape) and whole.std.shape == (2, *shape)
    steps = method.stepwise(options)
    carried = steps.begin(models, measurement, seed)
    for first, last in ((0, 2), (2, 5), (5, 6)):
        carried = steps.advance(models, measurement, seed, carried, first, last)
        assert np.isfinite(numpy(steps.result(measurement, carried).image)).all()
    np.testing.assert_array_equal(numpy(steps.result(measurement, carried).image), numpy(whole.image))
    told = method.budgeted(options).reconstruct(models, measurement, seed, 6)
    np.testing.assert_array_equal(numpy(told.image), numpy(whole.image))


def test_an_image_does_not_depend_on_its_batch():
    batch, method = batch_of(3), make_method()
    images = [
        numpy(method.reconstruct(models_of(shrinking()), measurement_of(own), rng.make_seed(0), options_of()).image)
        for own in (batch, {name: array[:1] for name, array in batch.items()})
    ]
    np.testing.assert_allclose(images[0][:1], images[1], atol=1e-4)


def test_calls_are_those_of_all_networks():
    method, network = make_method(), Network(lambda inputs: inputs["image"])
    options = options_of(samples=3)
    assert options.passes == (6, 3, 4) and method.network_calls(options) == 39
    assert LatentOptions().passes == (50, 19, 20)
    if keras.backend.backend() == "tensorflow":  # JAX traces a loop instead of running it in Python
        method.reconstruct(models_of(network), measurement_of(batch_of()), rng.make_seed(0), options)
        assert len(network.calls) == 6  # of the latents of all samples at once


def test_bad_options_are_refused():
    method = make_method()
    for wrong, says in (
        ({"nfe": 0}, "'nfe' is 0"),
        ({"eta": 2.0}, "'eta' is 2"),
        ({"noise": -1.0}, "'noise' is -1"),
        ({"prior_weight": 0.0}, "'prior_weight'"),
        ({"last_part": 1.5}, "'last_part'"),
        ({"nfe": 1000}, "60"),
    ):
        with pytest.raises(InputError, match=says):
            resolve_options(method, wrong)
    assert len(sampling_times(method.model, 6)) == 6


def test_a_mask_without_calibration_is_refused():
    batch = batch_of()
    batch["mask"][..., SHAPE[1] // 2] = 0
    with pytest.raises(InputError, match="sampled at the centre"):
        make_method().check(measurement_of(batch), LatentOptions())
