import numpy as np
import pytest
from raw_files import channels, complex_array, fft2c, write_float_records

from tfrecon.data.sources import open_source
from tfrecon.util.errors import InputError

NATIVE = (12, 16)


@pytest.fixture
def multicoil(tmp_path):
    """Two records padded to 20×20, with maps of three coils, in folders as the original names them."""
    images = [complex_array((20, 20), i) for i in range(2)]
    maps = [complex_array((3, *NATIVE), 10 + i) for i in range(2)]
    masks = [(np.random.default_rng(i).random(NATIVE) < 0.5).astype(np.float32) for i in range(2)]
    write_float_records(tmp_path / "us_im" / "us_im-r05.tfrecords", [channels(image) for image in images])
    write_float_records(tmp_path / "us_im" / "us_im-r04.tfrecords", [channels(image[:4, :4]) for image in images])
    write_float_records(tmp_path / "mask" / "mask-r05.tfrecords", [mask[None] for mask in masks])
    write_float_records(tmp_path / "coil_map" / "coil_map-r05.tfrecords", [channels(m) for m in maps])
    np.save(tmp_path / "labels.npy", np.eye(5, dtype=np.float32)[:2])
    (tmp_path / "labels.npy").rename(tmp_path / "us_im" / "us_im-rxx.labels")
    return tmp_path, images, maps, masks


def test_multicoil_kspace_is_projected_again_and_says_so(multicoil):
    folder, images, maps, masks = multicoil
    source = open_source(folder)
    records = list(source)
    assert source.kind == "ssdiffrecon" and len(source) == len(records) == 2
    for i, record in enumerate(records):
        native = images[i][4:16, 2:18]
        np.testing.assert_allclose(record.kspace, fft2c(maps[i] * native) * masks[i], atol=1e-5)
        np.testing.assert_array_equal(record.mask[0], masks[i])
        np.testing.assert_array_equal(record.maps, maps[i])
        assert "not measured" in record.attrs["kspace_origin"] and record.attrs["label"] == list(np.eye(5)[i])
    assert [record.record_id for record in source.read(source.volumes[0], [1])] == ["us_im/00001"]


def test_single_coil_with_and_without_dummy_channel(tmp_path):
    image = complex_array((8, 8))
    mask = (np.random.default_rng(0).random((1, 8, 8)) < 0.5).astype(np.float32)
    padded = np.concatenate([channels(image), np.zeros((1, 8, 8), np.float32)])
    write_float_records(tmp_path / "train_us_im.tfrecords", [channels(image), padded])
    write_float_records(tmp_path / "train_mask.tfrecords", [mask, mask])
    one, two = open_source(tmp_path, "ssdiffrecon")
    np.testing.assert_allclose(one.kspace, fft2c(image)[None] * mask, atol=1e-6)
    np.testing.assert_array_equal(one.kspace, two.kspace)
    assert one.maps is None and "label" not in one.attrs


@pytest.mark.parametrize(
    ("us_im", "mask", "said"),
    [
        (np.ones((4, 8, 8)), np.ones((1, 8, 8)), r"us_im has shape \(4, 8, 8\); it should be \[2, H, W\]"),
        (np.ones((3, 8, 8)), np.ones((1, 8, 8)), "third channel of us_im .* is not zero"),
        (np.ones((2, 8, 8)), np.full((1, 8, 8), 0.5), "mask holds values other than 0 and 1"),
        (np.ones((2, 8, 8)), np.zeros((1, 8, 8)), "'mask' is zero everywhere"),
        (np.ones((2, 8, 8)), np.ones((1, 9, 8)), "mask .* is larger than the image"),
        (np.full((2, 8, 8), np.nan), np.ones((1, 8, 8)), "128 NaN or Inf"),
    ],
)
def test_bad_records(tmp_path, us_im, mask, said):
    write_float_records(tmp_path / "us_im.tfrecords", [us_im])
    write_float_records(tmp_path / "mask.tfrecords", [mask])
    with pytest.raises(InputError, match=said):
        list(open_source(tmp_path))


def test_bad_folders(multicoil):
    folder, _, _, masks = multicoil
    write_float_records(folder / "mask" / "test-r05.tfrecords", [masks[0][None]])
    with pytest.raises(InputError, match=r"several files may be mask: .*give the folder of one split"):
        open_source(folder)
    chosen = open_source(folder / "us_im" / "us_im-r05.tfrecords", mask=str(folder / "mask" / "mask-r05.tfrecords"))
    assert len(chosen) == 2 and next(iter(chosen)).maps is None
    (folder / "mask" / "mask-r05.tfrecords").unlink()
    with pytest.raises(InputError, match=r"differ in length or are empty: 2 in .*, 1 in"):
        open_source(folder)
    (folder / "mask" / "test-r05.tfrecords").unlink()
    with pytest.raises(InputError, match="no file of mask records found"):
        open_source(folder)
    file = folder / "us_im" / "us_im-r05.tfrecords"
    file.write_bytes(file.read_bytes()[:-5])
    write_float_records(folder / "mask" / "mask-r05.tfrecords", [mask[None] for mask in masks])
    with pytest.raises(InputError, match=r"us_im-r05\.tfrecords record 1: is damaged or cut off"):
        open_source(folder)
