"""`tfrecon VERB --flag=value`: finds the verb, parses its flags, and turns user errors into one line."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

from absl import flags

from tfrecon import __version__
from tfrecon.cli.quiet import quiet_tensorflow
from tfrecon.util.errors import InputError

VERBS = {
    "convert": "raw data to TFRecords",
    "train": "trains a learned method, and goes on where it stopped",
    "reconstruct": "images from records or a raw file",
    "export": "a trained model to a SavedModel",
    "reference": "ground-truth or zero-filled reference images, same order and names",
    "evaluate": "PSNR, SSIM, NMSE and NRMSE under a named convention",
    "plot": "figures of reconstructions, references and errors",
    "report": "one self-contained HTML page",
    "demo": "all of it on real bundled anatomy in two minutes",
}
"""Each verb is the module `tfrecon.cli.VERB` with `FLAGS` (its own absl FlagValues) and `main(FLAGS)`.

`main` returns None, or an exit code other than 0."""

EXIT_BAD_INPUT = 2
EXIT_PARTIAL = 3
"""What was asked for is there in part: a budget of time ended before all of it was done."""
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
        argv: the words after the program's name; None takes them from `sys.argv`.

    Returns:
        The exit code: 0, or 2 on bad input, or 3 where time ran out before all was done, or 130 when
        interrupted, or what the verb says.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if words else EXIT_BAD_INPUT
    if words[0] == "--version":
        print(f"tfrecon {__version__}")
        return 0
    verb, arguments = words[0], words[1:]
    if verb not in VERBS:
        return _fail(f"no verb {verb!r}; choose one of {', '.join(VERBS)}")
    return run_verb(verb, arguments)


def run_verb(verb: str, arguments: Sequence[str]) -> int:
    """Parses the flags of `verb` and calls its `main`; what `tools/` scripts use as well.

    Returns:
        The exit code, as in `main`.
    """
    module = importlib.import_module(f"tfrecon.cli.{verb}")
    if any(word in ("-h", "--help", "-help", "--helpfull") for word in arguments):
        print(_verb_help(verb, module))
        return 0
    quiet_tensorflow()
    try:
        module.FLAGS.unparse_flags()  # the verb may run more than once in a process
        rest = module.FLAGS([f"tfrecon {verb}", *arguments])
        if len(rest) > 1:
            return _fail(f"{verb}: unexpected word {rest[1]!r}; flags are written --name=value")
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return module.main(module.FLAGS) or 0
    except flags.Error as error:
        return _fail(f"{verb}: {error}; see tfrecon {verb} --help")
    except (InputError, OSError) as error:
        return _fail(f"{verb}: {error}")
    except MemoryError:
        return _fail(f"{verb}: not enough memory; give fewer or smaller slices")
    except KeyboardInterrupt:
        _fail(f"{verb}: interrupted; run the same command again to go on")
        return EXIT_INTERRUPTED


def _show_warning(message: Warning | str, *_: object) -> None:
    """A warning as one line, without the place in the code that raised it."""
    print(f"tfrecon: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(line: str) -> int:
    print(f"tfrecon: {' '.join(line.split())}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _usage() -> str:
    lines = [f"tfrecon {__version__}: accelerated-MRI reconstruction", "", "usage: tfrecon VERB --flag=value …", ""]
    lines += [f"  {verb:12} {what}" for verb, what in VERBS.items()]
    return "\n".join([*lines, "", "tfrecon VERB --help lists the flags of a verb."])


def _verb_help(verb: str, module: ModuleType) -> str:
    lines = [f"tfrecon {verb}: {VERBS[verb]}", "", (module.__doc__ or "").strip(), "", "flags:"]
    for name in module.FLAGS:
        flag = module.FLAGS[name]
        default = "" if flag.default in (None, "", [], False) else f" (default: {flag.default_as_str.strip(chr(39))})"
        lines.append(f"  --{name}: {' '.join((flag.help or '').split())}{default}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
