"""The training loss against its transcription, and on what an image's loss depends."""

import dataclasses

import improved_ddpm_numpy as reference
import numpy as np
import pytest
from autodiff import gradients
from ddpm_cases import FIXED, STEPS, batch_of, make_method, talking, tiny
from keras import ops
from score_cases import Network, models_of, perturbed
from ssdiffrecon_cases import one_of

from tfrecon.methods.ddpm.losses import prior_losses
from tfrecon.methods.ddpm.objective import DDPMObjective
from tfrecon.methods.ddpm.prior import DDPMPrior
from tfrecon.physics.phase import low_resolution_phase
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

UNIT = {"chain": {"steps": STEPS, "noise_variance": 2.0}}
"""Noise of variance one in each channel, as published."""

PLAIN = {"scale_jitter": 0.0, "weighting": "noise"}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def losses_of(method, batch, models, step=0, training=True):
    losses, logs = method.loss(models, batch, rng.make_seeds(0, step, len(batch["reference"])), training)
    return numpy(losses), {name: numpy(value) for name, value in logs.items()}


def normalised_images(batch):
    phase = low_resolution_phase(batch["maps"], batch["kspace"], batch["mask"])
    return batch["reference"] * np.conj(numpy(phase))


@pytest.mark.parametrize("loss", ["hybrid", "vlb"])
def test_the_loss_equals_its_transcription(loss):
    method, batch, network = make_method({"loss": loss, **PLAIN}, output="eps", **UNIT), batch_of(4), talking()
    losses, logs = losses_of(method, batch, models_of(network))
    assert losses.dtype == np.float32 and set(logs) == {"t", "unweighted", "simple", "bound"}
    noise = numpy(method.model.path.noise(rng.for_purpose(rng.make_seeds(0, 0, 4), "noise"), (4, 15, 17)))
    chain, (call,) = reference.Chain(reference.cosine_betas(STEPS)), network.calls
    for i, image in enumerate(normalised_images(batch)):
        t = int(logs["t"][i])
        image, own = (np.stack([part.real, part.imag], -1).astype(float) for part in (image, noise[i]))
        state = np.sqrt(chain.kept[t]) * image + np.sqrt(1 - chain.kept[t]) * own
        np.testing.assert_allclose(call["image"][i], state, atol=1e-5)
        assert call["time"][i] == pytest.approx(999 * t / (STEPS - 1), rel=1e-5)
        label = call["time"][i] / 1000
        said, variance = 0.8 * state + 0.1 * label, np.tanh(state) - label
        total, simple, bound = reference.hybrid_loss(chain, image, own, state, said, variance, t)
        np.testing.assert_allclose(logs["simple"][i], simple, rtol=1e-3)
        np.testing.assert_allclose(logs["bound"][i], bound, rtol=1e-2, atol=1e-4)
        np.testing.assert_allclose(losses[i], total if loss == "hybrid" else STEPS * bound, rtol=1e-2, atol=1e-3)
    np.testing.assert_array_equal(losses, logs["unweighted"])


def test_images_are_turned_by_a_random_phase_where_they_have_their_own():
    batch = batch_of(6, shape=(24, 24))
    states = {}
    for phase in ("random", "normalised"):
        network = talking()
        method = make_method({"scale_jitter": 0.0}, phase=phase, chain={"schedule": "linear", "beta_end": 1e-4})
        losses_of(method, batch, models_of(network))
        states[phase] = network.calls[0]["image"][..., 0] + 1j * network.calls[0]["image"][..., 1]
    own = [np.vdot(image, state) for image, state in zip(batch["reference"], states["random"], strict=True)]
    assert np.std(np.angle(own)) > 0.5
    without = states["normalised"]
    assert np.linalg.norm(without.imag) < 0.4 * np.linalg.norm(without.real)
    error = np.linalg.norm(without - normalised_images(batch)) / np.linalg.norm(without)
    assert error < 0.3  # the noise of the chain's few steps


def test_images_are_scaled_up_and_down():
    batch, network = batch_of(30, shape=(12, 12)), talking()
    losses_of(
        make_method({"scale_jitter": 0.3}, chain={"schedule": "const", "beta_end": 1e-4}), batch, models_of(network)
    )
    factors = np.sqrt(np.sum(network.calls[0]["image"] ** 2, axis=(1, 2, 3)))
    factors = factors / np.linalg.norm(batch["reference"], axis=(1, 2))
    assert 0.65 < factors.min() < 0.85 and 1.15 < factors.max() < 1.4


def test_measured_images_are_the_coils_combined():
    batch = batch_of(2, rate=2.0)
    wanted, _ = losses_of(make_method(PLAIN), batch, models_of(talking()))
    batch["reference"] = 0 * batch["reference"]
    method = make_method({**PLAIN, "images": "measured"})
    assert method.fields() == () and make_method().fields() == ("reference",)
    assert method.training_images().size_of == "kspace"
    found, _ = losses_of(method, batch, models_of(talking()))
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_padded_images_have_the_loss_of_what_is_valid():
    """With a network that works on pixels; images and masks come from the data pipeline then."""
    batch, method = batch_of(2), make_method({"scale_jitter": 0.0}, heteroscedastic=True)
    image, valid = numpy(method.training_images().make(batch)), np.zeros((2, 20, 20), np.float32)
    padded = np.zeros((2, 20, 20), np.complex64)
    padded[:, 3:18, 1:18], valid[:, 3:18, 1:18] = image, 1
    seeds, path = rng.make_seeds(0, 0, 2), method.model.path
    noise = numpy(path.noise(rng.for_purpose(seeds, "noise"), (2, 20, 20)))
    losses, logs = losses_of(method, {"image": padded, "valid": valid, "reference": padded}, models_of(talking(0.1)))
    prior, t = DDPMPrior(talking(0.1), method.model, path), logs["t"].astype("int32")
    expected, _ = prior_losses(prior, method.objective, image, t, noise[:, 3:18, 1:18])
    np.testing.assert_allclose(losses, numpy(expected), rtol=1e-4)


