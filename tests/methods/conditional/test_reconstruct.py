"""Reconstruction: against its transcription, what of the data stays, and that models come back from files."""

import conditional_numpy as reference
import numpy as np
import pytest
import sense_numpy
from conditional_cases import STEPS, batch_of, knowing, make_method, options_of, talking, tiny
from keras import ops
from score_cases import measurement_of, models_of, perturbed

from tfrecon.methods.base import resolve_options
from tfrecon.methods.conditional import presets
from tfrecon.methods.conditional.sampling import in_own_units
from tfrecon.methods.priors.reconstruction import item_seeds
from tfrecon.train.config import Experiment, resolve_experiment
from tfrecon.train.model_folder import load_model_folder, save_model_folder
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import to_dictionary

SLOW = pytest.mark.slow
SAMPLERS = ("ancestral", "ddim", "dds", "dpm_solver", "dps", "diffpir")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def run(network, batch, method, **options):
    models = network if isinstance(network, dict) else models_of(network)
    return method.reconstruct(models, measurement_of(batch), rng.make_seed(0), options_of(**options))


def levels(batch, method):
    return numpy(in_own_units(measurement_of(batch), method.model).level)


@pytest.mark.mathematics
@pytest.mark.parametrize("noise", ["unsampled", pytest.param("sampled", marks=SLOW)])
def test_the_chain_equals_its_transcription(noise):
    method = make_method(output="eps", chain={"schedule": "linear"}, sees="state", noise=noise)
    batch = batch_of(2, shape=(7, 8))
    found = numpy(run(talking(), batch, method, nfe=STEPS).image)
    seeds, shape = item_seeds(rng.make_seed(0), 2, 1), (2, 7, 8)
    own = rng.for_purpose(seeds, "steps")
    fresh = [reference.forward(numpy(rng.complex_normal(rng.fold_in(own, i), shape))) for i in range(STEPS)]
    start = reference.forward(numpy(rng.complex_normal(rng.for_purpose(seeds, "start"), shape)))
    for i, level in enumerate(levels(batch, method)):
        mask = batch["mask"][i, 0]

        def network(kspace, t, mask=mask, level=level):
            image, label = level * reference.inverse(kspace), 999 * t / (STEPS - 1) / 1000
            return reference.forward(0.7 * image + (1 + 1j) * (0.1 * label + 0.05 * mask))

        samples = batch["kspace"][i, 0] / level
        own = [noise[i] for noise in fresh]
        end = reference.chain(network, np.linspace(1e-4, 0.02, STEPS), samples, mask, start[i], own)
        expected = level * reference.inverse(end)
        np.testing.assert_allclose(found[i], expected, atol=1e-3 * abs(expected).max())


@pytest.mark.parametrize(
    "sampler", ["ancestral", *(pytest.param(name, marks=SLOW) for name in ("ddim", "dds", "dpm_solver"))]
)
def test_one_coil_keeps_its_samples(sampler):
    """With a map of any phase and magnitude, and noise."""
    method, batch = make_method(), batch_of(2, shape=(14, 15), noise=0.05)
    rows, columns = np.mgrid[-1:1:14j, -1:1:15j]
    batch["maps"] = batch["maps"] * ((1.5 + rows) * np.exp(2j * columns)).astype("complex64")
    image = numpy(run(talking(), batch, method, sampler=sampler).image)
    again = batch["mask"][:, 0] * sense_numpy.fft2c(batch["maps"][:, 0] * image)
    np.testing.assert_allclose(again, batch["kspace"][:, 0], atol=2e-5 * abs(batch["kspace"]).max())
    filled = abs(sense_numpy.fft2c(batch["maps"][:, 0] * image) * (1 - batch["mask"][:, 0]))
    assert filled.max() > 1e-2


@pytest.mark.parametrize(
    "sampler", ["ancestral", *(pytest.param(name, marks=SLOW) for name in SAMPLERS if name not in ("ancestral", "dps"))]
)
@pytest.mark.parametrize("coils", [1, 4])
def test_with_a_network_that_is_right_the_image_is_the_truth(sampler, coils):
    method, batch = make_method(output="x0"), batch_of(2, coils)
    truth = batch["reference"] / levels(batch, method)[:, None, None]
    image = numpy(run(knowing(truth), batch, method, sampler=sampler, cg_iterations=20, noise=0.0).image)
    np.testing.assert_allclose(image, batch["reference"], atol=2e-3)


