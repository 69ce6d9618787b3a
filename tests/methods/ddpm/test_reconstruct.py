"""Reconstruction: against its transcription, and what it does not depend on."""

import ddpm_numpy
import improved_ddpm_numpy as reference
import numpy as np
import pytest
import sense_numpy
from ddpm_cases import FIXED, STEPS, batch_of, knowing, make_method, options_of, talking
from dense_sense import nearest
from keras import ops
from score_cases import measurement_of, models_of, perturbed
from ssdiffrecon_cases import make_batch, one_of

from tfrecon.methods.ddpm.sampling import in_own_phase, prepare, sampling_times
from tfrecon.methods.priors.reconstruction import item_seeds
from tfrecon.serve.batches import in_own_units
from tfrecon.util import rng

SAMPLERS = ("dds", "ancestral", "ddim", "dpm_solver", "dps", "diffpir")
OWN_PHASE = {"phase": "random"}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def run(network, batch, method, seed=0, **options):
    models = network if isinstance(network, dict) else models_of(network)
    return method.reconstruct(models, measurement_of(batch), rng.make_seed(seed), options_of(**options))


def image_of(*arguments, **options):
    return numpy(run(*arguments, **options).image)


def numpy_network(state, t):
    """The mean of `talking`."""
    return 0.8 * state + 0.1 * (1 + 1j) * 999 * t / (STEPS - 1) / 1000


def noise_of_run(method, batch, options):
    """First state and noise of the steps, as the seeds of the images give them."""
    seeds, shape = item_seeds(rng.make_seed(0), len(batch["mask"]), 1), batch["reference"].shape
    path, own = method.model.path, rng.for_purpose(seeds, "steps")
    steps = [numpy(path.noise(rng.fold_in(own, i), shape)).astype(complex) for i in range(options.steps)]
    return numpy(path.noise(rng.for_purpose(seeds, "start"), shape)).astype(complex), steps


@pytest.mark.mathematics
@pytest.mark.parametrize("output", ["v", *(pytest.param(name, marks=pytest.mark.slow) for name in ("x0", "eps"))])
def test_dds_equals_its_transcription(output):
    method = make_method({"loss": "simple"}, output=output, chain={"schedule": "linear_scaled"}, **OWN_PHASE, **FIXED)
    options = options_of(timestep_respacing="2,4", cg_iterations=25, eta=0.6)
    batch, kept = make_batch(2, 3, (7, 8), noise=0.1), np.cumprod(1 - reference.linear_betas(STEPS))
    start, noises = noise_of_run(method, batch, options)

    def solve(images, share):
        return nearest(batch, images, ddpm_numpy.trust(share, 0.1, 0.125, 1.0))

    times = [*reversed(reference.times_in_sections((2, 4), STEPS))]
    expected = ddpm_numpy.dds(numpy_network, kept, times, start, noises, solve, 0.6, output)
    found = image_of(talking(share=False), batch, method, timestep_respacing="2,4", cg_iterations=25, eta=0.6)
    np.testing.assert_allclose(found, expected, atol=2e-3 * abs(expected).max())


def test_the_network_is_told_the_times_that_it_was_trained_with():
    network, times = talking(), [*reversed(reference.times_in_sections((2, 4), STEPS))]
    image_of(network, batch_of(), make_method(), timestep_respacing="2,4")
    np.testing.assert_allclose([call["time"][0] for call in network.calls], np.array(times) * 999 / 59, rtol=1e-5)


