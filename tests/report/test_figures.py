import matplotlib.pyplot as plt
import numpy as np
import pytest
from image_folders import images_of, make_folder, save_npy, truth
from PIL import Image

from tfrecon.metrics import get_convention
from tfrecon.report.cases import Column, FigureCase, choose_entries, collect_cases, method_names
from tfrecon.report.evaluate import evaluate
from tfrecon.report.figures import (
    cases_figure,
    error_gain,
    grid_figure,
    png_bytes,
    save_figure,
    window_of,
)
from tfrecon.report.images import open_images
from tfrecon.report.plot import plot_folders
from tfrecon.util.errors import InputError


def case(error=0.02, columns=2):
    reference = truth(0)
    scores = {"psnr": 30.123, "ssim": 0.9, "nmse": 0.01, "nrmse": 0.1}
    images = [Column(f"method{n}", reference + np.float32(error), scores) for n in range(columns)]
    return FigureCase("file0/000, R = 3.20 achieved", "fastmri", reference, images, np.ones((1, 30), np.uint8))


def texts(figure):
    found = [axis.get_title() for block in figure.subfigs for axis in block.axes]
    return found + [block.get_suptitle() for block in figure.subfigs]


@pytest.mark.parametrize("name", ["fastmri", "slice", "v2"])
def test_the_scores_in_figures_are_those_of_the_evaluation(tmp_path, name):
    images = open_images(make_folder(tmp_path))
    references, baseline = open_images(tmp_path / "reference"), open_images(tmp_path / "zero_filled")
    (shown,) = collect_cases([images], references, baseline, images.entries[4:5], get_convention(name))
    rows = [row for row in evaluate(tmp_path, convention=name).rows if row.get("record_id") == "file1/001"]
    scores = {row["image"]: [row[metric] for metric in ("psnr", "ssim", "nmse", "nrmse")] for row in rows}
    assert [column.name for column in shown.columns] == ["zero_filled", "cg_sense"]
    assert list(shown.columns[0].scores.values()) == scores["zero_filled"]
    assert list(shown.columns[1].scores.values()) == scores["result"]
    assert shown.title == "file1/001, R = 3.20 achieved, ACS 24×4"
    assert shown.mask.shape == (1, 30)
    np.testing.assert_array_equal(shown.reference, images_of()["file1"]["reference"][1])


def test_a_series_shows_its_middle_frame(tmp_path):
    stack = images_of()["file0"]
    for kind, frames in stack.items():
        save_npy(tmp_path / kind / "heart.npy", frames)
    images = open_images(tmp_path)
    (shown,) = collect_cases(
        [images], open_images(tmp_path / "reference"), None, images.entries, get_convention("slice")
    )
    np.testing.assert_array_equal(shown.reference, stack["reference"][1])
    assert shown.title == "heart.npy, frame 1" and shown.mask is None


def test_window_and_gain_are_common_and_stated():
    assert error_gain(case(0.02)) == 20 and error_gain(case(5.0)) == 1
    figure = cases_figure([case(0.02)])
    drawn = [image for block in figure.subfigs for axis in block.axes for image in axis.images]
    windows = {image.get_clim() for image in drawn}
    assert windows == {(0.0, window_of(truth(0))), (0.0, 1.0)}  # the images, and the mask
    said = texts(figure)
    assert said.count("|error| × 20") == 2 and "k-space mask" in said and "reference" in said
    assert "method0\n30.12 dB, SSIM 0.900" in said
    assert "convention fastmri; window 0 to" in said[-1] and "errors × 20" in said[-1]


@pytest.mark.parametrize(("factor", "shown"), [(5e4, "0 to 49800"), (1e-8, "e-09,"), (1e9, "e+08,")])
def test_the_window_is_readable_in_any_unit(factor, shown):
    reference = 0.996 * np.full((9, 9), factor)
    one = FigureCase("x", "slice", reference, [Column("a", reference, None)], None)
    assert shown in texts(cases_figure([one]))[-1]


def test_empty_and_perfect_images_are_said_in_words():
    nothing = FigureCase(
        "x",
        "slice",
        np.zeros((9, 9)),
        [Column("a", np.ones((9, 9)), dict.fromkeys(("psnr", "ssim", "nmse"), np.nan))],
        None,
    )
    assert "a\nnot scored" in texts(cases_figure([nothing]))
    same = FigureCase("x", "slice", truth(0), [Column("a", truth(0), {"psnr": np.inf, "ssim": 1.0, "nmse": 0.0})], None)
    assert "a\nidentical to the reference" in texts(cases_figure([same]))


