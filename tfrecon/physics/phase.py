"""The low-resolution phase of an image, moved into the coil maps: what is left to reconstruct is nearly real.

With φ the phase of the combined, Hann-tapered calibration samples, `S' = S exp(iφ)` and `m' = m exp(-iφ)` measure the
same k-space, `A S' m' = A S m`: nothing is lost, and `m = m' exp(iφ)` undoes it. The phase is known from the
undersampled measurement, so a prior of nearly real images can be trained and used alike. All runs in a graph, each
image with its own mask.
"""

from __future__ import annotations

from typing import NamedTuple

from keras import ops

from tfrecon.physics import fourier
from tfrecon.physics.calibration_block import block_taper, calibration_blocks
from tfrecon.physics.coils import CALIBRATION_SIZE
from tfrecon.typing import Tensor
from tfrecon.util.complex import safe_abs
from tfrecon.util.shapes import map_set_axis


class AbsorbedPhase(NamedTuple):
    """Maps that carry the phase of the image.

    Attributes:
        maps: complex64, like the maps given: `S exp(iφ)`.
        phase: `exp(iφ)`, complex64 `[..., H, W]`, with several map sets `[..., S, H, W]`. An image times its
            conjugate is what the new maps see; an image reconstructed with the new maps times it is the image.
    """

    maps: Tensor
    phase: Tensor


def absorb_phase(
    maps: Tensor, kspace: Tensor, mask: Tensor, *, series: bool = False, most: int = CALIBRATION_SIZE
) -> AbsorbedPhase:
    """Moves the image's low-resolution phase into the maps.

    Args:
        maps: complex64 `[..., C, H, W]`, or `[..., S, C, H, W]` for several sets, each with its own phase.
        kspace: see `low_resolution_phase`; so are the following.
        mask: see there.
        series: see there.
        most: see there.

    Raises:
        InputError: maps do not fit k-space.
    """
    phase = low_resolution_phase(maps, kspace, mask, series=series, most=most)
    return AbsorbedPhase(ops.convert_to_tensor(maps, "complex64") * ops.expand_dims(phase, -3), phase)


def low_resolution_phase(
    maps: Tensor, kspace: Tensor, mask: Tensor, *, series: bool = False, most: int = CALIBRATION_SIZE
) -> Tensor:
    """`exp(iφ)` with φ the phase of the coils' low-resolution images, combined by the maps.

    Args:
        maps: complex64 `[..., C, H, W]`, or `[..., S, C, H, W]` for several sets, each with its own phase.
        kspace: complex64 `[..., C, H, W]`.
        mask: 0/1 `[..., 1, H or 1, W]`, broadcastable to k-space with one coil.
        series: whether the axis before the coils is time, of length one in the maps; one phase, of the k-space
            averaged over time, then serves all frames.
        most: the calibration block is cut to so many samples along each axis. A phase that follows the image in
            detail would have to be known in detail in use, too.

    Returns:
        complex64 `[..., H, W]` (`[..., S, H, W]`) of modulus one; one itself where no coil sees anything and where
        the centre of k-space was not sampled.

    Raises:
        InputError: maps do not fit k-space.
    """
    sets = map_set_axis(kspace, maps)
    kspace, mask = ops.convert_to_tensor(kspace, "complex64"), ops.cast(mask, "float32")
    if series:
        kspace, mask = _time_average(kspace, mask)
    size = ops.shape(kspace)[-2:]
    one_by_one = ops.reshape(mask, (-1, 1, *ops.shape(mask)[-2:]))
    blocks = ops.minimum(calibration_blocks(one_by_one, size[0]), most)
    taper = ops.reshape(block_taper(blocks, size), (*ops.shape(mask)[:-2], *size))
    images = fourier.ifft2c(kspace * ops.cast(taper, "complex64"))
    if sets:
        images = ops.expand_dims(images, -4)
    combined = ops.sum(ops.conj(ops.convert_to_tensor(maps, "complex64")) * images, axis=-3)
    magnitude = safe_abs(combined)
    known = magnitude > 0
    phase = combined / ops.cast(ops.where(known, magnitude, 1.0), "complex64")
    return ops.where(known, phase, ops.ones_like(phase))


def _time_average(kspace: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample averaged over the frames that measured it, and the union of the masks; time has length one."""
    counts = ops.sum(mask * ops.ones_like(ops.real(kspace[..., :1, :1, :1])), axis=-4, keepdims=True)
    total = ops.sum(kspace * ops.cast(mask, "complex64"), axis=-4, keepdims=True)
    return total / ops.cast(ops.maximum(counts, 1.0), "complex64"), ops.cast(counts > 0, "float32")