def test_what_a_network_says_of_its_errors_is_judged_by_their_likelihood():
    method, batch = make_method({"scale_jitter": 0.0}, output="x0", heteroscedastic=True), batch_of(3)
    models = models_of(talking(0.4))
    losses, logs = losses_of(method, batch, models)
    (call,) = models["network"].calls
    path, t = method.model.path, logs["t"].astype(int)
    alpha, sigma = path.alphas[t], path.sigmas[t]
    variance = np.exp(0.4) * sigma**2 * 0.125 / (alpha**2 * 0.125 + sigma**2)
    estimate = 0.8 * call["image"] + 0.1 * call["time"][:, None, None, None] / 1000
    error = abs(normalised_images(batch) - (estimate[..., 0] + 1j * estimate[..., 1])) ** 2
    expected = np.mean(error, axis=(1, 2)) / variance + np.log(variance)
    np.testing.assert_allclose(logs["spread"], expected, rtol=1e-3)
    plain, _ = losses_of(make_method({"scale_jitter": 0.0}, output="x0"), batch, models_of(talking()))
    np.testing.assert_allclose(losses, plain + 0.01 * logs["spread"], rtol=1e-4)


def test_it_teaches_the_estimate_nothing():
    batch = batch_of(2)
    image, shape = normalised_images(batch).astype("complex64"), (2, 15, 17)
    t, noise = np.int32([5, 40]), np.asarray(numpy(tiny().path.noise(rng.make_seed(0), shape)))
    said, share, spread = (0.1 * np.random.default_rng(i).normal(size=(*shape, n)) for i, n in enumerate((2, 2, 1)))

    def total(heteroscedastic):
        model = tiny(heteroscedastic=heteroscedastic)

        def loss(*parts):
            used = parts if heteroscedastic else parts[:2]
            network = Network(lambda inputs: ops.concatenate(used, axis=-1))
            prior = DDPMPrior(network, model, model.path)
            return ops.sum(prior_losses(prior, DDPMObjective(), image, t, noise)[0]) + 0 * ops.sum(parts[2])

        return gradients(loss, said, share, spread)

    without, alike = total(False), total(True)
    for ours, theirs in zip(without[:2], alike[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9)
    assert not without[2].any() and abs(alike[2]).min() > 0


def test_times_are_drawn_as_often_as_their_losses_were_large():
    objective = {**PLAIN, "schedule_sampler": "loss-second-moment"}
    method, batch = make_method(objective), batch_of(40, coils=1, shape=(6, 6))
    models = {**models_of(talking()), "history": method.build(0)["history"]}
    losses, logs = losses_of(method, batch, models)
    np.testing.assert_allclose(losses, logs["unweighted"], rtol=1e-6)  # nothing has been seen
    chances = np.where(np.arange(STEPS) == 7, 9.0, 0.1)
    models["history"].seen.assign(np.tile(chances[:, None], (1, 10)))
    models["history"].counts.assign(np.full(STEPS, 10))
    losses, logs = losses_of(method, batch, models)
    assert (logs["t"] == 7).sum() > 12
    drawn = numpy(models["history"](logs["t"].astype("int32")))
    np.testing.assert_allclose(losses, logs["unweighted"] / (STEPS * drawn), rtol=1e-5)
    (losses_after, value), (counts, count) = method.updates(models, logs)
    assert losses_after is models["history"].seen and counts is models["history"].counts
    assert numpy(count).sum() == 10 * STEPS + 40 and numpy(value)[7].max() < 9.0
    assert make_method().updates({"network": None}, logs) == []


SIMPLE = pytest.param({"loss": "simple"}, {**FIXED, "phase": "random"}, marks=pytest.mark.slow)


@pytest.mark.parametrize("objective, model", [({}, {}), SIMPLE])
def test_a_loss_is_a_function_of_its_own_image_and_seed(objective, model):
    model = {**model, "network": {**model.get("network", {}), "dropout": 0.2}}
    method, batch = make_method(objective, **model), batch_of(3, shape=(12, 12))
    models = perturbed(method.build(0))
    losses, logs = losses_of(method, batch, models)
    assert np.isfinite(losses).all() and len(set(losses)) == 3
    assert abs(losses_of(method, batch, models, training=False)[0] - losses).max() > 1e-6  # dropout
    alone, own = method.loss(models, one_of(batch, 1), rng.make_seeds(0, 0, 3)[1:2], True)
    np.testing.assert_allclose(numpy(alone), losses[1:2], rtol=1e-3)
    assert numpy(own["t"])[0] == logs["t"][1]


def test_loss_and_network_go_together():
    with pytest.raises(InputError, match="teaches no variance, but the network has one"):
        make_method({"loss": "simple"})
    with pytest.raises(InputError, match="'vlb' teaches a variance, but the network has none"):
        make_method({"loss": "vlb"}, **FIXED)
    with pytest.raises(InputError, match="the chain has one"):
        tiny(chain={"steps": 1})
    series = {"kspace": np.zeros((1, 2, 1, 8, 8), "complex64"), "reference": np.zeros((1, 2, 8, 8), "complex64")}
    with pytest.raises(InputError, match="ddpm trains on slices"):
        make_method().loss(models_of(talking()), series, rng.make_seeds(0, 0, 1), True)
    for wrong in ({"spread_weight": 0.0}, {"scale_jitter": 1.0}, {"vlb_weight": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            dataclasses.replace(DDPMObjective(), **wrong)
