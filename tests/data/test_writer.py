import errno
import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

from tfrecon.data import writer as writer_module
from tfrecon.data.tfrecord import DatasetWriter, read_dataset_info, read_records, write_dataset
from tfrecon.util.errors import InputError


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_dataset_describes_itself(tmp_path, make_record):
    records = [make_record(i, volume=f"v{i // 3}") for i in range(5)] + [make_record(5, (2, 8, 8), maps=True)]
    info = write_dataset(tmp_path, records, name="x", shards=2, made={"seed": 7})
    value = json.loads((tmp_path / "dataset.json").read_text())
    assert [shard["file"] for shard in value["shards"]] == [
        "x-00000-of-00002.tfrecord",
        "x-00001-of-00002.tfrecord",
    ]
    for shard in value["shards"]:
        data = (tmp_path / shard["file"]).read_bytes()
        assert shard["bytes"] == len(data) and shard["sha256"] == hashlib.sha256(data).hexdigest()
    assert value["records"] == 6 and value["volumes"] == {"v0": 3, "v1": 2, "v": 1}
    assert value["made"]["seed"] == 7 and "tfrecon" in value["made"]
    shapes = {tuple(group["kspace"]): (group["records"], group["maps"]) for group in value["shapes"]}
    assert shapes == {(2, 8, 6): (5, None), (2, 8, 8): (1, [2, 8, 8])}
    assert list(info.record_ids) == [record.record_id for record in records]
    assert sorted(contents(tmp_path)) == ["dataset.json", "x-00000-of-00002.tfrecord", "x-00001-of-00002.tfrecord"]
    assert read_dataset_info(tmp_path) == info


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_records_come_back(tmp_path, make_record, same, compression):
    records = [make_record(i, maps=True, noise_std=0.5) for i in range(4)]
    write_dataset(tmp_path, records, shards=3, compression=compression)
    read = list(read_records(tmp_path, verify=True))
    for one, two in zip(read, records, strict=True):
        same(one, two)


def _records(make_record, index):
    return [make_record(2 * index + i) for i in range(2)]


def test_interrupted_conversion_ends_in_the_same_bytes(tmp_path, make_record):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_dataset(whole, [make_record(i) for i in range(6)], shards=3, made={"seed": 1})

    def interrupted():
        yield make_record(2)
        raise KeyboardInterrupt

    writer = DatasetWriter(broken, shards=3, made={"seed": 1})
    writer.write_shard(0, _records(make_record, 0))
    with pytest.raises(KeyboardInterrupt):
        writer.write_shard(1, interrupted())
    assert sorted(contents(broken)) == [".progress.json", "records-00000-of-00003.tfrecord"]
    first = (broken / "records-00000-of-00003.tfrecord").stat().st_mtime_ns
    with pytest.raises(InputError, match="is not a dataset"):
        read_dataset_info(broken)

    (broken / ".records-00001-of-00003-abc.tfrecord").write_bytes(b"what a killed process leaves")
    writer = DatasetWriter(broken, shards=3, made={"seed": 1})
    assert writer.pending() == [1, 2]
    with pytest.raises(InputError, match=r"shards \[1, 2\] are not written"):
        writer.finish()
    for index in reversed(writer.pending()):
        writer.write_shard(index, _records(make_record, index))
    writer.finish()
    assert contents(broken) == contents(whole)
    assert (broken / "records-00000-of-00003.tfrecord").stat().st_mtime_ns == first

    again = DatasetWriter(broken, shards=3, made={"seed": 1})
    assert again.complete and again.pending() == [] and again.finish().records == 6


def test_damaged_finished_shard_is_written_again(tmp_path, make_record):
    writer = DatasetWriter(tmp_path, shards=2)
    writer.write_shard(0, _records(make_record, 0))
    file = tmp_path / writer.file_name(0)
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    assert DatasetWriter(tmp_path, shards=2).pending() == [0, 1]


def test_other_settings_are_refused(tmp_path, make_record):
    writer = DatasetWriter(tmp_path, shards=2, made={"seed": 1}, state={"changed": 5})
    writer.write_shard(0, _records(make_record, 0))
    for change in ({"made": {"seed": 2}}, {"state": {"changed": 6}}):
        with pytest.raises(InputError, match="unfinished conversion with other settings"):
            DatasetWriter(tmp_path, **{"shards": 2, "made": {"seed": 1}, "state": {"changed": 5}, **change})
    fresh = DatasetWriter(tmp_path, shards=2, made={"seed": 2}, resume=False)
    assert fresh.pending() == [0, 1] and not list(tmp_path.glob("*.tfrecord"))


def test_finished_dataset_is_replaced_only_on_demand(tmp_path, make_record):
    write_dataset(tmp_path, [make_record(i) for i in range(4)], shards=4)
    with pytest.raises(InputError, match="made otherwise"):
        write_dataset(tmp_path, [make_record()], made={"seed": 3})
    (tmp_path / "records-00001-of-00004.tfrecord").write_bytes(b"damaged")
    write_dataset(tmp_path, [make_record()], made={"seed": 3}, overwrite=True)
    assert sorted(contents(tmp_path)) == ["dataset.json", "records-00000-of-00001.tfrecord"]


def test_bad_records_leave_nothing(tmp_path, make_record):
    folder = tmp_path / "out"
    twice = [make_record(0), make_record(0)]
    with pytest.raises(InputError, match="'v/000' occurs twice"):
        write_dataset(folder, twice)
    bad = make_record(1)
    bad.kspace[0, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"'v/001': key 'kspace' .* 1 NaN"):
        write_dataset(folder, [make_record(0), bad])
    assert contents(folder) == {}
    writer = DatasetWriter(folder, shards=1)
    writer.write_shard(0, [], {"v/000": "every sample is zero"})
    with pytest.raises(InputError, match=r"all 1 slices were skipped; every sample is zero"):
        writer.finish()


def test_bad_settings(tmp_path):
    with pytest.raises(InputError, match="0 shards"):
        DatasetWriter(tmp_path, shards=0)
    with pytest.raises(InputError, match="no compression 'ZIP'"):
        DatasetWriter(tmp_path, compression="ZIP")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), "no space left on the disk"),
        (tf.errors.UnknownError(None, None, "x; File too large"), "file too large"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk"),
    ],
)
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, make_record, monkeypatch, error, said):
    def fail(record):
        raise error

    monkeypatch.setattr(writer_module, "encode_record", fail)
    with pytest.raises(InputError, match=said) as caught:
        write_dataset(tmp_path, [make_record()])
    assert "records-00000-of-00001.tfrecord" in str(caught.value) and "\n" not in str(caught.value)
    assert contents(tmp_path) == {}
