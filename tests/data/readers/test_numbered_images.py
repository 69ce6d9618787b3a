import json

import numpy as np
import pytest
from image_folders import truth
from raw_files import complex_array, fft2c

from tfrecon.data.convert import Preparation, convert
from tfrecon.data.sources import open_source
from tfrecon.data.tfrecord import read_dataset_info, read_records
from tfrecon.records import Record
from tfrecon.util.errors import InputError

SHAPE = (24, 30)


def write_images(folder, numbers, name="im_{}samples.npy", scale=1.0):
    folder.mkdir(parents=True, exist_ok=True)
    for k in numbers:
        np.save(folder / name.format(k), scale * truth(k))
    return folder


def write_index(folder, numbers, size=2, method="ground_truth", subject=True):
    entries = [
        {
            "k": k,
            "file": f"im_{k}samples.npy",
            "record_id": f"vol{k // size}/{k % size:03d}",
            "volume_id": f"vol{k // size}",
            "slice_index": k % size,
            "attrs": {"subject": f"p{k // (2 * size)}"} if subject else {},
        }
        for k in numbers
    ]
    (folder / "index.json").write_text(json.dumps({"format": "npy", "method": method, "images": entries}))


def test_numeric_order_and_ids_of_the_files(tmp_path):
    write_images(tmp_path / "a", [10, 2, 0, 1])
    source = open_source(tmp_path / "a", coils=1)
    assert [record.record_id for record in source] == [f"im_{k}samples" for k in (0, 1, 2, 10)]
    assert source.kind == "npy" and not any(volume.subject_known for volume in source.volumes)
    record = next(iter(source))
    assert record.attrs["source"] == "im_0samples.npy" and record.attrs["images_made_by"] == "unknown"
    evaluated = open_source(write_images(tmp_path / "b", [3, 11], "im_eval{}samples.npy"))
    assert [record.record_id for record in evaluated] == ["im_eval3samples", "im_eval11samples"]


def test_images_are_scaled_and_nothing_else(tmp_path):
    """No clipping, no shift, and a phase without jumps: k-space stays concentrated at its centre."""
    write_images(tmp_path, [0], scale=700.0)
    (record,) = open_source(tmp_path, coils=1, noise=0.0)
    np.testing.assert_allclose(
        np.abs(record.reference) * record.attrs["divided_by"], 700 * truth(0), rtol=1e-4, atol=0.01
    )
    np.testing.assert_allclose(record.kspace[0], fft2c(record.reference), atol=1e-4)
    assert np.abs(record.reference).max() > 1  # the brightest pixels lie above the volume's level
    inside = truth(0) > 0
    angles = np.angle(record.reference)
    neighbours = inside[:, 1:] & inside[:, :-1]
    steps = np.angle(np.exp(1j * np.diff(angles, axis=1)))[neighbours]
    assert np.abs(steps).max() < 0.8 and np.std(angles[inside]) > 0.05
    assert "phase, coils and noise were not measured" in record.attrs["kspace_origin"]


def test_what_has_no_phase_says_that_it_is_symmetric(tmp_path):
    write_images(tmp_path, [0])
    (record,) = open_source(tmp_path, coils=1, noise=0.0, phase=False)
    paired = record.kspace[0][1:, 1:]  # the first row and column of an even size have no partner
    np.testing.assert_allclose(paired, np.conj(paired[::-1, ::-1]), atol=1e-4)
    assert record.attrs["conjugate_symmetric"] is True and "conjugate-symmetric" in record.attrs["kspace_origin"]
    (coils,) = open_source(tmp_path, coils=2, phase=False)
    assert coils.attrs["conjugate_symmetric"] is False
    (smooth,) = open_source(tmp_path, coils=1)
    assert "conjugate_symmetric" not in smooth.attrs


def test_complex_images_keep_their_phase(tmp_path):
    image = complex_array(SHAPE)
    np.save(tmp_path / "im_0samples.npy", image[None])  # [1, H, W], as some versions write it
    (record,) = open_source(tmp_path, coils=1, noise=0.0)
    np.testing.assert_allclose(record.reference * record.attrs["divided_by"], image, rtol=1e-4, atol=1e-5)
    assert record.attrs["simulated"]["phase"] == "of the image"


