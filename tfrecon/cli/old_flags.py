"""Scripts of other packages under their names and flags: their words become those of a verb."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from typing import NoReturn

from tfrecon.cli.main import EXIT_BAD_INPUT
from tfrecon.util.errors import InputError

Tool = Callable[..., int]
"""From the words of a command line, and what else a script gives it, to the exit code."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the flags in one line; never takes the beginning of a flag for it.

    Args:
        program: the script's name, without `.py`.
        description: what it does.
    """

    def __init__(self, program: str, description: str) -> None:
        super().__init__(prog=f"{program}.py", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise InputError(message, fix="see --help")


def one_line_errors(tool: Tool) -> Tool:
    """The tool, with bad input said in one line and as an exit code."""

    @functools.wraps(tool)
    def run(*arguments: object) -> int:
        try:
            return tool(*arguments)
        except InputError as error:
            print(f"tfrecon: {tool.__name__}: {error}", file=sys.stderr)
            return EXIT_BAD_INPUT

    return run
