"""Slices of one shape are reconstructed by one graph, whatever is in them."""

import numpy as np
import pytest
from score_cases import Network, make_method, models_of
from ssdiffrecon_cases import make_batch

from tfrecon.methods.score.options import ScoreOptions
from tfrecon.serve.learned import TrainedModel
from tfrecon.typing import Measurement


@pytest.mark.parametrize("sampler", ["dds", "dpm_solver", pytest.param("pc", marks=pytest.mark.slow)])
def test_slices_of_equal_shape_trace_nothing_again(sampler):
    network = Network(lambda inputs: 0.5 * inputs["image"][..., :2])
    options = ScoreOptions(sampler=sampler, nfe=4, cg_iterations=2)
    model = TrainedModel(make_method(), models_of(network), options, {})
    images, traced = [], []
    for number in range(3):
        batch = make_batch(1, coils=2, noise=0.01, seed=number)
        measurement = Measurement(batch["kspace"], batch["mask"], batch["maps"])
        images.append(model.reconstructor({})(measurement, key=f"v/{number}").image)
        traced.append(len(network.calls))
    assert traced[0] > 0 and traced[1:] == traced[:1] * 2
    assert np.linalg.norm(images[1] - images[0]) > 0.1 * np.linalg.norm(images[0])