def test_slices_of_one_volume_share_their_level(tmp_path):
    for k in range(3):
        np.save(tmp_path / f"im_{k}samples.npy", (k + 1) * truth(0))
    records = list(open_source(tmp_path, slices_per_volume=3, coils=1))
    assert {record.volume_id for record in records} == {"volume0000"}
    assert [record.slice_index for record in records] == [0, 1, 2]
    assert len({record.attrs["divided_by"] for record in records}) == 1
    peaks = [np.abs(record.reference).max() for record in records]
    np.testing.assert_allclose(np.array(peaks) / peaks[0], [1, 2, 3], rtol=1e-4)
    source = open_source(tmp_path, slices_per_volume=3, coils=1)
    (last,) = source.read(source.volumes[0], [2])
    np.testing.assert_array_equal(last.kspace, records[2].kspace)  # whichever slices are asked for


def test_missing_numbers_shift_no_volume(tmp_path):
    write_images(tmp_path, [0, 2, 3, 4])
    places = [(record.volume_id, record.slice_index) for record in open_source(tmp_path, slices_per_volume=2)]
    assert places == [("volume0000", 0), ("volume0001", 0), ("volume0001", 1), ("volume0002", 0)]


@pytest.mark.parametrize("style", ["csv", "json", "json rows"])
def test_a_table_gives_volumes_and_subjects(tmp_path, style):
    folder = write_images(tmp_path / "images", range(4))
    rows = [
        {"file": f"im_{k}samples.npy", "volume": f"scan{k % 2}", "subject": "p1" if k % 2 else "p0"} for k in range(4)
    ]
    table = tmp_path / ("t.csv" if style == "csv" else "t.json")
    if style == "csv":
        lines = [f"im_{k}samples,scan{k % 2},{row['subject']}" for k, row in enumerate(rows)]
        table.write_text("\n".join(["file,volume,subject", *lines, "im_99samples.npy,other,"]))
    else:
        content = {row.pop("file"): row for row in rows} if style == "json" else rows
        table.write_text(json.dumps(content))
    source = open_source(folder, volumes=str(table))
    assert [(volume.volume_id, volume.subject_id, volume.slices) for volume in source.volumes] == [
        ("scan0", "p0", 2),
        ("scan1", "p1", 2),
    ]
    assert [record.record_id for record in source] == [f"im_{k}samples" for k in (0, 2, 1, 3)]
    assert [record.slice_index for record in source] == [0, 1, 0, 1]


def test_our_own_index_is_used(tmp_path):
    folder = write_images(tmp_path / "images", range(6))
    write_index(folder, range(8))  # more than there are: some images were taken out
    source = open_source(folder)
    assert [record.record_id for record in source] == [f"vol{k // 2}/{k % 2:03d}" for k in range(6)]
    assert [volume.subject_id for volume in source.volumes] == ["p0", "p0", "p1"]
    assert next(iter(source)).attrs["images_made_by"] == "ground_truth"


def test_reconstructions_are_no_ground_truth(tmp_path):
    folder = write_images(tmp_path / "images", range(2))
    write_index(folder, range(2), method="tv")
    with pytest.warns(UserWarning, match=r"these images are reconstructions \(tv\), no ground truth"):
        open_source(folder)
    write_images(folder / "reference", range(2))
    beside = open_source(folder / "reference")  # shares the index, is no reconstruction
    assert [volume.volume_id for volume in beside.volumes] == ["vol0"]
    assert next(iter(beside)).attrs["images_made_by"] == "reference"


def test_bad_images_are_skipped_and_counted(tmp_path):
    write_images(tmp_path, [0, 1])
    bad = truth(0)
    bad[3, 3] = np.nan
    np.save(tmp_path / "im_2samples.npy", bad)
    np.save(tmp_path / "im_3samples.npy", np.full_like(bad, np.inf))
    np.save(tmp_path / "im_4samples.npy", np.zeros(SHAPE))
    np.save(tmp_path / "im_5samples.npy", truth(0)[:-2])
    np.save(tmp_path / "im_6samples.npy", np.ones((3, *SHAPE)))
    for options in ({}, {"slices_per_volume": 7}):
        source = open_source(tmp_path, coils=1, **options)
        assert [record.record_id for record in source] == ["im_0samples", "im_1samples"]
        assert source.skipped == {
            "im_2samples": "NaN or Inf pixels",
            "im_3samples": "NaN or Inf pixels",
            "im_4samples": "every pixel is zero",
            "im_5samples": "its size (22, 30) is not that of the others, (24, 30)",
            "im_6samples": "the array (3, 24, 30) is not one image [H, W]",
        }
        assert "2 slices skipped: NaN or Inf pixels" in source.skip_summary()
    with pytest.raises(InputError, match=r"record 'im_2samples': NaN or Inf pixels; leave it out"):
        list(open_source(tmp_path, strict=True))


