"""Small acquisitions and stand-in networks for the tests of SSDiffRecon."""

import numpy as np
import sense_numpy
from keras import ops

from tfrecon.data.coil_simulation import random_maps, smooth_phase
from tfrecon.data.phantoms import ellipse_phantom
from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel

TINY = {
    "channels": 6,
    "cascades": 2,
    "layers_per_cascade": 1,
    "stem_kernel": 3,
    "head_kernel": 3,
    "tokens": 2,
    "token_width": 8,
    "mapper_blocks": 1,
}


def tiny(**changes):
    """An architecture that is quick to build and to call."""
    return SSDiffReconModel(**{**TINY, "dropout": 0.0, **changes})


def make_batch(count=2, coils=3, shape=(15, 17), *, lines=False, rate=0.5, noise=0.0, seed=0):
    """Noise-free or noisy measurements of phantoms with smooth phase, NumPy arrays as the data pipeline gives them."""
    random = np.random.default_rng(seed)
    images = [ellipse_phantom(shape, seed + i) * np.exp(1j * smooth_phase(shape, seed + i)) for i in range(count)]
    reference = np.stack(images) / 0.8
    maps = np.stack([random_maps(coils, shape, seed + i) if coils > 1 else np.ones((1, *shape)) for i in range(count)])
    mask = (random.random((count, 1, 1 if lines else shape[0], shape[1])) < rate).astype("float32")
    rows, columns = (slice(n // 2 - 2, n // 2 + 3) for n in shape)
    mask[:, :, slice(None) if lines else rows, columns] = 1
    kspace = sense_numpy.fft2c(maps * reference[:, None])
    kspace = kspace + noise / np.sqrt(2) * (random.normal(size=kspace.shape) + 1j * random.normal(size=kspace.shape))
    return {
        "kspace": (kspace * mask).astype("complex64"),
        "mask": mask,
        "maps": maps.astype("complex64"),
        "reference": reference.astype("complex64"),
        "noise_std": np.full(count, noise, "float32"),
    }


def one_of(batch, index):
    """The batch of one of its examples."""
    return {name: array[index : index + 1] for name, array in batch.items()}


class Networks(dict):
    """Stand-ins for mapper and denoiser that remember what they are called with.

    Args:
        denoiser: from the dictionary of inputs to the image; by default it gives the state back.
    """

    def __init__(self, denoiser=lambda inputs: inputs["image"]):
        self.calls = []
        self.times = []
        super().__init__(mapper=self._mapper, denoiser=self._denoiser)
        self._function = denoiser

    def _mapper(self, inputs, training):
        self.times.append((dict(inputs), training))
        return ops.zeros((*ops.shape(inputs["time"]), 1, 1, 4))

    def _denoiser(self, inputs, training):
        assert training == self.times[-1][1]
        self.calls.append({name: _numpy(value) for name, value in inputs.items()})
        return self._function(inputs)


def _numpy(value):
    """NumPy's array, or inside a graph the symbolic tensor as it is."""
    kind = type(value).__name__
    return value if "Symbolic" in kind or "Tracer" in kind else ops.convert_to_numpy(value)
