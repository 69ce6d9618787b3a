import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tools" / "reference"


def load(name, monkeypatch):
    """A script of tools/reference/ as a module, its neighbours importable as they are when it runs."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_script(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def create_environment(monkeypatch):
    return load("create_environment", monkeypatch)


def test_a_shim_that_does_not_run_is_passed_over(create_environment, tmp_path):
    write_script(tmp_path / "shims" / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    write_script(tmp_path / "wrong" / "python3.10", "echo 3.11")
    right = write_script(tmp_path / "right" / "python3.10", "echo 3.10")
    path = os.pathsep.join(str(tmp_path / name) for name in ("missing", "shims", "wrong", "right"))
    assert create_environment.find_python(path, tmp_path / "no_pyenv") == right
    right.chmod(0o644)
    assert create_environment.find_python(path, tmp_path / "no_pyenv") is None


def test_pyenv_versions_are_looked_through(create_environment, tmp_path):
    write_script(tmp_path / "versions" / "3.10.9" / "bin" / "python3.10", "exit 1")
    good = write_script(tmp_path / "versions" / "3.10.4" / "bin" / "python3.10", "echo 3.10")
    write_script(tmp_path / "versions" / "3.11.1" / "bin" / "python3.10", "echo 3.10")
    assert create_environment.find_python("", tmp_path) == good


def test_absence_of_python_is_said_with_an_exit_code(tmp_path):
    script = FOLDER / "create_environment.py"
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, str(script), f"--environment={tmp_path / 'venv'}"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr.startswith("no Python 3.10: looked for python3.10 on the PATH and under ~/.pyenv/versions")
    assert "Traceback" not in answer.stderr and not (tmp_path / "venv").exists()


def test_a_failed_installation_is_said_and_leaves_no_complete_environment(create_environment, tmp_path, monkeypatch):
    # A "Python" whose venv module makes an interpreter that can install nothing.
    body = """
if [ "$1" = "-c" ]; then echo 3.10; exit; fi
mkdir -p "$3/bin"
printf "#!/bin/sh\\nexit 1\\n" > "$3/bin/python"
chmod +x "$3/bin/python"
"""
    write_script(tmp_path / "bin" / "python3.10", body)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    environment = tmp_path / "venv"
    assert create_environment.create(environment) == create_environment.NO_PACKAGES
    assert not create_environment.is_complete(environment)


def test_a_changed_requirements_file_makes_the_environment_incomplete(create_environment, tmp_path, monkeypatch):
    write_script(tmp_path / "bin" / "python", "exit 0")
    stamp = tmp_path / "requirements.txt"
    stamp.write_text(create_environment.REQUIREMENTS.read_text())
    assert create_environment.is_complete(tmp_path)
    assert create_environment.create(tmp_path) == 0
    stamp.write_text("tensorflow-mri==0.21.0\n")
    assert not create_environment.is_complete(tmp_path)


def test_comparison_frees_phases_and_names_what_differs(monkeypatch, capsys):
    compare = load("compare", monkeypatch)
    golden = compare.load(compare.GOLDEN)
    turned = dict(golden)
    turned["even/espirit"] = golden["even/espirit"] * np.complex64(1j)
    turned["odd/compressed"] = golden["odd/compressed"] * np.array([1, -1], np.complex64)[:, None, None]
    turned["versions/numpy"] = np.asarray("1.99")
    assert compare.report(turned, golden) == 0
    assert "versions/numpy: 1.99, golden" in capsys.readouterr().out
    turned["even/cg"] = golden["even/cg"] * 1.01
    del turned["odd/fft"]
    assert compare.report(turned, golden) == compare.DIFFERENT
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines if "DIFFERS" in line) == ["even/cg", "odd/fft"]


@pytest.mark.slow
def test_golden_file_is_what_the_reference_environment_computes(create_environment):
    if not create_environment.is_complete():
        pytest.skip("no reference environment; make it with `make parity`")
    answer = subprocess.run([sys.executable, str(FOLDER / "compare.py")], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