def test_a_real_mask_is_applied(tmp_path):
    folder = write_images(tmp_path / "images", [0, 1])
    mask = np.random.default_rng(0).random(SHAPE) < 0.5
    np.save(tmp_path / "mask.npy", mask)
    for record in open_source(folder, coils=1, mask=str(tmp_path / "mask.npy")):
        np.testing.assert_array_equal(record.mask[0], mask)
        assert not record.kspace[:, ~mask].any() and record.kspace[:, mask].all()
        assert record.attrs["undersampling"]["acceleration"] == pytest.approx(mask.size / mask.sum())
        assert record.reference is not None  # the truth of the simulation, for scoring
    for k in (0, 1):  # a folder of masks: each image has the one of its own name
        (tmp_path / "masks").mkdir(exist_ok=True)
        np.save(tmp_path / "masks" / f"im_{k}samples.npy", np.roll(mask, k, axis=1)[None])
    for k, record in enumerate(open_source(folder, coils=1, mask=str(tmp_path / "masks"))):
        np.testing.assert_array_equal(record.mask[0], np.roll(mask, k, axis=1))
    np.save(tmp_path / "grey.npy", 0.5 * mask)
    with pytest.raises(InputError, match=r"grey\.npy: mask .* values other than 0 and 1"):
        list(open_source(folder, mask=str(tmp_path / "grey.npy")))
    np.save(tmp_path / "small.npy", mask[:4])
    with pytest.raises(InputError, match="does not fit k-space"):
        list(open_source(folder, mask=str(tmp_path / "small.npy")))
    (tmp_path / "masks" / "im_1samples.npy").unlink()
    with pytest.raises(InputError, match=r"im_1samples\.npy: no such file"):
        list(open_source(folder, mask=str(tmp_path / "masks")))


def test_a_mask_for_a_stack_of_images(tmp_path):
    np.save(tmp_path / "stack.npy", np.stack([truth(0), truth(1)]))
    masks = np.random.default_rng(0).random((2, *SHAPE)) < 0.5
    np.save(tmp_path / "masks_of_it.npy", masks)
    source = open_source(tmp_path / "stack.npy", coils=2, mask=str(tmp_path / "masks_of_it.npy"))
    for record, mask in zip(source, masks, strict=True):
        np.testing.assert_array_equal(record.mask[0], mask)
        assert not record.kspace[:, ~mask].any() and isinstance(record, Record)
    np.save(tmp_path / "stack_mask.npy", masks)
    with pytest.raises(InputError, match="a mask lies beside the image"):
        open_source(tmp_path / "stack.npy", mask=str(tmp_path / "masks_of_it.npy"))


def test_splits_never_cut_a_known_subject_and_say_where_they_might(tmp_path):
    folder = write_images(tmp_path / "images", range(12))
    split = {"train": 0.5, "test": 0.5}
    parts = convert(open_source(folder, slices_per_volume=3, coils=1), tmp_path / "known", split=split, seed=42)
    volumes = [set(info.volumes) for info in parts]
    assert volumes[0] | volumes[1] == {f"volume{n:04d}" for n in range(4)} and not volumes[0] & volumes[1]
    assert parts[0].made["subjects_known"] is True
    with pytest.warns(UserWarning, match=r"12 slices are of one subject.*may fall on both sides; give --volumes"):
        parts = convert(open_source(folder, coils=1), tmp_path / "unknown", split=split, seed=42)
    assert [info.records for info in parts] == [6, 6]
    assert read_dataset_info(tmp_path / "unknown" / "test").made["subjects_known"] is False


