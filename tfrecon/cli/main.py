"""`tfrecon VERB --flag=value`: finds the verb, parses its flags, and turns user errors into one line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from absl import flags

from tfrecon import __version__
from tfrecon.util.errors import InputError

VERBS = {
    "convert": "raw data to TFRecords",
    "reconstruct": "images from records or a raw file",
    "reference": "ground-truth or zero-filled reference images, same order and names",
    "evaluate": "PSNR, SSIM, NMSE and NRMSE under a named convention",
    "plot": "figures of reconstructions, references and errors",
    "report": "one self-contained HTML page",
    "demo": "all of it on real bundled anatomy in two minutes",
}
"""Each verb is the module `tfrecon.cli.VERB` with `FLAGS` (its own absl FlagValues) and `main(FLAGS)`."""

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
        argv: the words after the program's name; None takes them from `sys.argv`.

    Returns:
        The exit code: 0, or 2 on bad input, or 130 when interrupted.
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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # device chatter is not the user's concern
    module = importlib.import_module(f"tfrecon.cli.{verb}")
    if any(word in ("-h", "--help", "-help", "--helpfull") for word in arguments):
        print(_verb_help(verb, module))
        return 0
    try:
        rest = module.FLAGS([f"tfrecon {verb}", *arguments])
        if len(rest) > 1:
            return _fail(f"{verb}: unexpected word {rest[1]!r}; flags are written --name=value")
        module.main(module.FLAGS)
    except flags.Error as error:
        return _fail(f"{verb}: {' '.join(str(error).split())}; see tfrecon {verb} --help")
    except InputError as error:
        return _fail(f"{verb}: {error}")
    except KeyboardInterrupt:
        _fail(f"{verb}: interrupted; run the same command again to go on")
        return EXIT_INTERRUPTED
    return 0


def _fail(line: str) -> int:
    print(f"tfrecon: {line}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _usage() -> str:
    lines = [f"tfrecon {__version__}: accelerated-MRI reconstruction", "", "usage: tfrecon VERB --flag=value …", ""]
    lines += [f"  {verb:12} {what}" for verb, what in VERBS.items()]
    return "\n".join([*lines, "", "tfrecon VERB --help lists the flags of a verb."])


def _verb_help(verb: str, module: ModuleType) -> str:
    own = module.FLAGS.get_flags_for_module(module.FLAGS.find_module_defining_flag(next(iter(module.FLAGS))))
    lines = [f"tfrecon {verb}: {VERBS[verb]}", "", (module.__doc__ or "").strip(), "", "flags:"]
    for flag in own:
        choices = f" <{'|'.join(flag.parser.enum_values)}>" if hasattr(flag.parser, "enum_values") else ""
        default = "" if flag.default in (None, "") else f" (default: {flag.default})"
        lines.append(f"  --{flag.name}{choices}: {' '.join(flag.help.split())}{default}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
