"""A tiny network learns one phantom from its undersampled data alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ssdiffrecon_cases import make_batch, tiny

from tfrecon.methods.base import get_method
from tfrecon.methods.ssdiffrecon.objective import HoldOut, SSDiffReconObjective
from tfrecon.methods.ssdiffrecon.options import SSDiffReconOptions
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement
from tfrecon.util import rng

STEPS = 300


def error_of(reconstruction, truth):
    return float(np.linalg.norm(np.asarray(reconstruction.image) - truth) / np.linalg.norm(truth))


@pytest.mark.slow
@pytest.mark.parametrize("loss, coils", [("ssdu", 3), ("k_weighted", 1), ("supervised", 1)])
def test_a_tiny_network_beats_the_zero_filled_image(loss, coils):
    batch = make_batch(1, coils, (32, 32), rate=0.35)
    batch = {name: tf.repeat(array, 4, axis=0) for name, array in batch.items()}
    objective = SSDiffReconObjective(loss, partition=HoldOut(ratio=0.3))
    method = get_method("ssdiffrecon", tiny(channels=16, cascades=3, layers_per_cascade=2), objective)
    models = method.build(0)
    variables = [variable for model in models.values() for variable in model.trainable_variables]
    optimizer = keras.optimizers.Adam(3e-3, global_clipnorm=1.0)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def update(step):
        with tf.GradientTape() as tape:
            losses, _ = method.loss(models, batch, rng.make_seeds(0, step, 4), True)
            mean = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(mean, [v.value for v in variables]), variables)
        return mean

    history = [float(update(tf.constant(step))) for step in range(STEPS)]
    measurement = Measurement(*(batch[name][:1] for name in ("kspace", "mask", "maps")))
    truth = batch["reference"][:1]
    before = error_of(get_method("zero_filled").reconstruct({}, measurement, None, None), truth)
    for steps in (1, 5):
        reconstruct = compiled_reconstruct(method, SSDiffReconOptions(steps=steps), models)
        assert error_of(reconstruct(measurement, rng.make_seed(0)), truth) < 0.75 * before
    assert np.mean(history[-20:]) < 0.75 * np.mean(history[:5])
