"""How good a reconstruction through an autoencoder can get: the autoencoder's own error on reference images.

What it cannot reproduce, a prior of its latents cannot reconstruct. So it is measured before such a prior is trained,
and training is refused where it would be in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tfrecon.metrics.aggregate import Summary, summarise
from tfrecon.metrics.conventions import SLICE, score_volume
from tfrecon.util.errors import InputError

MARGIN_DB = 3.0
"""By how much an autoencoder has to be better than the reconstruction that is wanted: its error then adds at most as
much again as the reconstruction has."""


def reproduction_ceiling(reproduce: Callable[[np.ndarray], np.ndarray], batches: Iterable[np.ndarray]) -> Summary:
    """PSNR of the magnitudes of reproduced images, under the convention "slice".

    Args:
        reproduce: complex images `[B, H, W]` to what an autoencoder makes of them.
        batches: reference images, complex `[B, H, W]`; batches may differ in size.

    Returns:
        Mean and interval over the images; an empty reference has no score.

    Raises:
        InputError: no images.
    """
    scores: list[float] = []
    for batch in batches:
        found = score_volume(SLICE, np.abs(np.asarray(reproduce(batch))), np.abs(batch))
        scores += [unit["psnr"] for unit in found.units]
    if not scores:
        raise InputError("no images to measure an autoencoder on", fix="give a dataset that is not empty")
    return summarise(scores)


def require_ceiling(ceiling: float, wanted: float, margin: float = MARGIN_DB, where: str = "") -> None:
    """Refuses an autoencoder that is not good enough for the reconstructions that are wanted through it.

    Args:
        ceiling: PSNR of what it reproduces, in decibels.
        wanted: PSNR of the reconstructions.
        margin: by how much the first has to exceed the second.
        where: folder of the autoencoder, for the message.

    Raises:
        InputError: it does not, or its PSNR is not a number.
    """
    if not ceiling >= wanted + margin:
        raise InputError(
            f"the autoencoder reproduces images with {ceiling:.1f} dB, but reconstructions of {wanted:.1f} dB need "
            f"{wanted + margin:.1f} dB of it",
            where,
            "train it longer, with more latent_channels or one level less, or want less",
        )
