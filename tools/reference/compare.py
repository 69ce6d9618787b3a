"""Regenerates the reference results and compares them with the committed golden file.

    python tools/reference/compare.py            # exit code 1 if anything differs
    python tools/reference/compare.py --update   # puts the new results in place of the committed ones

Makes `.venv-reference/` first where it is missing (`create_environment.py`; its exit codes are passed on).
Needs NumPy alone, besides that environment.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import create_environment
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "tests" / "reference" / "tensorflow_mri_golden.npz"

TOLERANCE = 1e-4
"""Relative; another processor sums in another order."""

FREE_PHASE = {"espirit": 0, "compressed": 1}
"""Results whose phase an SVD leaves open: altogether (0) or for each virtual coil (1)."""

DIFFERENT = 1
FAILED = 3


def regenerate(output: pathlib.Path) -> int:
    """Runs `generate.py` inside the reference environment; returns its exit code."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    python = create_environment.environment_python()
    return subprocess.run([str(python), str(HERE / "generate.py"), f"--output={output}"], env=clean).returncode


def differences(fresh: dict[str, np.ndarray], golden: dict[str, np.ndarray]) -> dict[str, float]:
    """Relative difference of every array by name; infinity where one is missing or has another shape."""
    result = {}
    for name in sorted(set(fresh) | set(golden)):
        if name.startswith("versions/"):
            continue
        if name not in fresh or name not in golden or fresh[name].shape != golden[name].shape:
            result[name] = np.inf
            continue
        ours = align_phase(fresh[name], golden[name], FREE_PHASE.get(name.split("/")[1]))
        norm = np.linalg.norm(golden[name].ravel())
        result[name] = float(np.linalg.norm((ours - golden[name]).ravel()) / (norm or 1.0))
    return result


def align_phase(array: np.ndarray, target: np.ndarray, leading_axes: int | None) -> np.ndarray:
    """Turns `array` to the phase of `target`, each item of the leading axes by itself; None leaves it."""
    if leading_axes is None:
        return array
    axes = tuple(range(leading_axes, array.ndim))
    inner = np.sum(array.conj() * target, axis=axes, keepdims=True)
    return array * np.exp(1j * np.angle(inner))


def load(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def report(fresh: dict[str, np.ndarray], golden: dict[str, np.ndarray]) -> int:
    """Prints how far the two sets are apart; returns the exit code."""
    found = differences(fresh, golden)
    for name, value in found.items():
        print(f"  {name:24} {value:.1e}{'' if value <= TOLERANCE else '  DIFFERS'}")
    for name in sorted(set(fresh) & set(golden)):
        if name.startswith("versions/") and str(fresh[name]) != str(golden[name]):
            print(f"  {name}: {fresh[name]}, golden {golden[name]}")
    bad = [name for name, value in found.items() if not value <= TOLERANCE]
    print(f"{len(found) - len(bad)} of {len(found)} arrays within {TOLERANCE:g} of {GOLDEN.name}")
    return DIFFERENT if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="replace the committed golden file")
    update = parser.parse_args().update
    code = create_environment.create()
    if code:
        return code
    with tempfile.TemporaryDirectory() as folder:
        fresh = pathlib.Path(folder) / GOLDEN.name
        if regenerate(fresh):
            print("generate.py failed; see its message above", file=sys.stderr)
            return FAILED
        if update:
            GOLDEN.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh, GOLDEN)
            print(f"wrote {GOLDEN}")
            return 0
        if not GOLDEN.is_file():
            print(f"{GOLDEN} is missing; make it with --update", file=sys.stderr)
            return DIFFERENT
        return report(load(fresh), load(GOLDEN))


if __name__ == "__main__":
    sys.exit(main())
