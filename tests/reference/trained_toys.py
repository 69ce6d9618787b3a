"""Folders with trained models of the toy method, and a toy that offers all that an exported model can."""

import numpy as np
from keras import ops
from toy_method import Toy, apply_networks

from tfrecon.methods.base import ServingFunction, register_method
from tfrecon.train.config import resolve_experiment
from tfrecon.train.model_folder import save_model_folder
from tfrecon.typing import Reconstruction
from tfrecon.util.complex import safe_abs

KSPACE = ((None, None, None, None), "complex64")
IMAGE = ((None, None, None), "complex64")


@register_method
class ToyWithMore(Toy):
    """A toy with a standard deviation, and with its denoiser as a function of its own."""

    name = "toy_with_more"

    def reconstruct(self, models, measurement, seed, options):
        image = super().reconstruct(models, measurement, seed, options).image
        return Reconstruction(image, std=0.5 * safe_abs(image))

    def serving_functions(self, models, options):
        def denoise(x_t, t, kspace, mask, maps):
            change = ops.sum(ops.conj(maps) * kspace * ops.cast(mask, "complex64"), axis=1)
            return apply_networks(models, x_t + change, t, training=False)

        inputs = {
            "x_t": IMAGE,
            "t": ((None,), "float32"),
            "kspace": KSPACE,
            "mask": ((None, 1, None, None), "float32"),
            "maps": KSPACE,
        }
        return {"denoise": ServingFunction(denoise, inputs)}


@register_method
class ToyWithNoise(Toy):
    """A toy that has to know the noise, and adds it to its image."""

    name = "toy_with_noise"

    def fields(self):
        return ("noise_std",)

    def reconstruct(self, models, measurement, seed, options):
        image = super().reconstruct(models, measurement, seed, options).image
        return Reconstruction(image + ops.cast(measurement.noise_std[..., None, None], "complex64"))


def toy_experiment(method="toy", **sections):
    """An experiment whose reconstruction draws noise and passes twice through the network."""
    return resolve_experiment({"method": method, "reconstruct": {"passes": 2, "noise": 0.05}, **sections})


def trained_models(experiment, seed=0):
    """Models with weights that no initialiser gives."""
    models = experiment.make_method().build(experiment.seed)
    random = np.random.default_rng(seed)
    for model in models.values():
        for variable in model.variables:
            variable.assign(variable + 0.1 * random.standard_normal(variable.shape).astype("float32"))
    return models


def make_model_folder(folder, method="toy", seed=0):
    """Writes a model folder; returns it with its experiment and models."""
    experiment = toy_experiment(method)
    models = trained_models(experiment, seed)
    return save_model_folder(folder, experiment, models), experiment, models


def make_workdir(folder, steps=(10, 20), best=False, final=False):
    """Writes a workdir with checkpoints, whose averaged weights are those of `trained_models(…, seed=step)`."""
    from tfrecon.train.checkpoints import Checkpoints
    from tfrecon.train.state import create_state
    from tfrecon.util.files import write_json

    experiment = toy_experiment()
    write_json(folder / "config.json", experiment.to_json())
    state = create_state(experiment, experiment.make_method())
    for step in steps:
        for name, model in trained_models(experiment, step).items():
            state.ema[name].set_weights(model.get_weights())
        state.step.assign(step)
        Checkpoints(folder / "checkpoints").save(state.checkpoint(), step, experiment, {})
    for name, wanted, seed in (("best", best, 1), ("final", final, 2)):
        if wanted:
            save_model_folder(folder / name, experiment, trained_models(experiment, seed))
    return folder, experiment
