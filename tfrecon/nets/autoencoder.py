"""An autoencoder of complex images whose latents are Gaussians: the first stage of latent diffusion.

    encoder: stem ─ blocks ─ down ─ blocks ─ … ─ blocks ─ 2 blocks ─ norm, φ, head: mean and logarithm of the variance
    decoder: stem ─ 2 blocks ─ blocks ─ up ─ blocks ─ … ─ blocks ─ norm, φ, head: the image

Rombach et al., CVPR 2022 (arXiv 2112.10752), the variant with a Kullback-Leibler term, without attention: what is
trained on crops then suits images of any size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import keras
from keras import ops

from tfrecon.nets.equalized import child_seed
from tfrecon.nets.normalization import GroupNorm
from tfrecon.nets.patches import crop_to, pad_to_multiple
from tfrecon.nets.resampling import StridedConv2D, nearest_upsample
from tfrecon.nets.residual import ResidualBlock
from tfrecon.nets.variance_scaled import convolution
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError
from tfrecon.util.settings import make_settings, to_dictionary

FIRST_LOG_VARIANCE = -6.0
"""Of the latents before training, about. At 0 their noise would drown what little a new encoder says in them."""

LOG_VARIANCES = (-30.0, 20.0)
"""Beyond these exponentials leave float32."""


@dataclasses.dataclass(frozen=True)
class AutoencoderSettings:
    """What is built; the defaults have 13,330,890 parameters, with twice the width 53,220,234.

    Attributes:
        latent_channels: real numbers that are kept of each pixel of the coarsest level, an even number: latents are
            diffused as complex images, in pairs.
        width: channels of the first level.
        multipliers: of `width` at each level, from full resolution down; each level halves the size, so that
            latents have 1 / 2^(levels - 1) of an image's height and width.
        blocks: residual blocks at each level of the encoder; the decoder has one more.
    """

    channels: ClassVar[int] = 2
    """Of the image: real and imaginary part."""

    latent_channels: int = 4
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 2

    def __post_init__(self) -> None:
        if self.latent_channels < 2 or self.latent_channels % 2:
            raise InputError(f"'latent_channels' is {self.latent_channels}", fix="give an even number of at least 2")
        if self.width < 4:
            raise InputError(f"'width' is {self.width}", fix="give at least 4")
        if not self.multipliers or min(self.multipliers) < 1:
            raise InputError(f"'multipliers' is {self.multipliers}", fix="give one number of at least 1 for each level")
        if self.blocks < 1:
            raise InputError(f"'blocks' is {self.blocks}", fix="give at least 1")

    @property
    def levels(self) -> int:
        """Resolutions."""
        return len(self.multipliers)

    @property
    def multiple(self) -> int:
        """How many pixels of an image one of the latents stands for along each axis; sizes are padded to it."""
        return 2 ** (self.levels - 1)

    @property
    def compression(self) -> float:
        """Numbers of an image over numbers of its latents."""
        return self.channels * self.multiple**2 / self.latent_channels


def small(factor: Literal[2, 4] = 4) -> AutoencoderSettings:
    """An autoencoder for a CPU: 1,459,674 parameters with a factor of 4, 624,170 with 2.

    The latents have a fourth of an image's numbers, or half of them.

    Args:
        factor: by how much the latents are smaller along each axis.

    Raises:
        InputError: another factor.
    """
    if factor == 4:
        return AutoencoderSettings(latent_channels=8, width=24, multipliers=(1, 2, 4), blocks=1)
    if factor == 2:
        return AutoencoderSettings(latent_channels=4, width=32, multipliers=(1, 2), blocks=1)
    raise InputError(f"no small autoencoder with a factor of {factor}", fix="choose 2 or 4")


def build_autoencoder(settings: AutoencoderSettings, seed: int = 0) -> KLAutoencoder:
    """The network with its initial weights.

    Args:
        settings: the architecture.
        seed: of the initial weights; the same on every backend.
    """
    return KLAutoencoder(settings, seed, name="autoencoder")


class Moments(NamedTuple):
    """Gaussian latents of a batch of images, independent of each other; float32 `[B, h, w, latent_channels]` both."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, seeds: Tensor) -> Tensor:
        """Latents by seeds `[B, 2]` of `util.rng`, like the mean."""
        return self.mean + ops.exp(0.5 * self.log_variance) * rng.normal(seeds, ops.shape(self.mean))


