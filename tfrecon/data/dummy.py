"""The small files of `dummy_data/`: synthetic phantoms in every format that is read, made by one call.

They are what tests, examples and offline demonstrations fall back on; nothing in them was measured.
"""

from __future__ import annotations

import dataclasses
import gzip
import math
import pathlib

import h5py
import nibabel
import numpy as np

from tfrecon.data.motion import deform_cine
from tfrecon.data.phantoms import Ellipse, ellipses_image, random_ellipses
from tfrecon.data.synthetic import beating_heart, simulate_acquisition
from tfrecon.data.tfrecord import write_dataset
from tfrecon.data.transforms import crop_kspace, rss_image
from tfrecon.physics.masks import make_mask
from tfrecon.records import Record
from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_path, read_json, sha256_of, write_json
from tfrecon.util.rng import numpy_generator
from tfrecon.util.shapes import centre_pad

COMMAND = "python tools/make_dummy_data.py"
MANIFEST = "manifest.json"
SEED = 2026
MOST_BYTES = 2_000_000

_COILS = 4
_SHAPE = (40, 36)
_ODD_SHAPE = (39, 35)
_CINE_SHAPE = (32, 28)
_SPLITS = {
    "train": ({"phantom01": 3, "phantom02": 3}, _SHAPE),
    "val": ({"phantom03": 2}, _SHAPE),
    "test": ({"phantom04": 1}, _SHAPE),
    "test_odd": ({"phantom05": 1}, _ODD_SHAPE),
}

_WHAT = {
    "records/train, records/val, records/test": "datasets of fully sampled 4-coil slices with true maps; "
    "test holds an odd size too",
    "records/cine": "a dataset of two 2D+t series, a beating heart and a moved phantom",
    "fastmri/phantom06.h5": "a fastMRI-style multi-coil file with a readout oversampled twice",
    "nifti/phantom07.nii.gz": "a magnitude volume",
    "npy/phantom08.npy": "undersampled 4-coil k-space, its mask beside it",
}

_HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{readout}</x><y>{lines}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{long}</x><y>{fov}</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{height}</x><y>{lines}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{fov}</x><y>{fov}</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>
"""


def make_dummy_data(folder: PathLike, seed: int = SEED) -> pathlib.Path:
    """Makes all files and the manifest that names them with their SHA-256, the seed and the command.

    Args:
        folder: where they go; files of the same names are replaced.
        seed: of everything random. On one machine and installation it decides every byte.

    Returns:
        The manifest's path.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    files = [
        *_write_records(folder / "records", seed),
        _write_fastmri(folder / "fastmri" / "phantom06.h5", seed),
        _write_nifti(folder / "nifti" / "phantom07.nii.gz", seed),
        *_write_npy(folder / "npy" / "phantom08.npy", seed),
    ]
    described = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
        for file in sorted(files)
    }
    write_json(folder / MANIFEST, {"command": COMMAND, "seed": seed, "what": _WHAT, "files": described})
    return folder / MANIFEST


def check_dummy_data(folder: PathLike) -> dict[str, str]:
    """Compares the files of a folder with its manifest.

    Returns:
        What is wrong by file name; empty if nothing is.

    Raises:
        InputError: there is no manifest.
    """
    folder = pathlib.Path(folder)
    described = read_json(folder / MANIFEST)["files"]
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    wrong = {name: "is not in the manifest" for name in found if name not in described and name != MANIFEST}
    for name, facts in described.items():
        if name not in found:
            wrong[name] = "is missing"
        elif sha256_of(found[name]) != facts["sha256"]:
            wrong[name] = "differs from the manifest"
    return wrong


def compare_folders(first: PathLike, second: PathLike) -> list[str]:
    """Names of the files that two folders of dummy data do not share bit for bit, from their manifests."""
    one, other = (read_json(pathlib.Path(folder) / MANIFEST)["files"] for folder in (first, second))
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _write_records(folder: pathlib.Path, seed: int) -> list[pathlib.Path]:
    records: dict[str, list[Record]] = {}
    for split, (volumes, shape) in _SPLITS.items():
        made = [record for name, count in volumes.items() for record in _volume_records(name, count, shape, seed)]
        records.setdefault(split.removesuffix("_odd"), []).extend(made)
    records["cine"] = _cine_records(seed)
    files = []
    for split, chosen in records.items():
        info = write_dataset(
            folder / split, chosen, name=split, made={"command": COMMAND, "seed": seed}, overwrite=True
        )
        files += [*map(pathlib.Path, info.files), folder / split / "dataset.json"]
    return files


