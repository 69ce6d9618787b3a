"""Which volume and subject each file of a folder belongs to, from a table or an index.

A table is a CSV file with the columns `file`, `volume` and, where they are known, `subject` and
`slice`; or JSON: a list of such objects, or an object of file names with a volume's name or such an
object each. An index is the `index.json` beside images that tfrecon wrote.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfrecon.data.volumes import subject_name
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

INDEX_NAME = "index.json"

_FIX = 'give a CSV with the columns file,volume[,subject,slice], or JSON {"im_0samples.npy": "volume", …}'


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one slice belongs.

    Attributes:
        record_id: of its record.
        volume_id: of its volume.
        subject: who was scanned.
        slice_index: its position in the volume.
    """

    record_id: str
    volume_id: str
    subject: str
    slice_index: int


def places_in_table(table: PathLike, files: Sequence[pathlib.Path]) -> dict[str, Place]:
    """The place of each file by its name, from a table of the user.

    A slice without a number gets its position among the files of its volume. Rows of files that are
    not there are allowed: a table may be of a larger folder.

    Args:
        table: the CSV or JSON file.
        files: the files, in order.

    Raises:
        InputError: the table cannot be read, a row is incomplete, or a file has none or two.
    """
    rows: dict[str, Mapping[str, Any]] = {}
    for row in _read_rows(pathlib.Path(table)):
        name = str(row.get("file") or "").strip()
        if not name or not str(row.get("volume") or "").strip():
            raise InputError(f"a row lacks file or volume: {dict(row)}", str(table), _FIX)
        stem = pathlib.PurePath(name).name.removesuffix(".npy")
        if stem in rows:
            raise InputError(f"names {name} twice", str(table), "keep one of the rows")
        rows[stem] = row
    _refuse_missing([file for file in files if file.stem not in rows], files, str(table), "is not named in the table")
    seen: dict[str, int] = {}
    places = {}
    for file in files:
        row = rows[file.stem]
        volume = str(row["volume"]).strip()
        position = seen[volume] = seen.get(volume, -1) + 1
        subject = str(row.get("subject") or "").strip() or subject_name(volume)
        places[file.name] = Place(file.stem, volume, subject, _slice_number(row.get("slice"), position, file, table))
    return places


def places_in_index(content: Any, index: pathlib.Path, files: Sequence[pathlib.Path]) -> dict[str, Place]:
    """The place of each file by its name, from the index that tfrecon wrote beside its images.

    Raises:
        InputError: the index is not such a one, or does not name a file.
    """
    fix = "run the command that made the images again"
    try:
        entries = {pathlib.PurePath(str(image["file"])).stem: image for image in content["images"]}
        places = {
            stem: Place(
                record_id=str(image["record_id"]),
                volume_id=str(image["volume_id"]),
                subject=str((image.get("attrs") or {}).get("subject") or subject_name(str(image["volume_id"]))),
                slice_index=int(image["slice_index"]),
            )
            for stem, image in entries.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"is no index of images ({type(error).__name__}: {error})", str(index), fix) from error
    _refuse_missing([file for file in files if file.stem not in places], files, str(index), "is not named in it")
    return {file.name: places[file.stem] for file in files}


def _refuse_missing(missing: Sequence[pathlib.Path], files: Sequence[pathlib.Path], where: str, what: str) -> None:
    if missing:
        first = f"{missing[0].name} {what}"
        text = first if len(missing) == 1 else f"{len(missing)} of {len(files)} images have no volume: {first}"
        raise InputError(text, where, "add it, or move it to a folder of its own")


def _slice_number(given: Any, position: int, file: pathlib.Path, table: PathLike) -> int:
    if given is None or str(given).strip() == "":
        return position
    try:
        return int(given)
    except ValueError as error:
        raise InputError(f"slice {given!r} of {file.name} is not a number", str(table), _FIX) from error


def _read_rows(table: pathlib.Path) -> Iterable[Mapping[str, Any]]:
    if not table.is_file():
        raise InputError("no such file", str(table), "check the path of --volumes")
    if table.suffix.lower() == ".json":
        return _json_rows(read_json(table), table)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is not a readable CSV table ({error})", str(table), _FIX) from error
    if not rows or not {"file", "volume"} <= set(rows[0]):
        raise InputError("lacks the columns file and volume", str(table), _FIX)
    return rows


def _json_rows(content: Any, table: pathlib.Path) -> list[Mapping[str, Any]]:
    if isinstance(content, dict):
        content = [
            {**value, "file": name} if isinstance(value, dict) else {"file": name, "volume": value}
            for name, value in content.items()
        ]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content) or not content:
        raise InputError("is no table of volumes", str(table), _FIX)
    return content
