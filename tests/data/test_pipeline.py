import hashlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from raw_files import ifft2c

from tfrecon.data.pipeline import dataset
from tfrecon.data.tfrecord import read_records, write_dataset
from tfrecon.data.transforms import Undersampling, retrospective_mask, undersample, with_maps
from tfrecon.util.errors import InputError

SHAPE = (2, 16, 24)
LINES = Undersampling("random1d", 3, acs_lines=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve simulated slices in three shards; every second one is wider."""
    from tfrecon.data.synthetic import simulate_acquisition

    records = []
    for i in range(12):
        image = np.outer(np.hanning(16), np.hanning(24 + 8 * (i % 2))) + 0.01 * i
        record = simulate_acquisition(image, record_id=f"v/{i:03d}", volume_id="v", slice_index=i, coils=2)
        records.append(with_maps(record, "walsh", calibration_size=4))
    path = tmp_path_factory.mktemp("pipeline")
    write_dataset(path / "mixed", records, shards=3)
    write_dataset(path / "equal", records[::2], shards=2)
    return path


def names(batches):
    return [[name.decode() for name in batch["record_id"]] for batch in batches.as_numpy_iterator()]


def digest(batches):
    total = hashlib.sha256()
    for batch in batches.as_numpy_iterator():
        for key in sorted(batch):
            total.update(
                key.encode() + np.asarray(batch[key]).tobytes() if key != "record_id" else repr(batch[key]).encode()
            )
    return total.hexdigest()


def test_evaluation_gives_every_record_once_in_order(folder):
    batches = dataset(folder / "equal", batch_size=4, normalise=False)
    assert names(batches) == [[f"v/{i:03d}" for i in (0, 2, 4, 6)], ["v/008", "v/010"]]
    records = {record.record_id: record for record in read_records(folder / "equal")}
    for batch in batches.as_numpy_iterator():
        for i, name in enumerate(batch["record_id"]):
            record = records[name.decode()]
            assert np.array_equal(batch["kspace"][i], record.kspace) and np.array_equal(batch["maps"][i], record.maps)
            assert np.array_equal(batch["mask"][i], record.mask) and batch["mask"].dtype == np.float32
            assert np.array_equal(batch["reference"][i], record.reference)
            assert batch["noise_std"][i] == np.float32(record.noise_std) and batch["scale"][i] == record.scale
            assert batch["slice_index"][i] == record.slice_index


def test_batches_hold_one_shape(folder):
    batches = dataset(folder / "mixed", batch_size=4)
    widths = [batch["kspace"].shape for batch in batches.as_numpy_iterator()]
    assert sorted(widths) == sorted([(4, 2, 16, 24), (2, 2, 16, 24), (4, 2, 16, 32), (2, 2, 16, 32)])
    assert sorted(name for batch in names(batches) for name in batch) == [f"v/{i:03d}" for i in range(12)]
    assert batches.element_spec["kspace"].shape.as_list() == [None, 2, 16, None]
    full = dataset(folder / "mixed", batch_size=4, drop_remainder=True)
    assert [len(batch) for batch in names(full)] == [4, 4]


def test_normalisation_divides_by_the_scale(folder):
    raw = next(iter(dataset(folder / "equal", batch_size=6, normalise=False)))
    batch = next(iter(dataset(folder / "equal", batch_size=6)))
    scale = raw["scale"].numpy()
    for key in ("kspace", "reference", "noise_std"):
        divisor = scale.reshape(-1, *[1] * (raw[key].ndim - 1))
        np.testing.assert_allclose(batch[key].numpy(), raw[key].numpy() / divisor, rtol=1e-6)
    np.testing.assert_array_equal(batch["maps"], raw["maps"])
    np.testing.assert_array_equal(batch["scale"], scale)


@pytest.mark.parametrize("kind", ["random1d", "gaussian2d"])
def test_masks_and_scale_agree_with_the_transform(folder, kind):
    spec = Undersampling(kind, 2.5, acs_lines=6)
    records = {record.record_id: record for record in read_records(folder / "mixed")}
    for batch in dataset(folder / "mixed", batch_size=3, seed=5, undersample=spec).as_numpy_iterator():
        for i, name in enumerate(batch["record_id"]):
            record = records[name.decode()]
            expected = undersample(record, retrospective_mask(spec, 5, record.record_id, record.kspace.shape))
            assert np.array_equal(batch["mask"][i], expected.mask)
            assert batch["scale"][i] == pytest.approx(expected.scale, rel=1e-5)
            np.testing.assert_allclose(batch["kspace"][i] * batch["scale"][i], expected.kspace, atol=1e-5)


def test_normalised_images_are_of_unit_brightness(folder):
    batch = next(iter(dataset(folder / "equal", batch_size=6, undersample=LINES)))
    rss = np.sqrt((np.abs(ifft2c(batch["kspace"].numpy())) ** 2).sum(1))
    np.testing.assert_allclose(np.quantile(rss, 0.99, axis=(1, 2)), 1, atol=0.01)


def test_later_epochs_show_the_same_mask(folder):
    batches = dataset(folder / "mixed", batch_size=3, training=True, undersample=LINES, seed=2)
    seen = {}
    for batch in batches.take(16).as_numpy_iterator():
        for name, mask in zip(batch["record_id"], batch["mask"], strict=True):
            seen.setdefault(name, []).append(mask.tobytes())
    assert len(seen) == 12 and sum(map(len, seen.values())) == 48
    assert all(len(set(masks)) == 1 for masks in seen.values())
    assert len({masks[0] for masks in seen.values()}) > 6


@pytest.mark.parametrize("name", ["equal", "mixed"])
def test_bits_do_not_depend_on_parallelism(folder, name):
    def made(calls):
        settings = {"training": True, "undersample": LINES, "seed": 3, "num_parallel_calls": calls}
        return digest(dataset(folder / name, batch_size=2, **settings).take(10))

    assert made(1) == made(4) == made(4)


def test_order_depends_on_seed_and_epoch(folder):
    def epochs(seed):
        batches = dataset(folder / "equal", batch_size=3, training=True, seed=seed).take(4)
        order = [name for batch in names(batches) for name in batch]
        return order[:6], order[6:]

    first, second = epochs(1)
    assert sorted(first) == sorted(second) == [f"v/{i:03d}" for i in range(0, 12, 2)]
    assert first != second and epochs(1) == (first, second) and epochs(2)[0] != first


@pytest.mark.parametrize("name", ["equal", "mixed"])
@pytest.mark.parametrize("settings", [{"training": True}, {"shuffle": True}, {"repeat": True}, {}])
def test_skipping_resumes_exactly(folder, name, settings):
    whole = names(dataset(folder / name, batch_size=2, seed=4, **settings).take(9))
    count = min(5, len(whole) - 1)  # into the second epoch, where there is one
    rest = names(dataset(folder / name, batch_size=2, seed=4, skip_batches=count, **settings).take(9 - count))
    assert rest == whole[count:] and rest


def test_training_shapes_are_static(folder):
    spec = dataset(folder / "equal", batch_size=2, training=True, undersample=LINES).element_spec
    assert {key: value.shape.as_list() for key, value in spec.items()} == {
        "kspace": [2, 2, 16, 24],
        "mask": [2, 1, 1, 24],
        "maps": [2, 2, 16, 24],
        "reference": [2, 16, 24],
        "noise_std": [2],
        "scale": [2],
        "record_id": [2],
        "slice_index": [2],
    }


def test_series_and_mixed_references(tmp_path, make_record):
    records = [make_record(i, (3, 2, 8, 6), reference=(np.float32, np.complex64)[i % 2]) for i in range(4)]
    write_dataset(tmp_path / "series", records)
    batches = dataset(tmp_path / "series", batch_size=2, undersample=Undersampling("kt_equispaced", 2, acs_lines=2))
    for batch in batches.as_numpy_iterator():
        assert batch["kspace"].shape == (2, 3, 2, 8, 6) and batch["mask"].shape == (2, 3, 1, 1, 6)
        assert batch["reference"].shape == (2, 3, 8, 6) and batch["reference"].dtype == np.complex64
    plain = dataset(tmp_path / "series", batch_size=1, normalise=False)
    for record, batch in zip(sorted(records, key=lambda r: r.record_id), plain.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(batch["reference"][0], record.reference.astype(np.complex64))
    write_dataset(tmp_path / "both", [*records, make_record(9)])
    with pytest.raises(InputError, match="holds both slices and series"):
        dataset(tmp_path / "both", batch_size=1)


def test_fields(tmp_path, make_record, folder):
    write_dataset(tmp_path, [make_record(0, maps=True), make_record(1)])
    assert not {"maps", "reference", "noise_std"} & set(dataset(tmp_path, batch_size=1).element_spec)
    with pytest.raises(InputError, match="1 of 2 records have no 'maps'"):
        dataset(tmp_path, batch_size=1, fields=("maps",))
    with pytest.raises(InputError, match="no field 'phase'"):
        dataset(tmp_path, batch_size=1, fields=("phase",))
    spec = dataset(folder / "equal", batch_size=1, fields=("reference",)).element_spec
    assert "reference" in spec and "maps" not in spec


def test_what_cannot_work_is_said_before_training(folder):
    few = Undersampling("equispaced", 4, acs_lines=3)
    with pytest.raises(InputError, match=r"from 4×4 central samples, but the masks sample 16×3; .*calibration_size=3"):
        dataset(folder / "equal", batch_size=1, undersample=few)
    assert "maps" not in dataset(folder / "equal", batch_size=1, undersample=few, fields=()).element_spec
    with pytest.raises(InputError, match="batch size 7 gives no batch of 6 records"):
        dataset(folder / "equal", batch_size=7, drop_remainder=True)
    with pytest.raises(InputError):
        dataset(folder / "equal", batch_size=1, undersample=Undersampling("no such kind", 4))
    with pytest.raises(InputError, match="holds the datasets equal, mixed"):
        dataset(folder, batch_size=1)


def test_kinds_without_an_acceleration(folder):
    batch = next(iter(dataset(folder / "equal", batch_size=6, undersample=Undersampling("hfs_center", acs_lines=6))))
    assert batch["mask"].numpy().sum() == 6 * 36


def test_damaged_record_stops_the_pipeline(tmp_path, make_record):
    info = write_dataset(tmp_path, [make_record(i) for i in range(3)])
    data = bytearray((tmp_path / info.shards[0].file).read_bytes())
    data[-100] ^= 1
    (tmp_path / info.shards[0].file).write_bytes(data)
    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        list(dataset(tmp_path, batch_size=3, verify=False))
    with pytest.raises(InputError, match="SHA-256 differs"):
        dataset(tmp_path, batch_size=1)


def test_process_ends_while_an_iterator_is_alive(folder):
    """Python functions in the pipeline would wait for an interpreter that is gone."""
    code = f"""
from tfrecon.data.pipeline import dataset
from tfrecon.data.transforms import Undersampling
batches = iter(dataset({str(folder / "mixed")!r}, batch_size=2, training=True,
               undersample=Undersampling("random1d", 3, acs_lines=4)))
next(batches)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True).returncode == 0


