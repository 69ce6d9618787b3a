"""Fair timing against peers that are optional: BART as a program, sigpy in an interpreter of its own.

A benchmark module has `run() -> list[dict]` with the keys of `line`. Peers are timed interleaved
with ours in one run, and medians are compared. A peer that is not there is said, and its line has
`peer_s` and `ratio` None.

    with timing.BartFolder({"kspace": kspace}) as bart, timing.PythonPeer(script, arrays) as sigpy:
        seconds = timing.interleaved({"ours": ours, "bart": lambda: bart.run("pics ..."), "sigpy": sigpy.run})
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping

import numpy as np

THREADS = 2
PEERS = pathlib.Path(__file__).parent / "peers"
PYTHON_VARIABLE = "TFRECON_BENCH_PYTHON"
_BART_DIMS = 16


def line(name: str, ours_s: float, peer: str, peer_s: float | None, note: str = "") -> dict:
    """One line of the results: ours, the peer's, and ours over the peer's."""
    ratio = None if peer_s is None else ours_s / peer_s
    return {"name": name, "ours_s": ours_s, "peer": peer, "peer_s": peer_s, "ratio": ratio, "note": note}


def interleaved(functions: Mapping[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Median seconds of each function, called in turns so that a busy moment hits all of them.

    Args:
        functions: by name. One that returns a float has timed itself (BART without its start,
            for instance); of the others the wall time is taken. Each is called once before, untimed.
        repeats: timed calls of each, at least 5.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            own = function()
            seconds[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def bart_available() -> bool:
    """Whether there is a `bart` on the PATH."""
    return shutil.which("bart") is not None


def write_cfl(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes BART's pair of files; `array`'s axes are BART's dimensions 0, 1, 2, ..."""
    dims = [*array.shape, *[1] * (_BART_DIMS - array.ndim)]
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, dims)) + "\n")
    np.asarray(array, np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))


def read_cfl(path: pathlib.Path) -> np.ndarray:
    """Reads BART's pair of files, without trailing axes of length one."""
    dims = [int(word) for word in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    while len(dims) > 1 and dims[-1] == 1:
        dims.pop()
    return np.fromfile(path.with_suffix(".cfl"), np.complex64).reshape(dims, order="F")


class BartFolder:
    """A temporary folder of BART files in which BART commands run.

    Args:
        arrays: written as `NAME.cfl`; axes are BART's dimensions (readout, phase 1, phase 2,
            coils, map sets, ...). For a 2-D slice `[C, H, W]` give `bart_layout(kspace)`.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays

    def __enter__(self) -> BartFolder:
        self._folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self._folder.name)
        for name, array in self._arrays.items():
            write_cfl(self.path / name, array)
        return self

    def __exit__(self, *_) -> None:
        self._folder.cleanup()

    def run(self, command: str) -> float:
        """Runs `bart COMMAND` and returns the wall seconds of the whole process, file I/O included."""
        start = time.perf_counter()
        self.output(command)
        return time.perf_counter() - start

    def run_inner(self, command: str) -> float:
        """Runs `bart COMMAND` and returns the "Total Time" that it prints: without the process's start and end.

        `pics` prints one from debug level 4 on (`-d4`).
        """
        found = re.search(r"Total Time: ([0-9.]+)", self.output(command))
        if found is None:
            raise RuntimeError(f"bart {command} printed no total time")
        return float(found.group(1))

    def output(self, command: str) -> str:
        """What `bart COMMAND` prints."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
        done = subprocess.run(
            ["bart", *command.split()], cwd=self.path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr

    def read(self, name: str) -> np.ndarray:
        """An array that BART wrote."""
        return read_cfl(self.path / name)


def bart_layout(array: np.ndarray) -> np.ndarray:
    """`[C, H, W]` to BART's `[1, H, W, C]`; `[S, C, H, W]` to `[1, H, W, C, S]`; `[H, W]` to `[1, H, W]`."""
    if array.ndim == 2:
        return array[None]
    moved = np.moveaxis(array, (-2, -1), (0, 1))
    return np.swapaxes(moved, 2, 3)[None] if array.ndim == 4 else moved[None]


def python_with(module: str) -> str | None:
    """An interpreter that has `module`: the one of TFRECON_BENCH_PYTHON, or this one, or None."""
    for python in (os.environ.get(PYTHON_VARIABLE), sys.executable):
        if (
            python
            and subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
        ):
            return python
    return None


class PythonPeer:
    """A peer that lives in an interpreter of its own and is run on command.

    Args:
        script: a file with `setup(arrays: dict[str, ndarray]) -> Callable[[], ndarray]`; what it
            returns is timed, inside that interpreter, at each `run`.
        arrays: handed to `setup`.
        python: the interpreter, from `python_with`.
    """

    def __init__(self, script: pathlib.Path, arrays: Mapping[str, np.ndarray], python: str) -> None:
        self._script, self._arrays, self._python = script, arrays, python

    def __enter__(self) -> PythonPeer:
        self._folder = tempfile.TemporaryDirectory()
        self._path = pathlib.Path(self._folder.name)
        np.savez(self._path / "arrays.npz", **self._arrays)
        worker = pathlib.Path(__file__).with_name("peer_worker.py")
        command = [self._python, str(worker), str(self._script), str(self._path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def run(self) -> float:
        """Runs once and returns the seconds it took there."""
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._answer())

    def result(self) -> np.ndarray:
        """What the last run returned."""
        return np.load(self._path / "result.npy")

    def peak_memory(self) -> float:
        """The process's peak resident memory in bytes so far."""
        self._process.stdin.write("memory\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._script.name} ended early (exit code {self._process.wait()})")
        return answer