@pytest.mark.parametrize("sampler", ["dds", *(pytest.param(name, marks=SLOW) for name in SAMPLERS if name != "dds")])
def test_samplers_keep_their_budget(sampler):
    network, method = talking(), make_method()
    found = run(network, batch_of(2, 3), method, sampler=sampler, samples=2)
    assert np.isfinite(numpy(found.image)).all() and found.samples.shape == (2, 2, 15, 17)
    assert len(network.calls) == 5 and method.network_calls(options_of(samples=2)) == 10


def test_an_image_does_not_depend_on_the_scale_of_its_measurement():
    method, batch = make_method(sees="parts"), batch_of(1)
    network = talking()
    run(network, batch, method)
    run(network, {**batch, "kspace": 10 * batch["kspace"]}, method)
    first, again = network.calls[0]["image"], network.calls[5]["image"]
    np.testing.assert_allclose(again[..., :2], first[..., :2], atol=1e-4)
    np.testing.assert_allclose(again[..., 2:4], 10 * first[..., 2:4], atol=1e-3)


def test_steps_one_after_the_other_give_the_same():
    method, batch = make_method(), batch_of()
    models, seed, options = perturbed(method.build(1)), rng.make_seed(0), options_of()
    measurement = measurement_of(batch)
    whole = method.reconstruct(models, measurement, seed, options).image
    parts = method.stepwise(options)
    carried = parts.begin(models, measurement, seed)
    for first, last in ((0, 2), (2, parts.count)):
        carried = parts.advance(models, measurement, seed, carried, np.int32(first), np.int32(last))
    np.testing.assert_array_equal(numpy(parts.result(measurement, carried).image), numpy(whole))
    told = method.budgeted(options)
    assert (told.least, told.most) == (1, STEPS)
    np.testing.assert_allclose(told.reconstruct(models, measurement, seed, np.int32(5)).image, whole, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_a_saved_model_gives_the_same_image(tmp_path):
    experiment = resolve_experiment({"method": "conditional", "model": to_dictionary(tiny()), "data": {"train": "x"}})
    method, batch = experiment.make_method(), batch_of(1)
    models = perturbed(method.build(3))
    save_model_folder(tmp_path / "model", experiment, models)
    read, loaded, restored = load_model_folder(tmp_path / "model")
    assert read == experiment
    images = [numpy(run(own, batch, one).image) for one, own in ((method, models), (loaded, restored))]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("preset", [presets.small(), presets.published(), presets.published("cosine")])
def test_presets_survive_a_configuration(preset):
    experiment = Experiment("conditional", preset.model, preset.objective, preset.reconstruct)
    assert resolve_experiment(experiment.to_json()) == experiment


def test_chains_end_in_noise_unless_they_are_bounded_as_published():
    kept = {
        name: np.prod(1 - preset.model.chain.betas)
        for name, preset in {"own": presets.small(), "published": presets.published("cosine")}.items()
    }
    assert kept["own"] < 1e-8 and kept["published"] == pytest.approx(0.62, abs=0.01)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"timestep_respacing": "fifty"}, "respacing 'fifty' cannot be read"),
        ({"nfe": 21}, "a chain of 20 steps cannot be respaced to 21"),
        ({"sampler": "pc"}, "'sampler' is one of 'ancestral', 'ddim'"),
        ({"start": 0.3}, "no image to start from"),
    ],
)
def test_wrong_options_are_said_in_one_line(wrong, says):
    with pytest.raises(InputError, match=says):
        resolve_options(make_method(), wrong)


def test_a_prior_of_magnitudes_takes_one_coil():
    method, options = make_method({"images": "magnitude"}), options_of()
    method.check(measurement_of(batch_of()), options)
    with pytest.raises(InputError, match="of real images of one coil, not of 3 coils"):
        method.check(measurement_of(batch_of(2, 3)), options)
