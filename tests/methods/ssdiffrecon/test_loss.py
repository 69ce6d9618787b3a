"""SSDiffRecon's training loss: what the networks see, what they are judged on, and on what it depends."""

import dataclasses

import numpy as np
import pytest
import sense_numpy
import ssdu_numpy
from keras import ops
from ssdiffrecon_cases import Networks, make_batch, one_of, tiny

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.methods.base import get_method, method_names
from tfrecon.methods.ssdiffrecon.objective import HoldOut, SSDiffReconObjective
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

LOSSES = {
    "ssdu": {},
    "k_weighted": {"partition": HoldOut(ratio=0.3, selection="gaussian")},
    "multi_mask": {"partition": HoldOut(ratio=0.2, splits=3, disjoint=True)},
    "robust": {"distance": "l2"},
    "supervised": {},
}


def make_method(loss="ssdu", model=None, **objective):
    if model is None:
        model = tiny(consistency="proximal" if loss == "robust" else "hard")
    return get_method("ssdiffrecon", model, SSDiffReconObjective(loss, **{**LOSSES[loss], **objective}))


def seeds_of(count, step=0):
    return rng.make_seeds(0, step, count, purpose="loss")


def losses_of(method, batch, models=None, step=0):
    losses, logs = method.loss(models or Networks(), batch, seeds_of(len(batch["mask"]), step), True)
    return ops.convert_to_numpy(losses), {name: ops.convert_to_numpy(value) for name, value in logs.items()}


def seen_by(method, batch, step=0):
    models = Networks()
    losses_of(method, batch, models, step)
    (call,) = models.calls
    return call


def test_the_method_is_known():
    assert "ssdiffrecon" in method_names()
    method = get_method("ssdiffrecon")
    assert method.objective == SSDiffReconObjective() and method.fields() == ()
    assert make_method("supervised").fields() == ("reference",)
    assert make_method("robust").fields() == ("noise_std",)


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("loss", ["ssdu", "k_weighted", "multi_mask"])
def test_held_out_values_cannot_change_the_input(loss, coils):
    method, batch = make_method(loss), make_batch(coils=coils)
    first = seen_by(method, batch)
    theta = first["mask"]
    copies = len(theta) // 2
    omega = np.tile(batch["mask"], (copies, 1, 1, 1))
    assert (theta <= omega).all() and (theta.sum((1, 2, 3)) < omega.sum((1, 2, 3))).all()
    outside = np.all(theta.reshape(copies, *batch["mask"].shape) == 0, axis=0)
    dirty = {**batch, "kspace": batch["kspace"] + 1e3 * outside.astype("complex64")}
    assert (
        copies > 1
        or (dirty["kspace"] != batch["kspace"])[np.broadcast_to(batch["mask"] > 0, dirty["kspace"].shape)].any()
    )
    second = seen_by(method, dirty)
    assert set(first) == {"image", "kspace", "mask", "maps", "tokens"}
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    assert losses_of(method, dirty)[0].max() > losses_of(method, batch)[0].max() or copies > 1


def test_data_that_are_reprojected_from_the_combined_image_do_leak():
    """As published for many coils; with one coil there is nothing to leak from."""
    for coils, leaks in ((3, True), (1, False)):
        noiseless = ChainSettings(noise_variance=1e-12)
        method, batch = make_method(data="reprojected", chain=noiseless), make_batch(coils=coils)
        first = seen_by(method, batch)
        dirty = {**batch, "kspace": batch["kspace"] * (1 + (first["mask"] == 0))}
        difference = seen_by(method, dirty)["image"] - first["image"]
        change = np.linalg.norm(difference) / np.linalg.norm(first["image"])
        assert change > 1e-3 if leaks else change < 1e-5


