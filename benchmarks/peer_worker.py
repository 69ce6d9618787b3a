"""Runs a peer's script on command, in the peer's interpreter: `python peer_worker.py SCRIPT FOLDER`.

Reads words from stdin: `run` answers with the seconds of one run and leaves its result in
FOLDER/result.npy, `memory` answers with the peak resident memory in bytes.
"""

import contextlib
import pathlib
import resource
import runpy
import sys
import time

import numpy as np


def main() -> None:
    script, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    with np.load(folder / "arrays.npz") as file:
        arrays = dict(file)
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what the peer prints must not look like an answer
        function = runpy.run_path(script)["setup"](arrays)
        print("ready", file=answers, flush=True)
        for word in sys.stdin:
            if word.strip() == "memory":
                print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=answers, flush=True)
                continue
            start = time.perf_counter()
            result = function()
            seconds = time.perf_counter() - start
            np.save(folder / "result.npy", np.asarray(result))
            print(seconds, file=answers, flush=True)


if __name__ == "__main__":
    main()
