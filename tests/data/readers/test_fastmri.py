import gc
import pathlib

import h5py
import numpy as np
import pytest
from raw_files import ifft2c, write_fastmri

from tfrecon.data.sources import open_source
from tfrecon.util.errors import InputError


def test_multicoil_slice_is_the_cropped_acquisition(tmp_path):
    kspace = write_fastmri(tmp_path / "file1.h5")
    source = open_source(tmp_path / "file1.h5")
    records = list(source)
    assert source.kind == "fastmri" and len(source) == 3
    assert [record.record_id for record in records] == ["file1/000", "file1/001", "file1/002"]
    record = records[1]
    assert record.kspace.shape == (4, 16, 20) and record.kspace.dtype == np.complex64
    np.testing.assert_allclose(ifft2c(record.kspace), ifft2c(kspace[1])[:, 8:24], atol=2e-5)
    with h5py.File(tmp_path / "file1.h5") as file:
        np.testing.assert_array_equal(record.reference, file["reconstruction_rss"][1])
    rss = np.sqrt((np.abs(ifft2c(record.kspace)) ** 2).sum(0))
    np.testing.assert_allclose(rss[:, 2:18], record.reference, atol=2e-5)
    assert record.attrs["reference_type"] == "rss" and record.attrs["acquisition"] == "AXT2"
    assert record.attrs["readout_oversampling_removed"] == {"from": 32, "to": 16}
    assert record.attrs["voxel_size"] == [1.0, 1.5, 4.5]
    assert record.attrs["max"] == 1.5 and record.attrs["norm"] == 2.5 and record.attrs["patient_id"] == "p1"
    assert source.volumes[0].subject_id == "p1" and source.volumes[0].shape == record.kspace.shape


def test_zero_filled_edges_are_not_samples(tmp_path):
    write_fastmri(tmp_path / "file1.h5", edges=(2, 3))
    record = next(iter(open_source(tmp_path)))
    expected = np.ones(20, np.uint8)
    expected[:2] = expected[-3:] = 0
    np.testing.assert_array_equal(record.mask, expected.reshape(1, 1, 20))
    assert record.attrs["unacquired_edge_lines"] == 5


def test_header_that_contradicts_the_samples_is_not_believed(tmp_path):
    path = tmp_path / "file1.h5"
    write_fastmri(path, edges=(2, 3))
    with h5py.File(path, "r+") as file:
        file["kspace"][:, :, :, 1] = 1e-3
    record = next(iter(open_source(path)))
    assert record.mask.all() and "unacquired_edge_lines" not in record.attrs


def test_single_coil(tmp_path):
    kspace = write_fastmri(tmp_path / "file1.h5", coils=None)
    record = next(iter(open_source(tmp_path / "file1.h5")))
    assert record.kspace.shape == (1, 16, 20) and record.attrs["reference_type"] == "esc"
    np.testing.assert_allclose(ifft2c(record.kspace)[0], ifft2c(kspace[0])[8:24], atol=2e-5)


def test_oversampling_can_be_kept(tmp_path):
    kspace = write_fastmri(tmp_path / "file1.h5")
    record = next(iter(open_source(tmp_path / "file1.h5", remove_oversampling=False)))
    np.testing.assert_array_equal(record.kspace, kspace[0])
    assert "readout_oversampling_removed" not in record.attrs


@pytest.mark.parametrize(("reference", "height"), [(True, 16), (False, 32)])
def test_without_a_header_only_a_factor_of_two_is_believed(tmp_path, reference, height):
    write_fastmri(tmp_path / "file1.h5", header=False, reference=reference, width=20, edges=(0, 0))
    record = next(iter(open_source(tmp_path / "file1.h5")))
    assert record.kspace.shape[-2] == height and record.mask.all()


def test_undersampled_test_file(tmp_path):
    mask = np.zeros(20, np.float32)
    mask[[1, 5, 8, 9, 10, 11, 15]] = 1
    write_fastmri(tmp_path / "file1.h5", mask=mask, reference=False, acceleration=4, num_low_frequency=4)
    record = next(iter(open_source(tmp_path)))
    np.testing.assert_array_equal(record.mask.ravel(), mask)
    assert not record.kspace[..., mask == 0].any()
    assert record.reference is None and record.attrs["acceleration"] == 4 and record.attrs["num_low_frequency"] == 4


