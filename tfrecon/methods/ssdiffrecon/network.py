"""The denoiser: a network unrolled over cascades of refinement and data consistency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tfrecon.methods.ssdiffrecon.mapper import Mapper, active_seeds
from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel
from tfrecon.nets.embeddings import axis_features
from tfrecon.nets.equalized import EqualizedConv2D, child_seed, uniform_initializer
from tfrecon.nets.modulated import ModulatedConv2D, StyledLayer, apply_scale
from tfrecon.nets.patches import fit_centre, from_patches, to_patches
from tfrecon.physics.layers import GradientDataConsistency, HardDataConsistency, ProximalDataConsistency
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy, to_channels, to_complex
from tfrecon.util.settings import make_settings, to_dictionary

CONSISTENCY = {
    "hard": HardDataConsistency,
    "proximal": ProximalDataConsistency,
    "gradient": GradientDataConsistency,
}
BEGIN_WEIGHT, BEGIN_ITERATIONS = 0.01, 10
"""Of the regularised SENSE that the cascades may begin with; not learned, so nothing is differentiated."""


def build_networks(settings: SSDiffReconModel, seed: int = 0) -> dict[str, keras.Model]:
    """The two models of SSDiffRecon with their initial weights.

    Args:
        settings: the architecture.
        seed: of the initial weights; the same on every backend.

    Returns:
        "mapper" (`Mapper`): {"time", "label", "dropout_seed"} to tokens;
        "denoiser" (`Denoiser`): {"image", "tokens", "kspace", "mask", "maps", "dropout_seed"} to an image.
    """
    return {
        "mapper": Mapper(settings, child_seed(seed, "mapper"), name="mapper"),
        "denoiser": Denoiser(settings, child_seed(seed, "denoiser"), name="denoiser"),
    }


@keras.saving.register_keras_serializable(package="tfrecon")
class Denoiser(keras.Model):
    """A noisy image and what was measured to the clean image that the network expects.

    Inputs, a dictionary:

    - "image": complex64 `[B, H, W]`, the noisy image x_t.
    - "tokens": float32 `[B, depth, tokens + 1, token_width]` of the mapper.
    - "kspace": complex64 `[B, C, h, w]`, what the image is made consistent with; of the image's size
      or smaller: then an image's centre is made consistent and the rest set to zero.
    - "mask": 0/1 `[B, 1, h or 1, w]`; "maps": complex64 `[B, C, h, w]`, left out for one coil.
    - "consistency_weight": optional, a float32 scalar in the place of the weights of the data consistency.
    - "dropout_seed": `[B, 2]` where dropout is active.

    Returns complex64 `[B, H, W]`.

    Args:
        settings: the architecture.
        seed: of the initial weights.
        **kwargs: name, dtype and the like. A precision policy reaches convolutions only: attention,
            normalisation and data consistency compute in float32.
    """

    def __init__(self, settings: SSDiffReconModel, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.settings, self.seed = settings, seed
        pixels, features = (None, None, None, 2 * settings.patch**2), (None, None, None, settings.channels)
        stem_width = pixels[-1] * (2 if settings.condition_on_input else 1)
        self.stem = self._convolution("stem", settings.channels, settings.stem_kernel, use_bias=False)
        self.stem.build((None, None, None, stem_width))
        self.styled = [self._styled(layer) for layer in range(settings.depth)]
        self.to_image, self.to_features, self.consistency = [], [], []
        for cascade in range(settings.cascades):
            zero = {"zero_init": settings.zero_init}
            self.to_image.append(self._convolution(f"to_image_{cascade}", pixels[-1], **zero))
            self.to_image[-1].build(features)
            self.to_features.append(self._convolution(f"to_features_{cascade}", settings.channels, leaky=True))
            self.to_features[-1].build(pixels)
            self.consistency.append(self._consistency(f"consistency_{cascade}"))
        self.consistency.append(self._consistency("consistency_out"))
        self.begin = None
        if settings.begin == "cg_sense":
            self.begin = ProximalDataConsistency(BEGIN_WEIGHT, False, BEGIN_ITERATIONS, name="begin")
            self.begin.build(None)
        self.head = self._head(pixels[-1])
        if any(map(settings.has_attention, range(settings.depth))):
            self.token_positions = self.add_weight(
                shape=(settings.tokens, settings.token_width),
                initializer=uniform_initializer(seed, "token_positions"),
                name="token_positions",
                autocast=False,
            )
        self.built = True

    def _convolution(self, name: str, units: int, kernel_size: int = 1, **kwargs: Any) -> EqualizedConv2D:
        seed = child_seed(self.seed, name)
        return EqualizedConv2D(units, kernel_size, seed=seed, dtype=self.dtype_policy, name=name, **kwargs)

    def _styled(self, number: int) -> StyledLayer:
        settings, name = self.settings, f"styled_{number}"
        layer = StyledLayer(
            settings.channels,
            settings.kernel,
            attention=settings.has_attention(number),
            epsilon=settings.epsilon,
            dropout=settings.dropout,
            noise_size=settings.canvas if settings.noise_maps != "none" else 0,
            train_noise=settings.noise_maps == "trained",
            seed=child_seed(self.seed, name),
            dtype=self.dtype_policy,
            name=name,
        )
        width, place = settings.token_width, (None, settings.token_width // 2)
        features = (None, None, None, settings.channels)
        layer.build(features, (None, width), (None, settings.tokens, width), (settings.tokens, width), place, place)
        return layer

    def _consistency(self, name: str) -> keras.layers.Layer:
        settings, options = self.settings, {}
        if settings.consistency != "hard":
            options["learnable"] = settings.train_consistency
            if settings.consistency_weight is not None:
                options["mu" if settings.consistency == "proximal" else "step"] = settings.consistency_weight
        if settings.consistency == "proximal":
            options |= {"iterations": settings.consistency_iterations, "derivative": "unrolled"}
        layer = CONSISTENCY[settings.consistency](name=name, **options)
        layer.build(None)
        return layer

    def _head(self, units: int) -> ModulatedConv2D:
        settings = self.settings
        head = ModulatedConv2D(
            units,
            settings.head_kernel,
            demodulate=False,
            use_bias=True,
            zero_init=settings.zero_init,
            seed=child_seed(self.seed, "head"),
            dtype=self.dtype_policy,
            name="head",
        )
        head.build((None, None, None, settings.channels), (None, settings.token_width))
        return head

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> Tensor:
        settings = self.settings
        seeds = active_seeds(settings, inputs, training)
        noisy = ops.cast(inputs["image"], "complex64")
        size = ops.shape(noisy)[-2:]
        if settings.canvas:
            noisy = fit_centre(noisy, (settings.canvas, settings.canvas))
        image = None
        if settings.image_residual or settings.condition_on_input:
            image = self._consistent(self.begin or self.consistency[0], ops.zeros_like(noisy), inputs)
        x, stream_scale = self._stem(noisy, image), 1.0
        places = self._places(x)
        for cascade in range(settings.cascades):
            x = x + self._branch(cascade, x, stream_scale, inputs["tokens"], places, seeds)
            stream_scale *= settings.residual_scale
            change = self._to_complex(self.to_image[cascade](x, input_scale=stream_scale), noisy)
            image = self._consistent(self.consistency[cascade], self._corrected(image, change), inputs)
            x = x + self.to_features[cascade](self._from_complex(image), output_scale=1 / stream_scale)
            stream_scale *= settings.residual_scale
        change = self._to_complex(self.head(x, inputs["tokens"][:, -1, -1], input_scale=stream_scale), noisy)
        image = self._consistent(self.consistency[-1], self._corrected(image, change), inputs)
        return fit_centre(image, size) if settings.canvas else image

    def _stem(self, noisy: Tensor, first: Tensor | None) -> Tensor:
        pixels = [self._from_complex(noisy)]
        if self.settings.condition_on_input:
            pixels.append(self._from_complex(first))
        return self.stem(ops.concatenate(pixels, axis=-1))

    def _branch(
        self, cascade: int, x: Tensor, stream_scale: float, tokens: Tensor, places: tuple[Tensor, ...], seeds: Tensor
    ) -> Tensor:
        """What a cascade's modulated layers add to the stream.

        The sums of the stream are scaled by c = `residual_scale`. To save a pass over all features for
        each, the stream is kept as `x / c^n` after n sums, and what leaves and enters it is scaled
        instead, by factors in weights.
        """
        count = self.settings.layers_per_cascade
        y, scale = x, stream_scale
        for layer in range(cascade * count, (cascade + 1) * count):
            last = layer == (cascade + 1) * count - 1
            scales = {"input_scale": 1.0 if scale is None else scale, "output_scale": 1 / stream_scale if last else 1.0}
            layer_seeds = None if seeds is None else rng.fold_in(seeds, layer)
            attended = (tokens[:, layer, :-1], *places, layer_seeds) if places else ()
            y, scale = self.styled[layer].refine(y, tokens[:, layer, -1], *attended, **scales)
        return apply_scale(y, scale)

    def _places(self, x: Tensor) -> tuple[Tensor, ...]:
        """Positions of the tokens, features of the rows' and the columns' places; empty without attention."""
        settings = self.settings
        if not any(layer.has_attention for layer in self.styled):
            return ()
        angles = (settings.token_width // 2, settings.lowest_angle, settings.highest_angle)
        return (ops.convert_to_tensor(self.token_positions), *(axis_features(n, *angles) for n in ops.shape(x)[1:3]))

    def _corrected(self, image: Tensor | None, change: Tensor) -> Tensor:
        return image + change if self.settings.image_residual else change

    def _consistent(self, layer: keras.layers.Layer, image: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        size = ops.shape(image)[-2:]
        measured = {name: inputs[name] for name in ("kspace", "mask", "maps") if inputs.get(name) is not None}
        image = fit_centre(image, ops.shape(measured["kspace"])[-2:])
        if inputs.get("consistency_weight") is not None and layer is not self.begin:
            measured["weight"] = inputs["consistency_weight"]
        image = layer({"image": image, **measured})
        if self.settings.zero_unseen and "maps" in measured:
            seen = ops.any(energy(measured["maps"]) > 0, axis=-3)
            image = ops.where(seen, image, ops.zeros_like(image))
        return fit_centre(image, size)

    def _from_complex(self, image: Tensor) -> Tensor:
        """An image as the network's channels, patches of its pixels."""
        return ops.cast(to_patches(to_channels(image), self.settings.patch), self.compute_dtype)

    def _to_complex(self, x: Tensor, like: Tensor) -> Tensor:
        return to_complex(from_patches(ops.cast(x, "float32"), self.settings.patch, ops.shape(like)[-2:]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "settings": to_dictionary(self.settings), "seed": self.seed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Denoiser:
        """The model of a `get_config`."""
        settings = make_settings(SSDiffReconModel, config["settings"], "denoiser")
        return cls(**{**config, "settings": settings})
