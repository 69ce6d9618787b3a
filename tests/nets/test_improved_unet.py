"""Improved DDPM's U-Net: against its transcription, and the parameters of published and preset networks.

It also goes through the battery of `test_score_networks`.
"""

import dataclasses

import improved_ddpm_numpy as reference
import numpy as np
import pytest
from score_networks_numpy import weights_of

from tfrecon.nets.improved_unet import PRESETS, ImprovedUNet, ImprovedUNetSettings, build_improved_unet, preset
from tfrecon.nets.residual import PixelAttention
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings

PUBLISHED = ImprovedUNetSettings(channels=3, multipliers=(1, 2, 3, 4), blocks=3, attention_levels=(2, 3))
"""The published network for images of 64 × 64 pixels."""

TINY = [
    ImprovedUNetSettings(width=8, multipliers=(1, 2), attention_levels=(1,), heads=4),
    ImprovedUNetSettings(width=8, multipliers=(1, 2, 1), attention_levels=(0, 2), heads=2, blocks=1, extra_channels=1),
    ImprovedUNetSettings(width=12, multipliers=(1,), attention_levels=(), heads=1, learned_variance=False),
]


def count(model):
    assert not model.non_trainable_variables
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def perturbed(model):
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable.value) + 0.1 * random.normal(size=variable.shape).astype(np.float32))
    return model


@pytest.mark.mathematics
@pytest.mark.parametrize("settings", TINY)
def test_network_equals_its_transcription(settings):
    model, random = perturbed(build_improved_unet(settings)), np.random.default_rng(0)
    image = random.normal(size=(2, 12, 8, settings.channels + settings.extra_channels)).astype(np.float32)
    time = np.float32([3.0, 90.0])
    output = np.asarray(model({"image": image, "time": time}))
    assert output.shape[-1] == settings.output_channels == (4 if settings.learned_variance else 2)
    weights = weights_of(model)
    for item in range(2):
        expected = reference.unet(weights, image[item].astype(np.float64), float(time[item]), settings)
        np.testing.assert_allclose(output[item], expected, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize("settings", TINY)
def test_the_counting_of_parameters_is_right(settings):
    assert count(build_improved_unet(settings)) == reference.parameters(settings)


def test_published_and_preset_networks_have_their_parameters():
    """For the presets 19.8, 51.8 and 124 million were wanted, for the published network 121.1 million."""
    exact = {name: reference.parameters(settings) for name, settings in PRESETS.items()}
    assert exact == {"S": 19_821_188, "M": 51_790_852, "L": 124_053_252}
    assert [round(exact[name] / 1e6, 1) for name in "SM"] == [19.8, 51.8] and round(exact["L"] / 1e6) == 124
    assert reference.parameters(PUBLISHED) == 121_063_942
    fixed = dataclasses.replace(PRESETS["S"], learned_variance=False)
    assert reference.parameters(PRESETS["S"]) - reference.parameters(fixed) == 2 * (9 * 64 + 1)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*PRESETS.values(), PUBLISHED], ids=[*PRESETS, "published"])
def test_whole_networks_have_the_parameters_that_were_counted(settings):
    assert count(build_improved_unet(settings)) == reference.parameters(settings)


def test_attention_is_behind_every_block_of_its_levels():
    model = build_improved_unet(dataclasses.replace(TINY[0], blocks=2))
    names = {layer.name for layer in model.layers if isinstance(layer, PixelAttention)}
    assert names == {
        "attention_encode_1_0",
        "attention_encode_1_1",
        "attention_middle_0",
        *(f"attention_decode_1_{number}" for number in range(3)),
    }
    assert all(layer.heads == 4 for layer in model.layers if isinstance(layer, PixelAttention))


def test_heads_attend_apart():
    """Each by its own channels of queries and keys, which is not what one head of all of them does."""
    random = np.random.default_rng(0)
    x = random.normal(size=(1, 3, 4, 8)).astype(np.float32)
    two = PixelAttention(heads=2, name="layer")
    two.build((None, None, None, 8))
    for variable in two.variables:
        variable.assign(np.asarray(variable.value) + 0.5 * random.normal(size=variable.shape).astype(np.float32))
    expected = reference.attention(weights_of(two), "", x[0].astype(np.float64), 2)
    np.testing.assert_allclose(np.asarray(two(x))[0], expected, atol=2e-5)
    assert abs(expected - reference.attention(weights_of(two), "", x[0].astype(np.float64), 1)).max() > 1e-2


def test_a_new_network_says_next_to_nothing():
    model, random = build_improved_unet(TINY[0]), np.random.default_rng(0)
    image = random.normal(size=(1, 9, 11, 2)).astype(np.float32)
    assert abs(np.asarray(model({"image": image, "time": np.float32([50.0])}))).max() < 1e-3
    assert isinstance(model, ImprovedUNet)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"heads": 0}, "'heads' is 0"),
        ({"heads": 3}, "divisor of the channels with attention, 512"),
        ({"multipliers": (1, 2)}, "levels are 0 to 1"),
        ({"width": 7}, "width"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        make_settings(ImprovedUNetSettings, wrong, "model")


def test_presets_have_names():
    assert preset("M") is PRESETS["M"]
    with pytest.raises(InputError, match="choose one of S, M, L"):
        preset("XL")


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match="8 channels cannot be cut into 3 heads"):
        PixelAttention(heads=3).build((None, None, None, 8))
