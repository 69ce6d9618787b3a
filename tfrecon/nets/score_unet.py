"""What score networks have in common: a U-Net of residual blocks that knows the time.

    stem ─ blocks ─ down ─ blocks ─ … ─ blocks ─ block, attention, block ─ blocks ─ up ─ … ─ blocks ─ norm, φ, head
      └──────┴───────┴───────┴────── every output is kept, and joined last in first out ──────┘

The two published networks (`ncsnpp.py`, `ddpm_unet.py`) differ in how sizes change and in constants.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import keras
from keras import ops

from tfrecon.nets.embeddings import TimeEmbedding
from tfrecon.nets.equalized import child_seed
from tfrecon.nets.normalization import GroupNorm
from tfrecon.nets.patches import crop_to, from_patches, pad_to_multiple, to_patches
from tfrecon.nets.residual import PixelAttention, ResidualBlock
from tfrecon.nets.variance_scaled import NEAR_ZERO, convolution
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings, to_dictionary


@dataclasses.dataclass(frozen=True)
class ScoreUNetSettings:
    """What is built.

    Attributes:
        channels: of the image and of the output: 1 for magnitudes, 2 for complex images.
        extra_channels: of the input beyond the image: the pixels' positions, a mask of low frequencies.
        width: channels of the first level.
        multipliers: of `width` at each level, from full resolution down; each level halves the size.
        blocks: residual blocks at each level going down; going up there is one more.
        attention_levels: levels (0 is full resolution) with self-attention: behind each block going down,
            behind the last one going up unless a network says otherwise.
        bottleneck_attention: whether there is self-attention between the two halves.
        embedding: of the time: "fourier" or "positional"; see `embeddings.TimeEmbedding`.
        fourier_scale: of the frequencies of "fourier".
        scale_shift: time scales and shifts features instead of being added to them.
        dropout: of features in residual blocks, in training; the inputs then need a "dropout_seed".
        shift_input: the network sees 2x - 1 of an image x that is meant to lie in [0, 1].
        patch: the network works on patches of patch × patch pixels as channels, so on 1/patch of height and width.
        padded_to: images are padded inside to sizes that are multiples of it; the levels alone ask for
            patch · 2^(levels - 1), of which it is a multiple. Where it is that of the buckets in which images of
            several sizes are trained together, an image has the same borders there as by itself.
    """

    channels: int = 2
    extra_channels: int = 0
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks: int = 2
    attention_levels: tuple[int, ...] = ()
    bottleneck_attention: bool = True
    embedding: Literal["fourier", "positional"] = "positional"
    fourier_scale: float = 16.0
    scale_shift: bool = False
    dropout: float = 0.0
    shift_input: bool = True
    patch: int = 1
    padded_to: int | None = None

    def __post_init__(self) -> None:
        for name in ("channels", "blocks", "patch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name!r} is {getattr(self, name)}", fix="give at least 1")
        if self.width < 4 or self.width % 2:
            raise InputError(f"'width' is {self.width}", fix="give an even number of at least 4")
        if not self.multipliers or min(self.multipliers) < 1:
            raise InputError(f"'multipliers' is {self.multipliers}", fix="give one number of at least 1 for each level")
        if any(not 0 <= level < len(self.multipliers) for level in self.attention_levels):
            last = len(self.multipliers) - 1
            raise InputError(f"'attention_levels' is {self.attention_levels}", fix=f"levels are 0 to {last}")
        if self.extra_channels < 0:
            raise InputError(f"'extra_channels' is {self.extra_channels}", fix="give 0 or more")
        if not 0 <= self.dropout < 1:
            raise InputError(f"'dropout' is {self.dropout}", fix="give a number from 0 to below 1")
        if not self.fourier_scale > 0:
            raise InputError(f"'fourier_scale' is {self.fourier_scale:g}", fix="give a positive number")
        needed = self.patch * 2 ** (self.levels - 1)
        if self.padded_to is not None and (self.padded_to < 1 or self.padded_to % needed):
            raise InputError(f"'padded_to' is {self.padded_to}", fix=f"give a multiple of {needed}, or none")

    @property
    def levels(self) -> int:
        """Resolutions."""
        return len(self.multipliers)

    @property
    def output_channels(self) -> int:
        """Of what the network returns."""
        return self.channels

    @property
    def multiple(self) -> int:
        """Sizes that are a multiple of it are taken as they are; others are padded inside."""
        return self.padded_to or self.patch * 2 ** (self.levels - 1)


@dataclasses.dataclass(frozen=True)
class Condition:
    """What every block of one call is given.

    Attributes:
        embedding: of the time, float32 `[B, 4·width]`.
        seeds: of dropout `[B, 2]`; None where it is not active.
    """

    embedding: Tensor
    seeds: Tensor | None

    def seeds_of(self, name: str) -> Tensor | None:
        """The seeds of one block."""
        return None if self.seeds is None else rng.for_purpose(self.seeds, name)


class ScoreUNet(keras.Model):
    """A noisy image and its time to whatever the network is trained to predict.

    Inputs, a dictionary:

    - "image": float32 `[B, H, W, channels + extra_channels]`. Sizes that do not divide into the levels are
      reflected at the edges inside (`patches.pad_to_multiple`), and the output is cropped.
    - "time": float32 `[B]`; what it counts is for who trains the network to say.
    - "dropout_seed": `[B, 2]` of `util.rng`, where dropout is active.

    Returns float32 `[B, H, W, output_channels]` of the settings; it starts near zero. Under a mixed precision policy
    convolutions compute in half precision; embeddings, statistics of normalisations, softmax and head in float32.

    Args:
        settings: the architecture.
        seed: of the initial weights; the same on every backend.
        **kwargs: name, dtype and the like.
    """

    settings_type: ClassVar[type[ScoreUNetSettings]]
    rescale: ClassVar[bool] = False
    """Whether sums are divided by sqrt(2)."""
    shortcut_scale: ClassVar[float] = 1.0
    """Of the initial weights of residual blocks' 1×1 convolutions."""
    attends_throughout: ClassVar[bool] = False
    """Whether at levels with attention it is behind every block going up, not the last one alone."""

    def __init__(self, settings: ScoreUNetSettings, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.settings, self.seed = settings, seed
        self.embedding = TimeEmbedding(
            settings.width,
            kind=settings.embedding,
            fourier_scale=settings.fourier_scale,
            seed=child_seed(seed, "embedding"),
            name="embedding",
        )
        self.embedding.build((None,))
        self.stem = convolution(self, "stem", settings.width)
        self.stem.build((None, None, None, self.input_channels))
        channels = self._make_parts()
        self.head_norm = GroupNorm(dtype="float32", name="head_norm")
        self.head_norm.build((None, None, None, channels))
        outputs = settings.output_channels * settings.patch**2
        self.head = convolution(self, "head", outputs, scale=NEAR_ZERO, dtype="float32")
        self.head.build((None, None, None, channels))
        self.built = True

    @property
    def input_channels(self) -> int:
        """Of the stem."""
        return (self.settings.channels + self.settings.extra_channels) * self.settings.patch**2

    def _make_parts(self) -> int:
        """Makes blocks, attention and what changes sizes; returns the channels that the head sees.

        Each is an attribute of its name: TensorFlow's checkpoints would leave out what is in a dictionary.
        """
        settings = self.settings
        channels, kept = settings.width, [settings.width]
        for level, multiplier in enumerate(settings.multipliers):
            for number in range(settings.blocks):
                self._add_block(f"encode_{level}_{number}", channels, settings.width * multiplier)
                channels = settings.width * multiplier
                kept.append(channels)
                if level in settings.attention_levels:
                    self._add_attention(f"encode_{level}_{number}", channels)
            if level < settings.levels - 1:
                self._add_down(level, channels)
                kept.append(channels)
        for name in ("middle_0", "middle_1"):
            self._add_block(name, channels, channels)
        if settings.bottleneck_attention:
            self._add_attention("middle_0", channels)
        for level in reversed(range(settings.levels)):
            filters = settings.width * settings.multipliers[level]
            for number in range(settings.blocks + 1):
                self._add_block(f"decode_{level}_{number}", channels + kept.pop(), filters)
                channels = filters
                attends = self.attends_throughout or number == settings.blocks
                if attends and level in settings.attention_levels:
                    self._add_attention(f"decode_{level}_{number}", channels)
            if level > 0:
                self._add_up(level, channels)
        return channels

    def _add_block(self, name: str, channels: int, filters: int, resample: str = "none") -> None:
        settings = self.settings
        block = ResidualBlock(
            filters,
            resample=resample,
            smooth=self._smooth,
            rescale=self.rescale,
            scale_shift=settings.scale_shift,
            shortcut_scale=self.shortcut_scale,
            dropout=settings.dropout,
            seed=child_seed(self.seed, name),
            dtype=self.dtype_policy,
            name=name,
        )
        block.build((None, None, None, channels), (None, 4 * settings.width))
        setattr(self, name, block)

    def _add_attention(self, behind: str, channels: int) -> None:
        name = f"attention_{behind}"
        seed = child_seed(self.seed, name)
        options = {"rescale": self.rescale, "heads": self._heads, "seed": seed}
        layer = PixelAttention(**options, dtype=self.dtype_policy, name=name)
        layer.build((None, None, None, channels))
        setattr(self, name, layer)

    @property
    def _heads(self) -> int:
        """Of attention."""
        return 1

    @property
    def _smooth(self) -> bool:
        """Whether sizes change with the filter [1, 3, 3, 1]."""
        raise NotImplementedError

    def _add_down(self, level: int, channels: int) -> None:
        """Makes what goes from `level` to the next one of half the size."""
        raise NotImplementedError

    def _add_up(self, level: int, channels: int) -> None:
        """Makes what goes from `level` to the one before of twice the size."""
        raise NotImplementedError

    def _down(self, level: int, x: Tensor, pyramid: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """Features and the pyramid of inputs at the next level."""
        raise NotImplementedError

    def _up(self, level: int, x: Tensor, condition: Condition) -> Tensor:
        """Features at the level before."""
        raise NotImplementedError

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        settings = self.settings
        image = ops.cast(inputs["image"], "float32")
        size = ops.shape(image)[1:3]
        condition = Condition(self.embedding(inputs["time"]), self._dropout_seeds(inputs, training))
        image = pad_to_multiple(self._shifted(image), settings.multiple)
        padded = ops.shape(image)[1:3]
        image = ops.cast(to_patches(image, settings.patch), self.compute_dtype)
        x, kept = self._encode(image, condition)
        x = self._step("middle_1", self._step("middle_0", x, condition), condition)
        x = self.head(ops.silu(self.head_norm(self._decode(x, kept, condition))))
        return crop_to(from_patches(x, settings.patch, padded), size)

    def _encode(self, image: Tensor, condition: Condition) -> tuple[Tensor, list[Tensor]]:
        x = self.stem(image)
        pyramid, kept = image, [x]
        for level in range(self.settings.levels):
            for number in range(self.settings.blocks):
                x = self._step(f"encode_{level}_{number}", x, condition)
                kept.append(x)
            if level < self.settings.levels - 1:
                x, pyramid = self._down(level, x, pyramid, condition)
                kept.append(x)
        return x, kept

    def _decode(self, x: Tensor, kept: list[Tensor], condition: Condition) -> Tensor:
        for level in reversed(range(self.settings.levels)):
            for number in range(self.settings.blocks + 1):
                x = self._step(f"decode_{level}_{number}", ops.concatenate([x, kept.pop()], axis=-1), condition)
            if level > 0:
                x = self._up(level, x, condition)
        return x

    def _step(self, name: str, x: Tensor, condition: Condition) -> Tensor:
        """One residual block, and the attention behind it if there is one."""
        x = getattr(self, name)(x, condition.embedding, condition.seeds_of(name))
        attention = getattr(self, f"attention_{name}", None)
        return x if attention is None else attention(x)

    def _shifted(self, image: Tensor) -> Tensor:
        if not self.settings.shift_input:
            return image
        channels = self.settings.channels
        return ops.concatenate([2.0 * image[..., :channels] - 1.0, image[..., channels:]], axis=-1)

    def _dropout_seeds(self, inputs: Mapping[str, Tensor], training: bool) -> Tensor | None:
        if not (training and self.settings.dropout > 0):
            return None
        if inputs.get("dropout_seed") is None:
            raise InputError("dropout is active but the inputs have no 'dropout_seed'", fix="give seeds [B, 2]")
        return inputs["dropout_seed"]

    def compute_output_spec(self, inputs: Mapping[str, Tensor], training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs["image"].shape[:3], self.settings.output_channels), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "settings": to_dictionary(self.settings), "seed": self.seed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ScoreUNet:
        """The model of a `get_config`."""
        settings = make_settings(cls.settings_type, config["settings"], "network")
        return cls(**{**config, "settings": settings})
