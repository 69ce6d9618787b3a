"""CG-SENSE against sigpy's `SenseRecon` and BART's `pics`: same data, maps, λ and iterations.

What is timed. Ours: NumPy arrays in, NumPy image out, through the compiled function that
`tfrecon.reconstruct` uses, after its compilation, whose time is in the note. sigpy: `SenseRecon`
constructed and run in its own interpreter, arrays in memory. BART: the "Total Time" that `pics`
prints, without the start of the process, with scaling and mask estimation switched off (`-w1 -p`).
"""

import contextlib
import pathlib
import sys
import time

import numpy as np

from benchmarks import timing
from tfrecon.data.coil_simulation import birdcage_maps, complex_noise, smooth_phase
from tfrecon.data.phantoms import shepp_logan_image
from tfrecon.methods.base import get_method
from tfrecon.physics.masks import from_array, make_mask
from tfrecon.physics.operators import collapse_lines
from tfrecon.serve.compile import compiled_reconstruct
from tfrecon.typing import Measurement

ITERATIONS, LAMDA, COILS, SIZE, REPEATS = 20, 0.01, 15, 320, 7
SIGPY, BART = "sigpy SenseRecon", "BART pics"
BRAIN = pathlib.Path(__file__).parents[2] / "shared" / "data" / "brain_7coil_slice.npz"
PICS = f"pics -d4 -w1 -S -i{ITERATIONS} -l2 -r{LAMDA} -p mask kspace maps out"


def fft2c(image):
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes), norm="ortho"), axes).astype(np.complex64)


def simulated():
    """A Shepp-Logan phantom with smooth phase seen by 15 coils, and their maps."""
    shape = (SIZE, SIZE)
    maps = birdcage_maps(COILS, shape).astype(np.complex64)
    image = shepp_logan_image(shape) * np.exp(1j * smooth_phase(shape))
    return fft2c(maps * image) + complex_noise(maps.shape, 1e-3).astype(np.complex64), maps


def brain():
    """The measured brain slice, and maps from its 24 × 24 centre."""
    with np.load(BRAIN) as file:
        kspace = fft2c(np.moveaxis(file["arr_0"], -1, 0))
    height, width = kspace.shape[-2:]
    rows, columns = slice(height // 2 - 12, height // 2 + 12), slice(width // 2 - 12, width // 2 + 12)
    low = np.zeros_like(kspace)
    low[:, rows, columns] = kspace[:, rows, columns] * np.outer(np.hanning(24), np.hanning(24))
    maps = np.conj(fft2c(np.conj(low)))  # the inverse of an orthonormal transform
    maps /= np.sqrt((abs(maps) ** 2).sum(0))
    return kspace / abs(kspace).max(), maps


def masks(shape):
    """A line mask, every fourth line and 24 at the centre, and a Poisson-disc mask of R = 4."""
    lines = np.zeros(shape[1], np.uint8)
    lines[::4] = 1
    lines[shape[1] // 2 - 12 : shape[1] // 2 + 12] = 1
    return {
        "line mask (every 4th + 24 ACS)": from_array(lines, shape),
        "plane mask (Poisson disc, 24x24 ACS)": make_mask("poisson", shape, 4, acs_lines=(24, 24)),
    }


def compare(name, kspace, maps, mask):
    """Times all that are here on one case; a line for each peer."""
    plane = np.broadcast_to(mask.array, (1, *kspace.shape[-2:])).astype(np.float32)
    measured = (kspace * plane).astype(np.complex64)
    method = get_method("cg_sense")
    options = method.options_type(regularisation=LAMDA, iterations=ITERATIONS, tolerance=0.0)
    reconstruct = compiled_reconstruct(method, options)
    measurement = Measurement(measured, collapse_lines(plane), maps)

    def ours():
        return reconstruct(measurement).image.numpy()

    start = time.perf_counter()
    image = ours()
    first = time.perf_counter() - start
    arrays = {"kspace": measured, "maps": maps, "mask": plane[0], "lamda": LAMDA, "iterations": ITERATIONS}
    seconds, images = against_peers(ours, arrays)
    lines = []
    for peer in (SIGPY, BART):
        note = f"achieved R={mask.acceleration:.2f}; our first call, with compilation, took {first:.2f} s"
        if peer in images:
            error = np.linalg.norm(image - images[peer]) / np.linalg.norm(images[peer])
            note += f"; images differ by {error:.1e}"
        lines.append(timing.line(name, seconds["ours"], peer, seconds.get(peer), note))
    return lines


def against_peers(ours, arrays):
    """Median seconds of ours and of the peers that are here, and the peers' images."""
    functions, images = {"ours": ours}, {}
    with contextlib.ExitStack() as stack:
        if python := timing.python_with("sigpy"):
            sigpy = stack.enter_context(timing.PythonPeer(timing.PEERS / "sigpy_cg_sense.py", arrays, python))
            functions[SIGPY] = sigpy.run
        if timing.bart_available():
            files = {key: timing.bart_layout(arrays[key]) for key in ("kspace", "maps", "mask")}
            bart = stack.enter_context(timing.BartFolder(files))
            functions[BART] = lambda: bart.run_inner(PICS)
        seconds = timing.interleaved(functions, REPEATS)
        if SIGPY in functions:
            images[SIGPY] = sigpy.result()
        if BART in functions:
            images[BART] = bart.read("out")[0]
    for peer in {SIGPY, BART} - set(functions):
        print(f"{peer} is not here: its line has no ratio", file=sys.stderr)
    return seconds, images


def run():
    lines = []
    kspace, maps = simulated()
    for kind, mask in masks(kspace.shape[-2:]).items():
        lines += compare(f"CG-SENSE {ITERATIONS} iterations, 15 coils 320x320, {kind}", kspace, maps, mask)
    if not BRAIN.exists():
        print("the measured brain slice is not here: its lines are left out", file=sys.stderr)
        return lines
    kspace, maps = brain()
    kind, mask = next(iter(masks(kspace.shape[-2:]).items()))
    name = f"CG-SENSE {ITERATIONS} iterations, measured brain, 7 coils 256x216, {kind}"
    return lines + compare(name, kspace, maps, mask)
