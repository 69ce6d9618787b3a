import json

import numpy as np
import pytest
from toy_in_steps import ToyInSteps
from toy_method import toy_batch
from trained_toys import make_model_folder, make_workdir

import tfrecon
from tfrecon.data.synthetic import deform_cine, ellipse_phantom, simulate_acquisition
from tfrecon.data.transforms import Undersampling
from tfrecon.data.writer import write_dataset
from tfrecon.serve.export import export_saved_model
from tfrecon.serve.folder import reconstruct_folder
from tfrecon.serve.learned import LearnedModel
from tfrecon.serve.mask_choice import MaskChoice
from tfrecon.serve.pace import Pace
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError

SHAPE = (32, 36)
R2 = MaskChoice(Undersampling("equispaced", 2.0, acs_lines=14))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same trained model as a model folder and as a SavedModel."""
    folder = tmp_path_factory.mktemp("trained")
    source, *_ = make_model_folder(folder / "model", "toy_with_more")
    return {"model": source, "saved": export_saved_model(source, folder / "saved")}


@pytest.fixture(scope="module")
def models(folders):
    return {kind: tfrecon.load(folder) for kind, folder in folders.items()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    write_dataset(folder, [make_record("anna", 0, 3), make_record("anna", 1, 3), make_record("bert", 0, 1)])
    return folder


def make_record(volume, index, coils, **options):
    return simulate_acquisition(
        ellipse_phantom(SHAPE, seed=index),
        record_id=f"{volume}/{index:03d}",
        volume_id=volume,
        slice_index=index,
        coils=coils,
        noise=0.005,
        **options,
    )


def difference(first, second):
    return np.abs(first - second).max() / np.abs(second).max()


@pytest.mark.parametrize("shape", [(3, 9, 7, 2), (1, 8, 8, 1), (5, 6, 11, 4)])
def test_saved_model_equals_model_folder(models, shape):
    batch = toy_batch(*shape)
    given = 30 * batch["kspace"], batch["mask"], batch["maps"]
    first, second = (model(*given, seed=4, batch_size=2) for model in models.values())
    assert first.dtype == second.dtype == np.complex64 and first.shape == shape[:3]
    assert difference(first, second) < 1e-5


@pytest.mark.parametrize("kind", ["model", "saved"])
def test_called_as_tfrecon_reconstruct(models, kind):
    record = make_record("anna", 0, 4, store_maps=True)
    lines = np.arange(SHAPE[1]) % 2
    lines[9:27] = 1
    given = models[kind](record.kspace, lines, record.maps)
    assert given.shape == SHAPE
    scaled = models[kind](1e-3 * record.kspace, lines, record.maps)
    assert difference(scaled, 1e-3 * given) < 1e-5
    assert difference(models[kind](record.kspace, lines, record.maps, 5), given) > 1e-3, "the seed decides the noise"
    np.testing.assert_array_equal(models[kind](record.kspace, lines, record.maps), given)
    estimated = models[kind](record.kspace, lines)
    np.testing.assert_array_equal(estimated, models[kind](record.kspace, lines, "espirit"))
    single = models[kind](record.kspace[0], lines)
    assert single.shape == SHAPE and np.isfinite(single).all()
    with pytest.raises(InputError, match="walsh"):
        models[kind](record.kspace, np.arange(SHAPE[1]) % 3 == 0)


@pytest.mark.parametrize("kind", ["model", "saved"])
def test_leading_axes_are_a_batch_in_pieces(models, kind):
    batch = toy_batch(6, 8, 6, 2)
    kspace, mask, maps = (batch[key] for key in ("kspace", "mask", "maps"))
    whole = models[kind](kspace, mask, maps, batch_size=4)
    shaped = [array.reshape(2, 3, *array.shape[1:]) for array in (kspace, mask, maps)]
    np.testing.assert_allclose(models[kind](*shaped, batch_size=4), whole.reshape(2, 3, 8, 6), atol=1e-6)
    assert difference(models[kind](kspace[:4], mask[:4], maps[:4], batch_size=4), whole[:4]) < 1e-5


def test_frames_of_a_series_are_images(models):
    frames = deform_cine(ellipse_phantom(SHAPE, seed=1), 3)
    record = simulate_acquisition(frames, record_id="c", volume_id="c", coils=4, noise=0.002, store_maps=True)
    image = models["model"](record.kspace, None, record.maps, series=True)
    assert image.shape == (3, *SHAPE)
    maps = np.broadcast_to(record.maps, record.kspace.shape)
    np.testing.assert_allclose(image, models["model"](record.kspace, None, maps), atol=1e-6)


def test_standard_deviation_has_the_units_of_the_image(models):
    batch = toy_batch(2, 8, 6, 2)
    measurement = Measurement(100 * batch["kspace"], batch["mask"], batch["maps"])
    for model in models.values():
        result = model.reconstructor(seed=1)(measurement)
        np.testing.assert_allclose(result.std, 0.5 * np.abs(result.image), rtol=1e-5)


def test_each_shape_and_options_are_traced_once_without_a_word(models, monkeypatch, caplog):
    model = models["model"]
    real, traced = model.method.reconstruct, []

    def counted(*arguments):
        traced.append(tuple(arguments[1].kspace.shape))
        return real(*arguments)

    monkeypatch.setattr(model.method, "reconstruct", counted)
    for _ in range(2):
        for width in range(17, 24):
            batch = toy_batch(1, 8, width)
            for passes in (1, 3):
                model(batch["kspace"], batch["mask"], batch["maps"], passes=passes)
                models["saved"](batch["kspace"], batch["mask"], batch["maps"])
    assert len(traced) == 2 * 7
    assert "retracing" not in caplog.text


def test_options_of_a_model_and_of_a_saved_model(models):
    batch = toy_batch(1)
    given = batch["kspace"], batch["mask"], batch["maps"]
    assert difference(models["model"](*given, passes=1), models["model"](*given)) > 1e-3
    assert models["model"].settings["options"] == models["saved"].settings["options"] == {"passes": 2, "noise": 0.05}
    assert models["model"].reconstructor({"passes": "7"}).settings["options"]["passes"] == 7
    with pytest.raises(InputError, match="did you mean 'passes'"):
        models["model"](*given, pass_es=1)
    with pytest.raises(InputError, match=r"fixed, passes cannot.*passes=2, noise=0.05"):
        models["saved"](*given, passes=1)
    with pytest.raises(InputError, match="several sets"):
        models["model"](given[0], given[1], np.stack([given[2]] * 2, 1))


def test_network_calls_are_known_of_methods_that_count_them(models, tmp_path):
    stepped = tfrecon.load(make_model_folder(tmp_path / "model", ToyInSteps.name)[0])
    assert stepped.network_calls() == 2 and stepped.network_calls({"passes": "5", "samples": 3}) == 15
    assert models["model"].network_calls() is None and models["saved"].network_calls() is None


def test_parameters_are_counted_where_the_networks_are_at_hand(models, tmp_path):
    source, _, networks = make_model_folder(tmp_path / "model")
    count = sum(array.size for network in networks.values() for array in network.get_weights())
    assert tfrecon.load(source).parameters == count > 0 and models["saved"].parameters is None


def test_a_warm_up_compiles_and_makes_one_step(tmp_path, monkeypatch):
    model = tfrecon.load(make_model_folder(tmp_path / "model", ToyInSteps.name)[0])
    steps, real = [], Pace.made_steps
    monkeypatch.setattr(Pace, "made_steps", lambda pace, count: (steps.append(count), real(pace, count)))
    reconstructor, batch = model.reconstructor({"passes": 9}), toy_batch(1)
    measurement = Measurement(batch["kspace"], batch["mask"], batch["maps"])
    reconstructor.warm_up(measurement)
    assert steps == [1]
    image = reconstructor(measurement).image
    assert sum(steps) == 10
    np.testing.assert_array_equal(model.reconstructor({"passes": 9})(measurement).image, image)


def test_the_best_then_the_end_then_the_latest(tmp_path):
    batch = toy_batch(1)
    given = batch["kspace"], batch["mask"], batch["maps"]
    known = {
        seed: tfrecon.load(make_model_folder(tmp_path / f"{seed}", seed=seed)[0])(*given) for seed in (1, 2, 10, 20)
    }
    whole, _ = make_workdir(tmp_path / "whole", best=True, final=True)
    ended, _ = make_workdir(tmp_path / "ended", final=True)
    running, _ = make_workdir(tmp_path / "running")
    wanted = [(whole, None, 1), (whole, "best", 1), (whole, "final", 2), (whole, 10, 10), (whole, "20", 20)]
    wanted += [(ended, None, 2), (running, None, 20), (running, 10, 10), (whole / "best", None, 1)]
    for folder, checkpoint, seed in wanted:
        model = tfrecon.load(folder, checkpoint)
        assert isinstance(model, LearnedModel) and model.name == "toy"
        np.testing.assert_allclose(model(*given), known[seed], atol=1e-6)
    assert tfrecon.load(whole, 10).settings["model"]["sha256"] == tfrecon.load(running, 10).settings["model"]["sha256"]
    for folder, checkpoint, said in [(running, "best", "10"), (running, 15, "20, 10"), (ended, "bset", "final")]:
        with pytest.raises(InputError, match=rf"{folder.name}.*{checkpoint}.*{said}"):
            tfrecon.load(folder, checkpoint)


def damaged_saved_model(folder, folders):
    (folder / "saved_model.pb").write_bytes(b"nonsense")
    (folder / "tfrecon.json").write_bytes((folders["saved"] / "tfrecon.json").read_bytes())


def foreign_saved_model(folder, folders):
    (folder / "saved_model.pb").write_bytes((folders["saved"] / "saved_model.pb").read_bytes())


def foreign_config(folder, folders):
    (folder / "config.json").write_text('{"method": "transformer", "layers": 12}')
    (folder / "transformer.keras").touch()


def broken_config(folder, folders):
    (folder / "config.json").write_text('{"method": ')
    (folder / "denoiser.keras").touch()


def empty_workdir(folder, folders):
    (folder / "config.json").write_bytes((folders["model"] / "config.json").read_bytes())


def incomplete_model(folder, folders):
    empty_workdir(folder, folders)
    (folder / "gain.keras").write_bytes((folders["model"] / "gain.keras").read_bytes())


def images(folder, folders):
    (folder / "im_0samples.npy").touch()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (damaged_saved_model, "damaged SavedModel"),
        (foreign_saved_model, "without tfrecon.json"),
        (foreign_config, "no method 'transformer'"),
        (broken_config, "not valid JSON"),
        (empty_workdir, "no trained weights"),
        (incomplete_model, "denoiser.keras"),
        (images, "no trained model"),
    ],
)
def test_what_is_no_trained_model_is_said_in_one_line(folders, tmp_path, make, said):
    make(tmp_path, folders)
    with pytest.raises(InputError, match=said) as raised:
        tfrecon.load(tmp_path)
    assert str(tmp_path) in str(raised.value) and "\n" not in str(raised.value)


def test_what_has_no_checkpoints_is_said(folders, tmp_path):
    for folder in folders.values():
        with pytest.raises(InputError, match=r"'best'.*no workdir"):
            tfrecon.load(folder, "best")
    for missing in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="no such folder"):
            tfrecon.load(missing)


def test_a_learned_method_by_name_alone_is_explained():
    with pytest.raises(InputError, match=r"'toy' is learned.*tfrecon.load"):
        tfrecon.reconstruct(np.ones((8, 8), np.complex64), method="toy")


@pytest.mark.parametrize("kind", ["model", "saved"])
def test_folder_of_images_with_their_standard_deviation(models, dataset, tmp_path, kind):
    out = reconstruct_folder(dataset, tmp_path / "out", models[kind], masks=R2, formats=("npy", "h5"), seed=3)
    index = json.loads((out / "index.json").read_text())
    assert index["method"] == "toy_with_more" and index["options"]["passes"] == 2
    assert len(index["model"]["sha256"]) == 64 and index["model"]["folder"]
    assert {path.name for path in (out / "std").iterdir()} == {
        *(f"im_{k}samples.npy" for k in range(3)), "anna.h5", "bert.h5"
    }  # fmt: skip
    image, std = (np.load(out / kind / "im_1samples.npy") for kind in ("", "std"))
    np.testing.assert_allclose(std, 0.5 * image, rtol=1e-4)
    again = reconstruct_folder(dataset, tmp_path / "again", models[kind], masks=R2, seed=3)
    np.testing.assert_array_equal(np.load(again / "im_1samples.npy"), image)


def test_folder_goes_on_with_the_same_model_only(models, dataset, tmp_path):
    out = tmp_path / "out"
    reconstruct_folder(dataset, out, models["model"], masks=R2)
    before = (out / "im_0samples.npy").stat().st_mtime_ns
    reconstruct_folder(dataset, out, models["model"], masks=R2)
    assert (out / "im_0samples.npy").stat().st_mtime_ns == before
    other = tfrecon.load(make_model_folder(tmp_path / "other", "toy_with_more", seed=9)[0])
    other.settings["model"]["folder"] = models["model"].settings["model"]["folder"]
    with pytest.raises(InputError, match=r"\(model\).*--overwrite"):
        reconstruct_folder(dataset, out, other, masks=R2)
    with pytest.raises(InputError, match=r"\(options\)"):
        reconstruct_folder(dataset, out, models["model"], {"passes": 1}, masks=R2)
    reconstruct_folder(dataset, out, "cg_sense", masks=R2, overwrite=True)
    assert not (out / "std").exists() or not any((out / "std").iterdir())


def test_noise_for_models_that_want_it(tmp_path):
    source, *_ = make_model_folder(tmp_path / "model", "toy_with_noise")
    saved = export_saved_model(source, tmp_path / "saved")
    batch = toy_batch(3, 8, 6, 2)
    given = batch["kspace"], batch["mask"], batch["maps"]
    for model in map(tfrecon.load, (source, saved)):
        quiet = model(*given, noise_std=0.0)
        np.testing.assert_allclose(model(*given, noise_std=0.25) - quiet, 0.25, atol=1e-5)
        each = np.array([1, 2, 3], np.float32)
        found = model(*given, noise_std=each, batch_size=2) - model(*given, noise_std=0.0, batch_size=2)
        np.testing.assert_allclose(found, np.broadcast_to(each[:, None, None], found.shape), atol=1e-5)
    with pytest.raises(InputError, match="give noise_std"):
        tfrecon.load(saved)(*given)
    facts = json.loads((saved / "tfrecon.json").read_text())
    assert list(facts["functions"]["reconstruct"]) == ["kspace", "mask", "maps", "seed", "noise_std"]


def test_several_coils_without_maps_are_explained(models):
    batch = toy_batch(1, coils=3)
    for model in models.values():
        with pytest.raises(InputError, match="3 coils but no sensitivity maps"):
            model.reconstructor()(Measurement(batch["kspace"], batch["mask"]))
