import functools
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from raw_files import ifft2c

from tfrecon.data.convert import Preparation
from tfrecon.data.sources import RecordSource, open_source
from tfrecon.data.ssdiffrecon_writer import write_ssdiffrecon
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.transforms import undersample
from tfrecon.data.volumes import Volume
from tfrecon.physics.masks import make_mask
from tfrecon.util.errors import InputError

SHAPE = (24, 20)


def make_records(coils=3, count=4, shape=SHAPE, label=True, masked=True, **options):
    records = []
    for k in range(count):
        record = simulate_acquisition(
            1000 * ellipse_phantom(shape, seed=k),
            record_id=f"v{k // 2}/{k % 2:03d}",
            volume_id=f"v{k // 2}",
            slice_index=k % 2,
            coils=coils,
            store_maps=True,
            **options,
        )
        if label:
            record.attrs["label"] = np.eye(5, dtype=np.float32)[k % 5].tolist()
        records.append(undersample(record, make_mask("gaussian2d", shape, 3, seed=k)) if masked else record)
    return records


def source_of(records):
    names = list(dict.fromkeys(record.volume_id for record in records))
    volumes = []
    for name in names:
        own = [record for record in records if record.volume_id == name]
        read = functools.partial(lambda own, slices: (own[index] for index in slices), own)
        volumes.append(Volume(name, f"subject of {name}", "made", len(own), own[0].kspace.shape, read))
    return RecordSource("made", "npy", volumes)


def examples(file):
    """shape and data of each example, as the original's reader parses them."""
    found = []
    for serialized in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        feature = tf.train.Example.FromString(serialized).features.feature
        assert set(feature) == {"shape", "data"}
        shape = tuple(feature["shape"].int64_list.value)
        found.append(np.array(feature["data"].float_list.value, np.float32).reshape(shape))
    return found


def test_the_files_hold_what_the_original_reads(tmp_path):
    records = make_records()
    with pytest.warns(UserWarning, match="5 coils padded to 512×512; these are 3 of 32×32"):
        (part,) = write_ssdiffrecon(source_of(records), tmp_path / "out", padded_size=32)
    assert part.records == 4
    assert part.quantities == ("us_im", "mask", "coil_map", "kspace", "reference", "labels")
    images, masks, maps = (
        examples(part.path / name / f"{name}-r05.tfrecords") for name in ("us_im", "mask", "coil_map")
    )
    for record, image, mask, coil_map in zip(records, images, masks, maps, strict=True):
        assert image.shape == (2, 32, 32) and mask.shape == (1, *SHAPE) and coil_map.shape == (2, 3, *SHAPE)
        np.testing.assert_array_equal(mask, record.mask)
        np.testing.assert_array_equal(coil_map[0] + 1j * coil_map[1], record.maps)
        combined = (record.maps.conj() * ifft2c(record.kspace)).sum(0)
        native = image[:, 4:28, 6:26]  # offsets (32 - 24) / 2 and (32 - 20) / 2
        np.testing.assert_allclose(native[0] + 1j * native[1], combined / np.abs(combined).max(), atol=1e-6)
        assert not image[:, :4].any() and not image[..., 26:].any()
        assert np.abs(image[0] + 1j * image[1]).max() == pytest.approx(1, abs=1e-6)
    labels = np.load(part.path / "us_im" / "us_im-rxx.labels")
    np.testing.assert_array_equal(labels, np.eye(5, dtype=np.float32)[:4])
    assert labels.dtype == np.float32


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.filterwarnings("ignore:the original's networks")
def test_round_trip(tmp_path, coils):
    records = make_records(coils)
    (part,) = write_ssdiffrecon(source_of(records), tmp_path / "out", padded_size=64)
    source = open_source(part.path)
    assert source.kind == "ssdiffrecon"
    assert [(v.volume_id, v.subject_id, v.slices) for v in source.volumes] == [
        ("v0", "subject of v0", 2),
        ("v1", "subject of v1", 2),
    ]
    read = list(source)
    for one, other in zip(records, read, strict=True):
        for key in ("record_id", "volume_id", "slice_index"):
            assert getattr(one, key) == getattr(other, key)
        factor = other.attrs["image_divided_by"]
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_allclose(other.kspace * factor, one.kspace, atol=1e-6 * np.abs(one.kspace).max() * 4)
        np.testing.assert_allclose(other.reference * factor, one.reference, rtol=1e-5, atol=1e-3)
        assert other.scale * factor == pytest.approx(one.scale, rel=1e-4)
        assert other.noise_std * factor == pytest.approx(one.noise_std, rel=1e-4)
        assert other.attrs["label"] == one.attrs["label"]
        assert other.attrs["undersampling"] == one.attrs["undersampling"]
        assert ("kspace_origin" in other.attrs) == (coils == 1)  # several coils: measured k-space is beside it
        if coils > 1:
            np.testing.assert_array_equal(other.maps, one.maps)
    backwards = list(source.read(source.volumes[1], [1, 0]))
    assert [record.record_id for record in backwards] == ["v1/001", "v1/000"]
    np.testing.assert_array_equal(backwards[1].kspace, read[2].kspace)


@pytest.mark.filterwarnings("ignore:the original's networks")
def test_the_originals_own_files_alone_are_read_as_they_were(tmp_path):
    records = make_records(label=False)
    (part,) = write_ssdiffrecon(source_of(records), tmp_path / "out", padded_size=32)
    assert "labels" not in part.quantities and not (part.path / "us_im" / "us_im-rxx.labels").exists()
    for name in ("kspace", "reference"):
        (part.path / name / f"{name}-r05.tfrecords").unlink()
    (part.path / "records.json").unlink()
    first = next(iter(open_source(part.path)))
    assert first.record_id == "us_im/00000" and first.reference is None and "label" not in first.attrs
    assert "not measured" in first.attrs["kspace_origin"]