@pytest.mark.parametrize("coils", [1, 3])
def test_the_state_is_the_noised_zero_filled_image_of_the_measured_samples(coils):
    batch = make_batch(coils=coils)
    method = make_method(chain=ChainSettings(noise_variance=1e-12))
    seen, times = seen_by(method, batch), losses_of(method, batch)[1]["t"]
    path = DiscretePath.from_settings(ChainSettings())
    for i in range(2):
        image = sense_numpy.adjoint(batch["kspace"][i], batch["maps"][i][None], seen["mask"][i])[0]
        expected = path.alphas[int(times[i])] * image
        np.testing.assert_allclose(seen["image"][i], expected, atol=2e-5)
        np.testing.assert_array_equal(seen["kspace"][i], batch["kspace"][i] * seen["mask"][i])
    noisy = seen_by(make_method(), batch)["image"]
    added = (noisy - seen["image"]) / path.sigmas[times.astype(int)][:, None, None]
    assert np.mean(abs(added) ** 2) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("distance", ["l1", "l2", "l1_l2"])
@pytest.mark.parametrize("lines", [False, True])
def test_the_loss_is_taken_on_the_measured_samples_that_were_held_out(distance, lines):
    batch = make_batch(lines=lines)
    method, models = make_method(distance=distance), Networks(lambda inputs: 0.7 * inputs["image"])
    losses, _ = losses_of(method, batch, models)
    theta, image = models.calls[0]["mask"], 0.7 * models.calls[0]["image"]
    for i in range(2):
        held = batch["mask"][i] - theta[i]
        predicted = sense_numpy.fft2c(batch["maps"][i] * image[i])
        expected = ssdu_numpy.sample_loss(predicted, batch["kspace"][i], held, distance)
        assert losses[i] == pytest.approx(expected, rel=1e-4)


def test_the_published_loss():
    """Average over all positions, unnormalised transform, target re-projected from the combined image."""
    batch = make_batch()
    method = make_method(average="all", data="reprojected", partition=HoldOut(acs=0))
    models = Networks(lambda inputs: 0.7 * inputs["image"])
    losses, _ = losses_of(method, batch, models)
    for i in range(2):
        combined = sense_numpy.adjoint(batch["kspace"][i], batch["maps"][i][None], batch["mask"][i])[0]
        held = batch["mask"][i] - models.calls[0]["mask"][i]
        image = 0.7 * models.calls[0]["image"][i]
        expected = ssdu_numpy.published_loss(image, combined, batch["maps"][i], held)
        assert losses[i] == pytest.approx(expected, rel=1e-4)
        # The published count of one example, to a sample: n - trunc(0.95 n) are held out.
        count = batch["mask"][i].sum()
        assert abs(held.sum() - (count - int(0.95 * count))) <= 1


def test_the_published_split_may_hold_out_the_centre_and_ours_never_does():
    batch = {name: np.repeat(array, 24, axis=0) for name, array in make_batch(1, 1, (8, 8), rate=0.2).items()}
    random = np.random.default_rng(0)
    published = [ssdu_numpy.published_split(batch["mask"][0], random)[0][0, 4, 4] for _ in range(200)]
    assert 0.85 < np.mean(published) < 1
    unprotected = seen_by(make_method(partition=HoldOut(ratio=0.3, acs=0)), batch)["mask"]
    assert unprotected[:, 0, 4, 4].mean() < 1
    assert seen_by(make_method(partition=HoldOut(ratio=0.3)), batch)["mask"][:, 0, 2:6, 2:6].all()


def test_the_true_image_has_no_loss_with_measured_data_but_has_with_reprojected():
    batch = make_batch()
    models = Networks(lambda _: ops.convert_to_tensor(batch["reference"]))
    assert losses_of(make_method(), batch, models)[0].max() < 1e-5
    assert losses_of(make_method(data="reprojected"), batch, models)[0].min() > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_an_example_does_not_depend_on_its_batch(loss):
    batch = make_batch(4, noise=0.1)
    method, seeds = make_method(loss), seeds_of(4)
    losses, logs = method.loss(Networks(), batch, seeds, True)
    losses, times = ops.convert_to_numpy(losses), ops.convert_to_numpy(logs["t"])
    assert losses.shape == times.shape == (4,) and losses.dtype == np.float32
    assert np.isfinite(losses).all() and len(set(losses)) == 4
    alone, own = method.loss(Networks(), one_of(batch, 2), seeds[2:3], True)
    np.testing.assert_allclose(ops.convert_to_numpy(alone), losses[2:3], rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(own["t"]), times[2:3])


def test_the_loss_is_a_function_of_the_seeds():
    method, batch = make_method(), make_batch()
    first, again, other = (losses_of(method, batch, step=step) for step in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).all() and (first[1]["t"] != other[1]["t"]).all()


