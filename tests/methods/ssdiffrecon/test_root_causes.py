"""Why the published training can end in NaN, cause by cause: each fails there and passes here."""

import dataclasses

import numpy as np
import pytest
import sense_numpy
import ssdu_numpy
import tensorflow as tf
from ssdiffrecon_cases import Networks, make_batch, tiny

from tfrecon.methods.base import get_method
from tfrecon.methods.ssdiffrecon import presets
from tfrecon.methods.ssdiffrecon.method import SSDiffRecon
from tfrecon.methods.ssdiffrecon.objective import HoldOut, SSDiffReconObjective
from tfrecon.nets.attention import rms_normalize
from tfrecon.physics.fourier import ifft2c
from tfrecon.physics.partition import hermitian_partner
from tfrecon.physics.scale import measurement_scale, normalise
from tfrecon.typing import Measurement
from tfrecon.util import rng

REDUCED = {"channels": 8, "cascades": 6, "token_width": 16, "tokens": 4}


def step(method, batch, models=None, seed=0):
    """Loss of each example, the gradients of their mean, and their global norm."""
    models = models or method.build(seed)
    seeds = rng.make_seeds(seed, 0, len(batch["mask"]))
    variables = [variable.value for model in models.values() for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        losses, _ = method.loss(models, batch, seeds, True)
        total = tf.reduce_mean(losses)
    gradients = [g for g in tape.gradient(total, variables) if g is not None]
    return losses.numpy(), gradients, float(tf.linalg.global_norm(gradients))


def zero_filled_loss(batch, objective):
    """The mean loss if the network gave back the zero-filled image of its input."""
    models = Networks(lambda inputs: ifft2c(inputs["kspace"])[:, 0])
    return float(np.mean(SSDiffRecon(tiny(), objective).loss(models, batch, rng.make_seeds(0, 0, 2), True)[0]))


def cases():
    batch = make_batch(2, 3)
    zero, calibration = np.zeros_like(batch["kspace"]), np.zeros_like(batch["mask"])
    calibration[:, :, 6:9, 7:10] = 1
    return {
        "zero image": {**batch, "kspace": zero},
        "empty held-out set": {**batch, "mask": calibration, "kspace": batch["kspace"] * calibration},
        "nothing measured": {**batch, "mask": np.zeros_like(batch["mask"]), "kspace": zero},
        "tiny": {**batch, "kspace": batch["kspace"] * np.float32(1e-20)},
        "equal spectra": {**batch, "kspace": np.ones_like(batch["kspace"]) * batch["mask"].astype("complex64")},
        "no sensitivity anywhere": {**batch, "maps": np.zeros_like(batch["maps"])},
    }


@pytest.mark.parametrize("distance", ["l1", "l1_l2"])
@pytest.mark.parametrize("case", cases())
def test_loss_and_gradients_are_finite(case, distance):
    """The magnitude at zero: nearly all of the published loss's terms are."""
    method = get_method("ssdiffrecon", tiny(zero_init=False), SSDiffReconObjective(distance=distance))
    losses, gradients, norm = step(method, cases()[case])
    assert np.isfinite(losses).all() and np.isfinite(norm) and len(gradients) > 10
    if case in ("empty held-out set", "nothing measured"):
        assert not losses.any() and norm == 0
    naive, derivative = ssdu_numpy.naive_l1(np.zeros(2, complex))
    assert not naive.any() and np.isnan(derivative).all()


@pytest.mark.parametrize("loss", ["k_weighted", "multi_mask", "robust", "supervised"])
def test_the_other_losses_are_finite_too(loss):
    partition = HoldOut(splits=2) if loss == "multi_mask" else HoldOut()
    model = tiny(zero_init=False, consistency="proximal" if loss == "robust" else "hard")
    method = get_method("ssdiffrecon", model, SSDiffReconObjective(loss, partition=partition))
    models = method.build(0)
    for case, batch in cases().items():
        losses, _, norm = step(method, batch, models)
        assert np.isfinite(losses).all() and np.isfinite(norm), case


def test_training_starts_at_the_scale_of_the_data():
    """Published: outputs of 5 to 34 for data of 1, so that the first gradients are hundreds of times too long."""
    batch = make_batch(2, 1, (16, 16))
    del batch["maps"]
    published = presets.faithful().model
    wild = dataclasses.replace(published, **REDUCED, canvas=16)
    cured = dataclasses.replace(presets.fixed().model, **REDUCED)
    objective = presets.fixed().objective
    found = {name: step(SSDiffRecon(model, objective), batch) for name, model in (("wild", wild), ("cured", cured))}
    zero_filled = zero_filled_loss(batch, objective)
    assert found["cured"][0].mean() == pytest.approx(zero_filled, rel=1e-3)
    assert found["wild"][0].mean() > 5 * zero_filled
    assert found["cured"][2] < 0.1 * found["wild"][2]


def test_the_input_keeps_its_mean():
    """Published: DC is held out as often as any sample (here 30 %), and with it all that the image is above 0."""
    batch = {name: np.repeat(array, 30, axis=0) for name, array in make_batch(1, 1, (12, 12), rate=0.3).items()}
    seeds = rng.make_seeds(0, 0, 30)
    lost = {}
    for acs in (0, 4):
        models = Networks()
        get_method("ssdiffrecon", tiny(), SSDiffReconObjective(partition=HoldOut(ratio=0.3, acs=acs))).loss(
            models, batch, seeds, True
        )
        kept = sense_numpy.ifft2c(models.calls[0]["kspace"])[:, 0].mean((1, 2))
        lost[acs] = np.mean(abs(kept) < 1e-6)
    assert lost[4] == 0 and 0.1 < lost[0] < 0.6


def test_vanishing_features_are_not_blown_up():
    """Published: a gain, and a gradient, of up to 1e4 in each of twelve layers in a row."""
    x = tf.constant(np.full((1, 1, 8), 1e-9, "float32"))
    gains = {}
    for name, preset in (("published", presets.faithful()), ("ours", presets.fixed())):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = rms_normalize(x, preset.model.epsilon)
        gains[name] = float(tf.reduce_max(tape.jacobian(y, x)))
    assert gains["published"] > 9e3 and gains["ours"] <= 1.01e3


def test_masks_with_other_values_than_one_keep_their_count():
    """Published: the count is the sum of the mask, so a mask of twos asks for more samples than there are."""
    batch = make_batch(1, 1)
    doubled = 2 * batch["mask"]
    wanted = int(0.95 * doubled.sum())
    assert wanted > np.count_nonzero(doubled)
    method, models = get_method("ssdiffrecon", tiny()), Networks()
    method.loss(models, {**batch, "mask": doubled}, rng.make_seeds(0, 0, 1), True)
    theta = models.calls[0]["mask"]
    assert set(np.unique(theta)) == {0, 1}
    eligible = batch["mask"].sum() - batch["mask"][:, :, 5:9, 6:10].sum()
    assert batch["mask"].sum() - theta.sum() == np.round(0.05 * eligible)


def test_an_all_zero_slice_survives_its_scale():
    """Published: a slice is divided by its maximum."""
    kspace, mask = np.zeros((1, 1, 8, 8), "complex64"), np.ones((1, 1, 8, 8), "float32")
    with np.errstate(invalid="ignore"):
        assert np.isnan(kspace / abs(kspace).max()).all()
    measurement = normalise(Measurement(kspace, mask), measurement_scale(kspace, mask))
    batch = {"kspace": measurement.kspace, "mask": mask}
    losses, _, norm = step(get_method("ssdiffrecon", tiny()), batch)
    assert losses == 0 and np.isfinite(norm)


def test_conjugate_symmetric_data_give_held_out_samples_away_unless_partners_are_excluded():
    """A magnitude image: the partner of most held-out samples is in the input."""
    batch = make_batch(1, 1, (31, 33), rate=0.6)
    leaks = {}
    for exclude in (False, True):
        models = Networks()
        partition = HoldOut(ratio=0.2, exclude_hermitian=exclude)
        method = get_method("ssdiffrecon", tiny(), SSDiffReconObjective(partition=partition))
        method.loss(models, batch, rng.make_seeds(0, 0, 1), True)
        theta = models.calls[0]["mask"]
        held = batch["mask"] - theta
        leaks[exclude] = (held * hermitian_partner(theta).numpy()).sum() / held.sum()
    assert leaks[False] > 0.3 and leaks[True] == 0
