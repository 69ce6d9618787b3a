"""One battery for all layers: configuration, saving, precision, independence of the items of a batch."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from tfrecon.nets import (
    CrossAttention,
    EqualizedConv2D,
    EqualizedDense,
    FourierFeatures,
    ModulatedConv2D,
    PixelAttention,
    ResidualBlock,
    StridedConv2D,
    StyledLayer,
    TimeEmbedding,
    TokenAttention,
)

pytestmark = [
    pytest.mark.mathematics,
    # Keras hands variables to NumPy in a way that NumPy 2 deprecates; any other warning is an error.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

CHANNELS, TOKENS, WIDTH, SIZE = 6, 5, 8, (7, 9)
X, STYLE, LOCAL, TIME = (None, None, None, CHANNELS), (None, WIDTH), (None, TOKENS, WIDTH), (None,)
ATTENDED = [LOCAL, (TOKENS, WIDTH), (SIZE[0], 4), (SIZE[1], 4)]


@dataclasses.dataclass
class Case:
    """A layer and the shapes of its inputs; shapes that do not begin with None have no batch."""

    make: type
    options: dict
    shapes: list

    def layer(self, **options):
        layer = self.make(**self.options, seed=3, name="layer", **options)
        layer.build(*self.shapes)
        return layer


CASES = {
    "dense": Case(EqualizedDense, {"units": 5, "leaky": True, "multiplier": 0.1}, [X]),
    "dense_tokens": Case(EqualizedDense, {"units": 5}, [LOCAL]),
    "convolution": Case(EqualizedConv2D, {"units": 4, "kernel_size": 3}, [X]),
    "modulated": Case(ModulatedConv2D, {"filters": 4}, [X, STYLE]),
    "head": Case(ModulatedConv2D, {"filters": 2, "kernel_size": 1, "demodulate": False, "use_bias": True}, [X, STYLE]),
    "token_attention": Case(TokenAttention, {"width": WIDTH}, [LOCAL, (TOKENS, WIDTH)]),
    "cross_attention": Case(CrossAttention, {}, [X, *ATTENDED]),
    "styled": Case(StyledLayer, {"filters": 4}, [X, STYLE, *ATTENDED]),
    "styled_noise": Case(StyledLayer, {"filters": CHANNELS, "noise_size": SIZE[0]}, [X, STYLE, *ATTENDED]),
    "styled_plain": Case(StyledLayer, {"filters": 4, "attention": False}, [X, STYLE]),
    "strided": Case(StridedConv2D, {"filters": 4}, [X]),
    "strided_smooth": Case(StridedConv2D, {"filters": 4, "smooth": True}, [X]),
    "residual": Case(ResidualBlock, {"filters": 8, "shortcut_scale": 0.1}, [X, STYLE]),
    "residual_down": Case(ResidualBlock, {"filters": 4, "resample": "down", "scale_shift": True}, [X, STYLE]),
    "residual_up": Case(
        ResidualBlock, {"filters": CHANNELS, "resample": "up", "smooth": False, "rescale": True}, [X, STYLE]
    ),
    "residual_timeless": Case(ResidualBlock, {"filters": 8}, [X]),
    "pixel_attention": Case(PixelAttention, {"rescale": True}, [X]),
    "pixel_attention_heads": Case(PixelAttention, {"heads": 3}, [X]),
    "fourier": Case(FourierFeatures, {"count": 4, "scale": 2.0}, [TIME]),
    "time_fourier": Case(TimeEmbedding, {"width": 4, "fourier_scale": 1.0}, [TIME]),
    "time_positional": Case(TimeEmbedding, {"width": 4, "kind": "positional"}, [TIME]),
}
FLOAT32_ALONE = (TokenAttention, FourierFeatures, TimeEmbedding)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def inputs_of(case, batch=3, seed=0):
    random = np.random.default_rng(seed)
    size = (SIZE[0], SIZE[0]) if case.options.get("noise_size") else SIZE
    arrays = []
    for shape in case.shapes:
        if shape == X:
            shape = (batch, *size, CHANNELS)
        elif shape[0] is None:
            shape = (batch, *shape[1:])
        elif len(arrays) == 5:  # the columns' places
            shape = (size[1], 4)
        arrays.append(random.normal(size=shape).astype(np.float32))
    return arrays


def perturbed(layer):
    random = np.random.default_rng(1)
    for variable in layer.variables:
        variable.assign(np.asarray(variable.value) + 0.3 * random.normal(size=variable.shape).astype(np.float32))
    return layer


def test_config_round_trip(case):
    layer = case.layer()
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(twin) is type(layer) and twin.get_config() == layer.get_config()
    for ours, theirs in zip(layer.variables, twin.variables, strict=True):
        np.testing.assert_array_equal(ours.value, theirs.value)


def test_saved_and_loaded_layer_gives_the_same(case, tmp_path):
    layer, arrays = perturbed(case.layer()), inputs_of(case)
    shapes = [
        array.shape[1:] if shape[0] is None else array.shape for array, shape in zip(arrays, case.shapes, strict=True)
    ]
    tensors = [
        keras.Input(shape) if whole[0] is None else keras.Input(batch_shape=shape)
        for shape, whole in zip(shapes, case.shapes, strict=True)
    ]
    model = keras.Model(tensors, layer(*tensors))
    assert model.output.shape == (None, *ops.shape(layer(*arrays))[1:])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(arrays), layer(*arrays))


def test_same_seed_same_weights(case):
    first, again, other = case.layer(), case.layer(), case.make(**case.options, seed=4, name="layer")
    other.build(*case.shapes)
    for a, b, c in zip(first.variables, again.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
        if np.ptp(a.value) > 0:  # not a bias or a gain
            assert not np.array_equal(a.value, c.value)


def test_items_do_not_see_each_other(case):
    layer, arrays = perturbed(case.layer()), inputs_of(case)
    together = np.asarray(layer(*arrays))
    for item in range(3):
        alone = [a[item : item + 1] if shape[0] is None else a for a, shape in zip(arrays, case.shapes, strict=True)]
        np.testing.assert_allclose(layer(*alone)[0], together[item], atol=2e-6 * abs(together).max())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(case, policy):
    exact, mixed = perturbed(case.layer()), perturbed(case.layer(dtype=policy))
    arrays = inputs_of(case)
    expected, output = np.asarray(exact(*arrays)), mixed(*arrays)
    alone = isinstance(mixed, FLOAT32_ALONE)
    assert ops.dtype(output) == ("float32" if alone else mixed.compute_dtype)
    assert all(variable.dtype == "float32" for variable in mixed.variables)
    output = np.asarray(ops.cast(output, "float32"))
    tolerance = 0 if alone else 0.02 if policy == "mixed_bfloat16" else 0.003
    assert np.linalg.norm(output - expected) <= tolerance * np.linalg.norm(expected)


def test_norms_keep_float32_under_half_precision():
    """Squares of 300 overflow float16; the mean square must not."""
    layer = CASES["cross_attention"].layer(dtype="mixed_float16")
    arrays = inputs_of(CASES["cross_attention"])
    arrays[0] = 300 * arrays[0]
    exact = CASES["cross_attention"].layer()(*arrays)
    np.testing.assert_allclose(ops.cast(layer(*arrays), "float32"), exact, atol=0.03)
