"""The second stage: what it learns from, what it refuses to begin with, and that what it measured stays with it."""

import dataclasses

import numpy as np
import pytest
import toy_data
from keras import ops
from latent_cases import Shuffling, autoencoder_settings, encoded, make_method, models_of, options_of
from score_cases import Network, measurement_of
from ssdiffrecon_cases import make_batch

from tfrecon.methods.latent.model import LatentChain
from tfrecon.methods.latent.objective import LatentObjective
from tfrecon.methods.latent.presets import large, small
from tfrecon.methods.latent.statistics import Found
from tfrecon.physics.phase import low_resolution_phase
from tfrecon.train.beginning import begin_run
from tfrecon.train.config import resolve_experiment
from tfrecon.train.loop import train
from tfrecon.train.model_folder import load_model_folder, save_model_folder
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import to_dictionary

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SHAPE = (14, 16)


def batch_of(count=2):
    return make_batch(count, 3, SHAPE, lines=True, rate=0.4)


def nearly_real(batch):
    phase = ops.convert_to_numpy(low_resolution_phase(batch["maps"], batch["kspace"], batch["mask"]))
    return batch["reference"] * phase.conj()


def experiment_of(method, **train_settings):
    return resolve_experiment(
        {
            "method": method.name,
            "model": to_dictionary(method.model),
            "objective": to_dictionary(method.objective),
            "train": train_settings,
        }
    )


def first_stage(folder):
    """A model folder with an autoencoder of the tests' architecture."""
    experiment = resolve_experiment({"method": "autoencoder", "model": to_dictionary(autoencoder_settings())})
    models = experiment.make_method().build(5)
    save_model_folder(folder, experiment, models)
    return folder, models["autoencoder"]


def test_loss_is_the_error_of_the_noise_of_latents():
    method, batch = make_method(output="eps", weighting="noise", scale_jitter=0.0), batch_of()
    network, seeds = Network(lambda inputs: 0.3 * inputs["image"]), rng.make_seeds(0, 0, 2)
    losses, logs = method.loss(models_of(network), batch, seeds, True)
    t, path = ops.convert_to_numpy(logs["t"]), method.model.path
    latent = encoded(nearly_real(batch), 0.5)
    noise = ops.convert_to_numpy(path.noise(rng.for_purpose(seeds, "noise"), latent.shape))
    state = path.alphas[t][:, None, None] * latent + path.sigmas[t][:, None, None] * noise
    expected = np.mean(abs(0.3 * state - noise) ** 2, axis=(1, 2)) / 2
    np.testing.assert_allclose(ops.convert_to_numpy(losses), expected, rtol=1e-3)
    energy = np.mean(abs(latent) ** 2, axis=(1, 2)) / 2
    np.testing.assert_allclose(ops.convert_to_numpy(logs["latent_energy"]), energy, rtol=1e-3)
    assert network.calls[0]["image"].shape == (2, 7, 8, 8)


def test_what_is_measured_of_the_autoencoder():
    method, batch = make_method(wanted_psnr=30.0), batch_of(3)
    models = models_of(None, Found(), Shuffling(factor=0.99, log_variance=-4.0))
    said = method.prepare(models, [batch, batch])
    image = nearly_real(batch)
    variance = np.mean(abs(image) ** 2)
    found = [float(value) for value in models["statistics"].found]
    np.testing.assert_allclose(found, [np.sqrt(variance / 2 + np.exp(-4)), variance, 1e-4 * variance], rtol=1e-3)
    assert "reproduces 6 images with" in said and "\n" not in said


def test_an_autoencoder_that_is_not_good_enough_is_refused():
    models = models_of(None, Found(), Shuffling(factor=0.8))
    with pytest.raises(
        InputError, match=r"reproduces images with .* dB, but reconstructions of 30.0 dB need 33.0"
    ) as it:
        make_method(wanted_psnr=30.0).prepare(models, [batch_of()])
    assert "\n" not in str(it.value) and float(models["statistics"].found.latent_std) == 1.0
    with pytest.raises(InputError, match="no images"):
        make_method().prepare(models, [])


