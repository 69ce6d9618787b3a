import numpy as np
import pytest
from image_folders import images_of, make_folder, save_npy, save_volume, truth

from tfrecon.report.images import open_images
from tfrecon.report.pairing import match_shapes, pair_images
from tfrecon.util.errors import InputError


def test_by_record_id_whatever_the_format(tmp_path):
    pairing = pair_images(
        open_images(make_folder(tmp_path / "a")), open_images(make_folder(tmp_path / "b", style="h5"))
    )
    assert pairing.kind == "record id"
    assert all(a.record_id == b.record_id for a, b in pairing.pairs) and len(pairing.pairs) == 6


def test_by_volume_and_slice_against_the_original_fastmri_files(tmp_path):
    recon = open_images(make_folder(tmp_path / "a"))
    for volume_id, kinds in images_of().items():
        save_volume(tmp_path / "val" / volume_id, kinds["reference"], "h5", "reconstruction_rss")
    pairing = pair_images(recon, open_images(tmp_path / "val"))
    assert pairing.kind == "volume and slice"
    assert all((a.volume_id, a.slice_index) == (b.volume_id, b.index) for a, b in pairing.pairs)


def test_by_file_name_in_bare_folders_with_all_that_is_left_over(tmp_path):
    for k in (0, 1, 2):
        save_npy(tmp_path / "a" / f"im_{k}samples.npy", truth(k))
    for k in (1, 2, 3, 4):
        save_npy(tmp_path / "b" / f"im_{k}samples.npy", truth(k))
    pairing = pair_images(open_images(tmp_path / "a"), open_images(tmp_path / "b"))
    assert [(a.file, b.file) for a, b in pairing.pairs] == [(f"im_{k}samples.npy",) * 2 for k in (1, 2)]
    assert pairing.unmatched == ["im_0samples.npy"]
    assert pairing.unmatched_reference == ["im_3samples.npy", "im_4samples.npy"]


def test_by_number_where_ssdiffrecon_named_the_two_sides_differently(tmp_path):
    for k in (4, 7):
        save_npy(tmp_path / "a" / f"im_eval{k}samples.npy", truth(k))
        save_npy(tmp_path / "b" / f"im_{k}samples.npy", truth(k))
    pairing = pair_images(open_images(tmp_path / "a"), open_images(tmp_path / "b"))
    assert pairing.kind == "number in the file name" and len(pairing.pairs) == 2


def test_no_pair_at_all(tmp_path):
    save_npy(tmp_path / "a" / "x.npy", truth(0))
    save_npy(tmp_path / "b" / "y.npy", truth(0))
    with pytest.raises(InputError, match=r"no image has a reference: x\.npy against y\.npy"):
        pair_images(open_images(tmp_path / "a"), open_images(tmp_path / "b"))


@pytest.mark.parametrize(("big", "small"), [((40, 32), (20, 32)), ((9, 11), (6, 7)), ((8, 8), (8, 8))])
def test_the_larger_is_cut_around_the_centre(big, small):
    image = np.zeros(big)
    image[big[0] // 2, big[1] // 2] = 1
    for one, other in ((image, np.zeros(small)), (np.zeros(small), image)):
        a, b, cut = match_shapes(one, other, "x")
        assert a.shape == b.shape == small
        assert (a + b)[small[0] // 2, small[1] // 2] == 1
        assert (cut is None) == (big == small)


def test_series_are_cut_in_the_image_plane_alone():
    a, b, cut = match_shapes(np.zeros((5, 9, 9)), np.zeros((5, 7, 9)), "x")
    assert a.shape == b.shape == (5, 7, 9) and cut == "image 9×9 → 7×9"


@pytest.mark.parametrize(
    ("one", "other", "hint"),
    [((20, 30), (30, 20), "look swapped"), ((20, 30), (25, 20), "one must contain"), ((2, 9, 9), (3, 9, 9), "must")],
)
def test_sizes_of_which_neither_contains_the_other(one, other, hint):
    with pytest.raises(InputError, match=hint):
        match_shapes(np.zeros(one), np.zeros(other), "x")
