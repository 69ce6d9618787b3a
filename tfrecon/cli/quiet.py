"""Keeps TensorFlow's start-up chatter away from the user's terminal.

TensorFlow's shared libraries log device facts to file descriptor 2 while they are loaded and look for
devices, before any log level is read (TensorFlow 2.21 ignores `TF_CPP_MIN_LOG_LEVEL` there), so the
descriptor itself is turned away for the time of the import. If the import fails, what was said is
shown after all.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from types import ModuleType


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Holds back what is written to file descriptor 2; shows it only when the block raises."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class _QuietLoader(importlib.abc.Loader):
    """The module's own loader, with stderr held back while the module runs."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        with stderr_held_back():
            self._loader.exec_module(module)
            module.config.list_physical_devices()  # looks for a GPU, and says so if there is none


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Finds `tensorflow` once, as everybody else would, and makes its import quiet."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


def quiet_tensorflow() -> None:
    """Makes the next import of TensorFlow say nothing; does nothing where it is already imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what is logged after the import
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # input of many sizes is traced many times, and may be
    if "tensorflow" not in sys.modules and not any(isinstance(f, _QuietTensorFlow) for f in sys.meta_path):
        sys.meta_path.insert(0, _QuietTensorFlow())
