"""The training loss against its transcription, and what images and masks it is of."""

import conditional_numpy as reference
import numpy as np
import pytest
from conditional_cases import STEPS, batch_of, make_method, talking
from keras import ops
from score_cases import models_of, perturbed
from ssdiffrecon_cases import one_of

from tfrecon.methods.conditional.training import draw_lines, magnitude_image
from tfrecon.methods.conditional.unsampled import unsampled_level
from tfrecon.physics.masks import acs_size, make_mask
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def losses_of(method, batch, models, training=True):
    losses, logs = method.loss(models, batch, rng.make_seeds(0, 0, len(batch["kspace"])), training)
    return numpy(losses), {name: numpy(value) for name, value in logs.items()}


@pytest.mark.parametrize("loss, power, sees, noise", [("l1", 1, "state", "sampled"), ("l2", 2, "parts", "unsampled")])
def test_the_loss_equals_its_transcription(loss, power, sees, noise):
    objective = {"loss": loss, "scale_jitter": 0.0}
    method = make_method(objective, output="eps", chain={"schedule": "linear"}, sees=sees, noise=noise)
    batch, network = batch_of(3), talking()
    losses, logs = losses_of(method, batch, models_of(network))
    (call,) = network.calls
    seeds = rng.make_seeds(0, 0, 3)
    turns = np.exp(1j * 2 * np.pi * numpy(rng.uniform(rng.for_purpose(seeds, "phase"), (3,))))
    drawn = numpy(rng.complex_normal(rng.for_purpose(seeds, "noise"), (3, 15, 17)))
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, STEPS))
    for i in range(3):
        t, mask = int(logs["t"][i]), batch["mask"][i, 0]
        kspace = reference.forward(turns[i] * batch["reference"][i])
        centre = acs_size(batch["mask"][i], (15, 17))[1]
        level = (
            reference.level(kspace, mask, centre) if noise == "unsampled" else reference.published_level(kspace, mask)
        )
        assert logs["level"][i] == pytest.approx(level, rel=1e-4)
        noisy = reference.forward(drawn[i])
        state = reference.state(kspace, mask, level * noisy, kept[t])
        expected = [state] if sees == "state" else [(1 - mask) * state / level, mask * state]
        for j, part in enumerate(expected):
            seen = call["image"][i, ..., 2 * j] + 1j * call["image"][i, ..., 2 * j + 1]
            np.testing.assert_allclose(seen, reference.inverse(part), atol=1e-4)
        np.testing.assert_array_equal(call["image"][i, ..., -1], np.broadcast_to(mask, (15, 17)))
        assert call["time"][i] == pytest.approx(999 * t / (STEPS - 1), rel=1e-5)
        image, label = call["image"][i].astype(float), call["time"][i] / 1000
        said = 0.7 * image[..., :2] + 0.1 * label + 0.05 * image[..., 2:].sum(-1, keepdims=True)
        found = reference.loss(reference.forward(said[..., 0] + 1j * said[..., 1]), noisy, mask, power)
        np.testing.assert_allclose(losses[i], found, rtol=1e-3)


def test_a_mask_of_calibration_lines_alone_tells_the_level_of_all_samples():
    kspace, mask = np.ones((1, 2, 6, 8), "complex64"), np.zeros((1, 1, 1, 8), "float32")
    mask[..., 3:6] = 1
    assert numpy(unsampled_level(kspace, mask))[0] == pytest.approx(np.sqrt(2))
    mask[..., 0], kspace[..., 0] = 1, 0.1
    assert numpy(unsampled_level(kspace, mask))[0] == pytest.approx(np.sqrt(2) / 10)
    assert numpy(unsampled_level(0 * kspace, mask))[0] == 1


def test_magnitudes_have_hermitian_kspace():
    batch = batch_of(2, 3, shape=(16, 15), rate=2.0)
    image = numpy(magnitude_image(batch["kspace"], "x"))
    np.testing.assert_allclose(image, abs(batch["reference"]) * np.sqrt((abs(batch["maps"]) ** 2).sum(1)), atol=1e-5)
    kspace = reference.forward(image)[:, 1:]
    np.testing.assert_allclose(kspace[:, ::-1, ::-1], kspace.conj(), atol=1e-5)
    method = make_method({"images": "magnitude", "scale_jitter": 0.0}, sees="state", chain={"schedule": "linear"})
    network = talking()
    losses_of(method, batch, models_of(network))
    mask = network.calls[0]["image"][:, None, 0, :, -1]
    seen = network.calls[0]["image"][..., 0] + 1j * network.calls[0]["image"][..., 1]
    np.testing.assert_allclose(mask * reference.forward(seen), mask * reference.forward(image), atol=1e-4)


def test_fully_sampled_records_get_masks_of_lines():
    masks = numpy(draw_lines(rng.make_seeds(0, 0, 200), 64, (4, 8), (0.1, 0.05)))
    assert masks.shape == (200, 1, 1, 64) and set(np.unique(masks)) == {0, 1}
    counts = masks.sum(axis=(1, 2, 3))
    dense = counts > 15
    assert 70 < dense.sum() < 130 and {*counts[dense]} <= {20, 21} and {*counts[~dense]} <= {10, 11}
    assert masks[dense][..., 29:35].all() and masks[~dense][..., 31:34].all()
    assert len({*np.argmax(masks[dense][:, 0, 0], axis=-1)}) == 4
    method, batch = make_method({"images": "measured", "scale_jitter": 0.0}), batch_of(2, 3, rate=2.0)
    assert method.fields() == () and make_method().fields() == ("reference",)
    losses, _ = losses_of(method, {**batch, "reference": 0 * batch["reference"]}, models_of(talking()))
    assert np.isfinite(losses).all()


def test_a_loss_is_a_function_of_its_own_image_and_seed():
    method, batch = make_method(), batch_of(3, shape=(12, 12))
    models = perturbed(method.build(0))
    losses, logs = losses_of(method, batch, models)
    alone, own = method.loss(models, one_of(batch, 1), rng.make_seeds(0, 0, 3)[1:2], True)
    np.testing.assert_allclose(numpy(alone), losses[1:2], rtol=1e-3)
    assert numpy(own["t"])[0] == logs["t"][1] and len(set(losses)) == 3


def test_what_it_cannot_be_trained_on():
    batch = batch_of()
    with pytest.raises(InputError, match=r"references \(12, 17\) are not on the grid of k-space \(15, 17\)"):
        losses_of(make_method(), {**batch, "reference": batch["reference"][:, :12]}, models_of(talking()))
    series = {**batch, "kspace": batch["kspace"][None]}
    for images in ("reference", "measured", "magnitude"):
        with pytest.raises(InputError, match="conditional trains on slices"):
            losses_of(make_method({"images": images}), series, models_of(talking()))
    wrong = [{"accelerations": (1,)}, {"center_fractions": (0.1,)}, {"center_fractions": (0, 0.1)}]
    for objective in (*wrong, {"scale_jitter": 1.0}):
        with pytest.raises(InputError, match=next(iter(objective))):
            make_method(objective)
    with pytest.raises(InputError, match="largest beta is 0"):
        make_method(chain={"largest_beta": 0.0})


def test_masks_of_one_batch_can_be_of_points():
    method, batch = make_method(), batch_of(2, lines=False)
    batch["mask"][0] = np.float32(make_mask("gaussian2d", (15, 17), 3, acs_lines=3, seed=1).array)
    losses, _ = losses_of(method, batch, models_of(talking()))
    assert np.isfinite(losses).all() and losses.min() > 0
