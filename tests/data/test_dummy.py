import json
import pathlib
import shutil

import numpy as np
import pytest

from tfrecon.data import dummy
from tfrecon.data.sources import open_source
from tfrecon.data.tfrecord import read_dataset_info, read_records
from tfrecon.util.errors import InputError
from tfrecon.util.files import read_json

COMMITTED = pathlib.Path(__file__).resolve().parents[2] / "dummy_data"

RECORDS = {"train": 6, "val": 2, "test": 2, "cine": 2}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dummy_data")
    dummy.make_dummy_data(folder)
    return folder


def test_committed_files_are_those_of_the_manifest():
    assert dummy.check_dummy_data(COMMITTED) == {}
    manifest = read_json(COMMITTED / dummy.MANIFEST)
    assert manifest["seed"] == dummy.SEED and manifest["command"] == dummy.COMMAND
    assert sum(facts["bytes"] for facts in manifest["files"].values()) < 2_000_000
    assert dummy.require_small(COMMITTED) < 2_000_000


def test_same_seed_gives_the_same_bytes_and_another_does_not(fresh, tmp_path):
    dummy.make_dummy_data(tmp_path / "again")
    assert dummy.compare_folders(fresh, tmp_path / "again") == []
    dummy.make_dummy_data(tmp_path / "other", seed=1)
    differing = dummy.compare_folders(fresh, tmp_path / "other")
    assert "fastmri/phantom06.h5" in differing and "records/train/train-00000-of-00001.tfrecord" in differing


@pytest.mark.parametrize("name", [*(f"records/{split}" for split in RECORDS), "fastmri", "nifti", "npy"])
def test_committed_files_are_what_the_command_makes(fresh, name):
    # Bit for bit only where processor and libraries are the same (`make_dummy_data.py --check`): another
    # FFT rounds otherwise.
    made, committed = (list(open_source(folder / name)) for folder in (fresh, COMMITTED))
    assert [record.record_id for record in made] == [record.record_id for record in committed]
    for one, other in zip(made, committed, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        for key in ("kspace", "maps", "reference"):
            a, b = getattr(one, key), getattr(other, key)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())
        assert one.attrs.keys() == other.attrs.keys()


@pytest.mark.parametrize("split", RECORDS)
def test_datasets_verify_and_hold_what_they_should(split):
    folder = COMMITTED / "records" / split
    assert read_dataset_info(folder, verify=True).records == RECORDS[split]
    for record in read_records(folder, verify=True):
        assert record.is_series == (split == "cine")
        assert (record.maps is not None) == (split != "cine")
        assert record.attrs["simulated"]["seed"] == dummy.SEED
    volumes = {name: set(read_dataset_info(COMMITTED / "records" / name).volumes) for name in ("train", "val", "test")}
    assert not volumes["train"] & volumes["val"] and not volumes["train"] & volumes["test"]


def test_test_split_holds_an_odd_size():
    shapes = {record.kspace.shape[-2:] for record in read_records(COMMITTED / "records" / "test")}
    assert shapes == {(40, 36), (39, 35)}


def test_fastmri_file_loses_its_oversampling_and_keeps_its_reference():
    for record in open_source(COMMITTED / "fastmri" / "phantom06.h5"):
        assert record.kspace.shape == (4, 40, 36)
        assert record.attrs["readout_oversampling_removed"] == {"from": 80, "to": 40}
        assert record.attrs["voxel_size"] == pytest.approx([5.5, 220 / 36, 5.0])
        axes = (-2, -1)
        coil_images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(record.kspace, axes), norm="ortho"), axes)
        rss = np.sqrt(np.sum(np.abs(coil_images) ** 2, axis=0))
        np.testing.assert_allclose(record.reference, rss, atol=1e-4 * rss.max())


def test_nifti_slices_are_upright():
    volume = dummy._phantom_volume("phantom07", 3, (40, 36), dummy.SEED)
    for record, image in zip(open_source(COMMITTED / "nifti"), volume, strict=True):
        magnitude = np.abs(record.reference)
        np.testing.assert_allclose(magnitude / magnitude.max(), image / image.max(), atol=2e-3)


def test_undersampled_kspace_is_zero_off_its_mask():
    (record,) = open_source(COMMITTED / "npy")
    assert 0.3 < record.mask.mean() < 0.5
    assert not np.any(record.kspace * (1 - record.mask))
    assert record.mask[0, 0, 12:24].all()


def test_check_names_what_is_wrong(fresh, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(fresh, folder)
    (folder / "npy" / "phantom08_mask.npy").unlink()
    (folder / "stray.txt").write_text("x")
    with (folder / "nifti" / "phantom07.nii.gz").open("ab") as file:
        file.write(b"x")
    assert dummy.check_dummy_data(folder) == {
        "npy/phantom08_mask.npy": "is missing",
        "stray.txt": "is not in the manifest",
        "nifti/phantom07.nii.gz": "differs from the manifest",
    }
    manifest = json.loads((folder / dummy.MANIFEST).read_text())
    manifest["files"].pop("npy/phantom08.npy")
    (folder / dummy.MANIFEST).write_text(json.dumps(manifest))
    assert dummy.compare_folders(fresh, folder) == ["npy/phantom08.npy"]


def test_too_much_data_and_no_manifest_are_refused(tmp_path):
    (tmp_path / "large").write_bytes(b"\0" * (dummy.MOST_BYTES + 1))
    with pytest.raises(InputError, match="more than 2000000"):
        dummy.require_small(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        dummy.check_dummy_data(tmp_path)
