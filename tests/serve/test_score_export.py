"""A diffusion prior as a SavedModel, sampler inside, gives the images of its model folder."""

import numpy as np
import pytest
import tensorflow as tf
from score_cases import perturbed, tiny
from ssdiffrecon_cases import make_batch

import tfrecon
from tfrecon.serve.export import export_saved_model
from tfrecon.train.config import resolve_experiment
from tfrecon.train.model_folder import save_model_folder
from tfrecon.util.errors import InputError
from tfrecon.util.settings import to_dictionary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
PRIORS = {"ve": {}, "hfs": {}, "patches": {"patch": 8}}


@pytest.mark.parametrize("name", PRIORS)
def test_images_and_denoiser_are_those_of_the_model_folder(tmp_path, name):
    model = to_dictionary(tiny("hfs" if name == "hfs" else "ve", **PRIORS[name]))
    options = {"nfe": 3, "samples": 2}
    experiment = resolve_experiment({"method": "score", "model": model, "reconstruct": options})
    method = experiment.make_method()
    models = perturbed(method.build(4))
    save_model_folder(tmp_path / "model", experiment, models)
    export_saved_model(tmp_path / "model", tmp_path / "saved")
    for count, coils, shape in ((1, 1, (32, 32)), (3, 4, (21, 27))):
        batch = make_batch(count, coils, shape, lines=True)
        arrays = 30 * batch["kspace"], batch["mask"], batch["maps"]
        expected = tfrecon.load(tmp_path / "model")(*arrays, seed=5)
        found = tfrecon.load(tmp_path / "saved")(*arrays, seed=5)
        assert found.shape == (count, *shape) and np.abs(expected).max() > 1
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
        saved_before = found
        loaded = tf.saved_model.load(str(tmp_path / "saved"))
        budget = dict(zip(("nfe", "noise_std"), (5, np.full(count, 0.6, "float32")), strict=True))
        expected = tfrecon.load(tmp_path / "model")(*arrays, seed=5, **budget)
        found = tfrecon.load(tmp_path / "saved")(*arrays, seed=5, **budget)
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
        assert np.abs(found - saved_before).max() > 1e-3 * np.abs(expected).max()
        given = {"x_t": batch["reference"], "t": np.linspace(0.1, 0.9, count).astype("float32")}
        if name == "hfs":
            given["mask"] = np.repeat(batch["mask"], shape[0], axis=2)
        known = method.serving_functions(models, experiment.reconstruct)["denoise"].call(**given)
        np.testing.assert_allclose(loaded.denoise(**given), known, atol=1e-4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("budget")
    options = {"nfe": 3, "samples": 2, "cg_iterations": 2}
    model = to_dictionary(tiny("ve"))
    experiment = resolve_experiment({"method": "score", "model": model, "reconstruct": options})
    save_model_folder(folder / "model", experiment, perturbed(experiment.make_method().build(4)))
    return export_saved_model(folder / "model", folder / "saved")


def test_the_signature_has_noise_and_budget(saved):
    loaded = tf.saved_model.load(str(saved))
    batch = make_batch(2, 3, (16, 18))
    names = ("kspace", "mask", "maps")
    seed, noise = tf.constant([0, 7]), tf.constant([0.1, -1.0])
    arrays = [tf.constant(batch[name]) for name in names]
    found = [loaded.reconstruct(*arrays, seed, noise, tf.constant(nfe)).numpy() for nfe in (2, 9, 9)]
    assert np.abs(found[0] - found[1]).max() > 1e-3
    np.testing.assert_array_equal(found[1], found[2])
    whole = loaded.reconstruct_with_std(*arrays, seed, noise, tf.constant(9))
    assert whole["samples"].shape == (2, 2, 16, 18)
    np.testing.assert_allclose(np.mean(whole["samples"], 0), found[1], atol=1e-5)
    signature = loaded.signatures["reconstruct"].structured_input_signature[1]
    assert set(signature) == {*names, "seed", "noise_std", "nfe"} and signature["nfe"].dtype == tf.int32
    for nfe in (0, 201):
        with pytest.raises(tf.errors.InvalidArgumentError, match="nfe must be from 1 to 200"):
            loaded.reconstruct(*arrays, seed, noise, tf.constant(nfe))


def test_budgets_of_a_saved_model_are_checked(saved):
    model = tfrecon.load(saved)
    assert model.nfe_option == "nfe" and model.reconstructor({"nfe": "7"}).settings["options"]["nfe"] == 7
    batch = make_batch(1, 1, (16, 18))
    for nfe in (0, 201, "many"):
        with pytest.raises(InputError, match=f"nfe is {nfe}; give a whole number from 1 to 200"):
            model(batch["kspace"], batch["mask"], nfe=nfe)
    with pytest.raises(InputError, match="fixed, nfe, samples cannot"):
        model(batch["kspace"], batch["mask"], nfe=5, samples=3)
