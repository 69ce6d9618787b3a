"""A learned method small enough for tests: importing this module makes the method "toy" known.

Two models. "denoiser" convolves the image channels and scales its features; "gain" says by how much,
as a function of a random time. The loss adds noise drawn from each example's own seed to the
zero-filled image and compares the network's output with the reference, or, without one, with the
measured samples.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras import ops

from tfrecon.methods.base import Method, register_method
from tfrecon.physics.operators import measurement_operator
from tfrecon.typing import Measurement, Reconstruction
from tfrecon.util import rng
from tfrecon.util.complex import energy, to_channels, to_complex


@dataclasses.dataclass(frozen=True)
class ToyModel:
    """Architecture: `features` channels in the one hidden layer, kernels of side `kernel`."""

    features: int = 4
    kernel: int = 3


@dataclasses.dataclass(frozen=True)
class ToyObjective:
    """`noise` is the standard deviation at time 1; `supervised` compares with the reference."""

    noise: float = 0.1
    supervised: bool = True


@dataclasses.dataclass(frozen=True)
class ToyOptions:
    """`passes` of the network; `noise` is added before the first, if there is a seed."""

    passes: int = 1
    noise: float = 0.0


@register_method
class Toy(Method):
    """See the module."""

    name = "toy"
    model_type = ToyModel
    objective_type = ToyObjective
    options_type = ToyOptions

    def fields(self):
        return ("reference",) if self.objective.supervised else ()

    def build(self, seed=0):
        return {"denoiser": _denoiser(self.model, seed), "gain": _gain(self.model, seed)}

    def loss(self, models, batch, seeds, training):
        measurement = Measurement(batch["kspace"], batch["mask"], batch.get("maps"))
        image = zero_filled(measurement)
        time = rng.uniform(rng.fold_in(seeds, 1), ops.shape(seeds)[:1])
        noise = rng.complex_normal(rng.fold_in(seeds, 2), ops.shape(image))
        level = ops.reshape(self.objective.noise * time, (-1, 1, 1))
        output = apply_networks(models, image + ops.cast(level, "complex64") * noise, time, training)
        if self.objective.supervised:
            losses = ops.mean(energy(output - batch["reference"]), axis=(-2, -1))
        else:
            residual = measurement_operator(measurement).forward(output) - batch["kspace"]
            losses = ops.mean(energy(residual), axis=(-3, -2, -1))
        change = ops.mean(energy(output - image), axis=(-2, -1))
        return losses, {"t": time, "change": change}

    def reconstruct(self, models, measurement, seed, options):
        image = zero_filled(measurement)
        flat = ops.reshape(image, (-1, *ops.shape(image)[-2:]))
        if options.noise and seed is not None:
            flat = flat + options.noise * rng.complex_normal(seed, ops.shape(flat))
        for _ in range(options.passes):
            flat = apply_networks(models, flat, ops.zeros(ops.shape(flat)[:1]), training=False)
        return Reconstruction(ops.reshape(flat, ops.shape(image)))


def zero_filled(measurement):
    """`A^H y`, complex64 `[..., H, W]`."""
    kspace = ops.convert_to_tensor(measurement.kspace, "complex64")
    return measurement_operator(measurement).adjoint(kspace)


def apply_networks(models, image, time, training):
    """The denoised image: complex64 `[B, H, W]` and times float32 `[B]` to complex64 `[B, H, W]`."""
    gain = models["gain"](ops.expand_dims(time, -1), training=training)
    change = models["denoiser"]({"image": to_channels(image), "gain": gain}, training=training)
    return image + to_complex(change)


def _denoiser(settings, seed):
    image, gain = keras.Input((None, None, 2), name="image"), keras.Input((settings.features,), name="gain")
    features = _convolution(settings.features, settings.kernel, "inner", seed, activation="silu")(image)
    scale = keras.layers.Reshape((1, 1, settings.features))(gain)
    features = keras.layers.Multiply()([features, scale])
    output = _convolution(2, settings.kernel, "outer", seed)(features)
    return keras.Model({"image": image, "gain": gain}, output, name="denoiser")


def _gain(settings, seed):
    time = keras.Input((1,), name="time")
    kernel = keras.initializers.GlorotUniform(_layer_seed(seed, "gain"))
    layer = keras.layers.Dense(settings.features, kernel_initializer=kernel, bias_initializer="ones", name="gain")
    return keras.Model(time, layer(time), name="gain")


def _convolution(features, kernel, name, seed, activation=None):
    initializer = keras.initializers.GlorotUniform(_layer_seed(seed, name))
    return keras.layers.Conv2D(
        features, kernel, padding="same", kernel_initializer=initializer, activation=activation, name=name
    )


def _layer_seed(seed, name):
    return int(rng.numpy_generator(seed, "toy", name).integers(2**31))


def toy_batch(count=4, height=8, width=6, coils=2, seed=0):
    """NumPy arrays like a batch of `data.pipeline`: normalised, with maps of unit energy and a line mask."""
    random = rng.numpy_generator(seed, "toy batch", count)

    def draw(*shape):
        return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype("complex64")

    maps = draw(count, coils, height, width)
    maps /= (abs(maps) ** 2).sum(1, keepdims=True) ** 0.5
    reference = draw(count, height, width)
    mask = (random.random((count, 1, 1, width)) < 0.6).astype("float32")
    mask[..., width // 2] = 1
    operator = measurement_operator(Measurement(maps, mask, maps))
    return {
        "kspace": ops.convert_to_numpy(operator.forward(reference)),
        "mask": mask,
        "maps": maps,
        "reference": reference,
        "scale": random.uniform(1, 2, count).astype("float32"),
        "record_id": np.array([f"record-{number}".encode() for number in range(count)], object),
        "slice_index": np.arange(count),
    }
