"""Keeps the C library from giving large buffers back to the system after every record.

A slice is megabytes. By default glibc returns such a buffer as soon as it is freed, above all in
threads other than the first, and the next one is then faulted in and zeroed page by page: measured
on 12 MB slices and two cores this took three to six times longer than reading and decoding them.
"""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Names of the settings in glibc's malloc.h."""

_LARGEST_MMAP_THRESHOLD = 32 << 20
"""More is refused by glibc."""

_OWN_SETTINGS = ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Lets the process reuse freed memory: one heap for all threads, which does not shrink.

    It has to run before TensorFlow starts its threads. It does nothing where the user has chosen an
    allocator or its settings by environment variables, or where the C library is not glibc.

    Returns:
        Whether anything was set.
    """
    if sys.platform != "linux" or any(os.environ.get(name) for name in _OWN_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD), (_TRIM_THRESHOLD, 2**31 - 1))
    return all([mallopt(name, value) for name, value in settings])
