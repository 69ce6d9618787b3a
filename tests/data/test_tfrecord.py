import json

import pytest
import tensorflow as tf

from tfrecon.data.tfrecord import read_dataset_info, read_records, read_shard, write_dataset
from tfrecon.util.errors import InputError


@pytest.fixture
def folder(tmp_path, make_record):
    write_dataset(tmp_path / "data", [make_record(i) for i in range(4)], shards=2)
    return tmp_path / "data"


def last_shard(folder):
    return sorted(folder.glob("*.tfrecord"))[-1]


def test_truncated_shard_is_named(folder):
    shard = last_shard(folder)
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(InputError, match=f"{shard.name}: this shard is truncated: {size - 5} bytes instead of {size}"):
        list(read_records(folder))
    with pytest.raises(InputError, match=f"{shard.name} record 1: is damaged or cut off"):
        list(read_shard(shard))


def test_changed_byte_is_found_by_its_record(folder):
    shard = last_shard(folder)
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.write_bytes(data)
    records = read_records(folder)
    for _ in range(3):
        next(records)
    with pytest.raises(InputError, match=f"{shard.name} record 1: is damaged"):
        next(records)
    with pytest.raises(InputError, match=f"{shard.name}: this shard was changed: its SHA-256"):
        read_dataset_info(folder, verify=True)


def test_exchanged_shard_is_found_by_sha256(folder):
    first, last = sorted(folder.glob("*.tfrecord"))
    assert first.stat().st_size == last.stat().st_size
    last.write_bytes(first.read_bytes())
    with pytest.raises(InputError, match="SHA-256 differs"):
        next(read_records(folder, verify=True))


def test_missing_shard_is_named(folder):
    last_shard(folder).unlink()
    with pytest.raises(InputError, match=r"records-00001-of-00002\.tfrecord: this shard is missing"):
        read_dataset_info(folder)
    with pytest.raises(InputError, match="no such file"):
        next(read_shard(folder / "nothing.tfrecord"))


def test_foreign_tfrecord_is_refused(tmp_path):
    file = tmp_path / "text.tfrecord"
    file.write_bytes(b"not a TFRecord at all, but long enough to look like one")
    with pytest.raises(InputError, match=r"text\.tfrecord record 0: is damaged or cut off"):
        next(read_shard(file))


def test_example_of_something_else_is_refused(tmp_path):
    file = tmp_path / "other.tfrecord"
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"\xff\xfe no example")
    with pytest.raises(InputError, match=r"other\.tfrecord record 0: is not a tf\.train\.Example"):
        next(read_shard(file))


def test_what_is_no_dataset_is_said(folder, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_dataset_info(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds the datasets data; give one"):
        read_dataset_info(tmp_path)
    file = folder / "dataset.json"
    value = json.loads(file.read_text())
    for change, said in [
        ({"format": "other"}, "does not describe"),
        ({"schema_version": 2}, "schema 2, this tfrecon reads 1"),
        ({"shards": [{}]}, "is damaged"),
    ]:
        file.write_text(json.dumps({**value, **change}))
        with pytest.raises(InputError, match=said):
            read_dataset_info(folder)
    file.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_dataset_info(folder)


def test_fewer_records_than_listed(folder):
    file = folder / "dataset.json"
    value = json.loads(file.read_text())
    value["shards"][0]["record_ids"].append("v/999")
    file.write_text(json.dumps(value))
    with pytest.raises(InputError, match="holds 2 records instead of 3"):
        list(read_records(folder))
