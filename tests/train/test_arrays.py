import json

import numpy as np
import pytest
from toy_method import toy_batch

from tfrecon.train.arrays import TrainingArrays, write_arrays
from tfrecon.util.errors import InputError

CONFIG = {"method": "toy"}


def records(count=10):
    """Batches of one record in two shapes, as the pipeline gives them; each k-space holds its number."""
    for number in range(count):
        batch = toy_batch(1, 6, 9 if number % 3 == 0 else 5, seed=number)
        batch["kspace"] = np.full_like(batch["kspace"], number)
        batch["record_id"] = np.array([f"säure/{number}".encode()], object)
        batch["slice_index"] = np.array([number], np.int64)
        yield batch


def taken(arrays, count, **options):
    batches = arrays.batches(options.pop("batch_size", 2), options.pop("seed", 0), **options)
    return [next(batches) for _ in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("arrays") / "set"
    index = write_arrays(path, records(), CONFIG, part_bytes=4000)
    assert index["records"] == 10 and len(index["parts"]) > 3
    return path


def test_what_was_written_is_read(folder):
    assert json.loads((folder / "config.json").read_text()) == CONFIG
    arrays = TrainingArrays(folder)
    assert arrays.records == 10
    assert arrays.fields == ("kspace", "maps", "mask", "reference", "scale", "slice_index")
    found = {}
    for batch, names in taken(arrays, 10, batch_size=1, shuffle=False):
        found[names[0]] = batch
    assert found.keys() == {f"säure/{number}" for number in range(10)}
    for number, original in enumerate(records()):
        for key, value in found[f"säure/{number}"].items():
            np.testing.assert_array_equal(value, original[key])
            assert value.dtype == original[key].dtype


def test_batches_are_of_one_shape_and_an_epoch_has_each_record_once(folder):
    batches = taken(TrainingArrays(folder), 10)
    assert all(len(names) == 2 and len(batch["kspace"]) == 2 for batch, names in batches)
    seen = [name for _, names in batches for name in names]
    assert len(set(seen)) == 10 and sorted(seen) == sorted(2 * list(set(seen)))
    first, second = seen[:10], seen[10:]
    assert first != second


def test_order_is_a_function_of_seed_and_number(folder):
    arrays = TrainingArrays(folder)
    whole = [names for _, names in taken(arrays, 8)]
    assert [names for _, names in taken(TrainingArrays(folder), 8)] == whole
    assert [names for _, names in taken(arrays, 5, first=3)] == whole[3:]
    assert [names for _, names in taken(arrays, 8, seed=1)] != whole
    in_order = [int(batch["slice_index"][0]) for batch, _ in taken(arrays, 10, shuffle=False, batch_size=1)]
    assert in_order == [0, 3, 6, 9, 1, 2, 4, 5, 7, 8]


def test_what_is_missing_is_named(folder):
    arrays = TrainingArrays(folder)
    arrays.require(["maps", "reference"], folder)
    with pytest.raises(InputError, match="no 'noise_std'"):
        arrays.require(["maps", "noise_std"], folder)


def test_a_batch_larger_than_the_data_waits_for_more_epochs(folder):
    batch, names = taken(TrainingArrays(folder), 1, batch_size=16)[0]
    assert batch["kspace"].shape[0] == 16 and len(set(names)) in (4, 6)


def test_no_records_leave_no_folder(tmp_path):
    with pytest.raises(InputError, match="no record"):
        write_arrays(tmp_path / "set", [], CONFIG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "part-00001.npz").unlink(), r"part-00001\.npz: is missing"),
        (lambda folder: (folder / "part-00001.npz").write_bytes(b"PK"), r"part-00001\.npz: is damaged"),
        (lambda folder: (folder / "arrays.json").write_text('{"version": 9}'), "another version"),
        (lambda folder: (folder / "arrays.json").unlink(), "has no arrays.json"),
        (lambda folder: np.savez(folder / "part-00000.npz", kspace=np.ones(1)), "is damaged"),
    ],
)
def test_damage_is_said_in_one_line(tmp_path, harm, said):
    write_arrays(tmp_path / "set", records(), CONFIG, part_bytes=4000)
    harm(tmp_path / "set")
    with pytest.raises(InputError, match=said):
        TrainingArrays(tmp_path / "set")