def test_gzip_reads_alike(tmp_path, make_record):
    records = [make_record(i) for i in range(3)]
    write_dataset(tmp_path / "plain", records)
    write_dataset(tmp_path / "gzip", records, compression="GZIP")
    assert digest(dataset(tmp_path / "plain", batch_size=2)) == digest(dataset(tmp_path / "gzip", batch_size=2))


@pytest.mark.parametrize("name", ["equal", "mixed"])
def test_a_batch_cut_for_workers_and_their_devices_is_the_same_batch(folder, name):
    settings = dict(batch_size=4, seed=3, training=True, undersample=LINES, fields=[], skip_batches=1)
    whole = names(dataset(folder / name, **settings).take(3))
    first = names(dataset(folder / name, part=(0, 2), **settings).take(3))
    second = names(dataset(folder / name, part=(1, 2), replicas=2, **settings).take(6))
    assert [a + b + c for a, b, c in zip(first, second[::2], second[1::2], strict=True)] == whole
    assert len(first[0]) == 2 and len(second[0]) == 1
    kspace = next(iter(dataset(folder / name, part=(1, 2), replicas=2, **settings)))["kspace"]
    assert kspace.shape[0] == 1


def test_a_batch_that_cannot_be_cut_is_refused(folder):
    with pytest.raises(InputError, match="batches of 4 cannot be cut into 3 equal parts"):
        dataset(folder / "equal", batch_size=4, training=True, replicas=3)
    with pytest.raises(InputError, match="cannot be cut into 2"):
        dataset(folder / "equal", batch_size=4, replicas=2)


