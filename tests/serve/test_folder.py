import json
import warnings

import h5py
import nibabel
import numpy as np
import pytest

import tfrecon
from tfrecon.data.synthetic import deform_cine, ellipse_phantom, simulate_acquisition
from tfrecon.data.transforms import Undersampling
from tfrecon.data.writer import write_dataset
from tfrecon.serve import folder as folder_module
from tfrecon.serve.folder import reconstruct_folder, reference_folder
from tfrecon.serve.mask_choice import MaskChoice
from tfrecon.util.errors import InputError

SHAPE = (32, 36)
R2 = MaskChoice(Undersampling("equispaced", 2.0, acs_lines=14))


def make_record(volume, index, **options):
    return simulate_acquisition(
        ellipse_phantom(SHAPE, seed=index),
        record_id=f"{volume}/{index:03d}",
        volume_id=volume,
        slice_index=index,
        coils=3,
        noise=0.005,
        store_maps=True,
        **options,
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    write_dataset(folder, [make_record("anna", 0), make_record("anna", 1), make_record("bert", 0)])
    return folder


def read_index(folder):
    return json.loads((folder / "index.json").read_text())


def images_of(folder, kind=""):
    return {path.name: np.load(path) for path in sorted((folder / kind).glob("*.npy"))}


def test_layout_of_the_folder(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", options={"iterations": 5}, masks=R2)
    assert {path.name for path in out.iterdir()} == {
        "im_0samples.npy", "im_1samples.npy", "im_2samples.npy", "index.json", "run.json",
        "mask", "reference", "zero_filled",
    }  # fmt: skip
    index = read_index(out)
    assert index["format"] == "npy" and index["method"] == "cg_sense" and index["options"]["iterations"] == 5
    assert index["input"] == str(dataset) and index["reference_type"] == "simulated complex image"
    assert [image["record_id"] for image in index["images"]] == ["anna/000", "anna/001", "bert/000"]
    first = index["images"][0]
    assert first["k"] == 0 and first["file"] == "im_0samples.npy" and first["volume_id"] == "anna"
    mask = np.load(out / "mask" / "im_0samples.npy")
    assert mask.dtype == np.uint8 and mask.shape == (1, 1, SHAPE[1])
    assert first["acceleration"] == pytest.approx(SHAPE[1] / mask.sum()) and first["acs"] == [SHAPE[0], 14]
    assert first["seconds"] > 0 and first["attrs"]["undersampling"]["kind"] == "equispaced"
    for kind in ("", "zero_filled", "reference"):
        images = images_of(out, kind)
        assert len(images) == 3
        assert all(image.dtype == np.float32 and image.shape == SHAPE for image in images.values())


def test_images_are_those_of_the_array_interface(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", masks=R2, complex_output=True, max_records=1)
    record = make_record("anna", 0)
    mask = np.load(out / "mask" / "im_0samples.npy")
    expected = tfrecon.reconstruct(record.kspace, mask, record.maps)
    np.testing.assert_allclose(np.load(out / "im_0samples.npy"), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(np.load(out / "reference" / "im_0samples.npy"), record.reference)


def test_scores_better_than_zero_filled(dataset, tmp_path):
    few = MaskChoice(Undersampling("equispaced", 2.0, acs_lines=4))
    out = reconstruct_folder(dataset, tmp_path / "out", masks=few)
    for name, truth in images_of(out, "reference").items():
        error = np.linalg.norm(np.load(out / name) - truth)
        assert error < 0.3 * np.linalg.norm(np.load(out / "zero_filled" / name) - truth)


def test_full_sampling_is_left_alone_when_nothing_is_asked(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", max_records=2)
    assert [image["acceleration"] for image in read_index(out)["images"]] == [1.0, 1.0]


def test_masks_depend_on_seed_and_record_alone(dataset, tmp_path):
    def masks(name, count, **options):
        choice = MaskChoice(Undersampling("random1d", 3.0, acs_lines=4), **options)
        out = reconstruct_folder(dataset, tmp_path / name, "zero_filled", masks=choice, max_records=count, maps="auto")
        return list(images_of(out, "mask").values())

    first, fewer, other = masks("a", 3), masks("b", 2), masks("c", 3, seed=1)
    for k in range(2):
        np.testing.assert_array_equal(first[k], fewer[k])
    assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[0], first[1])
    same = masks("d", 3, same_mask=True)
    np.testing.assert_array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])


def test_two_runs_give_the_same_bytes(dataset, tmp_path):
    folders = [reconstruct_folder(dataset, tmp_path / name, masks=R2) for name in "ab"]
    for path in folders[0].rglob("*.npy"):
        assert path.read_bytes() == (folders[1] / path.relative_to(folders[0])).read_bytes()


@pytest.mark.parametrize("formats", [("npy",), ("h5",), ("h5", "npy")])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, InputError])
def test_resumes_after_the_last_whole_slice(dataset, tmp_path, monkeypatch, formats, stop):
    real, done = folder_module.with_reference, []

    def stops_at_second(record):
        done.append(record.record_id)
        if len(done) == 2:
            raise stop("stopped")
        return real(record)

    arguments = {"masks": R2, "formats": formats}
    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "with_reference", stops_at_second)
        with pytest.raises(stop):
            reconstruct_folder(dataset, tmp_path / "out", **arguments)
    assert not (tmp_path / "out" / "index.json").exists()
    monkeypatch.setattr(folder_module, "with_reference", lambda record: done.append(record.record_id) or real(record))
    resumed = reconstruct_folder(dataset, tmp_path / "out", **arguments)
    assert done == ["anna/000", "anna/001", "anna/001", "bert/000"]
    whole = reconstruct_folder(dataset, tmp_path / "whole", **arguments)
    assert {p.relative_to(whole) for p in whole.rglob("*")} == {p.relative_to(resumed) for p in resumed.rglob("*")}
    for path in whole.rglob("*.npy"):
        np.testing.assert_array_equal(np.load(path), np.load(resumed / path.relative_to(whole)))


