"""tfrecon: accelerated-MRI reconstruction with self-supervised and diffusion methods.

`import tfrecon` is light: TensorFlow and Keras are imported when a function first needs them.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "reconstruct": "tfrecon.serve.reconstruct",
    "evaluate": "tfrecon.report.evaluate",
    "load": "tfrecon.serve.load",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'tfrecon' has no attribute {name!r}")