def test_several_kinds_of_masks_each_record_keeps_its_own(folder):
    kinds = (LINES, Undersampling("gaussian2d", 4, acs_lines=4))
    batches = dataset(folder / "equal", batch_size=6, undersample=kinds, seed=8, mask_seed=5, fields=[])
    batch = next(batches.as_numpy_iterator())
    assert batch["mask"].shape == (6, 1, 16, 24)
    lines = [(mask == mask[:, :1]).all() for mask in batch["mask"]]
    assert 0 < sum(lines) < 6, "with this seed both kinds should occur"
    for name, mask in zip(batch["record_id"], batch["mask"], strict=True):
        expected = retrospective_mask(kinds, 5, name.decode(), (2, 16, 24)).array
        np.testing.assert_array_equal(mask, np.broadcast_to(expected, mask.shape))
    again = next(dataset(folder / "equal", batch_size=6, undersample=kinds, seed=5, training=True).as_numpy_iterator())
    order = [list(batch["record_id"]).index(name) for name in again["record_id"]]
    np.testing.assert_array_equal(again["mask"], batch["mask"][order])


def test_labels_of_records(tmp_path, make_record):
    records = [make_record(i, attrs={"label": label}) for i, label in enumerate([[1, 0, 0], [0, 1, 0], [0, 0, 0.5]])]
    write_dataset(tmp_path / "all", records, shards=2)
    batch = next(dataset(tmp_path / "all", batch_size=3).as_numpy_iterator())
    np.testing.assert_array_equal(batch["label"], np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 0.5]]))
    write_dataset(tmp_path / "some", [*records, make_record(3)])
    with pytest.raises(InputError, match="1 of 4 records have no 'label'"):
        dataset(tmp_path / "some", batch_size=2, fields=["label"])
    assert "label" not in next(dataset(tmp_path / "some", batch_size=2).as_numpy_iterator())
    write_dataset(tmp_path / "mixed", [*records, make_record(3, attrs={"label": [1, 2]})])
    with pytest.raises(InputError, match="labels of several lengths"):
        dataset(tmp_path / "mixed", batch_size=2, fields=["label"])
    with pytest.raises(InputError, match=r"record 'v/004': label is \['T1'\]; give a list of finite numbers"):
        write_dataset(tmp_path / "words", [make_record(4, attrs={"label": ["T1"]})])
