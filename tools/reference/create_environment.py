"""Makes `.venv-reference/`, a Python 3.10 environment with tensorflow-mri 0.22.0.

tensorflow-mri is frozen at TensorFlow 2.10 and Python 3.10, so it cannot live beside Keras 3; the
parity tests compare with what it computes in an environment of its own:

    python tools/reference/create_environment.py

A Python 3.10 is looked for on the PATH and under `~/.pyenv/versions`. Exit code 1 says that there
is none, 2 that the packages could not be installed.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENT = HERE.parents[1] / ".venv-reference"
REQUIREMENTS = HERE / "requirements.txt"

NO_PYTHON = 1
NO_PACKAGES = 2


def find_python(search_path: str | None = None, pyenv_root: pathlib.Path | None = None) -> pathlib.Path | None:
    """A Python 3.10 that really runs, or None.

    A pyenv shim named `python3.10` exists as soon as any 3.10 is installed but fails unless that
    version is selected, so every candidate is run and asked for its version.
    """
    path = os.environ.get("PATH", "") if search_path is None else search_path
    folders = [pathlib.Path(folder) for folder in path.split(os.pathsep) if folder]
    versions = (pathlib.Path.home() / ".pyenv" if pyenv_root is None else pyenv_root) / "versions"
    candidates = [folder / "python3.10" for folder in folders]
    candidates += [folder / "bin" / "python3.10" for folder in sorted(versions.glob("3.10*"), reverse=True)]
    return next((candidate for candidate in candidates if _is_python_310(candidate)), None)


def _is_python_310(candidate: pathlib.Path) -> bool:
    if not (candidate.is_file() and os.access(candidate, os.X_OK)):
        return False
    question = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([str(candidate), "-c", question], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == "3.10"


def environment_python(environment: pathlib.Path = ENVIRONMENT) -> pathlib.Path:
    """The interpreter inside the environment."""
    return environment / "bin" / "python"


def is_complete(environment: pathlib.Path = ENVIRONMENT) -> bool:
    """Whether the environment was installed to the end from the present requirements."""
    stamp = environment / "requirements.txt"
    return environment_python(environment).exists() and stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text()


def create(environment: pathlib.Path = ENVIRONMENT) -> int:
    """Makes the environment unless it is complete; returns the exit code."""
    if is_complete(environment):
        print(f"{environment} is complete")
        return 0
    python = find_python()
    if python is None:
        print(
            "no Python 3.10: looked for python3.10 on the PATH and under ~/.pyenv/versions; "
            "tensorflow-mri 0.22.0 runs on no newer one; install it, e.g. `pyenv install 3.10`",
            file=sys.stderr,
        )
        return NO_PYTHON
    print(f"making {environment} with {python}")
    shutil.rmtree(environment, ignore_errors=True)
    inside = str(environment_python(environment))
    # An empty PYTHONPATH: what the calling environment adds must not shadow the frozen packages.
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    for command in (
        [str(python), "-m", "venv", str(environment)],
        # The pip that Python 3.10 brings got lost among the versions for minutes; a present one does not.
        [inside, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25"],
        [inside, "-m", "pip", "install", "-r", str(REQUIREMENTS)],
    ):
        if subprocess.run(command, env=clean).returncode != 0:
            print(f"failed: {' '.join(command)}; see pip's message above", file=sys.stderr)
            return NO_PACKAGES
    shutil.copyfile(REQUIREMENTS, environment / "requirements.txt")  # written last: marks completeness
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=pathlib.Path, default=ENVIRONMENT, help="where to make it")
    return create(parser.parse_args().environment)


if __name__ == "__main__":
    sys.exit(main())
