"""The progress bar of every long job: what is done, how fast, and the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int | None = None, **options: Any) -> tqdm.tqdm:
    """Wraps `items` in a progress bar on stderr; rewritten in place on a terminal, sparse in a log file.

    Args:
        items: what is iterated over; None for a bar that is moved by `update`.
        description: what is being done, a few words.
        total: how many there are, where `items` does not know.
        **options: more of tqdm's own.

    Returns:
        The tqdm bar; iterate over it, or use it as a context manager.
    """
    interval = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm.tqdm(
        items, desc=description, total=total, mininterval=interval, file=sys.stderr, dynamic_ncols=True, **options
    )
