import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from toy_method import toy_batch
from trained_toys import make_model_folder, make_workdir

import tfrecon
from tfrecon.methods.base import get_method
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.serve.export import export_saved_model, make_functions
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError
from tfrecon.util.rng import make_seed

SEED = make_seed(3, purpose="test")
SHAPES = [(1, 8, 6, 2), (3, 9, 7, 1), (2, 16, 11, 5)]
"""Batch, height, width, coils: the first is traced by nobody in particular, all differ."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    source, experiment, models = make_model_folder(folder / "model", "toy_with_more")
    return export_saved_model(source, folder / "saved"), experiment.make_method(), experiment, models


def measured(shape, factor=1.0):
    batch = toy_batch(*shape)
    return factor * batch["kspace"], batch["mask"], batch["maps"]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_batch_size_and_coils_as_the_method_itself(exported, shape):
    folder, method, experiment, models = exported
    kspace, mask, maps = measured(shape, 40.0)
    loaded = tf.saved_model.load(str(folder))
    found = loaded.reconstruct(kspace=kspace, mask=mask, maps=maps, seed=SEED).numpy()
    assert found.dtype == np.complex64 and found.shape == shape[:3]
    scale = loaded.scale(kspace, mask).numpy()
    normalised = Measurement(kspace / scale[:, None, None, None], mask, maps)
    options = experiment.reconstruct
    expected = compiled_reconstruct(method, options, models)(normalised, SEED).image.numpy() * scale[:, None, None]
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
    signature = loaded.signatures["reconstruct"](
        kspace=tf.constant(kspace), mask=tf.constant(mask), maps=tf.constant(maps), seed=SEED
    )
    np.testing.assert_array_equal(next(iter(signature.values())), found)


def test_scale_is_computed_inside_and_undone(exported):
    loaded = tf.saved_model.load(str(exported[0]))
    kspace, mask, maps = measured(SHAPES[1])
    once, scaled = (loaded.reconstruct(factor * kspace, mask, maps, SEED).numpy() for factor in (1, 2.0**12))
    np.testing.assert_allclose(scaled, 2.0**12 * once, rtol=1e-6)
    np.testing.assert_allclose(loaded.scale(3 * kspace, mask), 3 * loaded.scale(kspace, mask), rtol=1e-6)


def test_what_lies_outside_the_mask_is_not_seen(exported):
    loaded = tf.saved_model.load(str(exported[0]))
    kspace, mask, maps = measured(SHAPES[2])
    full = np.broadcast_to(mask, (2, 1, 16, 11)).astype("float32")
    np.testing.assert_allclose(
        loaded.reconstruct(kspace + 7 * (1 - mask), full, maps, SEED),
        loaded.reconstruct(kspace, mask, maps, SEED),
        atol=1e-6,
    )


def test_standard_deviation_and_functions_of_the_method(exported):
    folder, method, experiment, models = exported
    loaded = tf.saved_model.load(str(folder))
    kspace, mask, maps = measured(SHAPES[0])
    both = loaded.reconstruct_with_std(5 * kspace, mask, maps, SEED)
    np.testing.assert_array_equal(both["image"], loaded.reconstruct(5 * kspace, mask, maps, SEED))
    np.testing.assert_allclose(both["std"], 0.5 * np.abs(both["image"]), rtol=1e-5)
    x_t = np.ones((1, 8, 6), np.complex64)
    t = np.full(1, 0.25, np.float32)
    scale = loaded.scale(kspace, mask).numpy()
    expected = method.serving_functions(models, experiment.reconstruct)["denoise"].call(
        x_t, t, kspace / scale[:, None, None, None], mask, maps
    )
    np.testing.assert_allclose(loaded.denoise(x_t, t, 5 * kspace, mask, maps), expected, atol=1e-5)


def test_facts_beside_it(exported):
    facts = json.loads((exported[0] / "tfrecon.json").read_text())
    assert facts["tfrecon"] == tfrecon.__version__ and facts["method"] == "toy_with_more"
    assert facts["options"] == {"passes": 2, "noise": 0.05} and facts["model"]["features"] == 4
    assert facts["fields"] == ["reference"] and len(facts["exported_from"]["sha256"]) == 64
    assert list(facts["functions"]) == ["reconstruct", "scale", "reconstruct_with_std", "denoise"]
    assert facts["functions"]["reconstruct"] == {
        "kspace": "complex64 [?, ?, ?, ?]",
        "mask": "float32 [?, 1, ?, ?]",
        "maps": "complex64 [?, ?, ?, ?]",
        "seed": "int32 [2]",
    }


def test_a_method_without_std_has_no_function_for_it(tmp_path):
    _, experiment, models = make_model_folder(tmp_path / "model")
    functions = make_functions(experiment.make_method(), models, experiment.reconstruct)
    assert list(functions) == ["reconstruct", "scale"]


def test_a_method_cannot_hide_a_function(exported, monkeypatch):
    _, method, experiment, models = exported
    monkeypatch.setattr(method, "serving_functions", lambda *_: {"scale": None})
    with pytest.raises(ValueError, match=r"toy_with_more.*scale"):
        make_functions(method, models, experiment.reconstruct)


def test_checkpoint_and_options_are_chosen_at_export(tmp_path):
    workdir, _ = make_workdir(tmp_path / "run")
    kspace, mask, maps = measured(SHAPES[0])
    export_saved_model(workdir, tmp_path / "saved", checkpoint=10, options={"passes": "1", "noise": "0"})
    saved, live = tfrecon.load(tmp_path / "saved"), tfrecon.load(workdir, 10)
    image = saved(kspace, mask, maps)
    np.testing.assert_allclose(image, live(kspace, mask, maps, passes=1, noise=0.0), atol=1e-5)
    assert np.abs(image - live(kspace, mask, maps)).max() > 1e-2
    assert np.abs(image - tfrecon.load(workdir)(kspace, mask, maps, passes=1, noise=0.0)).max() > 1e-2


def test_nothing_is_overwritten_unasked(tmp_path, monkeypatch):
    source, *_ = make_model_folder(tmp_path / "model")
    output = export_saved_model(source, tmp_path / "saved")
    before = (output / "tfrecon.json").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        export_saved_model(source, output)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    for taken in (tmp_path / "other", tmp_path / "other" / "thesis.tex"):
        with pytest.raises(InputError, match="not an exported model"):
            export_saved_model(source, taken, overwrite=True)
    with pytest.raises(InputError, match="did you mean 'passes'"):
        export_saved_model(source, output, options={"pases": 1}, overwrite=True)

    def full_disk(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full_disk)
    with pytest.raises(InputError, match="No space left"):
        export_saved_model(source, output, overwrite=True)
    assert (output / "tfrecon.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other", "saved"}
    monkeypatch.undo()
    export_saved_model(source, output, options={"passes": 1}, overwrite=True)
    assert json.loads((output / "tfrecon.json").read_text())["options"]["passes"] == 1


def test_what_cannot_be_exported(exported, tmp_path):
    with pytest.raises(InputError, match="SavedModel already"):
        export_saved_model(exported[0], tmp_path / "again")
    with pytest.raises(InputError, match="no such folder"):
        export_saved_model(tmp_path / "missing", tmp_path / "again")
    assert not (tmp_path / "again").exists()


WITHOUT_THE_METHOD = """
import sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
ones = tf.ones([2, 3, 5, 4], tf.complex64)
image = loaded.reconstruct(ones, tf.ones([2, 1, 1, 4]), ones, tf.constant([0, 7]))
print(image.shape, any(name.split(".")[0] in ("tfrecon", "toy_method") for name in sys.modules))
"""


@pytest.mark.slow
def test_plain_tensorflow_runs_it(exported):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_METHOD, str(exported[0])], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(2, 5, 4) False"


def test_classical_methods_offer_no_more_functions():
    assert get_method("cg_sense").serving_functions({}, None) == {}
