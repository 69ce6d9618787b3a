"""The battery every linear operator passes."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import sense_numpy
from autodiff import gradients
from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.operators import (
    FourierOperator,
    SenseOperator,
    collapse_lines,
    combine_sets,
    measurement_operator,
)
from tfrecon.typing import Measurement
from tfrecon.util.complex import real_vdot, to_channels, to_complex
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

TOLERANCE = 1e-5
SIZES = [(8, 8), (7, 9), (33, 40)]
LEADING = {"batch 1": (1,), "batch 3": (3,), "series": (1, 2)}


def complex_array(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(np.complex64)


@dataclasses.dataclass(frozen=True)
class Case:
    """An operator with random, non-flat complex maps; `coils` 0 is the Fourier operator."""

    size: tuple
    coils: int
    sets: int
    mask: str
    leading: str

    def __str__(self):
        height, width = self.size
        return f"{height}x{width}-{self.coils} coils-{self.sets} sets-{self.mask} mask-{self.leading}"

    @property
    def arrays(self):
        """Maps with set axis [..., S, C, H, W] (or None) and mask [..., 1, H or 1, W]."""
        lead = LEADING[self.leading]
        generator = np.random.default_rng(1)
        shape = {"plane": self.size, "line": (1, self.size[1]), "no": self.size}[self.mask]
        mask = (generator.random((*lead, 1, *shape)) < 0.5).astype(np.float32)
        mask = np.ones_like(mask) if self.mask == "no" else mask
        maps_lead = (lead[0], 1) if self.leading == "series" else lead  # maps do not move
        maps = complex_array((*maps_lead, self.sets, self.coils, *self.size), 2) if self.coils else None
        return maps, mask

    @property
    def image_shape(self):
        middle = () if self.coils and self.sets == 1 else (self.sets,) if self.coils else (1,)
        return (*LEADING[self.leading], *middle, *self.size)

    @property
    def kspace_shape(self):
        return (*LEADING[self.leading], max(self.coils, 1), *self.size)

    def operator(self):
        maps, mask = self.arrays
        mask = None if self.mask == "no" else mask
        if maps is None:
            return FourierOperator(mask)
        return SenseOperator(maps if self.sets > 1 else maps[..., 0, :, :, :], mask, map_sets=self.sets > 1)


CASES = [Case(*values) for values in itertools.product(SIZES, (1, 5), (1, 2), ("plane", "line"), LEADING)]
CASES += [Case((7, 9), 5, sets, "no", "batch 3") for sets in (1, 2)]
CASES += [Case(size, 0, 1, mask, "batch 3") for size in SIZES for mask in ("plane", "line", "no")]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def both_forms(case):
    operator = case.operator()
    return [operator] if isinstance(operator, FourierOperator) else [operator, operator.pre_shifted()]


@every_case
def test_adjoint_under_the_hermitian_product(case):
    x, y = complex_array(case.image_shape, 3), complex_array(case.kspace_shape, 4)
    for operator in both_forms(case):
        forward, adjoint = np.asarray(operator.forward(x)), np.asarray(operator.adjoint(y))
        assert forward.shape == y.shape and adjoint.shape == x.shape
        difference = np.vdot(forward.astype(complex), y) - np.vdot(x.astype(complex), adjoint)
        assert abs(difference) <= TOLERANCE * np.linalg.norm(forward) * np.linalg.norm(y)


@every_case
def test_linear_over_the_complex_numbers(case):
    a, b, factor = complex_array(case.image_shape, 3), complex_array(case.image_shape, 4), np.complex64(0.3 - 1.7j)
    for operator in both_forms(case):
        together = operator.forward(factor * a + b)
        np.testing.assert_allclose(together, factor * operator.forward(a) + operator.forward(b), atol=2e-4)


@every_case
def test_normal_is_adjoint_after_forward(case):
    x = complex_array(case.image_shape, 3)
    for operator in both_forms(case):
        expected = np.asarray(operator.adjoint(operator.forward(x)))
        error = np.linalg.norm(np.asarray(operator.normal(x)) - expected)
        assert error <= TOLERANCE * np.linalg.norm(expected)


@pytest.mark.parametrize("case", [case for case in CASES if case.coils], ids=str)
def test_pre_shifted_is_the_same_operator_on_shifted_arrays(case):
    operator = case.operator()
    shifted = operator.pre_shifted()
    assert shifted.pre_shifted() is shifted
    x, y = complex_array(case.image_shape, 3), complex_array(case.kspace_shape, 4)
    forward = fourier.fftshift(shifted.forward(fourier.ifftshift(x)))
    np.testing.assert_allclose(forward, operator.forward(x), atol=2e-4)
    adjoint = fourier.fftshift(shifted.adjoint(fourier.ifftshift(y)))
    np.testing.assert_allclose(adjoint, operator.adjoint(y), atol=2e-4)


@every_case
def test_gradient_is_the_adjoint(case):
    x, y = complex_array(case.image_shape, 3), complex_array(case.kspace_shape, 4)
    for operator in both_forms(case):

        def product(channels, operator=operator):
            return ops.sum(real_vdot(y, operator.forward(to_complex(channels))))

        (gradient,) = gradients(product, to_channels(x))
        expected = np.asarray(to_channels(operator.adjoint(y)))
        assert np.linalg.norm(gradient - expected) <= TOLERANCE * np.linalg.norm(expected)


@every_case
def test_equals_the_numpy_transcription(case):
    maps, mask = case.arrays
    x, y = complex_array(case.image_shape, 3), complex_array(case.kspace_shape, 4)
    operator = case.operator()
    if maps is None:
        maps, sets = np.ones((1, 1, *case.size)), x
    else:
        sets = x if case.sets > 1 else x[..., None, :, :]
    expected = sense_numpy.forward(sets, maps, mask)
    np.testing.assert_allclose(operator.forward(x), expected, atol=2e-4)
    expected = sense_numpy.adjoint(y, maps, mask)
    np.testing.assert_allclose(operator.adjoint(y), expected.reshape(x.shape), atol=2e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has unknown sizes")
@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
def test_unknown_sizes_in_a_graph(sets, jit):
    import tensorflow as tf

    def unknown(rank, dtype=tf.complex64):
        return tf.TensorSpec([None] * rank, dtype)

    extra = int(sets > 1)
    signature = [unknown(3 + extra), unknown(4), unknown(4 + extra), unknown(4, tf.float32)]

    @tf.function(input_signature=signature, jit_compile=jit)
    def apply(x, y, maps, mask):
        operator = SenseOperator(maps, mask, map_sets=sets > 1)
        shifted = operator.pre_shifted().normal(fourier.ifftshift(x))
        return operator.forward(x), operator.adjoint(y), operator.normal(x), fourier.fftshift(shifted)

    for size, coils, leading in (((7, 9), 5, "batch 3"), ((8, 8), 1, "batch 1")):
        case = Case(size, coils, sets, "plane", leading)
        maps, mask = case.arrays
        maps = maps if sets > 1 else maps[..., 0, :, :, :]
        x, y = complex_array(case.image_shape, 3), complex_array(case.kspace_shape, 4)
        forward, adjoint, normal, shifted = apply(x, y, maps, mask)
        operator = case.operator()
        np.testing.assert_allclose(forward, operator.forward(x), atol=2e-4)
        np.testing.assert_allclose(adjoint, operator.adjoint(y), atol=2e-4)
        np.testing.assert_allclose(normal, operator.normal(x), atol=5e-4)
        np.testing.assert_allclose(shifted, operator.normal(x), atol=5e-4)
    assert apply.experimental_get_tracing_count() == 1


def test_frozen_operator_passes_no_gradient_to_its_maps():
    maps, x = complex_array((3, 4, 5)), complex_array((4, 5), 1)

    def value(channels):
        operator = SenseOperator(to_complex(channels))
        live = ops.sum(real_vdot(x, operator.normal(x)))
        return live + ops.sum(real_vdot(x, operator.frozen().normal(x)))

    def live_only(channels):
        return ops.sum(real_vdot(x, SenseOperator(to_complex(channels)).normal(x)))

    (both,), (live,) = gradients(value, to_channels(maps)), gradients(live_only, to_channels(maps))
    np.testing.assert_allclose(both, live, atol=1e-5)
    assert np.linalg.norm(live) > 1


def test_measurement_operator_takes_one_coil_without_maps():
    kspace = complex_array((2, 1, 6, 7))
    operator = measurement_operator(Measurement(kspace, np.ones((2, 1, 6, 7), np.float32)))
    np.testing.assert_allclose(operator.adjoint(kspace), fourier.ifft2c(kspace)[:, 0], atol=1e-6)


def test_measurement_operator_wants_maps_for_several_coils():
    measurement = Measurement(complex_array((2, 6, 7)), np.ones((1, 6, 7), np.float32))
    with pytest.raises(InputError, match="2 coils but no sensitivity maps"):
        measurement_operator(measurement)


def test_measurement_operator_names_maps_that_do_not_fit():
    measurement = Measurement(complex_array((2, 6, 7)), np.ones((1, 6, 7), np.float32), complex_array((3, 6, 7)))
    with pytest.raises(InputError, match=r"maps \(3, 6, 7\) and k-space \(2, 6, 7\) differ on axis -3"):
        measurement_operator(measurement)


def test_combine_sets_is_root_sum_of_squares_with_the_first_phase():
    sets = complex_array((3, 2, 4, 5))
    sets[0, 0, 1, 1] = 0  # no phase there: taken as zero
    combined = np.asarray(combine_sets(sets, True))
    np.testing.assert_allclose(abs(combined), np.sqrt((abs(sets) ** 2).sum(1)), rtol=1e-5)
    elsewhere = sets[:, 0] != 0
    np.testing.assert_allclose(np.angle(combined)[elsewhere], np.angle(sets[:, 0])[elsewhere], atol=1e-5)
    assert combined[0, 1, 1] == pytest.approx(abs(sets[0, 1, 1, 1]))
    assert combine_sets(sets, False) is sets


@pytest.mark.parametrize("lead", [(1,), (3, 1), (2, 4, 1)])
def test_collapse_lines_finds_masks_that_are_the_same_in_every_row(lead):
    lines = np.random.default_rng(0).integers(0, 2, (*lead, 1, 9)).astype(np.uint8)
    plane = np.repeat(lines, 5, -2)
    collapsed = collapse_lines(plane)
    np.testing.assert_array_equal(collapsed, lines)
    assert collapsed.dtype == np.uint8
    plane[..., 3, 2] ^= 1
    assert collapse_lines(plane) is plane
    assert collapse_lines(lines).shape == lines.shape


def test_collapsed_mask_gives_the_same_normal_operator():
    maps, x = complex_array((5, 7, 9)), complex_array((7, 9), 1)
    plane = np.repeat((np.arange(9) % 2 == 0)[None, None].astype(np.float32), 7, -2)
    full, lines = SenseOperator(maps, plane), SenseOperator(maps, collapse_lines(plane))
    np.testing.assert_allclose(full.normal(x), lines.normal(x), atol=1e-4)
