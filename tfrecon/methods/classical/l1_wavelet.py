"""Compressed sensing with wavelets: SENSE regularised by the l1 norm of wavelet coefficients.

Lustig, Donoho & Pauly, Magn. Reson. Med. 58:1182 (2007), by FISTA (Beck & Teboulle, SIAM J. Imaging
Sci. 2:183, 2009), with the wavelet frame at another random position in each iteration, which stands
for a translation-invariant frame (cycle spinning) at the cost of one basis (Figueiredo & Nowak,
IEEE Trans. Image Process. 12:906, 2003).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from keras import ops

from tfrecon.methods.base import Method, register_method
from tfrecon.methods.classical.sense_problem import sense_problem
from tfrecon.physics.wavelets import WaveletTransform
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng


@dataclasses.dataclass(frozen=True)
class L1WaveletOptions:
    """Options of l1-wavelet reconstruction.

    Attributes:
        regularisation: λ in `½|Ax - y|² + λ|Wx|₁`; the coarse approximation is not penalised. The
            data are divided by the 99 % quantile of their zero-filled magnitude (`physics.scale`),
            and λ is relative to the square root of the maps' largest energy, so one value serves
            all scalings. The default is the best of 1e-3 to 1e-2 on held-out simulations (seven
            brain slices of IXI T1 and T2 and a FLAIR volume, 8 coils, ESPIRiT maps, spacing 4 or
            random lines with 24 calibration lines, noise 1 % and 3 %): mean PSNR 32.2, 32.5 and
            32.3 dB at 2e-3, 3e-3 and 5e-3. Noise of 1 % alone wants less, of 3 % alone more.
        wavelet: an orthogonal wavelet of PyWavelets.
        levels: of the wavelet pyramid, at most; small images carry fewer.
        iterations: of FISTA.
        random_shifts: whether each iteration moves the wavelet frame, always in the same random
            sequence; false keeps one basis, whose minimiser is exact but shows its blocks.
    """

    regularisation: float = 3e-3
    wavelet: str = "db4"
    levels: int = 5
    iterations: int = 50
    random_shifts: bool = True


@register_method
class L1Wavelet(Method):
    """Minimises `½|Ax - y|² + λ|Wx|₁`."""

    name: ClassVar[str] = "l1_wavelet"
    options_type: ClassVar[type] = L1WaveletOptions
    xla: ClassVar[bool] = True

    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: L1WaveletOptions
    ) -> Reconstruction:
        del models, seed
        problem = sense_problem(measurement)
        shape = tuple(problem.zero_filled.shape[-2:])
        transform = WaveletTransform(shape, options.wavelet, options.levels)
        weight = problem.weight(options.regularisation)
        shifts = ops.convert_to_tensor(_frame_shifts(shape, options))

        def proximal(image: Tensor, step: Tensor, iteration: Tensor) -> Tensor:
            shift = ops.take(shifts, iteration, axis=0)
            return transform.shrink(image, weight * step, (shift[0], shift[1]))

        return problem.minimise(proximal, options.iterations)


def _frame_shifts(shape: tuple[int, int], options: L1WaveletOptions) -> np.ndarray:
    """Where the frame lies in each iteration: int32 `[iterations, 2]`, the same for all items.

    They are drawn here, not in the graph: in-graph generators differ between backends and even
    between a plain and an XLA-compiled graph, and the same data should give the same image.
    """
    shifts = np.zeros((max(options.iterations, 1), 2), np.int64)
    if options.random_shifts:
        shifts = rng.numpy_generator(0, "random_shifts").integers(0, shape, shifts.shape)
    # Half the size undoes the pre-shift: at zero the frame's edge is the image's.
    return ((shifts + [n // 2 for n in shape]) % shape).astype(np.int32)
