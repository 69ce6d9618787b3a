"""The one piece of real anatomy every installation has: matplotlib's sample head."""

from __future__ import annotations

import gzip

import numpy as np
from matplotlib import cbook

from tfrecon.util.errors import InputError

FILE = "s1045.ima.gz"
SHAPE = (256, 256)


def sample_head() -> np.ndarray:
    """A sagittal slice through a head, magnitude, as it ships with matplotlib's sample data.

    Returns:
        float32 `[256, 256]` in the scanner's arbitrary units; nose to the left, crown at the top.

    Raises:
        InputError: this matplotlib was packaged without its sample data.
    """
    try:
        with cbook.get_sample_data(FILE) as file:
            data = file.read()
    except FileNotFoundError as error:
        raise InputError(
            "this matplotlib comes without its sample data",
            FILE,
            "install matplotlib from PyPI (`pip install --force-reinstall matplotlib`), or give your own --input",
        ) from error
    if data[:2] == b"\x1f\x8b":  # some versions hand out the compressed stream
        data = gzip.decompress(data)
    if len(data) != 2 * SHAPE[0] * SHAPE[1]:
        raise InputError(f"holds {len(data)} bytes, not {2 * SHAPE[0] * SHAPE[1]}", FILE, "reinstall matplotlib")
    return np.frombuffer(data, "<u2").reshape(SHAPE).astype(np.float32)
