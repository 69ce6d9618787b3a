"""Tiny priors and stand-in networks for the tests of the method "ddpm"."""

import numpy as np
from keras import ops
from score_cases import Network
from ssdiffrecon_cases import make_batch

from tfrecon.methods.base import get_method
from tfrecon.methods.ddpm.model import CosineChain, DDPMModel, Prediction, SmallUNet
from tfrecon.methods.ddpm.objective import DDPMObjective
from tfrecon.methods.ddpm.options import DDPMOptions
from tfrecon.util.settings import make_settings

STEPS = 60


def tiny(output="v", chain=None, network=None, **model):
    """A prior that is quick to build and to call."""
    return DDPMModel(
        chain=CosineChain(**{"steps": STEPS, **(chain or {})}),
        network=SmallUNet(**{"width": 8, "multipliers": (1, 2), **(network or {})}),
        parameterization=Prediction(output),
        **model,
    )


def make_method(objective=None, **model):
    """The method with a tiny prior; `objective` a dictionary."""
    return get_method("ddpm", tiny(**model), make_settings(DDPMObjective, objective or {}, "objective"))


def options_of(**options):
    """Few steps."""
    return DDPMOptions(**{"nfe": 4, "cg_iterations": 3, **options})


def talking(spread=None, share=True):
    """A stand-in whose outputs depend on every channel and on the time; `spread` is what it says of its errors."""

    def call(inputs):
        channels, time = inputs["image"], ops.cast(inputs["time"], "float32")[:, None, None, None] / 1000.0
        said = [0.8 * channels + 0.1 * time]
        if share:
            said.append(ops.tanh(channels) - time)
        if spread is not None:
            said.append(spread + 0.0 * channels[..., :1])
        return ops.concatenate(said, axis=-1)

    return Network(call)


def knowing(image):
    """A stand-in that predicts the image with output "x0", and is always right; it learned no variance."""
    truth = ops.convert_to_tensor(np.stack([image.real, image.imag], axis=-1).astype("float32"))
    return Network(lambda inputs: ops.tile(truth, (inputs["image"].shape[0] // len(image), 1, 1, 1)))


def batch_of(count=2, **settings):
    """A batch with enough of the centre of k-space for a phase."""
    return make_batch(count, **{"coils": 3, "lines": True, "rate": 0.4, **settings})


FIXED = {"network": {"learned_variance": False}}
"""Of networks that learn no variance; their loss is "simple"."""
