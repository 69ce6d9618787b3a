"""The architecture of SSDiffRecon as settings, and the presets.

The defaults are the *fixed* network: the published one with its defects cured. `faithful_single` and
`faithful_multi` are the published networks, parameter for parameter and defect for defect; `small` is
made for training on a CPU.

Korkmaz et al., "Self-supervised MRI reconstruction with unrolled diffusion models", MICCAI 2023.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from tfrecon.util.errors import InputError

PUBLISHED_ANGLES = (10000.0 ** (-7 / 8), 1.0)


@dataclasses.dataclass(frozen=True)
class SSDiffReconModel:
    """What is built.

    Attributes:
        channels: feature channels of the denoiser.
        cascades: how often features are refined and an image is made consistent with the data.
        layers_per_cascade: modulated convolutions in a cascade.
        kernel: side of their kernels.
        patch: the denoiser works on patches of patch × patch pixels as channels (space to depth), so on
            1/patch of the height and width. Sizes that are no multiple are padded inside.
        stem_kernel: side of the first convolution's kernel.
        head_kernel: side of the last convolution's kernel.
        attention_every: every so many layers have cross-attention to the local tokens, the last of a
            cascade's where it equals `layers_per_cascade`; 0 for none.
        tokens: local tokens; one global token, the style of the convolutions, comes on top.
        token_width: their width, also that of the embeddings of time and label.
        mapper_blocks: blocks of the mapper's trunks.
        label_width: width of the label vector, 0 for none.
        lowest_angle: of the positional features of pixels, radians at the edge of the image.
        highest_angle: likewise. Angles between the two are spaced geometrically.
        dropout: of attention probabilities, once for each and once for each token.
        consistency: the data consistency of each cascade and of the output. "hard" puts measured
            samples in place, "proximal" weighs them by a learned weight, "gradient" takes one step of
            learned length. With several coils "hard" is one gradient step; "proximal" solves the whole
            SENSE problem.
        consistency_weight: μ of "proximal" consistency, or the step length of "gradient", at the start of
            training; None for the layer's own, 0.05 and 1.
        train_consistency: whether that weight is learned, one for each consistency.
        consistency_iterations: conjugate gradients of each "proximal" consistency.
        zero_unseen: sets pixels where all coil maps are zero to zero. No measured sample speaks of them, so
            no self-supervised loss can teach the network what is there.
        condition_on_input: shows the first image (see `begin`) to the first convolution, besides `x_t`,
            of which little is left at late times.
        image_residual: each cascade corrects the image of the one before, beginning with the first
            image, instead of making a new one.
        begin: the first image: "zero_filled", or "cg_sense", ten iterations of regularised SENSE, which
            unfolds what several coils tell apart: six cascades of one gradient step each do not get as
            far. With one coil the two are nearly the same.
        token_content: each token has learned content of its own. Without, all tokens are equal and
            cross-attention is a gain that is the same everywhere.
        train_positions: whether the mapper's table of token positions is trained.
        zero_init: output convolutions start at zero, so that the first output is the first image.
        residual_scale: factor on the sums of the feature stream.
        epsilon: added to the mean square in normalisations over channels.
        logit_offset: added to the mapper's attention logits.
        dropout_at_inference: keeps dropout active outside training.
        noise_maps: a fixed map of noise for each layer, "trained" or "frozen", scaled by a learned
            strength. Only for a fixed `canvas`.
        canvas: height and width to which images are zero-padded inside; 0 takes any size as it is.
    """

    channels: int = 128
    cascades: int = 6
    layers_per_cascade: int = 2
    kernel: int = 3
    patch: int = 1
    stem_kernel: int = 7
    head_kernel: int = 7
    attention_every: int = 1
    tokens: int = 16
    token_width: int = 32
    mapper_blocks: int = 4
    label_width: int = 0
    lowest_angle: float = math.pi / 2
    highest_angle: float = 32 * math.pi
    dropout: float = 0.06
    consistency: Literal["hard", "proximal", "gradient"] = "hard"
    consistency_weight: float | None = None
    train_consistency: bool = True
    consistency_iterations: int = 10
    zero_unseen: bool = True
    condition_on_input: bool = True
    image_residual: bool = True
    begin: Literal["zero_filled", "cg_sense"] = "zero_filled"
    token_content: bool = True
    train_positions: bool = True
    zero_init: bool = True
    residual_scale: float = math.sqrt(0.5)
    epsilon: float = 1e-6
    logit_offset: float = 0.0
    dropout_at_inference: bool = False
    noise_maps: Literal["none", "frozen", "trained"] = "none"
    canvas: int = 0

    def __post_init__(self) -> None:
        positive = (
            "channels",
            "cascades",
            "layers_per_cascade",
            "kernel",
            "patch",
            "stem_kernel",
            "head_kernel",
            "tokens",
            "consistency_iterations",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise InputError(f"{name!r} is {getattr(self, name)}", fix="give at least 1")
        for name in ("mapper_blocks", "label_width", "attention_every", "canvas"):
            if getattr(self, name) < 0:
                raise InputError(f"{name!r} is {getattr(self, name)}", fix="give 0 or more")
        if self.token_width < 4 or self.token_width % 4:
            raise InputError(f"'token_width' is {self.token_width}", fix="give a multiple of 4")
        if not 0 <= self.dropout < 1:
            raise InputError(f"'dropout' is {self.dropout}", fix="give a number from 0 to below 1")
        for name in ("lowest_angle", "highest_angle", "residual_scale", "epsilon"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name!r} is {getattr(self, name)}", fix="give a positive number")
        if self.consistency_weight is not None and not 0 < self.consistency_weight < math.inf:
            raise InputError(f"'consistency_weight' is {self.consistency_weight}", fix="give a positive one, or null")
        if self.noise_maps != "none" and (self.canvas == 0 or self.patch > 1):
            raise InputError(
                "noise maps have one size, that of 'canvas'", fix="set canvas and patch=1, or noise_maps='none'"
            )

    @property
    def depth(self) -> int:
        """Modulated convolutions between stem and head."""
        return self.cascades * self.layers_per_cascade

    def drops(self, training: bool) -> bool:
        """Whether dropout is active, so that a `dropout_seed` is needed."""
        return self.dropout > 0 and (training or self.dropout_at_inference)

    def has_attention(self, layer: int) -> bool:
        """Whether layer number `layer` (from 0) has cross-attention."""
        return self.attention_every > 0 and (layer + 1) % self.attention_every == 0


def fixed(channels: int = 128, label_width: int = 0) -> SSDiffReconModel:
    """The published network with its defects cured: any image size, coil count and batch."""
    return SSDiffReconModel(channels=channels, label_width=label_width)


def faithful_single() -> SSDiffReconModel:
    """The published single-coil network (IXI, 256²): 3,240,858 + 51,712 trainable parameters."""
    return _published(channels=128, head_kernel=7, noise_maps="trained", canvas=256)


def faithful_multi() -> SSDiffReconModel:
    """The published multi-coil network (fastMRI, padded to 512²): 680,666 + 51,712 trainable parameters."""
    return _published(channels=64, head_kernel=1, noise_maps="frozen", canvas=512)


def small(label_width: int = 0) -> SSDiffReconModel:
    """For training on a CPU: few channels, cross-attention in every fourth layer, no dropout."""
    return SSDiffReconModel(
        channels=32,
        cascades=6,
        stem_kernel=5,
        head_kernel=3,
        attention_every=4,
        tokens=8,
        mapper_blocks=2,
        label_width=label_width,
        dropout=0.0,
    )


def _published(
    channels: int, head_kernel: int, noise_maps: Literal["frozen", "trained"], canvas: int
) -> SSDiffReconModel:
    lowest, highest = PUBLISHED_ANGLES
    return SSDiffReconModel(
        channels=channels,
        head_kernel=head_kernel,
        label_width=5,
        lowest_angle=lowest,
        highest_angle=highest,
        zero_unseen=False,
        condition_on_input=False,
        image_residual=False,
        token_content=False,
        train_positions=False,
        zero_init=False,
        residual_scale=1.0,
        epsilon=1e-8,
        logit_offset=-1e4,
        dropout_at_inference=True,
        noise_maps=noise_maps,
        canvas=canvas,
    )
