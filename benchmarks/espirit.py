"""ESPIRiT, 15 coils, 320×320, 24 calibration lines, kernel 6: against BART's `ecalib -m1` and sigpy.

K-space to maps in each. BART's time is that of its process, files included: it prints none of its own
for `ecalib`. Peak memory is that of a whole process of ours, imports included.
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks import timing
from tfrecon.data.phantoms import shepp_logan_image
from tfrecon.data.synthetic import simulate_acquisition
from tfrecon.physics.coils import estimate_maps

BART, SIGPY = "BART ecalib -m1", "sigpy EspiritCalib"
COILS, SIZE, LINES, KERNEL, CROP = 15, 320, 24, 6, 0.8
MEMORY_SCRIPT = """
import resource, sys
import numpy as np
from tfrecon.physics.coils import estimate_maps
with np.load(sys.argv[1]) as file:
    estimate_maps(file["kspace"], file["mask"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def scene():
    """Undersampled k-space `[C, H, W]` of a phantom, R = 4, and its mask `[1, 1, W]`."""
    image = shepp_logan_image((SIZE, SIZE))
    kspace = simulate_acquisition(image, record_id="espirit", volume_id="espirit", coils=COILS).kspace
    mask = np.zeros((1, 1, SIZE), np.float32)
    mask[..., ::4] = 1
    mask[..., SIZE // 2 - LINES // 2 : SIZE // 2 + LINES // 2] = 1
    return kspace * mask, mask


def peak_memory(kspace, mask):
    """Bytes resident at most in a new process that estimates these maps."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "scene.npz"
        np.savez(path, kspace=kspace, mask=mask)
        command = [sys.executable, "-c", MEMORY_SCRIPT, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def similarity(maps, others):
    """Mean `|<s, t>|` over pixels where both are kept."""
    inner = np.abs(np.sum(np.conj(maps) * others, axis=0))
    kept = np.any(maps != 0, axis=0) & np.any(others != 0, axis=0)
    return float(inner[kept].mean())


def estimate(kspace, mask):
    return estimate_maps(kspace, mask, kernel_size=KERNEL, crop=CROP)


def bart_options(threshold=0.02):
    # BART compares squared singular values: its threshold is the square of ours.
    return f"ecalib -m1 -r{LINES} -k{KERNEL} -c{CROP} -t{threshold**2:.6f} kspace maps"


def run():
    kspace, mask = scene()
    maps = estimate(kspace, mask)
    functions = {"ours": lambda: _discard(estimate(kspace, mask))}
    arrays = {"kspace": kspace, "width": LINES, "kernel": KERNEL, "crop": CROP}
    others = {}
    with contextlib.ExitStack() as stack:
        if timing.bart_available():
            bart = stack.enter_context(timing.BartFolder({"kspace": timing.bart_layout(kspace)}))
            functions[BART] = lambda: bart.run(bart_options())
        if python := timing.python_with("sigpy"):
            sigpy = stack.enter_context(timing.PythonPeer(timing.PEERS / "sigpy_espirit.py", arrays, python))
            functions[SIGPY] = sigpy.run
        seconds = timing.interleaved(functions)
        if timing.bart_available():
            others[BART] = np.moveaxis(bart.read("maps")[0], -1, 0)
        if python:
            others[SIGPY] = sigpy.result()
    note = f"peak memory of the whole process {peak_memory(kspace, mask) / 1e9:.2f} GB"
    name = f"ESPIRiT {COILS} coils {SIZE}x{SIZE}, {LINES} lines, kernel {KERNEL}"
    lines = []
    for peer in (BART, SIGPY):
        agreement = f"; mean |<ours, theirs>| {similarity(maps, others[peer]):.5f}" if peer in others else ""
        lines.append(timing.line(name, seconds["ours"], peer, seconds.get(peer), note + agreement))
    return lines


def _discard(_):
    """The timer takes what a function returns for seconds."""
