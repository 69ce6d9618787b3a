"""l1-wavelet and total variation against BART and sigpy: PSNR on a measured brain slice.

Seven coils, every fourth line and 24 calibration lines, the same maps for all (BART's `ecalib` where
it is installed). The reference is the SENSE combination of all data; the magnitude's PSNR is taken over
the maps' support, its range the reference's maximum there. Each tool is at its best weight of one grid,
since each scales the data in its own way. Lines hold decibels, not seconds.
"""

import pathlib
import sys

import numpy as np

from benchmarks import timing
from tfrecon.methods.base import get_method
from tfrecon.physics.coils import estimate_maps
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data" / "brain_7coil_slice.npz"
SPACING, CALIBRATION_LINES = 4, 24
GRID = np.geomspace(3e-4, 3e-2, 9)

BART = {
    # Cycle spinning is on by default. With ADMM's default penalty total variation is at 34.3 dB after
    # 100 iterations (weight 0.003); 0.05 was the best of 0.05, 0.2 and 1: 36.6 dB, and 36.8 dB after 300.
    "l1_wavelet": "pics -S -i100 -RW:6:0:{weight} kspace maps image",
    "tv": "pics -S -i100 -u0.05 -RT:6:0:{weight} kspace maps image",
}
SIGPY = {"l1_wavelet": ("L1WaveletRecon", 100), "tv": ("TotalVariationRecon", 300)}


def fft2c(image, inverse=False):
    transform = np.fft.ifft2 if inverse else np.fft.fft2
    shifted = transform(np.fft.ifftshift(image, axes=(-2, -1)), norm="ortho")
    return np.fft.fftshift(shifted, axes=(-2, -1)).astype(np.complex64)


def scene():
    """Normalised measurement of the slice, and its reference `[H, W]`."""
    with np.load(DATA) as file:
        full = fft2c(np.moveaxis(file["arr_0"], -1, 0))
    width = full.shape[-1]
    mask = np.zeros((1, 1, width), np.float32)
    mask[..., width // 2 % SPACING :: SPACING] = 1
    mask[..., (width - CALIBRATION_LINES) // 2 : (width + CALIBRATION_LINES) // 2] = 1
    magnitude = np.sqrt(np.sum(np.abs(fft2c(full * mask, inverse=True)) ** 2, axis=0))
    full = full / np.quantile(magnitude, 0.99)
    maps = coil_maps(full * mask, mask)
    reference = np.sum(np.conj(maps) * fft2c(full, inverse=True), axis=0)
    return Measurement(full * mask, mask, maps), reference


def coil_maps(kspace, mask):
    if not timing.bart_available():
        return estimate_maps(kspace, mask)
    with timing.BartFolder({"kspace": timing.bart_layout(kspace)}) as bart:
        bart.output(f"ecalib -m1 -r{CALIBRATION_LINES} kspace maps")
        return np.moveaxis(bart.read("maps")[0], -1, 0)


def psnr(image, reference):
    support = reference != 0
    error = np.abs(image[support]) - np.abs(reference[support])
    return float(10 * np.log10(np.max(np.abs(reference)) ** 2 / np.mean(error**2)))


def ours(name, measurement):
    """Images `[weights, H, W]`."""
    method = get_method(name)
    images = []
    for weight in GRID:
        reconstruct = compiled_reconstruct(method, method.options_type(regularisation=float(weight)))
        images.append(np.asarray(reconstruct(measurement).image))
    return np.stack(images)


def bart_images(name, measurement):
    arrays = {"kspace": timing.bart_layout(measurement.kspace), "maps": timing.bart_layout(measurement.maps)}
    images = []
    with timing.BartFolder(arrays) as bart:
        for weight in GRID:
            bart.output(BART[name].format(weight=weight))
            images.append(bart.read("image").squeeze())
    return np.stack(images)


def sigpy_images(name, measurement, python):
    app, iterations = SIGPY[name]
    arrays = {"kspace": measurement.kspace, "maps": measurement.maps, "mask": measurement.mask}
    arrays |= {"app": app, "iterations": iterations, "grid": GRID}
    with timing.PythonPeer(timing.PEERS / "sigpy_sparse.py", arrays, python) as sigpy:
        sigpy.run()
        return sigpy.result()


def best(images, reference):
    """(PSNR, weight) at the best weight; a note when that is at the end of the grid."""
    scores = [psnr(image, reference) for image in images]
    index = int(np.argmax(scores))
    return scores[index], GRID[index], " (end of the grid)" if index in (0, len(GRID) - 1) else ""


def run():
    if not DATA.is_file():
        print(f"sparse_quality: {DATA.name} is not here; nothing to compare on", file=sys.stderr)
        return []
    measurement, reference = scene()
    python = timing.python_with("sigpy")
    lines = []
    for name in ("l1_wavelet", "tv"):
        ours_db, weight, end = best(ours(name, measurement), reference)
        note = f"ours at {weight:.1e}{end}"
        peers = {
            f"BART {BART[name].partition(':')[0]}": bart_images if timing.bart_available() else None,
            f"sigpy {SIGPY[name][0]}": (lambda *scene: sigpy_images(*scene, python)) if python else None,
        }
        for peer, images in peers.items():
            line = {"name": f"{name} PSNR", "ours_db": ours_db, "peer": peer, "peer_db": None, "difference_db": None}
            if images is None:
                lines.append({**line, "note": f"{note}; the peer is not installed"})
                continue
            peer_db, peer_weight, end = best(images(name, measurement), reference)
            line |= {"peer_db": peer_db, "difference_db": ours_db - peer_db}
            lines.append({**line, "note": f"{note}, peer at {peer_weight:.1e}{end}"})
    return lines
