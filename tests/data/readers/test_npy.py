import numpy as np
import pytest
from raw_files import complex_array, fft2c, ifft2c

from tfrecon.data.sources import open_source
from tfrecon.util.errors import InputError


@pytest.fixture
def coil_images():
    window = np.outer(np.hanning(32), np.hanning(40))
    return (complex_array((3, 32, 40)) * 0.05 + window).astype(np.complex64)


@pytest.mark.parametrize(("shape", "count", "result"), [("HW", 1, 1), ("CHW", 1, 3), ("NCHW", 3, 1)])
def test_kspace_layouts(tmp_path, coil_images, shape, count, result):
    kspace = fft2c({"HW": coil_images[0], "CHW": coil_images, "NCHW": coil_images[:, None]}[shape])
    np.save(tmp_path / "a.npy", kspace)
    source = open_source(tmp_path / "a.npy")  # recognised as k-space by its bright centre
    records = list(source)
    assert len(source) == len(records) == count
    assert records[0].kspace.shape == (result, 32, 40) and records[0].mask.shape == (1, 1, 40)
    expected = kspace if shape == "CHW" else kspace.reshape(-1, 32, 40)[:1]
    np.testing.assert_array_equal(records[0].kspace, expected)
    rss = np.sqrt((np.abs(ifft2c(expected)) ** 2).sum(0))
    np.testing.assert_allclose(records[0].reference, rss, rtol=1e-4, atol=1e-5)
    assert records[0].attrs["reference_type"] == "rss of the fully sampled k-space"


def test_coil_images_in_any_axis_order(tmp_path, coil_images):
    np.savez(tmp_path / "a.npz", arr_0=np.moveaxis(coil_images, 0, -1))
    with pytest.raises(InputError, match=r"a\.npz key 'arr_0': .*its coils look last; give --axes=HWC"):
        open_source(tmp_path / "a.npz")
    record = next(iter(open_source(tmp_path, axes="HWC", npy_kind="coil_images")))
    np.testing.assert_allclose(record.kspace, fft2c(coil_images), atol=1e-5)
    with pytest.raises(InputError, match="may be coil images or images; say which with --npy_kind"):
        open_source(tmp_path, axes="H,W,C")


def test_mask_maps_and_reference_beside(tmp_path, coil_images):
    mask = (np.arange(40) % 3 == 0) | (np.abs(np.arange(40) - 20) < 3)
    np.save(tmp_path / "a.npy", fft2c(coil_images))
    np.save(tmp_path / "a_mask.npy", mask)
    np.save(tmp_path / "a_maps.npy", coil_images.astype(np.complex128))
    np.save(tmp_path / "a_reference.npy", np.abs(coil_images[0]))
    source = open_source(tmp_path)
    (record,) = source
    np.testing.assert_array_equal(record.mask, mask.reshape(1, 1, 40))
    assert not record.kspace[..., ~mask].any() and record.kspace[..., mask].all()
    np.testing.assert_array_equal(record.maps, coil_images)
    assert record.reference.dtype == np.float32 and record.attrs["reference_type"] == "given"
    np.savez(tmp_path / "b.npz", kspace=fft2c(coil_images), mask=mask, maps=coil_images)
    (same,) = open_source(tmp_path / "b.npz")
    np.testing.assert_array_equal(same.kspace, record.kspace)
    assert same.maps is not None and same.reference is None


def test_masks_of_each_slice(tmp_path, coil_images):
    masks = np.random.default_rng(0).random((3, 32, 40)) < 0.5
    np.savez(tmp_path / "a.npz", kspace=fft2c(coil_images)[:, None], mask=masks)
    for record, mask in zip(open_source(tmp_path), masks, strict=True):
        np.testing.assert_array_equal(record.mask[0], mask)


def test_zeros_need_an_explanation(tmp_path, coil_images):
    mask = np.random.default_rng(0).random((32, 40)) < 0.4
    np.save(tmp_path / "a.npy", fft2c(coil_images) * mask)
    with pytest.raises(
        InputError, match=r"a\.npy record 'a/000': \d\d\.\d % of k-space .* is exactly zero.*a_mask\.npy"
    ):
        list(open_source(tmp_path, npy_kind="kspace"))
    (record,) = open_source(tmp_path, npy_kind="kspace", mask="nonzero")
    np.testing.assert_array_equal(record.mask[0], mask)
    np.save(tmp_path / "other.npy", np.ones((40, 32)))
    with pytest.raises(InputError, match="record 'a/000'"):
        list(open_source(tmp_path / "a.npy", npy_kind="kspace", mask=str(tmp_path / "other.npy")))


def test_magnitude_images_are_simulated(tmp_path, coil_images):
    images = np.abs(coil_images)
    images[1] = 0
    np.save(tmp_path / "sub-03_T1w.npy", images)
    source = open_source(tmp_path, coils=2, seed=3)
    records = list(source)
    assert [record.slice_index for record in records] == [0, 2] and len(source.skipped) == 1
    assert records[0].kspace.shape == (2, 32, 40) and records[0].attrs["simulated"]["seed"] == 3
    np.testing.assert_allclose(
        np.abs(records[0].reference) * records[0].attrs["divided_by"], images[0], rtol=1e-4, atol=1e-6
    )
    assert source.volumes[0].subject_id == "sub-03"


