"""Tiny priors and stand-in networks for the tests of the method "conditional"."""

import numpy as np
from keras import ops
from score_cases import Network
from ssdiffrecon_cases import make_batch

from tfrecon.methods.base import get_method
from tfrecon.methods.conditional.model import (
    ConditionalChain,
    ConditionalModel,
    ConditionalPrediction,
    ConditionalUNet,
)
from tfrecon.methods.conditional.objective import ConditionalObjective
from tfrecon.methods.conditional.options import ConditionalOptions
from tfrecon.util.settings import make_settings

STEPS = 20


def tiny(output="v", chain=None, **model):
    """A prior that is quick to build and to call."""
    return ConditionalModel(
        chain=ConditionalChain(**{"steps": STEPS, **(chain or {})}),
        network=ConditionalUNet(width=8, multipliers=(1, 2)),
        parameterization=ConditionalPrediction(output),
        **model,
    )


def make_method(objective=None, **model):
    """The method with a tiny prior; `objective` a dictionary."""
    settings = make_settings(ConditionalObjective, objective or {}, "objective")
    return get_method("conditional", tiny(**model), settings)


def options_of(**options):
    """Few steps."""
    return ConditionalOptions(**{"nfe": 5, **options})


def talking():
    """A stand-in whose two outputs depend on every channel and on the time."""

    def call(inputs):
        image, time = inputs["image"], ops.cast(inputs["time"], "float32")[:, None, None, None] / 1000.0
        rest = ops.sum(image[..., 2:], axis=-1, keepdims=True)
        return 0.7 * image[..., :2] + 0.1 * time + 0.05 * rest

    return Network(call)


def knowing(image):
    """A stand-in that predicts the image with output "x0", and is always right; in units of the noise."""
    truth = np.stack([image.real, image.imag], axis=-1).astype("float32")
    return Network(lambda inputs: ops.tile(truth, (inputs["image"].shape[0] // len(image), 1, 1, 1)))


def batch_of(count=2, coils=1, **settings):
    """Lines, the centre among them."""
    return make_batch(count, **{"coils": coils, "lines": True, "rate": 0.4, **settings})
