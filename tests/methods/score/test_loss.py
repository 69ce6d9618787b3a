"""The training loss: what the network sees, what it is judged on, and on what an image's loss depends."""

import numpy as np
import pytest
import sense_numpy
from keras import ops
from score_cases import Network, make_method, models_of, perturbed
from ssdiffrecon_cases import make_batch, one_of

from tfrecon.diffusion.factory import make_path
from tfrecon.methods.score.objective import LowFrequencies
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

EPS = {"parameterization": {"output": "eps", "label": "std"}}
"""The network sees the state itself, is told sigma, and should say the noise."""

CASES = {
    "ve": ("ve", {}, {}),
    "vp": ("vp", {}, {}),
    "hfs": ("hfs", {}, {}),
    "patches": ("ve", {}, {"patch": 8}),
    "hfs patches": ("hfs", {"patches": 0}, {"patch": 8}),
    "magnitude": ("ve", {}, {"channels": "magnitude"}),
    "measured": ("vp", {"images": "measured"}, {}),
}


def batch_of(count=2, **settings):
    return make_batch(count, **{"coils": 1, "rate": 2.0, "lines": True, **settings})


def losses_of(method, batch, models, step=0, training=True):
    seeds = rng.make_seeds(0, step, len(batch["mask"]))
    losses, logs = method.loss(models, batch, seeds, training)
    return ops.convert_to_numpy(losses), ops.convert_to_numpy(logs["t"])


def seen_by(method, batch, **settings):
    """What a network was given, as complex images, at which noise, and the loss of saying there is none."""
    network = Network(lambda inputs: ops.zeros((*inputs["image"].shape[:3], method.model.image_channels)))
    losses, t = losses_of(method, batch, models_of(network), **settings)
    (call,) = network.calls
    image = call["image"]
    image = image[..., 0] + 1j * image[..., 1] if method.model.channels == "complex" else image[..., 0]
    return image, call, losses, t


def phase_between(first, second):
    return np.vdot(first, second) / abs(np.vdot(first, second))


def test_fields():
    assert make_method().fields() == ("reference",)
    assert make_method(objective={"images": "measured"}).fields() == ()


@pytest.mark.parametrize("kind", ["ve", "vp"])
def test_states_are_noised_references_turned_by_a_random_phase(kind):
    batch = batch_of(6, shape=(40, 40))
    method = make_method(kind, {"matching": {"log_mean": -4.0, "log_std": 0.5}}, **EPS)
    states, call, losses, t = seen_by(method, batch)
    path = make_path(method.model.path)
    sigma, alpha = np.asarray(path.sigma(t)), np.asarray(path.alpha(t))
    np.testing.assert_allclose(call["time"], sigma, rtol=1e-5)
    phases = [phase_between(x0, state) for x0, state in zip(batch["reference"], states, strict=True)]
    assert np.std(np.angle(phases)) > 0.5
    for i, phase in enumerate(phases):
        noise = (states[i] - alpha[i] * phase * batch["reference"][i]) / sigma[i]
        assert np.mean(abs(noise) ** 2) == pytest.approx(2, rel=0.1)
        # The loss of "eps" with EDM's weighting is that of the noise times a factor; here the network says zero.
        assert losses[i] > 0
    plain, *_ = seen_by(make_method(kind, {"random_phase": False}, **EPS), batch)
    assert np.isfinite(plain).all()


def test_the_phase_is_left_alone_if_asked():
    batch = batch_of(4, shape=(40, 40))
    objective = {"matching": {"log_mean": -5.0, "log_std": 0.1}, "random_phase": False}
    states, *_ = seen_by(make_method("ve", objective, **EPS), batch)
    np.testing.assert_allclose(
        [phase_between(a, b) for a, b in zip(batch["reference"], states, strict=True)], 1, atol=0.01
    )


def test_noise_of_weight_one_is_judged_by_its_energy():
    """Published weighting: the mean over channels of |n|², which is 1; "sum" is half the sum over both channels."""
    batch = batch_of(4, shape=(40, 40))
    for reduction, expected in (("mean", 1.0), ("sum", 1600.0)):
        matching = {"weighting": "noise", "times": "uniform", "reduction": reduction}
        _, _, losses, _ = seen_by(make_method("vp", {"matching": matching}, **EPS), batch)
        np.testing.assert_allclose(losses, expected, rtol=0.1)


def test_a_network_that_is_right_has_no_loss():
    """With a phase that is left alone, the network can know the image."""
    batch = batch_of()
    truth = np.stack([batch["reference"].real, batch["reference"].imag], axis=-1)
    method = make_method("vp", {"random_phase": False}, parameterization={"output": "x0"})
    losses, _ = losses_of(method, batch, models_of(Network(lambda _: ops.convert_to_tensor(truth))))
    np.testing.assert_allclose(losses, 0, atol=1e-10)


