"""Generated parts of Markdown pages: what stands between two marks is made by a command, the rest by hand."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path


def replace_marked(page: PathLike, text: str, name: str = "table") -> None:
    """Puts text between `<!-- generated NAME -->` and `<!-- end of generated NAME -->` of a page.

    Args:
        page: the Markdown file.
        text: without the empty lines around it.
        name: of the marks, of which a page may have several pairs.

    Raises:
        InputError: there is no such page, or not one pair of these marks in it, in this order.
    """
    start, end = f"<!-- generated {name} -->", f"<!-- end of generated {name} -->"
    if not pathlib.Path(page).is_file():
        raise InputError("no such page", str(page), "check the path")
    old = pathlib.Path(page).read_text(encoding="utf-8")
    before, found, rest = old.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed) or start in rest or end in after:
        raise InputError(f"has no one place for the {name}", str(page), f"put {start} and {end} once where it belongs")
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; its first `left` columns are aligned to the left, the others to the right."""
    head, *lines = ("".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in (headers, *rows))
    rule = "|---" * left + "|---:" * (len(headers) - left) + "|"
    return "\n".join([head, rule, *lines])
