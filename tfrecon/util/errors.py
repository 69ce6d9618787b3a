"""The one error that a user's input can cause."""

from __future__ import annotations

import re

_GRAPH_NOISE = re.compile(r"\{\{.*?\}\}|\[Op:\w+\]|\[\[.*?\]\]")
"""Where in its graphs TensorFlow met an error."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The command line prints it as one line and exits with a non-zero code; a traceback means a
    defect of tfrecon, never of the user's data.

    Args:
        what: what is wrong.
        where: the file, record, key and shape at fault.
        fix: what to do about it.
    """

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        line = f"{where}: {what}" if where else what
        line = f"{line}; {fix}" if fix else line
        super().__init__(" ".join(line.split()))


def reason_of(error: BaseException, length: int = 200) -> str:
    """What another library's error says, in one line, for the text of an `InputError`."""
    text = _GRAPH_NOISE.sub("", str(error)).strip() or type(error).__name__
    line = " ".join(text.splitlines()[0].split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
