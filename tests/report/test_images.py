import json

import h5py
import nibabel
import numpy as np
import pytest
from image_folders import images_of, make_folder, save_npy, save_volume, truth

from tfrecon.report.image_files import read_image_file, stem_of
from tfrecon.report.images import array_images, open_images
from tfrecon.util.errors import InputError


@pytest.mark.parametrize("style", ["npy", "h5", "nifti"])
@pytest.mark.parametrize("kind", ["", "zero_filled", "reference"])
def test_folders_of_reconstruct_in_every_format(tmp_path, style, kind):
    make_folder(tmp_path, style=style)
    images = open_images(tmp_path / kind)
    assert [entry.record_id for entry in images] == [f"file{v}/{n:03d}" for v in (0, 1) for n in range(3)]
    for entry in images:
        expected = images_of()[entry.volume_id][kind][entry.slice_index]
        np.testing.assert_array_equal(images.load(entry), expected)
    assert images.method == {"": "cg_sense", "zero_filled": "zero_filled", "reference": "reference"}[kind]
    if kind == "":
        assert images.mask(images.entries[0]).shape == (1, 1, 30)


def test_what_the_references_are_is_known_from_the_index(tmp_path):
    make_folder(tmp_path)
    assert open_images(tmp_path / "reference").reference_type == "rss"
    assert open_images(tmp_path / "zero_filled").reference_type == "zero-filled image"


def test_bare_npy_folders_are_in_natural_order(tmp_path):
    for name in ("im_10samples", "im_2samples", "im_eval3samples", "brain"):
        save_npy(tmp_path / f"{name}.npy", truth(0))
    images = open_images(tmp_path)
    assert [entry.file for entry in images] == [
        "brain.npy",
        "im_2samples.npy",
        "im_10samples.npy",
        "im_eval3samples.npy",
    ]
    assert [entry.number for entry in images] == [None, 2, 10, 3]
    assert images.method is None and images.reference_type is None


def test_bare_volumes(tmp_path):
    save_npy(tmp_path / "stack.npy", images_of()["file0"][""])
    save_npy(tmp_path / "single.npy", truth(0)[None])
    images = open_images(tmp_path)
    shapes = {entry.file: images.load(entry).shape for entry in images}
    assert shapes == {"stack.npy": (3, 24, 30), "single.npy": (24, 30)}


@pytest.mark.parametrize(
    ("key", "kind"), [("reconstruction", None), ("reconstruction_rss", "rss"), ("reconstruction_esc", "esc")]
)
def test_bare_fastmri_files(tmp_path, key, kind):
    stack = images_of()["file0"]["reference"]
    save_volume(tmp_path / "file0", stack, "h5", key)
    images = open_images(tmp_path)
    assert [(entry.volume_id, entry.slice_index) for entry in images] == [("file0", n) for n in range(3)]
    np.testing.assert_array_equal(images.load(images.entries[2]), stack[2])
    assert images.reference_type == kind


def test_nifti_slices_are_the_third_axis_and_series_the_fourth(tmp_path):
    volume = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.nii")[1], volume[:, :, 1])
    series = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(series, np.eye(4)), tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(read_image_file(tmp_path / "b.nii.gz")[1, 4], series[:, :, 1, 4])


def test_a_single_file_is_a_folder_of_one(tmp_path):
    save_volume(tmp_path / "one", images_of()["file0"][""], "h5")
    assert len(open_images(tmp_path / "one.h5")) == 3


def test_hidden_temporaries_and_other_files_are_no_images(tmp_path):
    make_folder(tmp_path)
    save_npy(tmp_path / ".im_7samples-xyz.npy", truth(0))
    (tmp_path / "metrics.json").write_text("{}")
    assert open_images(tmp_path).not_indexed == ()


def test_images_that_the_index_does_not_name_are_listed(tmp_path):
    make_folder(tmp_path)
    save_npy(tmp_path / "im_77samples.npy", truth(0))
    save_volume(tmp_path / "file0", truth(0)[None], "h5")  # another format of the same run is no stranger
    assert open_images(tmp_path).not_indexed == ("im_77samples.npy",)


def test_arrays_in_memory():
    images = array_images(truth(0), "recon")
    np.testing.assert_array_equal(images.load(images.entries[0]), truth(0))
    with pytest.raises(InputError, match=r"recon has shape \(2, 2, 2, 2\); give"):
        array_images(np.zeros((2, 2, 2, 2)), "recon")


def test_stems():
    assert [stem_of(name) for name in ("a/vol.nii.gz", "vol.h5", "im.3.npy", "x.txt")] == [
        "vol",
        "vol",
        "im.3",
        "x.txt",
    ]


def break_npy(path):
    save_npy(path, truth(0))
    path.write_bytes(path.read_bytes()[:-100])


def break_h5(path):
    save_volume(path.with_suffix(""), truth(0)[None], "h5")
    path.write_bytes(path.read_bytes()[:800])


def break_nifti(path):
    save_volume(path.with_name("a"), truth(0)[None], "nifti")
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.npy", break_npy, "truncated or damaged"),
        ("a.h5", break_h5, "truncated or damaged"),
        ("a.nii.gz", break_nifti, "truncated or damaged"),
        ("a.npy", lambda path: path.touch(), "empty file"),
        ("a.h5", lambda path: h5py.File(path, "w").create_group("kspace").file.close(), r"no image dataset .*kspace"),
        ("a.npy", lambda path: np.save(path, np.array(["x"])), "not numbers"),
        ("a.npy", lambda path: np.save(path, np.array([{}])), "truncated or damaged"),
        ("a.npy", lambda path: np.save(path, np.ones(5)), r"shape \(5,\)"),
        ("a.txt", lambda path: path.write_text("x"), "not an image file"),
        ("a.npy", lambda path: None, "no such file"),
    ],
)
def test_broken_files_are_named_in_one_line(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(InputError, match=message) as error:
        read_image_file(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


def test_not_finite_pixels_are_refused(tmp_path):
    image = truth(0)
    image[2, 3:5] = np.nan
    save_npy(tmp_path / "im_0samples.npy", image)
    images = open_images(tmp_path)
    with pytest.raises(InputError, match=r"im_0samples\.npy holds 2 NaN or Inf pixels"):
        images.load(images.entries[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(images=[]), "names no images"),
        (lambda index: index["images"][0].pop("file"), "KeyError: 'file'"),
        (lambda index: index["images"][0].update(k="first"), "ValueError"),
        (lambda index: index["images"][1].update(record_id="file0/000"), "two images have the record id 'file0/000'"),
        (lambda index: index["images"][1].update(file="im_0samples.npy"), "two images have the image"),
        (lambda index: index["images"][1].update(file="gone.npy"), "1 of 6 images it names are not there"),
    ],
)
def test_an_index_that_does_not_fit(tmp_path, change, message):
    make_folder(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text())
    change(index)
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=message):
        open_images(tmp_path)


def test_a_volume_shorter_than_its_index(tmp_path):
    make_folder(tmp_path, style="h5")
    save_volume(tmp_path / "file1", truth(0)[None], "h5")
    images = open_images(tmp_path)
    with pytest.raises(InputError, match=r"number 2 is asked for.*make the folder again"):
        images.load(images.entries[5])


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_folders_without_images(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no such folder" if name == "nowhere" else "holds no images"):
        open_images(tmp_path / name)


def test_two_files_of_one_name(tmp_path):
    save_volume(tmp_path / "vol", truth(0)[None], "h5")
    save_volume(tmp_path / "vol", truth(0)[None], "nifti")
    with pytest.raises(InputError, match="two images have the file name 'vol'"):
        open_images(tmp_path)