def test_complex_image_keeps_its_phase(tmp_path, coil_images):
    np.save(tmp_path / "a.npy", coil_images[0].astype(np.complex128))
    (record,) = open_source(tmp_path)
    assert record.attrs["simulated"]["phase"] == "of the image"
    np.testing.assert_allclose(record.reference * record.attrs["divided_by"], coil_images[0], rtol=1e-4, atol=1e-6)


def test_image_with_a_mask_is_an_aliased_one(tmp_path, coil_images):
    mask = np.arange(40) % 2 == 0
    aliased = np.abs(ifft2c(fft2c(coil_images[0]) * mask))
    np.save(tmp_path / "001.npy", aliased)
    np.save(tmp_path / "001_mask.npy", np.broadcast_to(mask, (32, 40)).astype(np.float32))
    (record,) = open_source(tmp_path)
    assert record.kspace.shape == (1, 32, 40) and "simulated" not in record.attrs
    np.testing.assert_allclose(record.kspace[0], fft2c(aliased) * mask, atol=1e-5)
    np.testing.assert_array_equal(record.mask, mask.reshape(1, 1, 40).astype(np.uint8))
    assert "not measured" in record.attrs["kspace_origin"] and record.reference is None


@pytest.mark.parametrize("where", ["folder", "file"])
def test_half_of_an_aliased_image_and_its_mask(tmp_path, coil_images, where):
    """Neither half passes for a fully sampled image."""
    mask = np.broadcast_to(np.arange(40) % 2 == 0, (32, 40)).astype(np.float32)
    np.save(tmp_path / "001_mask.npy", mask)
    with pytest.raises(InputError, match=r"001_mask\.npy: is a mask without its image; put 001\.npy beside it"):
        open_source(tmp_path if where == "folder" else tmp_path / "001_mask.npy", npy_kind="image")
    np.save(tmp_path / "001.npy", np.abs(coil_images[0]))
    assert len(open_source(tmp_path)) == 1
    np.save(tmp_path / "002.npy", np.abs(coil_images[1]))
    with pytest.raises(InputError, match=r"002\.npy: is an image without a mask, but beside 001\.npy there is one"):
        open_source(tmp_path)
    assert len(open_source(tmp_path / "002.npy")) == 1  # asked for by itself


def test_a_mask_that_does_not_match_its_aliased_image(tmp_path, coil_images):
    np.save(tmp_path / "001.npy", np.abs(coil_images[0]))
    np.save(tmp_path / "001_mask.npy", np.ones((40, 32)))
    with pytest.raises(
        InputError, match=r"001\.npy record '001/000': mask \(40, 32\) does not fit.*transposed"
    ) as caught:
        list(open_source(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        (np.ones((4, 8, 8, 2)), {}, "looks like real and imaginary parts"),
        (np.ones((2, 2, 2, 8, 8), complex), {"npy_kind": "kspace"}, r"it should be \[H, W\] or \[C, H, W\] or"),
        (np.ones((8, 8)), {"npy_kind": "kspace"}, "is float64, not complex"),
        (np.ones((30, 30, 5)), {}, "its slices look last; give --axes=HWN, or --axes=NHW"),
        (np.ones((30, 5, 30)), {}, "its slices look second to last; give --axes=HNW"),
        (np.ones((8, 8)), {"axes": "HWC"}, "'HWC' are not clear"),
        (np.ones((8, 8)), {"axes": "NHW"}, r"name 3 axes of an array \(8, 8\)"),
        (np.ones((8, 8)), {"axes": "HH"}, "'HH' are not clear"),
        (np.ones((8, 8)), {"npy_kind": "picture"}, "no npy_kind 'picture'"),
        (np.ones((8, 8)), {"mask": "nonzero"}, "--mask=nonzero is for k-space"),
        (np.array([["a", "b"]]), {}, "is of type <U1"),
        (np.zeros((0, 8, 8)), {}, "is empty"),
        (np.full((8, 8), np.nan), {}, "64 NaN or Inf"),
        (np.zeros((8, 8)), {}, "is zero everywhere"),
        (np.array([{}, {}]), {}, "is not a readable NumPy file"),
    ],
)
def test_bad_arrays(tmp_path, array, options, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=said) as caught:
        list(open_source(tmp_path / "a.npy", **options))
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, one=np.ones((8, 8)), two=np.ones((8, 8)))
    with pytest.raises(InputError, match=r"does not say which array to take \(its keys: one, two\); give --key"):
        open_source(path)
    with pytest.raises(InputError, match=r"lacks the key 'three' \(its keys: one, two\)"):
        open_source(path, key="three")
    assert len(open_source(path, key="two")) == 1
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"a\.npz: is not a readable NumPy file"):
        open_source(path)
    np.save(tmp_path / "b.npy", np.ones((8, 8)))
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"b\.npy: is not a readable NumPy file"):
        open_source(tmp_path / "b.npy")


def test_samples_that_are_not_numbers_and_empty_slices(tmp_path, coil_images):
    kspace = np.repeat(fft2c(coil_images)[None], 3, axis=0)
    kspace[1] = 0
    kspace[2, 0, 3, 3] = np.inf
    np.save(tmp_path / "a.npy", kspace)
    source = open_source(tmp_path, npy_kind="kspace")
    records = iter(source)
    assert next(records).slice_index == 0
    with pytest.raises(InputError, match=r"a\.npy record 'a/002': key 'kspace' .* 1 NaN or Inf"):
        next(records)
    assert source.skipped == {"a/001": "every sample is zero"}