def test_a_second_stage_without_the_first_is_refused(tmp_path):
    method = make_method()
    with pytest.raises(InputError, match="second stage without the first: it takes 'autoencoder'") as caught:
        begin_run(experiment_of(method), method, {}, [])
    assert "\n" not in str(caught.value)
    other = resolve_experiment(
        {"method": "ddpm", "model": {"network": {"width": 4, "multipliers": [1]}, "chain": {"steps": 3}}}
    )
    save_model_folder(tmp_path / "ddpm", other, other.make_method().build(0))
    with pytest.raises(InputError, match="ddpm: holds no 'autoencoder'"):
        begin_run(experiment_of(method, start_from=str(tmp_path / "ddpm")), method, method.build(0), [])


def test_the_first_stage_is_taken_and_stays_with_the_second(tmp_path):
    folder, autoencoder = first_stage(tmp_path / "first")
    method = make_method(wanted_psnr=0.001)
    experiment, models = experiment_of(method, start_from=str(folder)), method.build(0)
    assert not models["autoencoder"].trainable_variables and not models["statistics"].trainable_variables
    before = [np.asarray(variable) for variable in models["network"].variables]
    lines = begin_run(experiment, method, models, [batch_of()])
    assert "lacks network" in lines[0] and "dB" in lines[1] and len(lines) == 2
    for own, theirs in zip(models["autoencoder"].variables, autoencoder.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(own), np.asarray(theirs))
    for variable, value in zip(models["network"].variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
    save_model_folder(tmp_path / "second", experiment, models)
    again = load_model_folder(tmp_path / "second")[2]
    np.testing.assert_array_equal(np.asarray(again["statistics"].values), np.asarray(models["statistics"].values))
    images = [
        ops.convert_to_numpy(method.reconstruct(own, measurement_of(batch_of()), rng.make_seed(0), options_of()).image)
        for own in (models, again)
    ]
    np.testing.assert_array_equal(*images)


def test_settings():
    with pytest.raises(InputError, match="latents have variance one"):
        LatentChain(noise_variance=1.0)
    with pytest.raises(InputError, match="'wanted_psnr'"):
        LatentObjective(wanted_psnr=0.0)
    for preset in (small(4), small(2), large()):
        network = preset.model.network_settings
        assert network.output_channels == network.channels == preset.model.autoencoder.latent_channels


@pytest.mark.slow
def test_both_stages_are_trained_one_after_the_other(tmp_path):
    data = toy_data.write_toy_dataset(tmp_path / "data", 4)
    settings = {"steps": 2, "validate_every": 0, "validation_records": 4}
    shared = {"data": {"train": str(data), "batch_size": 2, "undersample": [toy_data.LINES]}, "train": settings}
    model = to_dictionary(autoencoder_settings())
    train(resolve_experiment({"method": "autoencoder", "model": model, **shared}), tmp_path / "first")
    method = make_method(wanted_psnr=90.0)
    experiment = dataclasses.replace(
        experiment_of(method), data=resolve_experiment({"method": "cg_sense", **shared}).data
    )
    experiment = dataclasses.replace(
        experiment, train=dataclasses.replace(experiment.train, **settings, start_from=str(tmp_path / "first"))
    )
    with pytest.raises(InputError, match=r"need 93\.0 dB"):
        train(experiment, tmp_path / "refused")
    low = dataclasses.replace(experiment, objective=dataclasses.replace(method.objective, wanted_psnr=0.001))
    first = load_model_folder(tmp_path / "first" / "final")[2]["autoencoder"]
    train(low, tmp_path / "second", stop=lambda: True)
    kept = load_model_folder(tmp_path / "second" / "final")[2]["statistics"].values.numpy()
    train(None, tmp_path / "second")  # goes on with what was measured, without the first stage's folder
    second = load_model_folder(tmp_path / "second" / "final")[2]
    for own, theirs in zip(second["autoencoder"].variables, first.variables, strict=True):
        np.testing.assert_array_equal(own.numpy(), theirs.numpy())
    np.testing.assert_array_equal(second["statistics"].values.numpy(), kept)
    assert float(second["statistics"].found.latent_std) not in (0.0, 1.0)
