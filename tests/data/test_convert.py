import numpy as np
import pytest
from raw_files import write_fastmri, write_nifti

from tfrecon.data.convert import Preparation, choose_slots, convert, parse_split, split_by_subject
from tfrecon.data.sources import open_source
from tfrecon.data.tfrecord import read_dataset_info, read_records
from tfrecon.util.errors import InputError


@pytest.fixture
def fastmri(tmp_path):
    """Six volumes of three subjects, two slices each."""
    for i in range(6):
        write_fastmri(tmp_path / "raw" / f"file{i}.h5", slices=2, seed=i, patient_id=f"p{i % 3}")
    return tmp_path / "raw"


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_splits_are_by_subject(fastmri, tmp_path):
    datasets = convert(open_source(fastmri), tmp_path / "out", split={"train": 0.7, "test": 0.3}, seed=1)
    assert [info.path.name for info in datasets] == ["train", "test"]
    train, test = ({record.attrs["subject"] for record in read_records(info.path)} for info in datasets)
    assert len(train) == 2 and len(test) == 1 and train | test == {"p0", "p1", "p2"}
    assert [info.records for info in datasets] == [8, 4]
    assert datasets[1].made["split"] == "test" and datasets[1].made["splits"] == {"train": 0.7, "test": 0.3}
    assert set(datasets[1].made["subjects"].values()) == test


@pytest.mark.parametrize(("subjects", "expected"), [(10, [8, 1, 1]), (3, [1, 1, 1]), (25, [20, 3, 2]), (4, [2, 1, 1])])
def test_split_sizes_follow_the_fractions(subjects, expected):
    class Volume:
        def __init__(self, name):
            self.subject_id = name

    slots = [(Volume(f"p{i}"), 0) for i in range(subjects)]
    parts = split_by_subject(slots, {"train": 0.8, "val": 0.1, "test": 0.1}, seed=0)
    assert [len(part) for part in parts.values()] == expected
    again = split_by_subject(slots, {"train": 0.8, "val": 0.1, "test": 0.1}, seed=0)
    assert parts == again
    if subjects == 25:
        assert parts != split_by_subject(slots, {"train": 0.8, "val": 0.1, "test": 0.1}, seed=1)


def test_parse_split():
    assert parse_split("train:0.8, test:0.2") == {"train": 0.8, "test": 0.2}
    for text in ("train", "train:x", "a:0.5,a:0.5", "a/b:1", "a:1,b:0"):
        with pytest.raises(InputError, match="not understood"):
            parse_split(text)
    with pytest.raises(InputError, match=r"sum to 0\.9"):
        parse_split("train:0.8,test:0.1")


def test_choosing_slices(fastmri):
    source = open_source(fastmri)
    assert [index for _, index in choose_slots(source, "1:", limit=3)] == [1, 1, 1]
    assert len(choose_slots(source)) == 12
    for slices in ("x", "1:2:3:4"):
        with pytest.raises(InputError, match="are not a range"):
            choose_slots(source, slices)
    with pytest.raises(InputError, match="no slice is chosen of 12"):
        choose_slots(source, "5:9")
    with pytest.raises(InputError, match="limit is -1"):
        choose_slots(source, limit=-1)


def test_order_is_that_of_the_source(fastmri, tmp_path):
    source = open_source(fastmri)
    (info,) = convert(source, tmp_path / "out", shards=5)
    assert list(info.record_ids) == [f"file{i}/{k:03d}" for i in range(6) for k in range(2)]
    assert [len(shard.record_ids) for shard in info.shards] == [2, 2, 3, 2, 3]
    assert info.made["source"] == "fastmri" and info.made["versions"]["numpy"] == np.__version__


def test_broken_conversion_is_taken_up(fastmri, tmp_path, monkeypatch):
    settings = {
        "split": {"train": 0.5, "test": 0.5},
        "shards": 3,
        "preparation": Preparation("walsh", calibration_size=6),
    }
    convert(open_source(fastmri), tmp_path / "whole", **settings)
    reads = []

    def breaking(self, record, original=Preparation.__call__):
        reads.append(record.record_id)
        if len(reads) == 7:
            raise KeyboardInterrupt
        return original(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Preparation, "__call__", breaking)
        with pytest.raises(KeyboardInterrupt):
            convert(open_source(fastmri), tmp_path / "broken", **settings)
        assert len(contents(tmp_path / "broken")) > 1
        first = set(reads[:6])
        convert(open_source(fastmri), tmp_path / "broken", **settings)
        assert first - set(reads[7:])  # finished shards were not read again
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    with pytest.raises(InputError, match="made otherwise"):
        convert(open_source(fastmri), tmp_path / "broken", **{**settings, "seed": 5})


def test_changed_input_is_noticed(fastmri, tmp_path, monkeypatch):
    def breaking(self, record):
        if record.volume_id == "file3":
            raise KeyboardInterrupt
        return record

    monkeypatch.setattr(Preparation, "__call__", breaking)
    with pytest.raises(KeyboardInterrupt):
        convert(open_source(fastmri), tmp_path / "out", shards=6)
    write_fastmri(fastmri / "file5.h5", slices=2, seed=99, patient_id="p2")
    with pytest.raises(InputError, match="other settings or changed input files"):
        convert(open_source(fastmri), tmp_path / "out", shards=6)


def test_preparation(fastmri, tmp_path):
    preparation = Preparation("walsh", calibration_size=6, coils=3, crop=(12, 0))
    (info,) = convert(open_source(fastmri), tmp_path / "out", preparation=preparation, limit=1)
    (record,) = read_records(info.path)
    assert record.kspace.shape == record.maps.shape == (3, 12, 20)
    assert record.attrs["maps"]["calibration"] == [6, 6] and record.attrs["coil_compression"]["from"] == 4
    assert info.groups[0].calibration == (6, 6)
    with pytest.raises(InputError, match="no maps 'bart'"):
        Preparation("bart")


def test_skipped_slices_are_counted(tmp_path):
    volume = np.zeros((8, 8, 6), np.float32)
    volume[2:6, 2:6, 1:4] = 1
    write_nifti(tmp_path / "a.nii", volume)
    source = open_source(tmp_path / "a.nii", coils=2)
    (info,) = convert(source, tmp_path / "out", shards=2)
    assert info.records == 3 and info.skipped == {f"a/{i:03d}": "every pixel is zero" for i in (0, 4, 5)}
    assert read_dataset_info(tmp_path / "out").skipped == info.skipped


def test_failure_leaves_no_folder(fastmri, tmp_path):
    with pytest.raises(InputError, match="1 subject"):
        convert(open_source(fastmri), tmp_path / "out", split={"a": 0.5, "b": 0.5}, limit=1)
    with pytest.raises(InputError, match="cannot crop"):
        convert(open_source(fastmri), tmp_path / "out", preparation=Preparation(crop=(99, 0)))
    with pytest.raises(InputError, match="cannot crop"):
        split = {"a": 0.5, "b": 0.5}
        convert(open_source(fastmri), tmp_path / "out", split=split, preparation=Preparation(crop=(99, 0)))
    assert not (tmp_path / "out").exists()


def test_many_bytes_make_many_shards(fastmri, tmp_path, monkeypatch):
    monkeypatch.setattr("tfrecon.data.convert.SHARD_BYTES", 30_000)
    (info,) = convert(open_source(fastmri), tmp_path / "out")
    assert len(info.shards) == 5  # 12 slices of 4×16×20 complex64
    (again,) = convert(open_source(tmp_path / "out"), tmp_path / "again", split=None)
    assert again.record_ids == info.record_ids and again.made["subjects"] == info.made["subjects"]
