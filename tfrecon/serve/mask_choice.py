"""Which samples a fully sampled record keeps when it is undersampled in retrospect."""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrecon.data.sources import RecordSource, open_source
from tfrecon.data.transforms import Undersampling, retrospective_mask, undersample
from tfrecon.physics.masks import from_array
from tfrecon.records import Record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import sha256_of

NONZERO = "nonzero"
"""In place of a mask file: samples that are not zero were measured, said by the user of his arrays."""

_KINDS_WITHOUT_MASK = ("npy", "ssdiffrecon")


@dataclasses.dataclass(frozen=True)
class MaskChoice:
    """A retrospective mask for each record, the same whenever and in whatever order it is asked for.

    Attributes:
        undersampling: what kind of mask is made; None where a file is given.
        seed: with the record id it decides the mask.
        same_mask: one mask for all slices of a volume, as a 3-D acquisition would have.
        mask_file: an `.npy` mask for all records instead: `[W]`, `[H, W]`, series `[T, ...]`;
            or "nonzero", see `open_input`.
    """

    undersampling: Undersampling | None = None
    seed: int = 0
    same_mask: bool = False
    mask_file: PathLike | None = None

    def __post_init__(self) -> None:
        if (self.undersampling is None) == (self.mask_file is None):
            raise InputError("undersampling needs either a kind of mask or a mask file", fix="give one of the two")

    def apply(self, record: Record) -> Record:
        """The record, undersampled; one that is undersampled already stays as it is, with a warning.

        Raises:
            InputError: an unknown kind, an impossible rate, or a mask file that does not fit.
        """
        if not is_fully_sampled(record):
            warnings.warn("the input is undersampled already and is used as it is", stacklevel=2)
            return record
        if self.mask_file is None:
            key = record.volume_id if self.same_mask else record.record_id
            return undersample(record, retrospective_mask(self.undersampling, self.seed, key, record.kspace.shape))
        mask = from_array(load_array(self.mask_file), record.kspace.shape[-2:], str(self.mask_file))
        return undersample(record, mask)

    def describe(self) -> dict[str, Any]:
        """What was asked for, JSON-able."""
        if self.mask_file is not None:
            return {"mask_file": NONZERO if str(self.mask_file) == NONZERO else file_facts(self.mask_file)}
        asked = {**vars(self.undersampling), "options": dict(self.undersampling.options)}
        return {**asked, "seed": self.seed, "same_mask": self.same_mask}


def is_fully_sampled(record: Record) -> bool:
    """Whether the record can be undersampled in retrospect.

    Lines that the scanner never meant to measure, at the edges of a zero-filled matrix, do not count
    as missing.
    """
    if "undersampling" in record.attrs:
        return False
    return bool(record.mask.all()) or bool(record.attrs.get("unacquired_edge_lines"))


def open_input(
    source: PathLike | RecordSource, masks: MaskChoice | None = None, options: Mapping[str, Any] | None = None
) -> tuple[RecordSource, MaskChoice | None]:
    """Opens the input, and settles whether a mask file says what was measured or what to keep of it.

    Arrays carry no mask of their own. Where they have gaps, the mask file (or "nonzero") is the one
    that was measured with; where they have none, it undersamples them in retrospect.

    Args:
        source: whatever `data.sources.open_source` opens; or a source that is open already.
        masks: what the user said of masks.
        options: of `open_source`.

    Returns:
        The source, and what is left to be done to its records.

    Raises:
        InputError: see `data.sources.open_source`.
    """
    if isinstance(source, RecordSource):
        return source, masks
    options = dict(options or {})
    mask = None if masks is None or masks.mask_file is None else str(masks.mask_file)
    if mask == NONZERO:
        return open_source(source, **options, mask=NONZERO), None
    records = open_source(source, **options)
    if mask is not None and records.kind in _KINDS_WITHOUT_MASK:
        try:
            next(iter(records), None)
        except InputError:
            return open_source(source, **options, mask=mask), None
    return records, masks


def load_array(path: PathLike) -> np.ndarray:
    """One array from an `.npy` file, or from an `.npz` file with one array.

    Raises:
        InputError: missing, empty, truncated, or several arrays.
    """
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if len(names) == 1:
                return loaded[names[0]]
    except FileNotFoundError as error:
        raise InputError("no such file", str(path), "check the path") from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError("is empty, truncated or not a NumPy file", str(path), "write it again with np.save") from error
    raise InputError(f"holds {len(names)} arrays ({', '.join(names)})", str(path), "give a file with one array")


def file_facts(path: PathLike) -> dict[str, str]:
    """Path and SHA-256 of a file: two runs with equal ones used the same numbers.

    Raises:
        InputError: there is no such file.
    """
    if not pathlib.Path(path).is_file():
        raise InputError("no such file", str(path), "check the path")
    return {"file": str(path), "sha256": sha256_of(path)}
