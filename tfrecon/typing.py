"""The types that pass between layers: a measurement goes in, a reconstruction comes out.

Both are named tuples, so TensorFlow and JAX treat them as nested structures of tensors.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

Tensor = Any
"""A NumPy array or a tensor of the active Keras backend."""

PathLike = str | os.PathLike[str]


class Measurement(NamedTuple):
    """What the scanner gave, and what is known of how it was measured.

    Attributes:
        kspace: complex64 `[..., C, H, W]`, zero where nothing was sampled. Cine puts time before
            coils: `[..., T, C, H, W]`.
        mask: float32 0/1, broadcastable to `kspace` with one coil: `[..., 1, H or 1, W]`. A height
            of 1 says that whole lines along H are sampled, which solvers exploit.
        maps: complex64 coil sensitivities of k-space's rank (one set, `[..., C, H, W]`) or of one
            rank more (several sets as in soft-SENSE, `[..., S, C, H, W]`); None for one coil,
            where a map of ones is meant. Cine maps carry a time axis of length 1.
        noise_std: float32 `[...]`, standard deviation of the complex noise of a k-space sample
            (sqrt(E|n|²)) in the units of `kspace`; None if unknown.
        scale: float32 `[...]`, by how much the stored k-space was divided; None if it was not.
        label: float32 `[..., L]`, what is known of the image besides (its contrast, one number for each
            kind), for methods that are conditioned on it; None if nothing is.
    """

    kspace: Tensor
    mask: Tensor
    maps: Tensor | None = None
    noise_std: Tensor | None = None
    scale: Tensor | None = None
    label: Tensor | None = None


class Reconstruction(NamedTuple):
    """What a method returns.

    Attributes:
        image: complex64 `[..., H, W]`; with several map sets the sets are combined.
        std: float32 `[..., H, W]` pixelwise standard deviation, or None where the method has none.
        samples: complex64 `[K, ..., H, W]` posterior samples, or None.
    """

    image: Tensor
    std: Tensor | None = None
    samples: Tensor | None = None