def test_times_are_uniform_over_the_chain():
    method = make_method(chain=ChainSettings(steps=4))
    times = ops.convert_to_numpy(method._times(seeds_of(120)))
    counts = np.bincount(times, minlength=4)
    assert len(counts) == 4 and abs(counts - 30).max() < 4.5 * np.sqrt(30 * 0.75)


def test_the_mapper_is_told_the_trained_time():
    method, batch, models = make_method(), make_batch(), Networks()
    _, logs = losses_of(method, batch, models)
    inputs, training = models.times[0]
    assert training is True and set(inputs) == {"time"}
    np.testing.assert_array_equal(ops.convert_to_numpy(inputs["time"]), logs["t"])


def test_many_masks_are_the_mean_over_their_splits():
    batch = make_batch()
    method, models = make_method("multi_mask"), Networks()
    losses, logs = losses_of(method, batch, models)
    theta = models.calls[0]["mask"].reshape(3, 2, *batch["mask"].shape[1:])
    held = batch["mask"] - theta
    assert held.sum(0).max() == 1  # disjoint
    np.testing.assert_array_equal(ops.convert_to_numpy(models.times[0][0]["time"]), np.tile(logs["t"], 3))
    images = models.calls[0]["image"].reshape(3, 2, 15, 17)
    for i in range(2):
        own = [
            ssdu_numpy.sample_loss(sense_numpy.fft2c(batch["maps"][i] * images[k, i]), batch["kspace"][i], held[k, i])
            for k in range(3)
        ]
        assert losses[i] == pytest.approx(np.mean(own), rel=1e-4)
    assert abs(images[0] - images[1]).max() > 0.01  # noise of their own


def test_robust_adds_noise_to_the_input_alone_and_judges_all_samples():
    batch = make_batch(noise=0.3)
    method, models = make_method("robust", alpha=0.5), Networks(lambda _: ops.convert_to_tensor(batch["reference"]))
    losses, _ = losses_of(method, batch, models)
    theta = models.calls[0]["mask"]
    extra = (models.calls[0]["kspace"] - batch["kspace"] * theta)[np.broadcast_to(theta > 0, batch["kspace"].shape)]
    assert np.std(extra) == pytest.approx(0.15, rel=0.15)
    assert not models.calls[0]["kspace"][np.broadcast_to(theta == 0, batch["kspace"].shape)].any()
    # With the true image the error of each sample is the noise that was measured.
    np.testing.assert_allclose(losses, 0.09, rtol=0.4)
    still = losses_of(method, {**batch, "noise_std": np.zeros(2, "float32")}, models)[0]
    np.testing.assert_allclose(still, losses, rtol=1e-5)


def test_supervised_sees_all_samples_and_is_compared_with_the_reference():
    batch = make_batch()
    models = Networks(lambda _: ops.convert_to_tensor(batch["reference"] * np.complex64(1j)))
    losses, _ = losses_of(make_method("supervised"), batch, models)
    np.testing.assert_allclose(losses, np.sqrt(2) * abs(batch["reference"]).mean((1, 2)), rtol=1e-4)
    np.testing.assert_array_equal(models.calls[0]["mask"], batch["mask"])
    assert losses_of(make_method("supervised", magnitude=True), batch, models)[0].max() < 1e-6


def test_a_line_mask_is_as_good_as_the_same_mask_in_full():
    batch = make_batch(lines=True)
    full = {**batch, "mask": np.repeat(batch["mask"], 15, axis=2)}
    by_line = HoldOut(by="line", ratio=0.3)
    for objective in ({}, {"partition": by_line}):
        one, other = (losses_of(make_method(**objective), given)[0] for given in (batch, full))
        np.testing.assert_allclose(one, other, rtol=1e-5)
    theta = seen_by(make_method(partition=by_line), batch)["mask"]
    assert theta.shape == batch["mask"].shape


def test_one_coil_needs_no_maps():
    batch = make_batch(coils=1)
    losses, _ = losses_of(make_method(), batch)
    del batch["maps"]
    np.testing.assert_allclose(losses_of(make_method(), batch)[0], losses, rtol=1e-5)


