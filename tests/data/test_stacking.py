"""Records of several sizes in one batch are what they are alone; order, resuming and cutting hold as for one size."""

import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from tfrecon.data.buckets import ImageBuckets, offset_in_bucket
from tfrecon.data.dataset_info import read_dataset_info
from tfrecon.data.pipeline import dataset
from tfrecon.data.tfrecord import write_dataset
from tfrecon.data.transforms import Undersampling
from tfrecon.physics.operators import least_squares_image, measurement_operator
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError

LINES = Undersampling("random1d", 3, acs_lines=4)
SIZES = ((16, 24), (15, 21), (10, 13), (16, 24))
"""With a multiple of 8 these are buckets of 16×24 and 16×16."""


def measured(batch):
    measurement = Measurement(batch["kspace"], batch["mask"], batch.get("maps"))
    return least_squares_image(measurement_operator(measurement), batch["kspace"])


def reference(batch):
    return ops.cast(batch["reference"], "complex64")


def buckets(make=reference, pixels=16 * 24 * 4, multiple=8, grid=1):
    return ImageBuckets(multiple, pixels, "kspace" if make is measured else "reference", make, grid)


def place_of(size, shape, grid=1):
    """Where in a bucket an image lies."""
    starts = [offset_in_bucket(n, m, grid) for n, m in zip(size, shape, strict=True)]
    return tuple(slice(start, start + n) for start, n in zip(starts, size, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve slices of three sizes and up to three coils in three shards."""
    from tfrecon.data.synthetic import simulate_acquisition

    records = []
    for i in range(12):
        size = SIZES[i % 4]
        image = np.outer(np.hanning(size[0]), np.hanning(size[1])) + 0.01 * i
        settings = dict(coils=2 + i % 2, store_maps=True, volume_id="v", slice_index=i)
        records.append(simulate_acquisition(image, record_id=f"v/{i:03d}", **settings))
    path = tmp_path_factory.mktemp("stacking") / "mixed"
    write_dataset(path, records, shards=3)
    return path


def names(batches):
    return [[name.decode() for name in batch["record_id"]] for batch in batches.as_numpy_iterator()]


def alone(folder, **settings):
    """Every record in a batch of its own, unpadded, by its id."""
    batches = dataset(folder, batch_size=1, **{"verify": False, **settings})
    return {batch["record_id"][0].decode(): batch for batch in batches.as_numpy_iterator()}


@pytest.mark.parametrize(
    ("make", "undersample", "grid"),
    [
        (measured, LINES, 8),
        pytest.param(measured, None, 4, marks=pytest.mark.slow),
        pytest.param(reference, LINES, 1, marks=pytest.mark.slow),
        (reference, None, 1),
    ],
)
def test_an_image_in_a_batch_of_mixed_sizes_is_the_image_alone(folder, make, undersample, grid):
    settings = dict(undersample=undersample, seed=3, verify=False)
    batches = dataset(folder, batch_size=1, images=buckets(make, grid=grid), **settings)
    expected, seen = alone(folder, **settings), []
    for batch in batches.as_numpy_iterator():
        assert batch.keys() == {"image", "valid", "scale", "record_id", "slice_index", "noise_std"}
        assert batch["image"].dtype == np.complex64 and batch["valid"].dtype == np.float32
        assert batch["image"].shape[1:] in ((16, 24), (16, 16))
        for number, name in enumerate(batch["record_id"]):
            one = expected[name.decode()]
            image = ops.convert_to_numpy(make(one))[0]
            place, valid = place_of(image.shape, batch["image"].shape[1:], grid), batch["valid"][number]
            assert valid[place].all() and valid.sum() == image.size
            np.testing.assert_allclose(batch["image"][number][place], image, atol=1e-6)
            assert not batch["image"][number][valid == 0].any()
            for key in ("scale", "noise_std", "slice_index"):
                assert batch[key][number] == one[key][0], key
            seen.append(name)
    assert sorted(seen) == sorted(name.encode() for name in expected)


def test_the_others_in_a_batch_change_no_bit_of_it(folder):
    def by_name(pixels):
        batches = dataset(folder, batch_size=1, images=buckets(measured, pixels), undersample=LINES, verify=False)
        items = [
            (name, batch["image"][number].tobytes(), batch["valid"][number].tobytes())
            for batch in batches.as_numpy_iterator()
            for number, name in enumerate(batch["record_id"])
        ]
        return {name: rest for name, *rest in items}

    assert by_name(16 * 24) == by_name(16 * 24 * 4)


def test_batches_hold_an_area_of_one_shape(folder):
    batches = dataset(folder, batch_size=1, images=buckets(), verify=False)
    found = sorted(batch["image"].shape for batch in batches.as_numpy_iterator())
    assert found == [(1, 16, 24), (3, 16, 16), (4, 16, 24), (4, 16, 24)]
    spec = batches.element_spec
    assert spec["image"].shape.as_list() == spec["valid"].shape.as_list() == [None, 16, None]
    one = dataset(folder, batch_size=1, images=buckets(pixels=24 * 24 * 2, multiple=24), training=True, verify=False)
    assert one.element_spec["image"].shape.as_list() == [2, 24, 24]


@pytest.mark.parametrize("settings", [{"training": True}, pytest.param({}, marks=pytest.mark.slow)])
def test_skipping_resumes_exactly(folder, settings):
    settings = {"batch_size": 1, "seed": 4, "images": buckets(), "verify": False, **settings}
    whole = names(dataset(folder, **settings).take(7))
    count = min(4, len(whole) - 1)
    assert names(dataset(folder, skip_batches=count, **settings).take(7 - count)) == whole[count:]


def test_epochs_are_permutations_of_seed_and_epoch(folder):
    def order(seed):
        batches = names(
            dataset(folder, batch_size=1, training=True, seed=seed, images=buckets(), verify=False).take(24)
        )
        return [name for batch in batches for name in batch]

    first = order(1)
    assert first == order(1) != order(2)
    # Each bucket waits for its own records: of every record as many as epochs were needed, give or take a batch.
    counts = [first.count(name) for name in sorted(set(first))]
    assert len(counts) == 12 and max(counts) - min(counts) <= 2


@pytest.mark.slow
def test_bits_do_not_depend_on_parallelism(folder):
    def made(calls):
        settings = dict(batch_size=1, training=True, undersample=LINES, num_parallel_calls=calls, verify=False)
        batches = dataset(folder, images=buckets(measured), **settings).take(6)
        return [(batch["record_id"].tolist(), batch["image"].tobytes()) for batch in batches.as_numpy_iterator()]

    assert made(1) == made(4)


def test_a_batch_cut_for_workers_and_their_devices_is_the_same_batch(folder):
    settings = dict(batch_size=4, seed=3, training=True, skip_batches=1, verify=False)
    settings["images"] = buckets(pixels=16 * 24 * 6)  # batches of 4 and 8
    whole = dataset(folder, **settings).take(8)
    first = names(dataset(folder, part=(0, 2), **settings).take(8))
    second = names(dataset(folder, part=(1, 2), replicas=2, **settings).take(16))
    assert [a + b + c for a, b, c in zip(first, second[::2], second[1::2], strict=True)] == names(whole)
    assert {len(batch) for batch in names(whole)} == {4, 8}
    pieces = dataset(folder, part=(1, 2), replicas=2, **settings).take(2).as_numpy_iterator()
    batch = next(whole.as_numpy_iterator())
    rest = len(batch["image"]) // 2
    np.testing.assert_array_equal(np.concatenate([piece["image"] for piece in pieces]), batch["image"][rest:])
    with pytest.raises(InputError, match="batches of 8 cannot be cut into 3 equal parts"):
        dataset(folder, replicas=3, **settings)


def test_coils_of_zeros_let_records_share_batches(folder):
    settings = dict(undersample=LINES, seed=3, verify=False)
    expected, shapes = alone(folder, **settings), []
    batches = dataset(folder, batch_size=3, pad_coils=True, **settings)
    for batch in batches.as_numpy_iterator():
        shapes.append(batch["kspace"].shape)
        together = ops.convert_to_numpy(measured(batch))
        for number, name in enumerate(batch["record_id"]):
            one = expected[name.decode()]
            coils = one["kspace"].shape[1]
            for key in ("kspace", "maps"):
                np.testing.assert_array_equal(batch[key][number, :coils], one[key][0])
                assert not batch[key][number, coils:].any()
            for key in ("mask", "reference", "scale", "noise_std"):
                np.testing.assert_array_equal(batch[key][number], one[key][0])
            np.testing.assert_allclose(together[number], ops.convert_to_numpy(measured(one))[0], atol=1e-6)
    # Without padding these would be batches of two sizes in coils as well.
    assert sorted(shapes) == [(3, 2, 10, 13), (3, 3, 15, 21), (3, 3, 16, 24), (3, 3, 16, 24)]


def test_padded_coils_change_no_operator(folder):
    batches = dataset(folder, batch_size=6, pad_coils=True, fields=("maps",), undersample=LINES, verify=False)
    batch = next(batch for batch in batches.as_numpy_iterator() if batch["kspace"].shape[-2:] == (16, 24))
    expected = alone(folder, undersample=LINES)
    image = np.random.default_rng(0).standard_normal((6, 16, 24)).astype(np.complex64)
    together = measurement_operator(Measurement(batch["kspace"], batch["mask"], batch["maps"]))
    normal = ops.convert_to_numpy(together.normal(image))
    for number, name in enumerate(batch["record_id"]):
        one = expected[name.decode()]
        single = measurement_operator(Measurement(one["kspace"], one["mask"], one["maps"]))
        np.testing.assert_allclose(
            normal[number], ops.convert_to_numpy(single.normal(image[number][None]))[0], atol=1e-5
        )


@pytest.mark.slow
def test_padded_coils_of_lines_and_points(folder):
    kinds = (LINES, Undersampling("gaussian2d", 4, acs_lines=4))
    settings = dict(undersample=kinds, seed=8, verify=False)
    expected, heights = alone(folder, **settings), set()
    for batch in dataset(folder, batch_size=6, pad_coils=True, **settings).as_numpy_iterator():
        for number, name in enumerate(batch["record_id"]):
            mask = expected[name.decode()]["mask"][0]
            np.testing.assert_array_equal(batch["mask"][number], np.broadcast_to(mask, batch["mask"].shape[1:]))
        heights.add(batch["mask"].shape[-2] > 1)
    assert True in heights


def test_labels_go_along(tmp_path, make_record):
    shapes = ((2, 8, 6), (1, 6, 8), (2, 8, 8))
    records = [
        make_record(i, shape, reference=np.complex64, attrs={"label": [float(i), 1]}) for i, shape in enumerate(shapes)
    ]
    write_dataset(tmp_path, records)
    (batch,) = dataset(tmp_path, batch_size=1, images=buckets(pixels=200), normalise=False).as_numpy_iterator()
    order = [int(name[-3:]) for name in batch["record_id"]]
    np.testing.assert_array_equal(batch["label"], np.float32([[i, 1] for i in order]))
    for number, i in enumerate(order):
        place = place_of(shapes[i][1:], batch["image"].shape[1:])
        np.testing.assert_array_equal(batch["image"][number][place], records[i].reference)


def test_what_cannot_be_padded_is_said_before_training(folder, tmp_path, make_record):
    with pytest.raises(InputError, match="padded images have no coils to pad; set either"):
        dataset(folder, batch_size=1, images=buckets(), pad_coils=True)
    with pytest.raises(InputError, match=r"no batch of 100 pixels holds an image of 16×16; set .*at least 256"):
        dataset(folder, batch_size=1, images=buckets(pixels=100))
    one, two = make_record(0, maps=True), make_record(1)
    two.maps = np.stack([one.maps, one.maps])
    write_dataset(tmp_path / "sets", [one, two])
    for settings in ({"images": buckets(measured)}, {"pad_coils": True}):
        with pytest.raises(InputError, match="one set of maps and with several"):
            dataset(tmp_path / "sets", batch_size=1, **settings)

    def refuses(batch):
        raise InputError("this image cannot be made", fix="make another")

    with pytest.raises(InputError, match=r"^this image cannot be made; make another$"):
        dataset(folder, batch_size=1, images=buckets(refuses))


@pytest.mark.slow
def test_process_ends_while_an_iterator_is_alive(folder):
    code = f"""
import sys
sys.path.insert(0, {str(folder.parent)!r})
from tfrecon.data.buckets import ImageBuckets, offset_in_bucket
from tfrecon.data.pipeline import dataset
images = ImageBuckets(8, 2000, "reference", lambda batch: batch["reference"])
next(iter(dataset({str(folder)!r}, batch_size=1, training=True, images=images)))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True).returncode == 0


def test_the_dataset_is_as_described(folder):
    groups = read_dataset_info(folder).groups
    assert {group.kspace[1:] for group in groups} == set(SIZES) and {group.kspace[0] for group in groups} == {2, 3}
