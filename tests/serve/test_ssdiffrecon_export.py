"""SSDiffRecon as a SavedModel gives the images of its model folder, without its Python."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from ssdiffrecon_cases import make_batch, tiny

import tfrecon
from tfrecon.serve.export import export_saved_model
from tfrecon.train.config import resolve_experiment
from tfrecon.train.model_folder import save_model_folder
from tfrecon.util.errors import InputError
from tfrecon.util.settings import to_dictionary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
CASES = [(1, 1, (32, 32)), (3, 4, (21, 27)), (2, 8, (40, 24))]


def make_folders(folder, **settings):
    model = to_dictionary(tiny(zero_init=False, attention_every=1, **settings))
    experiment = resolve_experiment({"method": "ssdiffrecon", "model": model, "reconstruct": {"steps": 3}})
    models = experiment.make_method().build(4)
    save_model_folder(folder / "model", experiment, models)
    export_saved_model(folder / "model", folder / "saved")
    return folder, experiment, models


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_folders(tmp_path_factory.mktemp("ssdiffrecon"))


@pytest.mark.parametrize("count, coils, shape", CASES)
def test_images_are_those_of_the_model_folder(folders, count, coils, shape):
    folder = folders[0]
    batch = make_batch(count, coils, shape)
    arrays = 30 * batch["kspace"], batch["mask"], batch["maps"]
    expected = tfrecon.load(folder / "model")(*arrays, seed=5)
    found = tfrecon.load(folder / "saved")(*arrays, seed=5)
    assert found.shape == (count, *shape) and np.abs(expected).max() > 1
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("count, coils, shape", CASES)
def test_denoise_is_one_call_of_the_networks(folders, count, coils, shape):
    folder, _, models = folders
    batch = make_batch(count, coils, shape)
    loaded = tf.saved_model.load(str(folder / "saved"))
    times = np.linspace(0, 999, count).astype("float32")
    state = batch["reference"]
    scale = loaded.scale(batch["kspace"], batch["mask"]).numpy()[:, None, None]
    found = loaded.denoise(
        x_t=tf.constant(state), t=times, kspace=batch["kspace"], mask=batch["mask"], maps=batch["maps"]
    ).numpy()
    tokens = models["mapper"]({"time": times})
    inputs = {"image": state, "tokens": tokens, "kspace": batch["kspace"] / scale[..., None], "mask": batch["mask"]}
    expected = models["denoiser"]({**inputs, "maps": batch["maps"]}).numpy()
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_labels_belong_to_the_image(tmp_path):
    folder, _, _ = make_folders(tmp_path, label_width=2)
    batch, label = make_batch(2, 1, (16, 20)), np.float32([[0, 1], [1, 0]])
    arrays = batch["kspace"], batch["mask"]
    trained, saved = tfrecon.load(folder / "model"), tfrecon.load(folder / "saved")
    expected, other = trained(*arrays, label=label), trained(*arrays, label=label[::-1])
    assert np.abs(expected - other).max() > 1e-3 * np.abs(expected).max()
    assert np.abs(saved(*arrays, label=label) - expected).max() < 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(saved(*arrays), saved(*arrays, label=[0, 0]), rtol=1e-6)
    for model in (trained, saved):
        with pytest.raises(InputError, match=r"3 numbers|labels are"):
            model(*arrays, label=[0, 0, 1])


def test_reconstructs_with_none_of_the_methods_python(folders, tmp_path):
    batch = make_batch(1, 3, (24, 26))
    np.savez(tmp_path / "data.npz", **batch)
    code = (
        "import sys, numpy as np, tfrecon;"
        f"d = np.load({str(tmp_path / 'data.npz')!r});"
        f"image = tfrecon.load({str(folders[0] / 'saved')!r})(d['kspace'], d['mask'], d['maps']);"
        "assert image.shape == (1, 24, 26) and np.isfinite(image).all() and abs(image).max() > 0;"
        "assert not [name for name in sys.modules if 'ssdiffrecon' in name or name == 'tfrecon.nets']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
