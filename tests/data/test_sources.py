import numpy as np
import pytest
from raw_files import write_fastmri, write_nifti

from tfrecon.data.sources import open_source, recognise
from tfrecon.data.tfrecord import write_dataset
from tfrecon.data.volumes import subject_name, volume_name
from tfrecon.util.errors import InputError


def test_formats_are_recognised(tmp_path, make_record):
    write_fastmri(tmp_path / "h5" / "a.h5")
    write_nifti(tmp_path / "nifti" / "deep" / "a.nii.gz", np.ones((4, 4, 4), np.uint8))
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "a.npy", np.ones((4, 4)))
    write_dataset(tmp_path / "dataset", [make_record()])
    for name, kind in {"h5": "fastmri", "nifti": "nifti", "npy": "npy", "dataset": "dataset"}.items():
        assert recognise(tmp_path / name) == kind
    assert recognise(tmp_path / "h5" / "a.h5") == "fastmri"
    assert recognise(tmp_path / "dataset" / "dataset.json") == "dataset"
    with pytest.raises(InputError, match=r"several kinds \(1 fastmri, 1 nifti, 1 npy\); say which with --source"):
        open_source(tmp_path)
    assert open_source(tmp_path, "fastmri").kind == "fastmri"


def test_dataset_is_a_source(tmp_path, make_record, same):
    records = [make_record(i, volume=f"v{i // 2}") for i in range(5)]
    write_dataset(tmp_path, records, shards=2)
    source = open_source(tmp_path)
    assert len(source) == 5 and [volume.volume_id for volume in source.volumes] == ["v0", "v1", "v2"]
    for one, two in zip(source, records, strict=True):
        same(one, two)
    (only,) = source.read(source.volumes[1], [1])
    same(only, records[3])


def test_nothing_to_open(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no file of a known kind"):
        open_source(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds no file of a known kind"):
        open_source(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"holds no HDF5 file \(\.h5, \.hdf5\)"):
        open_source(tmp_path, "fastmri")
    with pytest.raises(InputError, match="no source 'dicom'"):
        open_source(tmp_path, "dicom")


def test_splits_inside_are_named(tmp_path, make_record):
    write_dataset(tmp_path / "train", [make_record()])
    with pytest.raises(InputError, match="holds the datasets train; give one"):
        open_source(tmp_path)


def test_unknown_option(tmp_path):
    write_fastmri(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"unknown option of a source .*options are: strict, "):
        open_source(tmp_path, colour=3)


@pytest.mark.parametrize(
    ("file", "name", "subject"),
    [
        ("IXI012-HH-1211-T1.nii.gz", "IXI012-HH-1211-T1", "IXI012"),
        ("sub-01_ses-2_T1w.nii", "sub-01_ses-2_T1w", "sub-01"),
        ("file1.000.h5", "file1.000", "file1.000"),
        ("IXIfoo.npy", "IXIfoo", "IXIfoo"),
    ],
)
def test_names(tmp_path, file, name, subject):
    assert volume_name(tmp_path / file) == name and subject_name(name) == subject