@pytest.mark.filterwarnings("ignore:the original's networks")
def test_splits_are_by_subject(tmp_path):
    records = make_records(coils=1, count=8, shape=(16, 16))
    parts = write_ssdiffrecon(source_of(records), tmp_path / "out", split={"train": 0.5, "test": 0.5}, seed=42)
    assert [part.path.name for part in parts] == ["train", "test"]
    subjects = [{volume.subject_id for volume in open_source(part.path).volumes} for part in parts]
    assert len(subjects[0]) == len(subjects[1]) == 2 and not subjects[0] & subjects[1]
    facts = json.loads((parts[1].path / "records.json").read_text())
    assert facts["split"] == "test" and facts["preparation"]["maps"] == "none"


def test_the_originals_sizes_give_no_warning(tmp_path):
    records = make_records(coils=1, count=1, shape=(256, 256))
    (part,) = write_ssdiffrecon(source_of(records), tmp_path / "out")
    assert examples(part.path / "us_im" / "us_im-r08.tfrecords")[0].shape == (2, 256, 256)


def unlike(key):
    """Records of which the second cannot stand beside the first."""
    records = make_records(count=2)
    if key == "label":
        del records[1].attrs["label"]
    elif key == "width":
        records[1].attrs["label"] = [1.0]
    elif key == "coils":
        records[1] = make_records(coils=2, count=2)[1]
    elif key == "reference":
        records[1].reference = None
    else:
        records = make_records(coils=1, count=1) + make_records(coils=1, count=2, shape=(16, 20))[1:]
    return records


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (lambda: make_records(masked=False), "is fully sampled, so that us_im would be the truth"),
        (lambda: [undersample_without_maps()], "has 3 coils and no maps; give --maps=espirit"),
        (lambda: make_records(shape=(24, 80)), "24×80 is larger than 64; give --crop, or --padded_size"),
        (lambda: unlike("label"), "but the first record us_im, mask, coil_map, kspace, reference, labels"),
        (lambda: unlike("width"), r"labels \(1,\) is unlike the first record's \(5,\)"),
        (lambda: unlike("coils"), r"coil_map \(2, 2, 24, 20\) is unlike"),
        (lambda: unlike("reference"), "us_im, mask, coil_map, kspace, labels, but the first record"),
        (lambda: unlike("size"), r"us_im \(2, 16, 20\) is unlike"),
        (lambda: with_grey_mask(), "'mask' holds values other than 0 and 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:the original's networks")
def test_what_the_layout_cannot_hold(tmp_path, records, said):
    with pytest.raises(InputError, match=said) as caught:
        write_ssdiffrecon(source_of(records()), tmp_path / "out", padded_size=64)
    assert "record 'v" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def undersample_without_maps():
    (record,) = make_records(count=1)
    record.maps = None
    return record


def with_grey_mask():
    records = make_records()
    records[2].mask = 2 * records[2].mask
    return records


@pytest.mark.filterwarnings("ignore:the original's networks")
def test_maps_are_estimated_from_what_the_mask_leaves(tmp_path):
    records = make_records(count=2, masked=False)
    for record in records:
        record.maps = None

    class Lines:
        def apply(self, record):
            return undersample(record, make_mask("gaussian1d", SHAPE, 2, acs_lines=8))

        def describe(self):
            return {}

    (part,) = write_ssdiffrecon(
        source_of(records), tmp_path / "out", padded_size=32, preparation=Preparation("walsh", masks=Lines())
    )
    first = next(iter(open_source(part.path)))
    assert first.maps.shape == (3, *SHAPE)
    assert first.attrs["maps"]["calibration"] == first.attrs["undersampling"]["acs"]  # and not all 20 lines


@pytest.mark.filterwarnings("ignore:the original's networks")
def test_only_its_own_output_is_replaced(tmp_path):
    records, out = make_records(coils=1, count=2), tmp_path / "out"
    write_ssdiffrecon(source_of(records), out)
    with pytest.raises(InputError, match="holds files already; choose another --output, or --overwrite"):
        write_ssdiffrecon(source_of(records[:1]), out)
    assert write_ssdiffrecon(source_of(records[:1]), out, overwrite=True)[0].records == 1
    assert len(open_source(out)) == 1
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds files of another kind; choose another --output"):
        write_ssdiffrecon(source_of(records), other, overwrite=True)
    assert (other / "thesis.tex").is_file()
    with pytest.raises(InputError, match="is a file, not a folder"):
        write_ssdiffrecon(source_of(records), other / "thesis.tex")
    json_file = out / "records.json"
    json_file.write_text(json.dumps({"records": []}))
    with pytest.raises(InputError, match="names 0 records of 1; it does not belong to these files"):
        open_source(out)
    json_file.write_text("[]")
    with pytest.raises(InputError, match="is not as it should be"):
        open_source(out)


@pytest.mark.slow
def test_full_disk(tmp_path):
    """A limit on file sizes stands for a full disk."""
    np.save(tmp_path / "im_0samples.npy", ellipse_phantom((256, 256), seed=0))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    words = ["--input=.", "--output=out", "--layout=ssdiffrecon", "--coils=1", "--undersample=gaussian2d"]
    command = [sys.executable, "-m", "tfrecon", "convert", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("tfrecon: convert: out: cannot be written")
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["im_0samples.npy"]
