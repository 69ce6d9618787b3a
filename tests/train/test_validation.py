"""Validation scores the same records with the same random numbers, as the metrics module would."""

import numpy as np
import pytest
import toy_data
import toy_method

from tfrecon.data.pipeline import dataset
from tfrecon.metrics import get_convention, score_volume
from tfrecon.train.validation import Validation, Validator, criterion
from tfrecon.util.errors import InputError


def make_validator(experiment):
    method = experiment.make_method()
    models = method.build(experiment.seed)
    return Validator(experiment, method, models), models


def silence(models):
    """The toy then gives back what it gets: the zero-filled image."""
    for name in ("kernel", "bias"):
        variable = getattr(models["denoiser"].get_layer("outer"), name)
        variable.assign(np.zeros(variable.shape, np.float32))


@pytest.mark.parametrize("count", [5, 6, 20])
def test_scores_are_means_over_the_records(count, validation_data):
    """A silenced toy scores as zero filling does; 5 of 6 records in batches of 4, all 6, and no more than there are."""
    experiment = toy_data.toy_experiment("none", validation_data, train={"validation_records": count})
    validator, models = make_validator(experiment)
    silence(models)
    found = validator()
    settings = experiment.data
    records = dataset(
        validation_data, batch_size=1, seed=experiment.seed, undersample=settings.undersample, mask_seed=0, shuffle=True
    )
    expected = []
    for batch in list(records.as_numpy_iterator())[:count]:
        image = np.fft.fftshift(
            np.fft.ifft2(np.fft.ifftshift(batch["kspace"], axes=(-2, -1)), norm="ortho"), axes=(-2, -1)
        )
        image = np.abs(np.sum(np.conj(batch["maps"]) * image, axis=1))
        expected += score_volume(get_convention("slice"), image, np.abs(batch["reference"])).units
    for name, value in found.scores.items():
        np.testing.assert_allclose(value, np.mean([scores[name] for scores in expected]), rtol=1e-4)
    assert set(found.scores) == {"psnr", "ssim", "nmse"}


def test_a_method_for_fully_sampled_data_is_validated_on_them(validation_data, monkeypatch):
    """The silenced toy then gives back references but for noise, not what undersampled measurements show."""
    found = []
    for alone in (False, True):
        monkeypatch.setattr(toy_method.Toy, "fully_sampled", alone)
        validator, models = make_validator(toy_data.toy_experiment("none", validation_data))
        silence(models)
        found.append(validator().scores["psnr"])
    assert found[0] < 30 and found[1] > 40


def test_all_records_count_whatever_their_sizes(tmp_path):
    """Batches hold one size: four of one and two of the other make more batches than six records would."""
    folder = toy_data.write_toy_dataset(tmp_path / "mixed", 6, shapes=((16, 14), (16, 14), (12, 18)))
    for count in (5, 20):
        settings = {"train": {"validation_records": count, "images": 20}, "data": {"batch_size": 8}}
        validator, _ = make_validator(toy_data.toy_experiment("none", folder, **settings))
        assert len({name for name, _ in validator().panels}) == min(count, 6)


def test_every_call_is_the_same_until_the_weights_change(validation_data):
    experiment = toy_data.toy_experiment("none", validation_data, reconstruct={"noise": 0.3})
    validator, models = make_validator(experiment)
    first, second = validator(), validator()
    assert first.scores == second.scores
    models["denoiser"].get_layer("outer").bias.assign([0.5, 0.0])
    assert validator().scores["psnr"] != first.scores["psnr"], "the weights of now are used"


def test_panels_show_reference_zero_filled_and_reconstruction(validation_data):
    experiment = toy_data.toy_experiment("none", validation_data, train={"images": 3})
    validator, models = make_validator(experiment)
    silence(models)
    panels = validator().panels
    assert len(panels) == 3 and len({name for name, _ in panels}) == 3
    for name, image in panels:
        assert name.startswith("volume-") and image.dtype == np.uint8 and image.shape == (16, 3 * 14)
        reference, zero_filled, reconstruction = np.split(image, 3, axis=1)
        assert reference.max() == 255
        np.testing.assert_array_equal(zero_filled, reconstruction)
        assert np.abs(reference.astype(int) - zero_filled).mean() > 1


@pytest.mark.parametrize("images", [0, 2])
def test_without_reference_the_objective_counts(images, tmp_path):
    data = toy_data.write_toy_dataset(tmp_path / "data", 6, reference=False)
    experiment = toy_data.toy_experiment("none", data, objective={"supervised": False}, train={"images": images})
    validator, _ = make_validator(experiment)
    found = validator()
    assert set(found.scores) == {"loss"} and found.scores["loss"] > 0 and found.criterion == -found.scores["loss"]
    assert found.scores == validator().scores
    assert [image.shape for _, image in found.panels] == [(16, 2 * 14)] * images


def test_what_is_best():
    assert criterion({"psnr": 30.0, "ssim": 0.1}) == 30.0 and criterion({"loss": 2.0}) == -2.0
    assert Validation({"psnr": 1.0}, []).criterion == 1.0


def test_a_missing_dataset_is_told(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        make_validator(toy_data.toy_experiment("none", tmp_path / "nowhere"))
