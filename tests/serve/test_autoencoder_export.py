"""An autoencoder as a SavedModel: images, encoder and decoder are those of its model folder."""

import numpy as np
import pytest
import tensorflow as tf
from ssdiffrecon_cases import make_batch

import tfrecon
from tfrecon.serve.export import export_saved_model
from tfrecon.train.config import resolve_experiment
from tfrecon.train.model_folder import save_model_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def test_exported_autoencoder_is_that_of_the_folder(tmp_path):
    model = {"latent_channels": 4, "width": 8, "multipliers": [1, 2], "blocks": 1}
    experiment = resolve_experiment({"method": "autoencoder", "model": model})
    method = experiment.make_method()
    models = method.build(4)
    save_model_folder(tmp_path / "model", experiment, models)
    export_saved_model(tmp_path / "model", tmp_path / "saved")
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    for count, coils, shape in ((1, 1, (16, 16)), (3, 4, (13, 18))):
        batch = make_batch(count, coils, shape, lines=True, rate=2.0)
        arrays = 30 * batch["kspace"], batch["mask"], batch["maps"]
        expected = tfrecon.load(tmp_path / "model")(*arrays)
        found = tfrecon.load(tmp_path / "saved")(*arrays)
        assert found.shape == (count, *shape)
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
        latent = loaded.encode(batch["reference"])["mean"]
        image = loaded.decode(latent, tf.constant(shape))
        np.testing.assert_allclose(image, method.reproduce(models, batch["reference"]), atol=1e-4)
