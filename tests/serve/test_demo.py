import json

import numpy as np
import pytest
from trained_toys import make_model_folder

from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.serve import demo, shipped
from tfrecon.util.errors import InputError

SHAPE = (48, 72)


@pytest.fixture
def quick(monkeypatch):
    """Two methods, and a small phantom in place of the head."""
    monkeypatch.setattr(demo, "untrained_names", lambda: ("zero_filled", "cg_sense"))
    monkeypatch.setattr(demo, "shipped_models", lambda coils: {})
    monkeypatch.setattr(demo, "sample_head", lambda: 1000 * ellipse_phantom(SHAPE))
    monkeypatch.setattr(demo, "LINES", demo.Undersampling("equispaced", 2.0, acs_lines=14))
    monkeypatch.setattr(demo, "DISC", demo.Undersampling("poisson", 3.0, acs_lines=14))


def kspace(index=0):
    return simulate_acquisition(
        ellipse_phantom(SHAPE, seed=index), record_id="a", volume_id="a", coils=4, noise=0.01
    ).kspace


def test_scores_pictures_and_page(quick, tmp_path):
    mask = np.zeros(SHAPE[1])
    mask[::2] = mask[29:43] = 1
    np.save(tmp_path / "full.npy", np.stack([kspace(k) for k in range(5)]))
    np.save(tmp_path / "fast.npy", kspace()[None] * mask)
    np.save(tmp_path / "fast_mask.npy", mask)
    result = demo.run_demo(tmp_path / "out", [tmp_path / "full.npy", tmp_path / "fast.npy"], slices=2)
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert content["convention"]["name"] == "fastmri" and content["results"] == result.rows
    cases = ("full", "fast", "head_equispaced_R4", "head_poisson_R8")
    rows = {(row["case"], row["method"]): row for row in result.rows}
    assert list(rows) == [(case, method) for case in cases for method in ("zero_filled", "cg_sense")]
    for row in result.rows:
        assert set(row) == {"case", "method", "acceleration", "psnr", "ssim", "nmse", "seconds"}
        assert row["acceleration"] > 1.5 and row["seconds"] > 0
        assert row["ssim"] is None if row["case"] == "fast" else 0 < row["ssim"] <= 1
    head = [rows["head_equispaced_R4", method]["psnr"] for method in ("zero_filled", "cg_sense")]
    assert head[1] > head[0] + 2
    assert rows["fast", "cg_sense"]["acceleration"] == pytest.approx(SHAPE[1] / mask.sum())
    index = json.loads((tmp_path / "out" / "full" / "cg_sense" / "index.json").read_text())
    assert [image["record_id"] for image in index["images"]] == ["full/001", "full/002"]  # the middle of five
    assert [path.name for path in result.figures] == [f"{case}.png" for case in cases]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in result.figures)
    page = result.page.read_text()
    assert "<h2>head_poisson_R8" in page and "cg_sense" in page and "<h2>fast" in page
    assert page.count("nothing is scored") == 1  # "fast" has no reference
    table = result.table().splitlines()
    assert len(table) == 9 and len({len(line) for line in table}) == 1 and " - " in table[3]


def test_phantoms_when_matplotlib_has_no_sample_data(quick, tmp_path, monkeypatch):
    def missing():
        raise InputError("this matplotlib comes without its sample data")

    monkeypatch.setattr(demo, "shipped_models", lambda coils: {})
    monkeypatch.setattr(demo, "sample_head", missing)
    with pytest.warns(UserWarning, match="phantoms take the place"):
        result = demo.run_demo(tmp_path / "out")
    assert {row["case"] for row in result.rows} == {"phantom_equispaced"}


def test_few_calibration_lines_get_walsh_maps(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_head_cases", lambda output: [])
    mask = np.zeros(SHAPE[1])
    mask[::2] = mask[33:39] = 1
    np.save(tmp_path / "mine.npy", kspace()[None])
    np.save(tmp_path / "mine_mask.npy", mask)
    with pytest.warns(UserWarning, match="Walsh"):
        result = demo.run_demo(tmp_path / "out", [tmp_path / "mine.npy"])
    assert "not scored" in result.page.read_text() and len(result.rows) == 2


def test_two_inputs_of_one_name(quick, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "scan.npy", kspace()[None])
    with pytest.raises(InputError, match="this name"):
        demo.run_demo(tmp_path / "out", [tmp_path / name / "scan.npy" for name in "ab"])


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_models_that_ship_are_shown_beside_the_methods(quick, tmp_path, monkeypatch):
    folder = make_model_folder(tmp_path / "weights")[0]
    monkeypatch.setattr(demo, "shipped_models", lambda coils: {"toy_small": folder})
    rows = demo.run_demo(tmp_path / "out").rows
    assert {row["method"] for row in rows} == {"zero_filled", "cg_sense", "toy_small"}
    assert all(np.isfinite(row["psnr"]) for row in rows)


def test_models_ship_for_one_coil_and_for_several(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    for place in ("one/single_coil", "one/multi_coil", "two/multi_coil", "empty/multi_coil"):
        (tmp_path / place).mkdir(parents=True)
        if not place.startswith("empty"):
            (tmp_path / place / "config.json").write_text("{}")
    assert shipped.shipped_models(1) == {"one": tmp_path / "one" / "single_coil"}
    assert shipped.shipped_models(8) == {name: tmp_path / name / "multi_coil" for name in ("one", "two")}
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "nowhere")
    assert shipped.shipped_models(8) == {}