def _volume_records(name: str, count: int, shape: tuple[int, int], seed: int) -> list[Record]:
    return [
        simulate_acquisition(
            image,
            record_id=f"{name}/{index:03d}",
            volume_id=name,
            slice_index=index,
            coils=_COILS,
            seed=seed,
            attrs={"source": "random ellipsoids"},
            store_maps=True,
        )
        for index, image in enumerate(_phantom_volume(name, count, shape, seed))
    ]


def _cine_records(seed: int) -> list[Record]:
    still = _phantom_volume("moved", 1, _CINE_SHAPE, seed)[0]
    series = {
        "heart": beating_heart(_CINE_SHAPE, 4),
        "moved": deform_cine(still, 4, amplitude=0.05, seed=seed),
    }
    return [
        simulate_acquisition(
            images, record_id=f"{name}/000", volume_id=name, coils=3, seed=seed, attrs={"source": f"{name} phantom"}
        )
        for name, images in series.items()
    ]


def _write_fastmri(file: pathlib.Path, seed: int) -> pathlib.Path:
    height, width = _SHAPE
    slices = []
    for index, image in enumerate(_phantom_volume(file.stem, 2, _SHAPE, seed)):
        wide = centre_pad(image, (2 * height, width))
        names = {"record_id": f"{file.stem}/{index:03d}", "volume_id": file.stem}
        slices.append(simulate_acquisition(wide, **names, coils=_COILS, seed=seed).kspace)
    kspace = np.stack(slices)
    rss = rss_image(crop_kspace(kspace, _SHAPE))
    header = _HEADER.format(
        readout=2 * height, height=height, lines=width, long=440, fov=220, last=width - 1, centre=width // 2
    )
    with atomic_path(file) as temporary, h5py.File(temporary, "w") as data:
        data["kspace"], data["reconstruction_rss"] = kspace, rss
        data["ismrmrd_header"] = np.bytes_(header.encode())
        data.attrs.update(
            {"acquisition": "SYNTHETIC", "max": rss.max(), "norm": np.linalg.norm(rss), "patient_id": file.stem}
        )
    return file


def _write_nifti(file: pathlib.Path, seed: int) -> pathlib.Path:
    volume = np.stack(_phantom_volume("phantom07", 3, _SHAPE, seed), axis=-1)
    data = np.round(volume[::-1].transpose(1, 0, 2)[::-1] * 1000 / volume.max()).astype(np.int16)
    image = nibabel.Nifti1Image(data, np.diag([6.0, 6.0, 8.0, 1.0]))  # indices run right, forward and up (RAS)
    with atomic_path(file) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    return file


def _write_npy(file: pathlib.Path, seed: int) -> list[pathlib.Path]:
    image = _phantom_volume(file.stem, 1, _SHAPE, seed)[0]
    record = simulate_acquisition(image, record_id=file.stem, volume_id=file.stem, coils=_COILS, seed=seed)
    mask = make_mask("gaussian1d", _SHAPE, 2.5, acs_lines=12, seed=seed).array
    files = {file: record.kspace * mask, file.with_name(f"{file.stem}_mask.npy"): mask}
    for path, array in files.items():
        with atomic_path(path) as temporary:
            np.save(temporary, array)
    return list(files)


def _phantom_volume(name: str, count: int, shape: tuple[int, int], seed: int) -> list[np.ndarray]:
    """Parallel slices, from the middle upwards, through a body of ellipsoids."""
    ellipses = random_ellipses(int(numpy_generator(seed, name, "phantom").integers(2**31)), count=14)
    return [ellipses_image(_slice(ellipses, 0.05 * index), shape) for index in range(count)]


def _slice(ellipses: tuple[Ellipse, ...], height: float) -> list[Ellipse]:
    """The ellipses in which a plane cuts ellipsoids, whose third semi-axis is their longest."""
    cut = []
    for ellipse in ellipses:
        ratio = height / max(ellipse.semi_axes)
        if ratio < 1:
            shrink = math.sqrt(1 - ratio**2)
            cut.append(dataclasses.replace(ellipse, semi_axes=tuple(shrink * axis for axis in ellipse.semi_axes)))
    return cut


def require_small(folder: PathLike) -> int:
    """The bytes of all files below a folder.

    Raises:
        InputError: more than may be committed.
    """
    total = sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*") if file.is_file())
    if total > MOST_BYTES:
        raise InputError(f"holds {total} bytes, more than {MOST_BYTES}", str(folder), "make fewer or smaller slices")
    return total