def test_finished_folder_is_not_made_again(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", masks=R2)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    reconstruct_folder(dataset, tmp_path / "out", masks=R2)
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_a_line_of_the_journal_that_was_cut_off_is_a_slice_to_do(dataset, tmp_path, monkeypatch):
    real = folder_module.with_reference

    def stops_at_bert(record):
        if record.volume_id == "bert":
            raise KeyboardInterrupt
        return real(record)

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "with_reference", stops_at_bert)
        with pytest.raises(KeyboardInterrupt):
            reconstruct_folder(dataset, tmp_path / "out", masks=R2)
    journal = tmp_path / "out" / ".unfinished" / "journal.jsonl"
    assert len(journal.read_text().splitlines()) == 2
    journal.write_text(journal.read_text()[:-20])
    out = reconstruct_folder(dataset, tmp_path / "out", masks=R2)
    assert [image["k"] for image in read_index(out)["images"]] == [0, 1, 2]


def test_other_settings_ask_for_another_folder(dataset, tmp_path):
    reconstruct_folder(dataset, tmp_path / "out", masks=R2)
    with pytest.raises(InputError, match=r"other settings \(method, options\).*--overwrite"):
        reconstruct_folder(dataset, tmp_path / "out", "zero_filled", masks=R2)
    out = reconstruct_folder(dataset, tmp_path / "out", "zero_filled", masks=R2, max_records=1, overwrite=True)
    assert len(images_of(out)) == 1 and len(images_of(out, "zero_filled")) == 1
    assert read_index(out)["method"] == "zero_filled"


def test_changed_input_is_noticed(dataset, tmp_path):
    source = tmp_path / "a.npy"
    kspace = make_record("a", 0).kspace
    np.save(source, kspace[None])
    reconstruct_folder(source, tmp_path / "out", "zero_filled", maps="walsh")
    np.save(source, 2 * kspace[None])
    with pytest.raises(InputError, match="input_fingerprint"):
        reconstruct_folder(source, tmp_path / "out", "zero_filled", maps="walsh")


