"""NaN in a reconstruction: other images of the batch are not touched, and image and call are named."""

import re

import numpy as np
import pytest
from keras import ops
from score_cases import Network, make_method, measurement_of, models_of
from ssdiffrecon_cases import make_batch

from tfrecon.methods.score.nonfinite import first_bad_call, require_finite_images
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.serve.learned import TrainedModel
from tfrecon.util import rng
from tfrecon.util.errors import InputError

SEED, OPTIONS = rng.make_seed(0), ScoreOptions(nfe=6)


def failing(below):
    """A stand-in that gives NaN for the second image once sigma is small."""

    def call(inputs):
        bad = ops.where(inputs["time"] < below, ops.convert_to_tensor([0.0, np.nan], "float32"), 0.0)
        return 0.5 * inputs["image"] + bad[:, None, None, None]

    return Network(call)


def test_image_and_call_are_named():
    method = make_method(parameterization={"output": "x0", "label": "std"})
    measurement, network = measurement_of(make_batch()), failing(0.5)
    models = models_of(network)
    result = compiled_reconstruct(method, OPTIONS, models)(measurement, SEED)
    finite = np.isfinite(result.image).all(axis=(1, 2))
    np.testing.assert_array_equal(finite, [True, False])
    healthy = method.reconstruct(models_of(failing(0.0)), measurement, SEED, OPTIONS)
    np.testing.assert_allclose(np.asarray(result.image)[0], np.asarray(healthy.image)[0], atol=1e-4)
    require_finite_images(method, models, measurement, SEED, OPTIONS, healthy)

    network.calls.clear()
    call = first_bad_call(method, models, measurement, SEED, OPTIONS)
    assert network.calls[call - 1]["time"][0] < 0.5 <= network.calls[call - 2]["time"][0]
    with pytest.raises(InputError, match=f"image 1 of 2 is not finite, first in step {call} of 6, at call {call} of"):
        require_finite_images(method, models, measurement, SEED, OPTIONS, result)


def test_data_may_be_at_fault():
    batch = make_batch()
    batch["maps"][0, 0, 0, 0] = np.nan
    method = make_method(parameterization={"output": "x0", "label": "std"})
    models = models_of(Network(lambda inputs: 0.5 * inputs["image"]))
    result = method.reconstruct(models, measurement_of(batch), SEED, OPTIONS)
    with pytest.raises(InputError, match="image 0 of 2 is not finite, first in step 2 of 6, at call 2 of"):
        require_finite_images(method, models, measurement_of(batch), SEED, OPTIONS, result)


def test_serving_stops_and_names_them():
    """With several calls in a step; the measurement is in units of its own."""
    method, options = make_method(parameterization={"output": "x0", "label": "std"}), ScoreOptions(sampler="pc", nfe=12)
    network = failing(0.5)
    model = TrainedModel(method, models_of(network), options, {})
    measurement = measurement_of(make_batch())
    measurement = measurement._replace(kspace=1e3 * measurement.kspace)
    with pytest.raises(
        InputError, match=r"image 1 of 2 is not finite, first in step (\d) of 6, at call (\d+) of"
    ) as said:
        model.reconstructor()(measurement)
    step, call = (int(word) for word in re.search(r"step (\d) of 6, at call (\d+)", str(said.value)).groups())
    assert step == (call + 1) // 2
