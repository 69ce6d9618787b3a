"""Writes folders of reconstructed images: resumable, whole files only, in npy, h5 and NIfTI.

Finished slices are npy files from the start (in the folder itself, or in a hidden one when npy was not
asked for), each noted in a journal; volumes are put together from them at the end. Whatever stops a
run, the next one with the same settings goes on behind the last whole slice.

A slice whose time ran out is written as it was then, and `index.json` says so; such a folder can be used, and the
journal stays, so that the next run makes those slices anew.
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfrecon.serve.kinds import KINDS, is_uncertainty
from tfrecon.serve.volumes import VOLUME_FORMATS, volume_file_name
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path, explain_os_error, read_json, write_json

FORMATS = ("npy", *VOLUME_FORMATS)
_UNFINISHED = ".unfinished"
_RUN = "run.json"
_INDEX = "index.json"


class ImageFolderWriter:
    """The folder of one run.

    Args:
        output: the folder; made if missing.
        settings: JSON-able; all that decides the images. A folder begun with other settings is
            refused.
        formats: one or several of "npy", "h5", "nifti"; the first is the one `index.json` describes.
        overwrite: removes the images of an earlier run first.

    Raises:
        InputError: an unknown format, or a folder that holds other images.
    """

    def __init__(
        self, output: PathLike, settings: Mapping[str, Any], formats: Sequence[str] = ("npy",), overwrite: bool = False
    ) -> None:
        unknown = [name for name in formats if name not in FORMATS]
        if unknown or not formats:
            raise InputError(f"no format {', '.join(unknown) or 'given'}", fix=f"choose from {', '.join(FORMATS)}")
        self.output = pathlib.Path(output)
        self.formats = tuple(dict.fromkeys(formats))
        self._settings = json.loads(json.dumps({**settings, "formats": list(self.formats)}))
        self._unfinished = self.output / _UNFINISHED
        self._slices = self.output if "npy" in self.formats else self._unfinished
        self._entries: dict[int, dict[str, Any]] = {}
        self._begun: int | None = None
        if self.output.exists() and not self.output.is_dir():
            raise InputError("is a file, not a folder", str(self.output), "choose another --output")
        if overwrite:
            self._remove_images()
        self._resume()

    @property
    def complete(self) -> bool:
        """Whether an earlier run made all there is to make."""
        return not self._unfinished.exists()

    @property
    def finished(self) -> int:
        """How many slices are written."""
        return len(self._entries)

    @property
    def whole(self) -> int:
        """How many of them had all the time they took."""
        return sum("stopped" not in entry for entry in self._entries.values())

    def has(self, k: int, record_id: str) -> bool:
        """Whether slice `k` is already written, and was not stopped before its time.

        Raises:
            InputError: it was written from another record: the input is not the one of this folder.
        """
        entry = self._entries.get(k)
        if entry is not None and entry["record_id"] != record_id:
            raise InputError(
                f"image {k} came from record {entry['record_id']!r}, not {record_id!r}",
                str(self.output),
                "the input has changed: choose another --output, or give --overwrite",
            )
        return entry is not None and "stopped" not in entry

    def write(
        self, k: int, images: Mapping[str, np.ndarray | None], mask: np.ndarray | None, entry: Mapping[str, Any]
    ) -> None:
        """Writes one slice: the images by kind (see `serve.kinds`), its mask, and its line in the index.

        Of a slice that was stopped in two runs, the one that came further stays.

        Args:
            k: position in the run, the number in the file's name.
            images: float32 or complex64 `[H, W]` or `[T, H, W]` by kind; None is left out.
            mask: uint8 `[..., 1, H or 1, W]`, or None.
            entry: JSON-able facts; "record_id", "volume_id", "slice_index" and "attrs" are required, and "stopped"
                says after how many steps ("made") of how many ("of") it was stopped.
        """
        before = self._entries.get(k)
        if before is not None and "stopped" in entry and before["stopped"]["made"] >= entry["stopped"]["made"]:
            return
        self._begun = k
        for kind, image in images.items():
            if image is not None:
                _save_npy(self._slices / kind / slice_file_name(k), image)
        if mask is not None:
            _save_npy(self.output / "mask" / slice_file_name(k), mask)
        kinds = [kind for kind, image in images.items() if image is not None]
        entry = {"k": k, "file": slice_file_name(k), **entry, "kinds": kinds}
        journal = self._unfinished / "journal.jsonl"
        try:
            with open(journal, "a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise explain_os_error(error, journal) from error
        self._entries[k] = entry

    def close(self) -> None:
        """Removes the slice that was begun and not finished, and the folder if there is no other.

        A corrected command then finds the folder free.
        """
        if self._begun is not None and self._begun not in self._entries:
            for folder in self._slice_folders():
                (folder / slice_file_name(self._begun)).unlink(missing_ok=True)
        if self._entries or self.complete:
            return
        shutil.rmtree(self._unfinished)
        (self.output / _RUN).unlink(missing_ok=True)
        for folder in (*subfolders(self.output), self.output):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def finish(self, facts: Mapping[str, Any], late: int = 0) -> pathlib.Path:
        """Puts volumes together and writes `index.json`.

        Args:
            facts: what the index says of the run as a whole.
            late: how many slices were not begun because time ran out.

        Returns:
            The path of `index.json`.
        """
        if self.complete:
            return self.output / _INDEX
        entries = [self._entries[k] for k in sorted(self._entries)]
        kinds = list(dict.fromkeys(kind for entry in entries for kind in entry.get("kinds", KINDS)))
        entries = [{key: value for key, value in entry.items() if key != "kinds"} for entry in entries]
        for name in self.formats:
            if name != "npy":
                located = self._write_volumes(name, entries, kinds)
                entries = located if name == self.formats[0] else entries
        types = sorted({entry["attrs"]["reference_type"] for entry in entries if "reference_type" in entry["attrs"]})
        facts = {**facts, "reference_type": ", ".join(types) or None}
        if late:
            facts["not_begun"] = late
        index = {"format": self.formats[0], **facts, "images": entries}
        write_json(self.output / _INDEX, index)
        if not late and self.whole == self.finished:
            shutil.rmtree(self._unfinished)
        return self.output / _INDEX

    def _write_volumes(
        self, format_name: str, entries: Sequence[dict[str, Any]], kinds: Sequence[str]
    ) -> list[dict[str, Any]]:
        volumes: dict[str, list[dict[str, Any]]] = {}
        for entry in sorted(entries, key=lambda e: (e["slice_index"], e["k"])):
            volumes.setdefault(volume_file_name(entry["volume_id"], format_name), []).append(entry)
        located = {}
        for file_name, members in volumes.items():
            for kind in kinds:
                paths = [self._slices / kind / slice_file_name(e["k"]) for e in members]
                paths = [path for path in paths if path.exists()]
                if len(paths) == len(members):  # a volume of which some slices lack a reference has none
                    VOLUME_FORMATS[format_name](self.output / kind / file_name, paths, members[0])
            for position, entry in enumerate(members):
                located[entry["k"]] = {**entry, "file": file_name, "index_in_file": position}
        return [located[entry["k"]] for entry in entries]

    def _resume(self) -> None:
        """Reads what an earlier run left, or begins a new one."""
        run = self.output / _RUN
        if run.exists():
            index = self.output / _INDEX
            finished = index.exists() and not self._unfinished.exists()
            entries = _listed(index) if finished else self._read_journal()
            if entries:
                self._require_same(read_json(run))
            self._entries = {entry["k"]: entry for entry in entries}
            if finished:
                self._require_files()
                return
            self._remove_temporaries()
        elif (self.output / _INDEX).exists() or any(self.output.glob("im_*samples.npy")):
            raise InputError(
                "already holds images of another run", str(self.output), "choose another --output, or give --overwrite"
            )
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self._unfinished) from error
        write_json(run, self._settings)

    def _require_same(self, before: Mapping[str, Any]) -> None:
        keys = dict.fromkeys([*before, *self._settings])
        changed = [key for key in keys if before.get(key) != self._settings.get(key)]
        if changed:
            raise InputError(
                f"holds images made with other settings ({', '.join(changed)})",
                str(self.output),
                "choose another --output, or give --overwrite",
            )

    def _require_files(self) -> None:
        missing = [e["file"] for e in self._entries.values() if not (self.output / e["file"]).exists()]
        if missing:
            raise InputError(
                f"{len(missing)} images are gone, the first is {missing[0]}",
                str(self.output),
                "give --overwrite to make all again",
            )

    def _read_journal(self) -> list[dict[str, Any]]:
        journal = self._unfinished / "journal.jsonl"
        if not journal.exists():
            return []
        text = journal.read_text()
        whole = text[: text.rfind("\n") + 1]  # a line that was cut off is a slice that was not finished
        if whole != text:
            with atomic_path(journal) as temporary:
                temporary.write_text(whole)
        entries = [json.loads(line) for line in whole.splitlines()]
        return [entry for entry in entries if all(_is_whole(path) for path in self._files_of(entry))]

    def _files_of(self, entry: Mapping[str, Any]) -> list[pathlib.Path]:
        return [self._slices / kind / entry["file"] for kind in entry.get("kinds", KINDS[:1])]

    def _slice_folders(self) -> list[pathlib.Path]:
        return [self._slices, *subfolders(self._slices), self.output / "mask"]

    def _remove_temporaries(self) -> None:
        """Removes what a run that was killed while it wrote left beside its whole files."""
        for folder in self._slice_folders():
            for path in folder.glob(f".{slice_file_name('*').removesuffix('.npy')}-*.npy"):
                path.unlink()

    def _remove_images(self) -> None:
        names = {slice_file_name("*"), *(entry["file"] for entry in _listed(self.output / _INDEX))}
        for folder in (self.output, *subfolders(self.output)):
            for name in names:
                for path in folder.glob(name):
                    path.unlink()
        for name in (_RUN, _INDEX):
            (self.output / name).unlink(missing_ok=True)
        if self._unfinished.exists():
            shutil.rmtree(self._unfinished)


def slice_file_name(k: int | str) -> str:
    """The npy file name of slice `k`, as SSDiffRecon wrote it."""
    return f"im_{k}samples.npy"


def subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of images and masks in a folder of images, as far as they are there."""
    if not folder.is_dir():
        return []
    names = (*KINDS, "mask")
    return [path for path in sorted(folder.iterdir()) if path.name in names or is_uncertainty(path.name)]


def _is_whole(path: pathlib.Path) -> bool:
    """Whether a file is there and as long as its header says."""
    try:
        return np.load(path, mmap_mode="r").size > 0
    except (OSError, ValueError, EOFError):
        return False


def _listed(index: pathlib.Path) -> list[dict[str, Any]]:
    return read_json(index)["images"] if index.exists() else []


def _save_npy(path: pathlib.Path, array: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, array)