@pytest.mark.mathematics
def test_ancestral_steps_have_the_variance_that_was_learned():
    chain = {"schedule": "linear_scaled", "noise_variance": 2.0}
    method, batch = make_method(output="eps", chain=chain, **OWN_PHASE), batch_of(2, shape=(7, 8))
    options = {"sampler": "ancestral", "data_step": "none", "nfe": 5}
    start, noises = noise_of_run(method, batch, options_of(**options))

    def channels(image):
        return np.stack([image.real, image.imag], axis=-1)

    def network(state, t):
        label = 999 * t / (STEPS - 1) / 1000
        return 0.8 * state + 0.1 * label, np.tanh(state) - label

    times = reference.times_in_sections((5,), STEPS)
    betas = reference.linear_betas(STEPS)
    expected = reference.sample(network, betas, times, channels(start), [channels(noise) for noise in noises])
    found = channels(image_of(talking(), batch, method, **options))
    np.testing.assert_allclose(found, expected, atol=1e-3 * abs(expected).max())
    fixed = channels(image_of(talking(), batch, method, **options, variance="small"))
    assert abs(found - fixed).max() > 1e-2


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "dps"])
@pytest.mark.parametrize("phase", ["normalised", pytest.param("random", marks=pytest.mark.slow)])
def test_with_a_network_that_is_right_the_image_is_the_truth(sampler, phase):
    batch = batch_of()
    method = make_method({"loss": "simple"}, output="x0", phase=phase, **FIXED)
    turn = in_own_phase(measurement_of(batch), method.model)[1]
    truth = batch["reference"] if turn is None else batch["reference"] * np.conj(numpy(turn))
    image = image_of(knowing(truth), batch, method, sampler=sampler)
    np.testing.assert_allclose(image, batch["reference"], atol=3e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_keep_their_budget(sampler):
    network = talking(0.1)
    method = make_method(heteroscedastic=True)
    image = image_of(network, batch_of(), method, sampler=sampler, nfe=5)
    assert np.isfinite(image).all() and image.shape == (2, 15, 17)
    assert len(network.calls) == 6 == method.network_calls(options_of(sampler=sampler, nfe=5))


def test_scale_and_phase_of_the_measurement_are_those_of_the_image():
    """y -> c y exp(iθ) gives the image times c exp(iθ), of any prior, since the phase is taken off before sampling."""
    method, batch, models = make_method(), batch_of(noise=0.02), models_of(talking())

    def reconstruct(measurement, seed):
        return method.reconstruct(models, measurement, seed, options_of(nfe=3))

    images, factors = [], (1.0, 0.1 * np.exp(2j), 10.0)
    for factor in factors:
        measurement = measurement_of(batch)
        own = measurement._replace(
            kspace=(factor * measurement.kspace).astype("complex64"),
            noise_std=np.float32(abs(factor)) * measurement.noise_std,
        )
        images.append(numpy(in_own_units(reconstruct, own, rng.make_seed(0)).image) / factor)
    assert abs(images[0]).max() > 0.1
    for image in images[1:]:
        assert np.linalg.norm(image - images[0]) < 1e-3 * np.linalg.norm(images[0])


def test_a_phase_that_moves_between_maps_and_image_changes_nothing_else():
    """S exp(-iψ) with the same data: the image times exp(iψ)."""
    method, batch, models = make_method(), batch_of(), models_of(talking())
    rows, columns = np.mgrid[-1:1:15j, -1:1:17j]
    turn = np.exp(1j * (2 * rows - columns**2)).astype("complex64")
    plain = image_of(models, batch, method)
    moved = image_of(models, {**batch, "maps": batch["maps"] * np.conj(turn)}, method)
    np.testing.assert_allclose(moved, turn * plain, atol=1e-3 * abs(plain).max())
    other = make_method(**OWN_PHASE)
    difference = image_of(models, {**batch, "maps": batch["maps"] * np.conj(turn)}, other)
    assert np.linalg.norm(difference - turn * image_of(models, batch, other)) > 0.01 * np.linalg.norm(plain)


def test_one_coil_needs_no_maps():
    method, batch = make_method(), batch_of(coils=1)
    plain = image_of(talking(), batch, method)
    np.testing.assert_allclose(image_of(talking(), {**batch, "maps": None}, method), plain, atol=1e-4)


def test_an_image_depends_on_its_own_measurement_and_seed_alone():
    method, batch = make_method(), batch_of(3)
    network, seeds = perturbed(method.build(1))["network"], item_seeds(rng.make_seed(0), 3, 2)
    options = options_of(nfe=3, sampler="ancestral")
    together = numpy(prepare(network, method.model, measurement_of(batch), seeds, options).run())
    for number in (1, 5):
        own = measurement_of(one_of(batch, number % 3)), seeds[number : number + 1]
        alone = numpy(prepare(network, method.model, *own, options).run())
        np.testing.assert_allclose(alone[0], together[number], atol=1e-3)


def test_a_single_sample_has_a_deviation_and_several_have_more():
    method, batch = make_method(heteroscedastic=True), batch_of()
    one = run(talking(0.7), batch, method, end=0.3)
    t = sampling_times(method.model, options_of(end=0.3))[-1]
    alpha, sigma = method.model.path.alphas[t], method.model.path.sigmas[t]
    own = np.exp(0.7) * sigma**2 * 0.125 / (alpha**2 * 0.125 + sigma**2)
    np.testing.assert_allclose(numpy(one.std), np.sqrt(own) * np.ones((2, 15, 17)), rtol=1e-4)
    assert one.samples is None
    several = run(talking(0.7), batch, method, end=0.3, samples=3)
    samples = numpy(several.samples)
    between = (abs(samples - samples.mean(0)) ** 2).sum(0) / 2
    np.testing.assert_allclose(numpy(several.std), np.sqrt(own + between), rtol=1e-4)
    assert run(talking(), batch, make_method()).std is None


def test_estimates_may_be_kept_in_bounds():
    method, batch = make_method({"loss": "simple"}, output="x0", **FIXED), batch_of()
    loud = knowing(9.0 * batch["reference"])
    free, kept = (image_of(loud, batch, method, data_step="none", clip=clip) for clip in (None, 1.5))
    assert abs(free).max() > 5 and abs(kept).max() == pytest.approx(1.5, rel=1e-4)
    small = abs(free) < 1.4
    np.testing.assert_allclose(kept[small], free[small], atol=1e-5)
    np.testing.assert_allclose(np.angle(kept[~small]), np.angle(free[~small]), atol=1e-4)


def test_starts_and_ends():
    model = make_method().model
    assert sampling_times(model, options_of(nfe=STEPS)).tolist() == [*range(STEPS)][::-1]
    assert sampling_times(model, options_of(nfe=3, start=0.5, start_image="zero_filled")).tolist() == [29, 14, 0]
    assert sampling_times(model, options_of(nfe=3, end=0.5)).tolist() == [59, 44, 30]
    assert sampling_times(model, options_of(timestep_respacing="ddim20", nfe=7)).tolist() == [*range(0, 60, 3)][::-1]
    network, batch = talking(), batch_of(coils=3, shape=(30, 31), rate=0.8)
    method = make_method(**OWN_PHASE)
    image_of(network, batch, method, start=0.1, start_image="zero_filled")
    state, path = network.calls[0]["image"][..., 0] + 1j * network.calls[0]["image"][..., 1], method.model.path
    zero_filled = sense_numpy.adjoint(batch["kspace"], batch["maps"][:, None], batch["mask"])[:, 0]
    noise = (state - path.alphas[5] * zero_filled) / path.sigmas[5]
    assert np.mean(abs(noise) ** 2) == pytest.approx(1, rel=0.1)


def test_other_leading_axes_and_several_samples():
    method, batch = make_method(), batch_of(6)
    flat = run(talking(), batch, method, samples=2)
    fields = {name: array.reshape((2, 3, *array.shape[1:])) for name, array in batch.items()}
    found = run(talking(), fields, method, samples=2)
    assert found.samples.shape == (2, 2, 3, 15, 17) and found.std.shape == (2, 3, 15, 17)
    np.testing.assert_allclose(numpy(found.image).reshape(flat.image.shape), numpy(flat.image), atol=1e-4)
