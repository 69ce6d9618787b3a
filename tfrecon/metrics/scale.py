"""How much of an error is only a wrong global factor: a normalisation that was never undone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfrecon.metrics.measures import as_float64, error_energy

SCALE_WARNING_DB = 0.5
"""From how many decibels on a global scale error is worth a warning."""


@dataclasses.dataclass(frozen=True)
class ScaleError:
    """The best global factor and what it would bring.

    Attributes:
        factor: α that minimises ‖α·recon - reference‖ over real numbers.
        gain_db: PSNR(α·recon) - PSNR(recon), whatever the data range; inf if nothing else is
            wrong, 0 where nothing can be said.
    """

    factor: float
    gain_db: float


def scale_error(recon: np.ndarray, reference: np.ndarray) -> ScaleError:
    """Fits `α = Re<reference, recon> / <recon, recon>`.

    Args:
        recon: real or complex, any shape, before any normalisation.
        reference: of the same shape.

    Returns:
        The factor and the gain; (1, 0) for an all-zero image or reference.
    """
    recon, reference = as_float64(recon), as_float64(reference)
    energy = float(np.vdot(recon, recon).real)
    if energy == 0 or not reference.any():
        return ScaleError(1.0, 0.0)
    factor = float(np.vdot(reference, recon).real) / energy
    before, after = error_energy(recon, reference), error_energy(factor * recon, reference)
    # Rounding leaves a relative residue of about 1e-32 where only the factor was wrong.
    nothing_left = 1e-24 * float(np.vdot(reference, reference).real)
    if before <= nothing_left:
        return ScaleError(1.0, 0.0)
    if after <= nothing_left:
        return ScaleError(factor, math.inf)
    return ScaleError(factor, max(0.0, 10 * math.log10(before / after)))
