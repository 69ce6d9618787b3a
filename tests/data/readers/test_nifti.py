import gzip

import nibabel
import numpy as np
import pytest
from raw_files import write_nifti

from tfrecon.data.sources import open_source
from tfrecon.util.errors import InputError


@pytest.fixture
def volume():
    """An ellipsoid, brighter towards +x, in RAS order [x, y, z] = [20, 24, 10]; the end slices are empty."""
    x, y, z = np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 24), np.linspace(-1, 1, 10), indexing="ij")
    return ((x**2 + y**2 + (1.1 * z) ** 2 < 0.8) * (200 + 100 * x + 40 * y)).astype(np.int16)


AFFINE = np.array([[0.9, 0, 0, -9], [0, 1.1, 0, -13], [0, 0, 5, -20], [0, 0, 0, 1]])


def test_slices_are_simulated_acquisitions(tmp_path, volume):
    write_nifti(tmp_path / "IXI012-HH-1211-T1.nii.gz", volume, AFFINE)
    source = open_source(tmp_path, "ixi", coils=3, noise=0.02, seed=5)
    records = list(source)
    assert source.kind == "nifti" and source.volumes[0].subject_id == "IXI012" and len(source) == 10
    assert [record.slice_index for record in records] == list(range(1, 9))
    assert set(source.skipped) == {f"IXI012-HH-1211-T1/{i:03d}" for i in (0, 9)}
    record = records[3]
    assert record.kspace.shape == (3, 24, 20) and record.mask.all()
    assert record.attrs["simulated"]["seed"] == 5 and record.attrs["simulated"]["noise"]["relative"] == 0.02
    assert record.attrs["subject"] == "IXI012" and record.attrs["source"] == "IXI012-HH-1211-T1.nii.gz"
    np.testing.assert_allclose(record.attrs["voxel_size"], [1.1, 0.9, 5])
    # Rows run towards posterior and columns towards the patient's left: both axes of RAS turned round.
    upright = volume[::-1, ::-1, 4].T
    np.testing.assert_allclose(np.abs(record.reference) * record.attrs["divided_by"], upright, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("axis", "codes"), [("axial", "PLS"), ("coronal", "ILA"), ("sagittal", "IPL")])
def test_affine_belongs_to_the_turned_slices(tmp_path, volume, axis, codes):
    write_nifti(tmp_path / "a.nii", volume, AFFINE)
    record = next(iter(open_source(tmp_path, slice_axis=axis)))
    affine = np.array(record.attrs["affine"])
    assert "".join(nibabel.aff2axcodes(affine)) == codes
    row, column = np.unravel_index(np.argmax(np.abs(record.reference)), record.reference.shape)
    position = affine @ [row, column, record.slice_index, 1]
    voxel = np.rint(np.linalg.solve(AFFINE, position)[:3]).astype(int)
    assert volume[tuple(voxel)] == pytest.approx(
        np.abs(record.reference[row, column]) * record.attrs["divided_by"], rel=1e-4
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_array_axes_are_taken_as_they_are(tmp_path, volume, axis):
    write_nifti(tmp_path / "a.nii", volume, AFFINE)
    source = open_source(tmp_path, slice_axis=str(axis), min_foreground=0)
    records = {record.slice_index: record for record in source}
    image = np.take(volume, 5, axis=axis)
    np.testing.assert_allclose(np.abs(records[5].reference) * records[5].attrs["divided_by"], image, atol=1e-3)


def test_slice_does_not_depend_on_what_was_read_before(tmp_path, volume):
    write_nifti(tmp_path / "a.nii.gz", volume)
    source = open_source(tmp_path, coils=2, seed=1)
    in_order = {record.record_id: record for record in source}
    alone = next(source.read(source.volumes[0], [5]))
    assert np.array_equal(alone.kspace, in_order["a/005"].kspace)
    other = next(open_source(tmp_path, coils=2, seed=2).read(source.volumes[0], [5]))
    assert np.array_equal(alone.kspace, other.kspace)  # the volume carries its own options
    reseeded = open_source(tmp_path, coils=2, seed=2)
    assert not np.array_equal(alone.kspace, next(reseeded.read(reseeded.volumes[0], [5])).kspace)


def test_bad_files(tmp_path, volume):
    path = tmp_path / "a.nii.gz"
    write_nifti(path, volume)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"a\.nii\.gz: is truncated or damaged"):
        list(open_source(path))
    path.write_bytes(gzip.compress(b"no NIfTI"))
    with pytest.raises(InputError, match=r"a\.nii\.gz: is not a readable NIfTI file"):
        open_source(path)
    write_nifti(path, np.stack([volume, volume], axis=-1))
    with pytest.raises(InputError, match=r"has shape \(20, 24, 10, 2\); give one 3-D volume"):
        open_source(path)
    write_nifti(path, np.where(volume > 0, np.nan, 0).astype(np.float32))
    with pytest.raises(InputError, match=r"a\.nii\.gz: image \(20, 24, 10\) holds \d+ NaN or Inf"):
        list(open_source(path))
    write_nifti(path, np.zeros_like(volume))
    with pytest.raises(InputError, match="is zero everywhere"):
        list(open_source(path))
    write_nifti(path, volume - 200)
    with pytest.raises(InputError, match="a magnitude is not negative"):
        list(open_source(path))
    with pytest.raises(InputError, match="no slice axis '3'"):
        open_source(path, slice_axis="3")
    write_nifti(tmp_path / "a.nii", volume)
    with pytest.raises(InputError, match=r"a\.nii\.gz: has the same name as"):
        open_source(tmp_path)
