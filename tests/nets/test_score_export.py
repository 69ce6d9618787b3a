"""Score networks in TensorFlow's formats: SavedModel of any batch and size, and checkpoints."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrecon.nets.autoencoder import AutoencoderSettings, build_autoencoder
from tfrecon.nets.ddpm_unet import DDPMSettings, build_ddpm
from tfrecon.nets.improved_unet import ImprovedUNetSettings, build_improved_unet
from tfrecon.nets.ncsnpp import NCSNppSettings, build_ncsnpp

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

TINY = {"channels": 2, "width": 8, "multipliers": (1, 2), "blocks": 1}
MAKE = {
    "autoencoder": lambda seed: build_autoencoder(AutoencoderSettings(width=8, multipliers=(1, 2), blocks=1), seed),
    "ncsnpp": lambda seed: build_ncsnpp(NCSNppSettings(**TINY, attention_levels=(1,)), seed),
    "ddpm": lambda seed: build_ddpm(DDPMSettings(**TINY), seed),
    "improved": lambda seed: build_improved_unet(ImprovedUNetSettings(**TINY, attention_levels=(1,)), seed),
    "patches": lambda seed: build_ddpm(DDPMSettings(**TINY, patch=2, resampling="fir", scale_shift=True), seed),
}


def perturbed(model):
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable.value) + 0.1 * random.normal(size=variable.shape).astype(np.float32))
    return model


def example(batch, size):
    random = np.random.default_rng(2)
    image = random.normal(size=(batch, *size, 2)).astype(np.float32)
    return {"image": image, "time": random.normal(size=batch).astype(np.float32)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKE)
def test_exported_network_takes_any_batch_and_size(kind, tmp_path):
    model = perturbed(MAKE[kind](0))
    signature = {
        "image": tf.TensorSpec([None, None, None, 2], tf.float32),
        "time": tf.TensorSpec([None], tf.float32),
    }
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("denoise", model.call, input_signature=[signature])
    archive.write_out(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    for batch, size in ((1, (8, 8)), (3, (7, 10)), (2, (12, 5))):
        inputs = {name: tf.constant(value) for name, value in example(batch, size).items()}
        expected = model(inputs).numpy()
        np.testing.assert_allclose(served.denoise(inputs), expected, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("kind", MAKE)
def test_checkpoints_hold_every_weight(kind, tmp_path):
    model, other = perturbed(MAKE[kind](0)), MAKE[kind](1)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).read(path).assert_consumed()
    for ours, theirs in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(ours.value, theirs.value)