def test_missing_image_of_a_finished_folder_is_named(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", masks=R2)
    (out / "im_1samples.npy").unlink()
    with pytest.raises(InputError, match=r"im_1samples\.npy"):
        reconstruct_folder(dataset, tmp_path / "out", masks=R2)


def test_folder_of_somebody_else_is_not_touched(dataset, tmp_path):
    (tmp_path / "im_0samples.npy").write_bytes(b"precious")
    with pytest.raises(InputError, match="another run"):
        reconstruct_folder(dataset, tmp_path, masks=R2)
    assert (tmp_path / "im_0samples.npy").read_bytes() == b"precious"
    with pytest.raises(InputError, match="is a file"):
        reconstruct_folder(dataset, tmp_path / "im_0samples.npy", masks=R2)


def test_failed_first_slice_leaves_no_folder(dataset, tmp_path):
    choice = MaskChoice(Undersampling("equispaced", 4.0, acs_lines=2))
    with pytest.raises(InputError, match=r"anna/000.*walsh"):
        reconstruct_folder(dataset, tmp_path / "out", masks=choice, maps="espirit")
    assert not (tmp_path / "out").exists()
    reconstruct_folder(dataset, tmp_path / "out", masks=choice, maps="walsh", max_records=1)


def test_h5_volumes_as_fastmri_has_them(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", masks=R2, formats=("h5", "npy"))
    with h5py.File(out / "anna.h5") as file:
        volume = file["reconstruction"][()]
        assert volume.dtype == np.float32 and volume.shape == (2, *SHAPE)
    for k in range(2):
        np.testing.assert_array_equal(volume[k], np.load(out / f"im_{k}samples.npy"))
    images = read_index(out)["images"]
    assert [(i["file"], i["index_in_file"]) for i in images] == [("anna.h5", 0), ("anna.h5", 1), ("bert.h5", 0)]
    for kind in ("zero_filled", "reference"):
        with h5py.File(out / kind / "anna.h5") as file:
            assert file["reconstruction"].shape == (2, *SHAPE)


def test_h5_alone_leaves_no_slices(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", masks=R2, formats=("h5",))
    assert {path.name for path in out.iterdir()} == {
        "anna.h5", "bert.h5", "index.json", "run.json", "mask", "reference", "zero_filled",
    }  # fmt: skip


def test_nifti_keeps_its_place_in_space(tmp_path):
    affine = np.array([[0, -2.0, 0, 30], [1.5, 0, 0, -20], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    records = [make_record("vol", k, attrs={"affine": affine.tolist()}) for k in (5, 6)]
    write_dataset(tmp_path / "set", records)
    out = reconstruct_folder(tmp_path / "set", tmp_path / "out", masks=R2, formats=("nifti", "npy"))
    image = nibabel.load(out / "vol.nii.gz")
    assert image.shape == (*SHAPE, 2)
    expected = affine.copy()
    expected[:3, 3] = (affine @ [0, 0, 5, 1])[:3]  # the first voxel is that of slice 5
    np.testing.assert_allclose(image.affine, expected)
    np.testing.assert_allclose(np.asarray(image.dataobj)[..., 1], np.load(out / "im_1samples.npy"), rtol=1e-6)
    with pytest.raises(InputError, match="choose from"):
        reconstruct_folder(tmp_path / "set", tmp_path / "other", formats=("dicom",))


def test_series_keep_time_in_every_format(tmp_path):
    frames = deform_cine(ellipse_phantom(SHAPE, seed=3), 4)
    record = simulate_acquisition(frames, record_id="cine/000", volume_id="cine", coils=3, noise=0.005)
    write_dataset(tmp_path / "set", [record])
    choice = MaskChoice(Undersampling("kt_equispaced", 2.0, acs_lines=14))
    out = reconstruct_folder(tmp_path / "set", tmp_path / "out", masks=choice, formats=("npy", "h5", "nifti"))
    image = np.load(out / "im_0samples.npy")
    assert image.shape == (4, *SHAPE)
    assert np.linalg.norm(image - np.abs(frames)) < 0.1 * np.linalg.norm(frames)
    with h5py.File(out / "cine.h5") as file:
        np.testing.assert_array_equal(file["reconstruction"][0], image)
    nifti = np.asarray(nibabel.load(out / "cine.nii.gz").dataobj)
    np.testing.assert_allclose(nifti, np.transpose(image, (1, 2, 0))[:, :, None], rtol=1e-6)
    assert len(np.unique(np.load(out / "mask" / "im_0samples.npy"), axis=0)) > 1


def test_sizes_may_differ_between_volumes_but_not_within_one(tmp_path):
    small = simulate_acquisition(ellipse_phantom((30, 34)), record_id="anna/001", volume_id="anna", slice_index=1,
                                 coils=3, store_maps=True)  # fmt: skip
    write_dataset(tmp_path / "set", [make_record("anna", 0), small])
    out = reconstruct_folder(tmp_path / "set", tmp_path / "out", masks=R2)
    assert [image.shape for image in images_of(out).values()] == [SHAPE, (30, 34)]
    with pytest.raises(InputError, match=r"anna.h5.*different sizes.*--format=npy"):
        reconstruct_folder(tmp_path / "set", tmp_path / "h5", masks=R2, formats=("h5",))
    assert not (tmp_path / "h5" / "anna.h5").exists()


def test_undersampled_input_is_used_as_it_is(tmp_path):
    record = make_record("anna", 0)
    mask = np.zeros(SHAPE[1], np.uint8)
    mask[::2] = mask[10:26] = 1
    np.save(tmp_path / "anna.npy", (record.kspace * mask)[None])
    np.save(tmp_path / "anna_mask.npy", mask)
    with pytest.warns(UserWarning, match="undersampled already"):
        out = reconstruct_folder(tmp_path / "anna.npy", tmp_path / "out", masks=R2)
    np.testing.assert_array_equal(np.load(out / "mask" / "im_0samples.npy").ravel(), mask)
    assert not (out / "reference").exists() and read_index(out)["reference_type"] is None


@pytest.mark.parametrize("gaps", [False, True])
def test_mask_file_says_what_was_measured_or_what_to_keep(tmp_path, gaps):
    record = make_record("anna", 0)
    mask = np.zeros(SHAPE[1], np.uint8)
    mask[::2] = mask[10:26] = 1
    np.save(tmp_path / "anna.npy", (record.kspace * mask if gaps else record.kspace)[None])
    np.save(tmp_path / "lines.npy", mask)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = reconstruct_folder(
            tmp_path / "anna.npy", tmp_path / "out", masks=MaskChoice(mask_file=tmp_path / "lines.npy")
        )
    expected = tfrecon.reconstruct(record.kspace, mask)
    np.testing.assert_allclose(np.load(out / "im_0samples.npy"), np.abs(expected), atol=1e-4 * np.abs(expected).max())
    assert (out / "reference").exists() is not gaps


def test_nonzero_samples_as_mask(tmp_path):
    mask = np.zeros(SHAPE[1], np.uint8)
    mask[::2] = mask[10:26] = 1
    np.save(tmp_path / "anna.npy", (make_record("anna", 0).kspace * mask)[None])
    out = reconstruct_folder(tmp_path / "anna.npy", tmp_path / "out", masks=MaskChoice(mask_file="nonzero"))
    np.testing.assert_array_equal(np.load(out / "mask" / "im_0samples.npy").ravel(), mask)


@pytest.mark.parametrize("what", ["maps", "mask"])
def test_changed_side_file_is_noticed(dataset, tmp_path, what):
    file = tmp_path / "side.npy"
    given = {"maps": file} if what == "maps" else {"masks": MaskChoice(mask_file=file)}
    first = make_record("anna", 0).maps if what == "maps" else np.ones(SHAPE[1])
    np.save(file, np.stack([first]) if what == "maps" else first)
    reconstruct_folder(dataset, tmp_path / "out", "zero_filled", max_records=1, **given)
    np.save(file, np.stack([2 * first]) if what == "maps" else np.arange(SHAPE[1]) % 2)
    with pytest.raises(InputError, match=f"{what if what == 'maps' else 'undersampling'}.*--overwrite"):
        reconstruct_folder(dataset, tmp_path / "out", "zero_filled", max_records=1, **given)


def test_maps_from_a_file(dataset, tmp_path):
    records = [make_record("anna", 0), make_record("anna", 1), make_record("bert", 0)]
    np.save(tmp_path / "maps.npy", np.stack([record.maps for record in records]))
    own = reconstruct_folder(dataset, tmp_path / "own", masks=R2)
    given = reconstruct_folder(dataset, tmp_path / "given", masks=R2, maps=tmp_path / "maps.npy")
    for name, image in images_of(own).items():
        np.testing.assert_array_equal(image, np.load(given / name))
    np.save(tmp_path / "one.npy", records[0].maps)
    with pytest.raises(InputError, match=r"one.npy.*3 records.*\[3, C, H, W\]"):
        reconstruct_folder(dataset, tmp_path / "other", masks=R2, maps=tmp_path / "one.npy")
    with pytest.raises(InputError, match="espirit"):
        reconstruct_folder(dataset, tmp_path / "other", masks=R2, maps="bart")


def test_two_map_sets(dataset, tmp_path):
    out = reconstruct_folder(
        dataset, tmp_path / "out", "zero_filled", masks=R2, maps="espirit", map_sets=2, max_records=1
    )
    assert read_index(out)["images"][0]["attrs"]["maps"]["map_sets"] == 2


def test_reference_folder_has_the_same_order_and_names(dataset, tmp_path):
    out = reconstruct_folder(dataset, tmp_path / "out", masks=R2)
    truth = reference_folder(dataset, tmp_path / "truth")
    baseline = reference_folder(dataset, tmp_path / "baseline", "zero_filled", masks=R2)
    for name in images_of(out):
        np.testing.assert_array_equal(np.load(truth / name), np.load(out / "reference" / name))
        np.testing.assert_array_equal(np.load(baseline / name), np.load(out / "zero_filled" / name))
    ids = [[image["record_id"] for image in read_index(folder)["images"]] for folder in (out, truth, baseline)]
    assert ids[0] == ids[1] == ids[2]


def test_reference_of_prospective_data_does_not_exist(tmp_path):
    np.save(tmp_path / "a.npy", make_record("a", 0).kspace[None])
    mask = np.arange(SHAPE[1]) % 2
    np.save(tmp_path / "a_mask.npy", mask)
    with pytest.raises(InputError, match=r"a/000.*zero_filled"):
        reference_folder(tmp_path / "a.npy", tmp_path / "truth")
    with pytest.raises(InputError, match="ground_truth"):
        reference_folder(tmp_path / "a.npy", tmp_path / "truth", "truth")
    assert not (tmp_path / "truth").exists()