@keras.saving.register_keras_serializable(package="tfrecon")
class KLAutoencoder(keras.Model):
    """Images to latents and back.

    Called with a dictionary of "image", float32 `[B, H, W, 2]`, it returns what the means of the latents decode to,
    likewise. Sizes that do not divide into the levels are reflected at the edges inside (`patches.pad_to_multiple`),
    so that latents are `[B, ⌈H/f⌉, ⌈W/f⌉, n]` with f = `settings.multiple`, and what is decoded is cropped. Under a
    mixed precision policy convolutions compute in half precision, statistics of normalisations and heads in float32.

    Args:
        settings: the architecture.
        seed: of the initial weights; the same on every backend.
        **kwargs: name, dtype and the like.
    """

    def __init__(self, settings: AutoencoderSettings, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.settings, self.seed = settings, seed
        self._make_decoder(self._make_encoder())
        self.built = True

    def encode(self, image: Tensor) -> Moments:
        """The latents of images, float32 `[B, H, W, 2]`.

        Raises:
            InputError: an image is too small to be padded.
        """
        settings = self.settings
        x = pad_to_multiple(ops.cast(image, "float32"), settings.multiple)
        x = self.encoder_stem(ops.cast(x, self.compute_dtype))
        for level in range(settings.levels):
            for number in range(settings.blocks):
                x = getattr(self, f"encode_{level}_{number}")(x)
            if level < settings.levels - 1:
                x = getattr(self, f"down_{level}")(x)
        x = self.encode_middle_1(self.encode_middle_0(x))
        moments = self.encoder_head(ops.silu(self.encoder_norm(x)))
        log_variance = moments[..., settings.latent_channels :] + FIRST_LOG_VARIANCE
        return Moments(moments[..., : settings.latent_channels], ops.clip(log_variance, *LOG_VARIANCES))

    def decode(self, latent: Tensor, size: Sequence[int | Tensor] | None = None) -> Tensor:
        """The images of latents.

        Args:
            latent: float32 `[B, h, w, latent_channels]`.
            size: height and width of the images that were encoded; None for f·h and f·w.

        Returns:
            float32 `[B, *size, 2]`.
        """
        settings = self.settings
        x = self.decoder_stem(ops.cast(latent, self.compute_dtype))
        x = self.decode_middle_1(self.decode_middle_0(x))
        for level in reversed(range(settings.levels)):
            for number in range(settings.blocks + 1):
                x = getattr(self, f"decode_{level}_{number}")(x)
            if level > 0:
                x = getattr(self, f"up_{level}")(nearest_upsample(x))
        x = self.decoder_head(ops.silu(self.decoder_norm(x)))
        return x if size is None else crop_to(x, tuple(size))

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        image = inputs["image"]
        return self.decode(self.encode(image).mean, ops.shape(image)[1:3])

    def _make_encoder(self) -> int:
        """Makes the parts of the encoder; returns the channels of its coarsest level.

        Each is an attribute of its name: TensorFlow's checkpoints would leave out what is in a dictionary.
        """
        settings = self.settings
        channels = settings.width
        self._add_convolution("encoder_stem", settings.channels, channels)
        for level, multiplier in enumerate(settings.multipliers):
            for number in range(settings.blocks):
                self._add_block(f"encode_{level}_{number}", channels, settings.width * multiplier)
                channels = settings.width * multiplier
            if level < settings.levels - 1:
                name = f"down_{level}"
                layer = StridedConv2D(channels, seed=child_seed(self.seed, name), dtype=self.dtype_policy, name=name)
                self._add(name, layer, channels)
        self._add_middle("encode_middle", channels)
        self._add("encoder_norm", GroupNorm(dtype="float32", name="encoder_norm"), channels)
        self._add_convolution("encoder_head", channels, 2 * settings.latent_channels, dtype="float32")
        return channels

    def _make_decoder(self, channels: int) -> None:
        settings = self.settings
        self._add_convolution("decoder_stem", settings.latent_channels, channels)
        self._add_middle("decode_middle", channels)
        for level in reversed(range(settings.levels)):
            for number in range(settings.blocks + 1):
                self._add_block(f"decode_{level}_{number}", channels, settings.width * settings.multipliers[level])
                channels = settings.width * settings.multipliers[level]
            if level > 0:
                self._add_convolution(f"up_{level}", channels, channels)
        self._add("decoder_norm", GroupNorm(dtype="float32", name="decoder_norm"), channels)
        self._add_convolution("decoder_head", channels, settings.channels, dtype="float32")

    def _add_middle(self, name: str, channels: int) -> None:
        for number in range(2):
            self._add_block(f"{name}_{number}", channels, channels)

    def _add_block(self, name: str, channels: int, filters: int) -> None:
        block = ResidualBlock(filters, seed=child_seed(self.seed, name), dtype=self.dtype_policy, name=name)
        self._add(name, block, channels)

    def _add_convolution(self, name: str, channels: int, filters: int, **kwargs: Any) -> None:
        self._add(name, convolution(self, name, filters, **kwargs), channels)

    def _add(self, name: str, layer: keras.layers.Layer, channels: int) -> None:
        layer.build((None, None, None, channels))
        setattr(self, name, layer)

    def compute_output_spec(self, inputs: Mapping[str, Tensor], training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs["image"].shape[:3], self.settings.channels), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "settings": to_dictionary(self.settings), "seed": self.seed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> KLAutoencoder:
        """The model of a `get_config`."""
        settings = make_settings(AutoencoderSettings, config["settings"], "network")
        return cls(**{**config, "settings": settings})
