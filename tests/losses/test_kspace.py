"""Losses on samples: values against NumPy, and gradients where everything is zero, tiny or equal."""

import numpy as np
import pytest
import ssdu_numpy
from autodiff import gradients
from keras import ops

from tfrecon.losses.image import image_loss
from tfrecon.losses.kspace import SMALLEST, sample_loss
from tfrecon.util.complex import make_complex

pytestmark = pytest.mark.mathematics

RNG = np.random.default_rng(0)
DISTANCES = ["l1", "l2", "l1_l2"]


def draw(*shape):
    return (RNG.normal(size=shape) + 1j * RNG.normal(size=shape)).astype("complex64")


def example(batch=3, coils=2, height=7, width=10, lines=False):
    mask = (RNG.random((batch, 1, 1 if lines else height, width)) < 0.4).astype("float32")
    return draw(batch, coils, height, width), draw(batch, coils, height, width), mask


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("distance", DISTANCES)
def test_values(distance, lines, weighted):
    predicted, measured, mask = example(lines=lines)
    weights = RNG.uniform(1, 9, mask.shape).astype("float32") if weighted else None
    losses = ops.convert_to_numpy(sample_loss(predicted, measured, mask, distance=distance, weights=weights))
    assert losses.dtype == np.float32
    for i in range(3):
        own = 1.0 if weights is None else weights[i]
        expected = ssdu_numpy.sample_loss(predicted[i], measured[i], mask[i], distance, own)
        assert losses[i] == pytest.approx(expected, rel=1e-4)


def test_the_published_average():
    predicted, measured, mask = example()
    losses = ops.convert_to_numpy(sample_loss(predicted, measured, mask, average="all"))
    # Sum over the mask of the unnormalised transform's residual, over all positions and coils.
    expected = (mask * abs(predicted - measured)).sum((1, 2, 3)) * np.sqrt(70) / (2 * 70)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    squared = ops.convert_to_numpy(sample_loss(predicted, measured, mask, average="all", distance="l2"))
    np.testing.assert_allclose(squared, (mask * abs(predicted - measured) ** 2).sum((1, 2, 3)) / 2, rtol=1e-5)


def test_equal_errors_count_the_same_whatever_the_size_the_rate_or_the_coils():
    for shape in ((1, 5, 6), (4, 5, 6), (2, 16, 9)):
        for rate in (0.1, 0.8):
            measured = draw(*shape)
            mask = (RNG.random((1, *shape[1:])) < rate).astype("float32")
            mask[..., 2, 3] = 1
            loss = sample_loss(measured + np.complex64(0.3j), measured, mask)
            assert float(loss) == pytest.approx(0.3, rel=1e-3)


def test_phase_of_the_error_does_not_matter():
    predicted, measured, mask = example()
    turned = [
        float(ops.sum(sample_loss(measured + np.complex64(z) * (predicted - measured), measured, mask)))
        for z in (1, 1j, np.exp(0.7j))
    ]
    np.testing.assert_allclose(turned, turned[0], rtol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_what_is_outside_the_mask_never_matters(distance):
    predicted, measured, mask = example()
    outside = np.broadcast_to(np.where(mask > 0, 0, np.inf), measured.shape).astype("complex64")

    def loss(real, imag):
        return ops.sum(sample_loss(make_complex(real, imag), measured + outside, mask, distance=distance))

    plain = sample_loss(predicted, measured, mask, distance=distance)
    dirty = sample_loss(predicted, measured + outside, mask, distance=distance)
    np.testing.assert_array_equal(ops.convert_to_numpy(plain), ops.convert_to_numpy(dirty))
    for gradient in gradients(loss, predicted.real, predicted.imag):
        assert np.isfinite(gradient).all() and not gradient[np.broadcast_to(mask == 0, gradient.shape)].any()


CASES = {
    "all zero": (0, 0, 1),
    "zero data": (1, 0, 1),
    "zero prediction": (0, 1, 1),
    "empty held-out set": (1, 1, 0),
    "empty and zero": (0, 0, 0),
    "equal": ("same", 1, 1),
    "tiny": (1e-20, 1e-20, 1),
    "denormal": (1e-42, 0, 1),
    "tiny and equal": ("same", 1e-20, 1),
    "large": (1e8, 1e8, 1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_are_finite(distance, case):
    predicted, measured, mask = example(batch=1)
    of_predicted, of_measured, of_mask = CASES[case]
    measured = measured * np.float32(of_measured)
    predicted = measured if of_predicted == "same" else predicted * np.float32(of_predicted)
    mask = mask * of_mask

    def loss(real, imag):
        return ops.sum(sample_loss(make_complex(real, imag), measured, mask, distance=distance))

    value = float(ops.convert_to_numpy(loss(predicted.real, predicted.imag)))
    assert np.isfinite(value)
    if of_predicted == "same" or of_mask == 0 or case == "all zero":
        assert value == 0
    for gradient in gradients(loss, predicted.real, predicted.imag):
        assert np.isfinite(gradient).all()
        assert abs(gradient).max() <= 1.5 / SMALLEST or case == "large"


def test_the_first_thing_one_writes_has_no_gradient_at_zero():
    """98 % of the published loss's entries are exactly zero: outside of the held-out set."""
    zeros = np.zeros(3, "float32")
    naive = gradients(lambda re, im: ops.sum(ops.sqrt(re**2 + im**2)), zeros, zeros)
    assert np.isnan(naive[0]).all()
    assert np.isnan(ssdu_numpy.naive_l1(np.zeros(3, complex))[1]).all()
    mask = np.ones((1, 1, 3), "float32")
    ours = gradients(
        lambda re, im: sample_loss(make_complex(re, im)[None, None], np.zeros((1, 1, 3), "complex64"), mask),
        zeros,
        zeros,
    )
    assert not np.any(ours)


@pytest.mark.parametrize("distance, expected", [("l1", 0.5), ("l2", 0.25), ("l1_l2", 0.75)])
def test_image_loss(distance, expected):
    reference = draw(2, 5, 6)
    losses = ops.convert_to_numpy(image_loss(reference + np.complex64(0.3 + 0.4j), reference, distance=distance))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_image_loss_of_magnitudes_leaves_the_phase_free():
    reference = draw(2, 5, 6)
    turned = reference * np.exp(1j * RNG.uniform(0, 6, reference.shape)).astype("complex64")
    assert float(ops.max(image_loss(turned, reference))) > 0.5
    np.testing.assert_allclose(ops.convert_to_numpy(image_loss(turned, reference, magnitude=True)), 0, atol=1e-5)


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("distance", DISTANCES)
def test_image_loss_has_finite_gradients_at_zero(distance, magnitude):
    zeros = np.zeros((1, 4, 5), "float32")
    found = gradients(
        lambda re, im: ops.sum(
            image_loss(make_complex(re, im), np.zeros((1, 4, 5), "complex64"), distance=distance, magnitude=magnitude)
        ),
        zeros,
        zeros,
    )
    assert np.isfinite(found).all()
