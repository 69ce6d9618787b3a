"""The training step against the same step without the guard and the average.

The plain step is what a loop of one's own would be: seeds, losses, gradients, clipping, `optimizer.apply`,
all in one `tf.function`. Both train the same U-Net (`FEATURES` channels at the top, four levels) on
the same batch, in turns; what ours takes longer is what the guard, the average and the counters cost.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from benchmarks import timing
from tfrecon.methods.base import Method, NoSettings
from tfrecon.train.config import DataSettings, Experiment
from tfrecon.train.optim import clip_by_global_norm
from tfrecon.train.state import create_state
from tfrecon.train.step import make_train_step
from tfrecon.typing import Measurement
from tfrecon.util import rng
from tfrecon.util.complex import energy, to_channels, to_complex

FEATURES, LEVELS, REPEATS = 32, 4, 15
CASES = ((8, 64), (1, 256))
PLAIN = "without guard and average"


class Denoise(Method):
    """A U-Net that takes noise off an image."""

    name = "denoise"

    def build(self, seed=0):
        keras.utils.set_random_seed(seed)
        return {"unet": unet()}

    def loss(self, models, batch, seeds, training):
        image = batch["reference"]
        noisy = image + 0.1 * rng.complex_normal(seeds, ops.shape(image))
        output = to_complex(models["unet"](to_channels(noisy), training=training))
        return ops.mean(energy(output - image), axis=(-2, -1)), {}

    def reconstruct(self, models, measurement: Measurement, seed, options):
        raise NotImplementedError("this method is only trained")


def unet():
    def block(x, features):
        for _ in range(2):
            x = keras.layers.Conv2D(features, 3, padding="same")(x)
            x = keras.layers.Activation("silu")(keras.layers.GroupNormalization(8)(x))
        return x

    image = keras.Input((None, None, 2))
    x, skips = block(image, FEATURES), []
    for level in range(1, LEVELS):
        skips.append(x)
        x = block(keras.layers.AveragePooling2D(2)(x), FEATURES * 2**level)
    for level in reversed(range(LEVELS - 1)):
        x = keras.layers.Concatenate()([keras.layers.UpSampling2D(2)(x), skips[level]])
        x = block(x, FEATURES * 2**level)
    return keras.Model(image, keras.layers.Conv2D(2, 3, padding="same")(x))


def plain_step(experiment, method, state):
    variables = [variable.value for variable in state.trainable]

    @tf.function(autograph=False)
    def step(batch):
        count = batch["reference"].shape[0]
        seeds = rng.make_seeds(experiment.seed, state.step, count, 0, "training")
        with tf.GradientTape() as tape:
            losses, _ = method.loss(state.models, batch, seeds, True)
            loss = tf.reduce_mean(losses)
        gradients, norm = clip_by_global_norm(tape.gradient(loss, variables), experiment.optimizer.clip_norm)
        state.optimizer.apply(gradients)
        state.step.assign_add(1)
        return loss, norm

    return step


def compare(count, size):
    method = Denoise(NoSettings(), NoSettings())
    experiment = Experiment("denoise", method.model, method.objective, None, DataSettings(batch_size=count))
    random = np.random.default_rng(0)
    parts = random.standard_normal((2, count, size, size)).astype("float32")
    batch = {"reference": tf.complex(*parts)}
    state, other = create_state(experiment, method), create_state(experiment, method)
    ours, plain = make_train_step(experiment, method, state), plain_step(experiment, method, other)
    functions = {"ours": lambda: ours(batch).loss.numpy(), "plain": lambda: plain(batch)[0].numpy()}
    seconds = timing.interleaved(functions, REPEATS)
    weights = sum(int(np.prod(variable.shape)) for variable in state.trainable)
    note = f"{weights / 1e6:.2f} M weights in {len(state.trainable)} variables"
    return timing.line(f"train step, U-Net, {count} x {size}x{size}", seconds["ours"], PLAIN, seconds["plain"], note)


def run():
    return [compare(count, size) for count, size in CASES]
