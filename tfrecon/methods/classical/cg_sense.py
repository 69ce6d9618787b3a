"""CG-SENSE: the regularised least-squares image, by conjugate gradients.

Pruessmann et al., Magn. Reson. Med. 46:638 (2001).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from keras import ops

from tfrecon.methods.base import Method, register_method
from tfrecon.methods.classical.sense_problem import sense_problem
from tfrecon.physics import fourier
from tfrecon.physics.operators import combine_sets
from tfrecon.physics.solvers import conjugate_gradient
from tfrecon.typing import Measurement, Reconstruction, Tensor


@dataclasses.dataclass(frozen=True)
class CgSenseOptions:
    """Options of CG-SENSE.

    Attributes:
        regularisation: λ in `|Ax - y|² + λ|x|²`, relative to the largest coil energy
            `max sum_c |S_c|²`, which bounds the eigenvalues of A^H A (with several map sets:
            relative to `sense_problem.eigenvalue_bound`). With maps of unit energy it is λ
            itself; no scaling of k-space or of the maps changes what it does.
        iterations: conjugate gradients, at most.
        tolerance: stops an item when its relative residual is below; 0 does all iterations.
    """

    regularisation: float = 1e-2
    iterations: int = 30
    tolerance: float = 1e-5


@register_method
class CgSense(Method):
    """Minimises `|Ax - y|² + λ|x|²` with one or several sets of coil maps."""

    name: ClassVar[str] = "cg_sense"
    options_type: ClassVar[type] = CgSenseOptions

    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: CgSenseOptions
    ) -> Reconstruction:
        del models, seed
        problem = sense_problem(measurement)
        weight = ops.cast(options.regularisation * problem.bound, "complex64")
        image, _ = conjugate_gradient(
            lambda x: problem.operator.normal(x) + weight * x,
            problem.zero_filled,
            iterations=options.iterations,
            tolerance=options.tolerance,
            axes=problem.item_axes,
        )
        return Reconstruction(combine_sets(fourier.fftshift(image), problem.operator.map_sets))