def test_figures_leave_nothing_behind_and_are_pictures(tmp_path):
    before = plt.get_fignums()
    save_figure(cases_figure([case(), case()]), tmp_path / "a.png", dpi=40)
    assert png_bytes(grid_figure({"x": truth(0)}), dpi=40).startswith(b"\x89PNG")
    assert plt.get_fignums() == before
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 100 and len(set(picture.convert("L").tobytes())) > 50


def test_unknown_figure_formats_leave_no_file(tmp_path):
    with pytest.raises(InputError, match=r"no kind of figure file; name it \.png"):
        save_figure(cases_figure([case()]), tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("count", "rows", "shape"), [(5, 2, (2, 3)), (1, 2, (1, 1)), (3, 5, (3, 1))])
def test_grids_fill_rows_as_asked(count, rows, shape):
    figure = grid_figure({str(k): truth(k) for k in range(count)}, rows)
    grid = figure.axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shape
    assert sum(bool(axis.images) for axis in figure.axes) == count


@pytest.mark.parametrize(("width", "dpi"), [(30, 100), (512, 100), (900, 40)])
def test_grid_panels_have_a_pixel_for_each_of_the_image(width, dpi):
    figure = grid_figure({str(k): np.tile(truth(0), (1, -(-width // 30)))[:, :width] for k in range(3)}, 2, "x", dpi)
    png_bytes(figure, dpi)  # the layout is settled when it is drawn
    assert all(axis.get_window_extent().width >= width for axis in figure.axes)


def test_an_empty_grid_is_refused():
    with pytest.raises(InputError, match="shows nothing"):
        grid_figure({})


def test_choosing_entries(tmp_path):
    images = open_images(make_folder(tmp_path, images_of(volumes=4)))
    entries, missing = choose_entries(images, None)
    assert [entry.k for entry in entries] == [0, 4, 7, 11] and missing == []
    entries, missing = choose_entries(images, [3, 99])
    assert [entry.k for entry in entries] == [3] and missing == [99]
    with pytest.raises(InputError, match=r"no image number 98, 99.*there are 0 to 11"):
        choose_entries(images, [98, 99])


def test_one_number_for_two_images(tmp_path):
    save_npy(tmp_path / "im_3samples.npy", truth(0))
    save_npy(tmp_path / "im_eval3samples.npy", truth(0))
    with pytest.raises(InputError, match=r"number 3 is both im_3samples\.npy and im_eval3samples\.npy"):
        choose_entries(open_images(tmp_path), [3])


def test_names_of_methods_are_unique(tmp_path):
    folders = [make_folder(tmp_path / name, method=method) for name, method in (("a", "tv"), ("b", "tv"), ("c", "x"))]
    assert method_names([open_images(folder) for folder in folders[1:]]) == ["tv", "x"]
    assert method_names([open_images(folder) for folder in folders]) == ["tv (a)", "tv (b)", "x (c)"]
    twin = make_folder(tmp_path / "deeper" / "a", method="tv")
    assert method_names([open_images(folder) for folder in (folders[0], twin)]) == [
        f"tv ({tmp_path / 'a'})",
        f"tv ({twin})",
    ]


def test_methods_without_the_slice_or_of_another_size_are_refused(tmp_path):
    first = make_folder(tmp_path / "a")
    fewer = make_folder(tmp_path / "b", images_of(volumes=1))
    with pytest.raises(InputError, match=r"has no image of .*file1/002\); reconstruct the same input"):
        plot_folders([first, fewer], tmp_path / "x.png", indices=[5])
    cut = {v: {"": kinds[""][:, 2:-2]} for v, kinds in images_of().items()}
    smaller = make_folder(tmp_path / "c", cut, method="tv")
    with pytest.raises(InputError, match="tv has images of another size than cg_sense"):
        plot_folders([first, smaller], tmp_path / "x.png", indices=[5])


def test_plotting_a_slice_without_reference(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "reference" / "im_2samples.npy").unlink()
    with pytest.raises(InputError, match="no reference belongs to im_2samples"):
        plot_folders([tmp_path], tmp_path / "x.png", indices=[2])
