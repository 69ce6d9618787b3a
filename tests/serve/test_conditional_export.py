"""A conditional prior as a SavedModel, which knows the number of coils when it runs, gives the images of its folder."""

import numpy as np
import pytest
from conditional_cases import tiny
from score_cases import perturbed
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


def test_images_are_those_of_the_model_folder(tmp_path):
    options = {"nfe": 3, "samples": 2}
    settings = {"method": "conditional", "model": to_dictionary(tiny()), "reconstruct": options}
    experiment = resolve_experiment(settings)
    save_model_folder(tmp_path / "model", experiment, perturbed(experiment.make_method().build(4)))
    export_saved_model(tmp_path / "model", tmp_path / "saved")
    for count, coils, shape in ((1, 1, (32, 32)), (3, 4, (21, 27))):
        batch = make_batch(count, coils, shape, lines=True)
        arrays = 30 * batch["kspace"], batch["mask"], batch["maps"]
        expected = tfrecon.load(tmp_path / "model")(*arrays, seed=5)
        found = tfrecon.load(tmp_path / "saved")(*arrays, seed=5)
        assert found.shape == (count, *shape) and np.abs(expected).max() > 1
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
