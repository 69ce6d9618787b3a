"""A network as a function of complex images, whatever channels, patches or low frequencies it was made for."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.parameterization import Network, make_denoiser
from tfrecon.diffusion.steps import Denoiser
from tfrecon.methods.score.low_frequencies import Size, block_parts, projector_of
from tfrecon.methods.score.model import ScoreModel
from tfrecon.nets.patch_partition import assemble, draw_offsets, partition, positions
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex, to_channels, to_complex

TIME_CODES = 2.0**30
"""Times in [0, 1] as whole numbers, for seeds."""


@dataclasses.dataclass(frozen=True)
class Prior:
    """A network with the path that it was trained on, for images of one batch.

    Attributes:
        network: the Keras model.
        model: what it was built from.
        path: of the images; with the channels "magnitude" a real one means that they have no imaginary part.
        parts: which part of k-space is not diffused, float32 `[B, 2]`; None unless the network is told.
        seeds: `[B, 2]`, of partitions and dropout.
        training: whether dropout is active.
        whole: shows a prior of patches whole images.
    """

    network: Any
    model: ScoreModel
    path: ContinuousPath
    parts: Tensor | None
    seeds: Tensor
    training: bool = False
    whole: bool = False

    def denoiser(self, *, locked: bool = True) -> Denoiser:
        """`(x_t, t) -> x0_hat` for images of the batch; a new partition into patches at each time.

        Args:
            locked: see `diffusion.parameterization.make_denoiser`.
        """

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            network = self.as_network(ops.cast(t * TIME_CODES, "int32"))
            return make_denoiser(network, self.model.parameterization, self.path, locked=locked)(x_t, t)

        return denoise

    def as_network(self, number: Tensor | int = 0) -> Network:
        """The network for whole images, if it is one of patches through a random partition.

        Args:
            number: of the partition, a scalar or `[B]`.
        """
        patch = self.model.patch
        if not patch or self.whole:
            return lambda image, label: self._call(image, label, positions(ops.shape(image)[1:]) if patch else None)

        def through_patches(image: Tensor, label: Tensor) -> Tensor:
            size = ops.shape(image)[1:]
            offsets = draw_offsets(rng.fold_in(self.seeds, number), patch)
            cut = partition(to_channels(image), offsets, patch)
            output = self._call(to_complex(cut.values), label, cut.positions)
            return to_complex(assemble(to_channels(output), offsets, size))

        return through_patches

    def as_patch_network(self, places: Tensor) -> Network:
        """The network for patches that are at given places.

        Args:
            places: from `nets.patch_partition`, float32 `[N, P, P, 2]`, those of an image next to each other.
        """
        return lambda image, label: self._call(image, label, places)

    def _call(self, image: Tensor, label: Tensor, places: Tensor | None) -> Tensor:
        """The network's output for images, or patches of them that lie next to each other.

        Args:
            image: complex64 `[N, h, w]`, N a multiple of B.
            label: float32 `[N]` or `[B]`.
            places: float32 `[N or 1, h, w, 2]`.
        """
        model, count = self.model, ops.shape(image)[0]
        if model.channels == "complex":
            channels, copies = to_channels(image), 1
        elif self.path.real:
            channels, copies = ops.real(image)[..., None], 1
        else:  # real and imaginary part apart
            channels, copies = ops.concatenate([ops.real(image), ops.imag(image)])[..., None], 2
        extra = [] if places is None else [_repeated(places, count)]
        if self.parts is not None:
            extra.append(ops.broadcast_to(_repeated(self.parts, count)[:, None, None], (*ops.shape(image), 2)))
        inputs = {
            "image": ops.concatenate([channels, *(_again(part, copies) for part in extra)], axis=-1),
            "time": _again(_repeated(label, count), copies),
        }
        if self.training and model.network_settings.dropout > 0:
            inputs["dropout_seed"] = self._dropout_seeds(count)
        output = self.network(inputs, training=self.training)
        if model.channels == "complex":
            return to_complex(output)
        real, imag = (output[:count], output[count:]) if copies == 2 else (output, ops.zeros_like(output))
        return make_complex(real[..., 0], imag[..., 0])

    def _dropout_seeds(self, count: int | Tensor) -> Tensor:
        """Seeds `[count, 2]`, several of each image where it is seen in patches."""
        own = rng.for_purpose(self.seeds, "dropout")
        return rng.fold_in(_repeated(own, count), ops.arange(count, dtype="int32") % (count // ops.shape(own)[0]))


def make_prior(
    network: Any,
    model: ScoreModel,
    path: PathSettings,
    size: Size,
    seeds: Tensor,
    *,
    blocks: Tensor | None = None,
    training: bool = False,
    whole: bool = False,
) -> Prior:
    """The prior for a batch of images.

    Args:
        network: the Keras model.
        model: what it was built from.
        path: that of the model, or of its `training_path`.
        size: height and width of the images.
        seeds: `[B, 2]`.
        blocks: int32 `[B, 2]`, what the path "hfs" leaves alone of each image; see `low_frequencies`.
        training: see `Prior`.
        whole: see `Prior`.
    """
    projector = None if blocks is None else projector_of(blocks, size)
    parts = block_parts(blocks, size) if model.told_width else None
    return Prior(network, model, make_path(path, projector), parts, seeds, training, whole)


def _repeated(values: Tensor, count: int | Tensor) -> Tensor:
    """`[B, ...]` as `[count, ...]`, each `count / B` times in succession."""
    given, item = ops.shape(values)[0], ops.shape(values)[1:]
    if isinstance(given, int) and isinstance(count, int) and given == count:
        return values
    return ops.reshape(ops.broadcast_to(values[:, None], (given, count // given, *item)), (count, *item))


def _again(values: Tensor, copies: int) -> Tensor:
    return values if copies == 1 else ops.concatenate([values] * copies)