def test_magnitudes_are_real_images_with_real_noise():
    batch = batch_of(3, shape=(40, 40))
    method = make_method("ve", {"matching": {"log_mean": -4.0, "log_std": 0.3}}, channels="magnitude", **EPS)
    states, call, _, _ = seen_by(method, batch)
    assert call["image"].shape == (3, 40, 40, 1)
    for i in range(3):
        noise = (states[i] - abs(batch["reference"][i])) / call["time"][i]
        assert np.mean(noise**2) == pytest.approx(1, rel=0.1)


def test_patches_are_cut_from_noised_images_with_their_places():
    """Beyond the image there is nothing: no noise, and places outside of -1 to 1."""
    batch = batch_of(2, shape=(20, 24))
    objective = {"matching": {"log_mean": 2.0, "log_std": 0.1}, "patches": 30}
    method = make_method("ve", objective, patch=8, **EPS)
    states, call, losses, t = seen_by(method, batch)
    assert states.shape == (60, 8, 8) and losses.shape == t.shape == (2,)
    np.testing.assert_allclose(
        call["time"], np.repeat(np.asarray(make_path(method.model.path).sigma(t)), 30), rtol=1e-5
    )
    places = call["image"][..., 2:]
    outside = (abs(places) > 1.001).any(-1)
    assert 0.1 < outside.mean() < 0.9
    assert abs(states[outside]).max() == 0 and abs(states[~outside]).min() > 0
    inside = abs(states[~outside]) ** 2
    assert np.mean(inside) == pytest.approx(2 * np.mean(call["time"] ** 2), rel=0.2)


def test_all_patches_of_a_partition_give_the_loss_of_whole_images():
    """If the network works on pixels, how images are cut does not matter."""
    batch = batch_of(2, shape=(20, 24))
    network = Network(lambda inputs: 0.3 * inputs["image"][..., :2])
    whole, _ = losses_of(make_method("ve", **EPS), batch, models_of(network))
    cut, _ = losses_of(make_method("ve", {"patches": 0}, patch=8, **EPS), batch, models_of(network))
    np.testing.assert_allclose(cut, whole, rtol=1e-5)
    assert network.calls[1]["image"].shape[1:] == (8, 8, 4)


def test_low_frequencies_are_shown_as_they_are_and_do_not_count():
    batch = batch_of(4, shape=(24, 24))
    rule = {"low_frequencies": LowFrequencies(0.25, 0.25, lines=1.0), "random_phase": False}
    method = make_method("hfs", {**rule, "matching": {"log_mean": 2.0, "log_std": 0.2}}, **EPS)
    states, call, losses, _ = seen_by(method, batch)
    difference = sense_numpy.fft2c(states - batch["reference"])
    low = slice(12 - 3, 12 + 3)
    np.testing.assert_allclose(difference[:, :, low], 0, atol=1e-4)
    assert abs(difference).max() > 1
    np.testing.assert_array_equal(call["image"][..., 2:], np.broadcast_to([1, 0.25], (4, 24, 24, 2)))
    drifting = Network(lambda inputs: ops.ones((*inputs["image"].shape[:3], 2)))
    unchanged, _ = losses_of(method, batch, models_of(drifting))
    np.testing.assert_allclose(unchanged, losses, rtol=1e-4)
    silent = make_method("hfs", rule, tell_width=False, **EPS)
    assert seen_by(silent, batch)[1]["image"].shape[-1] == 2


def test_measured_images_are_the_coils_combined():
    batch = batch_of(2, coils=3, shape=(16, 18))
    objective = {"matching": {"log_mean": -4.0, "log_std": 0.1}, "random_phase": False}
    wanted, *_ = seen_by(make_method("ve", objective, **EPS), batch)
    batch["reference"] = 0 * batch["reference"]
    found, *_ = seen_by(make_method("ve", {**objective, "images": "measured"}, **EPS), batch)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


QUICK = ("ve", "hfs", "patches")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in CASES if n not in QUICK)])
def test_a_loss_is_a_function_of_its_own_image_and_seed(name):
    kind, objective, model = CASES[name]
    method, batch = make_method(kind, objective, **model), batch_of(3)
    models = perturbed(method.build(0))
    losses, t = losses_of(method, batch, models)
    again, _ = losses_of(method, batch, models, training=False)
    np.testing.assert_allclose(losses, again, rtol=1e-6)
    assert np.isfinite(losses).all() and len(set(losses)) == 3
    seeds = rng.make_seeds(0, 0, 3)[1:2]
    alone, logs = method.loss(models, one_of(batch, 1), seeds, True)
    np.testing.assert_allclose(ops.convert_to_numpy(alone), losses[1:2], rtol=2e-4)
    np.testing.assert_array_equal(ops.convert_to_numpy(logs["t"]), t[1:2])
    other, _ = losses_of(method, batch, models, step=1)
    assert abs(other - losses).min() > 0


def test_series_are_refused():
    batch = {"kspace": np.zeros((1, 2, 1, 8, 8), "complex64"), "reference": np.zeros((1, 2, 8, 8), "complex64")}
    with pytest.raises(InputError, match="trains on slices"):
        make_method().loss(models_of(Network()), batch, rng.make_seeds(0, 0, 1), True)
