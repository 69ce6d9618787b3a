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
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
        loaded = tf.saved_model.load(str(tmp_path / "saved"))
        given = {"x_t": batch["reference"], "t": np.linspace(0.1, 0.9, count).astype("float32")}
        if name == "hfs":
            given["mask"] = np.repeat(batch["mask"], shape[0], axis=2)
        known = method.serving_functions(models, experiment.reconstruct)["denoise"].call(**given)
        np.testing.assert_allclose(loaded.denoise(**given), known, atol=1e-4)