def test_shifted_values():
    """As published for one coil: the networks see 2 u - 1 - i, and twice the error."""
    batch = make_batch(1, 1, rate=2.0)
    method, models = make_method(values="shifted", chain=ChainSettings(noise_variance=1e-12)), Networks()
    losses_of(method, batch, models)
    seen, alpha = models.calls[0], DiscretePath.from_settings(ChainSettings()).alphas
    t = int(ops.convert_to_numpy(models.times[0][0]["time"])[0])
    theta = seen["mask"][0]
    image = 2 * batch["reference"][0] - 1 - 1j
    expected = alpha[t] * sense_numpy.ifft2c(theta * sense_numpy.fft2c(image[None]))[0]
    np.testing.assert_allclose(seen["image"][0], expected, atol=2e-5)
    truth = Networks(lambda _: ops.convert_to_tensor(image[None].astype("complex64")))
    assert losses_of(method, batch, truth)[0].max() < 1e-5
    supervised = make_method("supervised", values="shifted")
    assert losses_of(supervised, batch, truth)[0].max() < 1e-6


@pytest.mark.parametrize("factor", [0.5, 7.0])
def test_masks_that_are_not_binary_count_as_sampled_where_they_are_not_zero(factor):
    batch = make_batch()
    expected = losses_of(make_method(), batch)[0]
    np.testing.assert_array_equal(losses_of(make_method(), {**batch, "mask": factor * batch["mask"]})[0], expected)
    np.testing.assert_array_equal(losses_of(make_method(), {**batch, "mask": batch["mask"] > 0})[0], expected)


def test_labels():
    method, batch = make_method(model=tiny(label_width=3)), make_batch()
    models = Networks()
    losses_of(method, {**batch, "label": np.eye(3)[:2].astype("float32")}, models)
    np.testing.assert_array_equal(ops.convert_to_numpy(models.times[0][0]["label"]), np.eye(3)[:2])
    losses_of(method, batch, models)
    np.testing.assert_array_equal(ops.convert_to_numpy(models.times[1][0]["label"]), np.zeros((2, 3)))
    losses_of(make_method(), {**batch, "label": np.eye(3)[:2]}, models)  # a model without labels
    assert "label" not in models.times[2][0]
    for wrong in (np.zeros((2, 5)), np.zeros(2)):
        with pytest.raises(InputError, match=r"labels are .* but the model takes \[batch, 3\]"):
            losses_of(method, {**batch, "label": wrong})


def test_dropout_has_seeds_of_its_own_while_training_only():
    method, batch = make_method(model=tiny(dropout=0.1)), make_batch()
    for training, has in ((True, True), (False, False)):
        models = Networks()
        method.loss(models, batch, seeds_of(2), training)
        assert ("dropout_seed" in models.times[0][0]) == ("dropout_seed" in models.calls[0]) == has
    published = make_method(model=tiny(dropout=0.1, dropout_at_inference=True))
    models = Networks()
    published.loss(models, batch, seeds_of(2), False)
    assert "dropout_seed" in models.calls[0]


@pytest.mark.parametrize(
    "objective, message",
    [
        ({"loss": "multi_mask", "partition": HoldOut()}, "needs several splits"),
        ({"loss": "ssdu", "partition": HoldOut(splits=2)}, "takes one split"),
        ({"loss": "robust", "alpha": 0.0}, "alpha is 0"),
    ],
)
def test_wrong_objectives(objective, message):
    with pytest.raises(InputError, match=message):
        SSDiffReconObjective(**objective)


def test_wrong_batches():
    batch, method = make_batch(), make_method()
    with pytest.raises(InputError, match="no sensitivity maps"):
        losses_of(method, {name: value for name, value in batch.items() if name != "maps"})
    with pytest.raises(InputError, match="one set of maps"):
        losses_of(method, {**batch, "maps": batch["maps"][:, None]})
    with pytest.raises(InputError, match="trains on slices"):
        losses_of(method, {**batch, "kspace": batch["kspace"][:, None]})
    with pytest.raises(InputError, match="hard data consistency"):
        make_method("robust", tiny())


def test_the_default_share_survives_a_partial_configuration():
    assert SSDiffReconObjective().partition.ratio == 0.05
    assert dataclasses.replace(HoldOut(), selection="gaussian").ratio == 0.05
