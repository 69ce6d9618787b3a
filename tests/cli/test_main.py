import subprocess
import sys

import pytest

from tfrecon import __version__
from tfrecon.cli import main as cli

IMPORTED = (
    "import sys; from tfrecon.cli.main import main; code = main(sys.argv[1:]); print('tensorflow' in sys.modules)"
)


def run_without_tensorflow(*words):
    """Runs `main` in a process of its own; says whether TensorFlow was imported."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, *words], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_usage_lists_every_verb(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for verb, what in cli.VERBS.items():
        assert verb in out and what in out


def test_no_words_show_the_usage_and_fail(capsys):
    assert cli.main([]) == cli.EXIT_BAD_INPUT
    assert "usage:" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"tfrecon {__version__}"


def test_unknown_verb_names_the_known_ones(capsys):
    assert cli.main(["reconstrukt"]) == cli.EXIT_BAD_INPUT
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "reconstrukt" in err and "reconstruct" in err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--nonsense=1"], "nonsense"),
        (["--acceleration=fast"], "acceleration"),
        (["--acceleration=0.5"], "acceleration"),
        (["--max=0"], "max"),
        (["stray"], "stray"),
        (["--input=x"], "--output"),
        ([], "--input"),
        (["--input=x", "--output=y", "--option=iterations"], "NAME=VALUE"),
        (["--input=x", "--output=y", "--option=a=1", "--option=a=2"], "twice"),
        (["--input=x", "--output=y", "--mask=m.npy", "--undersample=equispaced"], "--undersample"),
        (["--flagfile=missing.txt"], "missing.txt"),
    ],
)
def test_bad_flags_are_one_line(words, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run_verb("reconstruct", words) == cli.EXIT_BAD_INPUT
    err = capsys.readouterr().err
    assert err.startswith("tfrecon: reconstruct: ") and err.count("\n") == 1
    assert named in err
    assert not list(tmp_path.iterdir())


def test_flags_of_an_earlier_run_are_forgotten(capsys):
    assert cli.run_verb("reconstruct", ["--input=x", "--output=y", "--option=broken"]) == cli.EXIT_BAD_INPUT
    capsys.readouterr()
    assert cli.run_verb("reconstruct", ["--input=x"]) == cli.EXIT_BAD_INPUT
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(5, "Input/output error", "disk.h5"), MemoryError()])
def test_errors_of_the_machine_are_one_line(error, capsys, monkeypatch):
    from tfrecon.cli import reconstruct as verb

    def fail(_):
        raise error

    monkeypatch.setattr(verb, "main", fail)
    assert cli.run_verb("reconstruct", []) == cli.EXIT_BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1


def test_interruption_has_its_own_exit_code(capsys, monkeypatch):
    from tfrecon.cli import reconstruct as verb

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "main", interrupt)
    assert cli.run_verb("reconstruct", []) == cli.EXIT_INTERRUPTED
    assert "run the same command again" in capsys.readouterr().err


def test_a_defect_is_not_hidden(monkeypatch):
    from tfrecon.cli import reconstruct as verb

    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr(verb, "main", broken)
    with pytest.raises(ZeroDivisionError):
        cli.run_verb("reconstruct", [])


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_help_of_every_verb_needs_no_tensorflow(verb):
    out, err = run_without_tensorflow(verb, "--help")
    assert out.endswith("False\n") and err == ""
    assert f"tfrecon {verb}" in out and "--" in out


@pytest.mark.slow
def test_importing_tensorflow_says_nothing():
    code = "from tfrecon.cli.quiet import quiet_tensorflow as q; q(); import tensorflow as tf; print(tf.add(1, 1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.startswith("tf.Tensor(2")


def test_stderr_held_back_is_shown_on_failure(capfd):
    import os

    from tfrecon.cli.quiet import stderr_held_back

    with stderr_held_back():
        os.write(2, b"chatter\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), stderr_held_back():
        os.write(2, b"the reason\n")
        raise ImportError
    assert capfd.readouterr().err == "the reason\n"
