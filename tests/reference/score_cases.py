"""Tiny priors, stand-in networks and a Gaussian posterior for the tests of the method "score"."""

import dataclasses

import numpy as np
from keras import ops

from tfrecon.data.coil_simulation import birdcage_maps
from tfrecon.methods.base import get_method
from tfrecon.methods.score.model import Preconditioning, PriorPath, ScoreModel, SmallSettings
from tfrecon.methods.score.objective import ScoreObjective
from tfrecon.physics.calibration_block import block_mask, calibration_blocks
from tfrecon.physics.masks import make_mask
from tfrecon.report.gaussian_problem import Law, TabulatedEstimate, make_problem
from tfrecon.typing import Measurement
from tfrecon.util.complex import to_channels, to_complex
from tfrecon.util.settings import make_settings

SIZE, COILS, NOISE = 8, 4, 0.05


def tiny(kind="ve", parameterization=None, path=None, **model):
    """A prior that is quick to build and to call."""
    network = SmallSettings(width=8, multipliers=(1, 2), blocks=1)
    return ScoreModel(
        small=network,
        path=PriorPath(kind, **(path or {})),
        parameterization=Preconditioning(**(parameterization or {})),
        **model,
    )


def make_method(kind="ve", objective=None, **model):
    """The method with a tiny prior; `objective` a dictionary."""
    return get_method("score", tiny(kind, **model), make_settings(ScoreObjective, objective or {}, "objective"))


def measurement_of(batch):
    return Measurement(*(batch.get(name) for name in ("kspace", "mask", "maps", "noise_std")))


def models_of(network):
    return {"network": network}


class Network:
    """A stand-in that remembers what it is called with.

    Args:
        function: from the dictionary of inputs to float32 `[N, h, w, c]`; by default it gives the image back.
    """

    def __init__(self, function=None, channels=2):
        self.calls, self.training = [], []
        self._function = function or (lambda inputs: inputs["image"][..., :channels])

    def __call__(self, inputs, training=False):
        self.calls.append({name: _numpy(value) for name, value in inputs.items()})
        self.training.append(training)
        return self._function(inputs)


def knowing(image):
    """A stand-in for a network that predicts the image, and is always right."""
    truth = to_channels(ops.convert_to_tensor(image))
    return Network(lambda inputs: ops.broadcast_to(truth, (*inputs["image"].shape[:3], 2)))


def perturbed(models, size=0.1):
    """Models whose weights are all changed: the output of a new one is near zero."""
    random = np.random.default_rng(1)
    for model in models.values():
        for variable in model.trainable_variables:
            variable.assign(np.asarray(variable.value) + size * random.normal(size=variable.shape).astype("float32"))
    return models


@dataclasses.dataclass(frozen=True)
class GaussianCase:
    """A measurement of an image of a Gaussian law, and the exact posterior."""

    measurement: Measurement
    prior: Law
    posterior: Law

    def model(self, kind, **path):
        """Settings of a prior whose network predicts the image and is told 999 t."""
        data_std = float(np.sqrt(np.trace(self.prior.covariance).real / SIZE**2 / 2))
        return tiny(kind, {"output": "x0", "label": "999t", "data_std": data_std}, {"sigma_max": 20.0, **path})

    def network(self, sampling):
        """The exact estimate E[x_0 | x_t] of the prior at the times of a `Sampling`, as a network."""
        estimate = TabulatedEstimate(self.prior, _one_path(sampling, self.measurement), sampling.times, SIZE)

        def call(inputs):
            return to_channels(estimate(to_complex(inputs["image"]), inputs["time"][0] / 999.0))

        return Network(call)


def gaussian_case(law="white"):
    """Four coils, 3 of 8 lines, noise 0.05, for a law of independent or of smooth pixels."""
    problem = make_problem(SIZE, COILS, noise_std=NOISE)
    mask = make_mask("equispaced", (SIZE, SIZE), 8 / 3, acs_lines=2, seed=0).array
    random = np.random.default_rng(3)
    prior = problem.prior
    if law == "white":
        axis = np.linspace(-1, 1, SIZE)
        mean = np.exp(-2 * (axis[:, None] ** 2 + axis**2) + 1j * axis[:, None])
        prior = Law(mean.ravel(), 0.1 * np.eye(SIZE**2))
    factor = np.linalg.cholesky(prior.covariance)
    image = prior.mean + factor @ _white(random, SIZE**2)
    data = problem.matrix @ image + NOISE * _white(random, len(problem.matrix))
    kspace = np.zeros((COILS, SIZE, SIZE), "complex64")
    kspace[np.broadcast_to(mask.astype(bool), kspace.shape)] = data
    mask = np.broadcast_to(mask, (1, *mask.shape)).astype("float32").reshape(1, 1, -1, SIZE)
    maps = birdcage_maps(COILS, (SIZE, SIZE)).astype("complex64")
    measurement = Measurement(kspace[None], mask, maps[None], np.float32([NOISE]))
    return GaussianCase(measurement, prior, prior.given(problem.matrix, data, NOISE))


def _one_path(sampling, measurement):
    """The path of a sampling whose projector, if it has one, takes any number of images."""
    path = sampling.prior.path
    if not sampling.prior.model.high_frequency:
        return path
    from tfrecon.diffusion.factory import make_path
    from tfrecon.diffusion.high_frequency import high_frequency_projector
    from tfrecon.physics.fourier import fft2c, ifft2c

    block = block_mask(calibration_blocks(measurement.mask, SIZE), (SIZE, SIZE))[0]
    return make_path(sampling.prior.model.path, high_frequency_projector(block, fft2c, ifft2c))


def _white(random, count):
    return (random.normal(size=(count, 2)) @ np.array([1, 1j])) / np.sqrt(2)


def _numpy(value):
    """NumPy's array, or inside a graph the symbolic tensor as it is."""
    kind = type(value).__name__
    return value if "Symbolic" in kind or "Tracer" in kind else ops.convert_to_numpy(value)