def test_conversion_is_made_of_masks_that_belong_to_the_record(tmp_path):
    class Halves:
        def apply(self, record):
            keep = np.zeros((1, 1, 30), np.uint8)
            keep[..., 8:22] = 1
            return Record(record.kspace * keep, keep, record.record_id, record.volume_id, reference=record.reference)

        def describe(self):
            return {"kind": "halves"}

    folder = write_images(tmp_path / "images", range(2))
    source = open_source(folder, coils=3)
    (info,) = convert(source, tmp_path / "out", preparation=Preparation("walsh", masks=Halves(), calibration_size=8))
    assert info.made["preparation"]["masks"] == {"kind": "halves"}
    for record in read_records(info.path):
        assert not record.kspace[..., :8].any() and not record.kspace[..., 22:].any()
        assert record.maps is not None and record.mask.sum() == 14


def table_of(tmp_path, text, name="t.csv"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("file,volume\nim_0samples.npy,a\n", "t.csv", r"1samples\.npy is not named in the table"),
        ("file,volume\nim_0samples.npy,\nim_1samples.npy,a", "t.csv", "a row lacks file or volume"),
        ("name,scan\nx,y\n", "t.csv", "lacks the columns file and volume"),
        ("", "t.csv", "lacks the columns file and volume"),
        ("file,volume\nim_0samples.npy,a\nim_0samples,b\n", "t.csv", "names im_0samples twice"),
        ("file,volume,slice\nim_0samples.npy,a,x\nim_1samples.npy,a,1", "t.csv", "slice 'x' of im_0samples.npy is not"),
        ("file,volume,subject\nim_0samples.npy,a,p\nim_1samples.npy,a,q", "t.csv", "is of several subjects: p, q"),
        ("{", "t.json", "is not valid JSON"),
        ("[1]", "t.json", "is no table of volumes"),
        ("{}", "t.json", "is no table of volumes"),
    ],
)
def test_bad_tables(tmp_path, text, name, said):
    folder = write_images(tmp_path / "images", [0, 1])
    with pytest.raises(InputError, match=said) as caught:
        open_source(folder, volumes=table_of(tmp_path, text, name))
    assert "\n" not in str(caught.value)


def test_bad_folders(tmp_path):
    folder = write_images(tmp_path / "images", [0, 1])
    with pytest.raises(InputError, match=r"t\.csv: no such file; check the path of --volumes"):
        open_source(folder, volumes="t.csv")
    with pytest.raises(InputError, match="were both given"):
        open_source(folder, volumes="t.csv", slices_per_volume=2)
    with pytest.raises(InputError, match="-1 slices per volume"):
        open_source(folder, slices_per_volume=-1)
    with pytest.raises(InputError, match="--mask=nonzero is for k-space"):
        list(open_source(folder, mask="nonzero"))
    write_index(folder, [0])
    with pytest.raises(InputError, match=r"index\.json: im_1samples\.npy is not named in it"):
        open_source(folder)
    (folder / "index.json").write_text('{"images": [{"k": 0}]}')
    with pytest.raises(InputError, match=r"index\.json: is no index of images \(KeyError: 'file'\)"):
        open_source(folder)
    (folder / "index.json").unlink()
    np.save(folder / "mask.npy", np.ones(30))
    with pytest.warns(UserWarning, match=r"1 \.npy files are not named im_NUMBERsamples\.npy .* mask\.npy"):
        assert len(open_source(folder)) == 2
    (folder / "mask.npy").unlink()
    np.save(folder / "im_eval1samples.npy", truth(1))
    with pytest.raises(InputError, match=r"im_1samples\.npy and im_eval1samples\.npy have one number"):
        open_source(folder)
    (folder / "im_eval1samples.npy").unlink()
    (folder / "im_1samples.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"im_1samples\.npy: is not a readable NumPy file"):
        open_source(folder)
    np.save(folder / "im_1samples.npy", -truth(1))
    with pytest.raises(InputError, match=r"im_1samples\.npy: .*a magnitude is not negative"):
        list(open_source(folder))
    np.save(tmp_path / "plain.npy", truth(0))
    with pytest.raises(InputError, match="are for folders of numbered images"):
        open_source(tmp_path / "plain.npy", slices_per_volume=2)
