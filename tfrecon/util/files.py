"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError

_PREVIOUS, _UNFINISHED = ".previous", ".unfinished"


@contextlib.contextmanager
def atomic_path(path: PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path` that takes its place when the block ends well.

    The suffix of `path` is kept, so writers that look at it still work. When the block raises, the
    temporary file is removed and an older file at `path` stays as it was.

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    path = pathlib.Path(path)
    temporary: pathlib.Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = pathlib.Path(name)
        yield temporary
        # mkstemp makes private files; a result should be as readable as any other new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary folder beside `path` that takes its place when the block ends well.

    When the block raises, or the process is killed, an older folder at `path` stays as it was. A folder
    cannot replace another in one operation, so between two renames the older one is at a hidden
    name; `found_folder` knows it, and the next writer brings it back.

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    path = pathlib.Path(path)
    previous = path.with_name(f".{path.name}{_PREVIOUS}")
    temporary: pathlib.Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _settle(path, previous)
        temporary = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-", suffix=_UNFINISHED))
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        for file in temporary.rglob("*"):
            _sync(file)
        if path.exists():
            path.rename(previous)
        temporary.rename(path)
        _sync(path.parent)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def found_folder(path: PathLike) -> pathlib.Path:
    """`path`, or where the older folder is if a killed `atomic_folder(path)` left it at its hidden name."""
    path = pathlib.Path(path)
    previous = path.with_name(f".{path.name}{_PREVIOUS}")
    return previous if previous.is_dir() and not path.exists() else path


def _settle(path: pathlib.Path, previous: pathlib.Path) -> None:
    """Clears away what a killed writer of `path` left: the older folder comes back, the unfinished one goes."""
    if previous.is_dir() and not path.exists():
        previous.rename(path)
    shutil.rmtree(previous, ignore_errors=True)
    for unfinished in path.parent.glob(f".{path.name}-*{_UNFINISHED}"):
        shutil.rmtree(unfinished)


def _sync(path: pathlib.Path) -> None:
    """Waits until the disk has a file or folder, so that a rename never comes before the content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explain_os_error(error: OSError, path: PathLike) -> InputError:
    """Turns an operating-system error met while writing `path` into one clear line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError("no space left on the disk", str(path), "free some space and run the command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError("no permission to write", str(path), "choose another folder")
    return InputError(f"cannot be written ({error.strerror or error})", str(path), "choose another folder")


def write_json(path: PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=False) + "\n")


def read_json(path: PathLike) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    path = pathlib.Path(path)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError("no such file", str(path), "check the path") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError("is not valid JSON", str(path), "make it again") from error


def sha256_of(path: PathLike) -> str:
    """The SHA-256 of a file's content, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