def test_reference_choices(tmp_path):
    write_fastmri(tmp_path / "file1.h5", reference=False)
    record = next(iter(open_source(tmp_path)))
    rss = np.sqrt((np.abs(ifft2c(record.kspace)) ** 2).sum(0))
    np.testing.assert_allclose(record.reference, rss, rtol=1e-4, atol=1e-5)
    assert record.attrs["reference_type"] == "rss of the fully sampled k-space"
    none = next(iter(open_source(tmp_path, reference="none")))
    assert none.reference is None and "reference_type" not in none.attrs
    with pytest.raises(InputError, match=r"file1\.h5: holds none of reconstruction_rss"):
        open_source(tmp_path, reference="file")
    with pytest.raises(InputError, match="no reference 'best'"):
        open_source(tmp_path, reference="best")


def test_sizes_may_differ_between_volumes_and_files_are_closed(tmp_path):
    write_fastmri(tmp_path / "a" / "file1.h5", slices=2)
    write_fastmri(tmp_path / "b" / "file2.h5", slices=1, coils=3, height=48, width=30)
    source = open_source(tmp_path)
    assert [record.kspace.shape for record in source] == [(4, 16, 20), (4, 16, 20), (3, 24, 30)]
    assert [record.record_id for record in source.read(source.volumes[0], [1])] == ["file1/001"]
    gc.collect()
    open_files = {link.resolve() for link in pathlib.Path("/proc/self/fd").iterdir() if link.exists()}
    assert not any(file.suffix == ".h5" for file in open_files)


def test_empty_slices_are_skipped_or_refused(tmp_path):
    path = tmp_path / "file1.h5"
    write_fastmri(path)
    with h5py.File(path, "r+") as file:
        file["kspace"][1] = 0
    source = open_source(path)
    assert [record.slice_index for record in source] == [0, 2]
    assert source.skipped == {"file1/001": "every sample is zero"}
    assert source.skip_summary() == "1 slices skipped: every sample is zero"
    with pytest.raises(InputError, match=r"file1\.h5 record 'file1/001': every sample is zero"):
        list(open_source(path, strict=True))


def test_bad_files_are_named_with_what_is_wrong(tmp_path):
    path = tmp_path / "file1.h5"
    write_fastmri(path)
    data = path.read_bytes()

    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"file1\.h5: is truncated"):
        open_source(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"file1\.h5: is not a readable HDF5 file"):
        open_source(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"file1\.h5: is an empty file"):
        open_source(path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("kspace", None, r"lacks the key 'kspace' \(its keys: ismrmrd_header, reconstruction_rss\)"),
        ("kspace", np.ones((2, 4, 8, 8), np.float32), "is float32, not complex"),
        ("kspace", np.ones((8, 8), np.complex64), r"has shape \(8, 8\)"),
        ("kspace", np.ones((2, 64, 60, 4), np.complex64), "its coils look last"),
        ("mask", np.ones(7), r"'mask' \(7,\) does not fit k-space of width 20"),
        ("mask", np.full(20, 2), "'mask' holds values other than 0 and 1"),
        ("ismrmrd_header", b"<a>", "'ismrmrd_header' cannot be read"),
        ("ismrmrd_header", b"<a/>", r"'ismrmrd_header' cannot be read \(it lacks encoding\)"),
    ],
)
def test_bad_content(tmp_path, name, value, said):
    path = tmp_path / "file1.h5"
    write_fastmri(path)
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(InputError, match=said):
        open_source(path)


def test_samples_that_are_not_numbers(tmp_path):
    path = tmp_path / "file1.h5"
    write_fastmri(path)
    with h5py.File(path, "r+") as file:
        file["kspace"][1, 0, 3, 4] = np.nan
    with pytest.raises(InputError, match=r"file1\.h5 record 'file1/001': key 'kspace' .* 1 NaN or Inf"):
        list(open_source(path))


def test_two_files_of_one_name(tmp_path):
    for folder in ("a", "b"):
        write_fastmri(tmp_path / folder / "file1.h5")
    with pytest.raises(InputError, match=r"b/file1\.h5: has the same name as .*a/file1\.h5"):
        open_source(tmp_path)
