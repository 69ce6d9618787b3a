import json

import numpy as np
import pytest
from toy_in_steps import ToyInSteps
from trained_toys import make_model_folder

from tfrecon.data.synthetic import deform_cine, ellipse_phantom, simulate_acquisition
from tfrecon.methods.base import register_method
from tfrecon.serve import demo, demo_methods, shipped
from tfrecon.serve.interval_scale import FILE, IntervalScale
from tfrecon.util.errors import InputError

SHAPE = (48, 72)
PRIOR = {"passes": 3, "samples": 4, "noise": 0.05}

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@register_method
class Refusing(ToyInSteps):
    """A trained method that wants other data."""

    name = "toy_that_refuses"

    def check(self, measurement, options, *, series=False):
        raise InputError("wants other data")


def ship(monkeypatch, **models):
    """Lets (folder, options) by name be the models that ship; a folder of None is missing."""
    found = {name: folder for name, (folder, _) in models.items() if folder is not None}
    monkeypatch.setattr(demo_methods, "SHOWN", {name: options for name, (_, options) in models.items()})
    monkeypatch.setattr(demo_methods, "shipped_models", lambda coils: found)


@pytest.fixture
def quick(monkeypatch):
    """Two methods, and a small phantom in place of the head."""
    monkeypatch.setattr(demo_methods, "untrained_names", lambda: ("zero_filled", "cg_sense"))
    ship(monkeypatch)
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


def test_models_that_ship_are_shown_beside_the_methods(quick, tmp_path, monkeypatch):
    """One of them a prior, whose samples say how sure it is, by a scale that was fitted once."""
    prior = make_model_folder(tmp_path / "prior", ToyInSteps.name)[0]
    IntervalScale(2.0, {"images": 3, "input": "validation"}).write(prior / FILE)
    ship(monkeypatch, toy_small=(make_model_folder(tmp_path / "toy")[0], {}), toy_prior=(prior, PRIOR))
    out = tmp_path / "out"
    result = demo.run_demo(out)
    assert [row["method"] for row in result.rows[:4]] == ["zero_filled", "cg_sense", "toy_small", "toy_prior"]
    assert len(result.rows) == 8 and all(np.isfinite(row["psnr"]) for row in result.rows)
    cases = ("head_equispaced_R4", "head_poisson_R8")
    assert [path.name for path in result.figures] == [
        name for case in cases for name in (f"{case}.png", f"{case}_toy_prior_uncertainty.png")
    ]
    assert all(path.stat().st_size > 1000 for path in result.figures)
    for case in cases:
        index = json.loads((out / case / "toy_prior" / "index.json").read_text())
        assert index["options"] == {"bad": -1, **PRIOR} and index["intervals"]["scale"]["factor"] == 2
        assert np.load(out / case / "toy_prior" / "std" / "im_0samples.npy").max() > 0
        assert not list((out / case / "toy_prior").glob("quantile_*"))
    assert result.table().splitlines()[-1] == (
        "toy_prior: the mean of 4 samples of the posterior, 12 network calls for each slice"
    )
    page = result.page.read_text()
    assert page.count("intervals scaled by 2, fitted on 3 images of validation") >= 2
    assert page.count("<h3>Uncertainty</h3>") == 2


def test_a_model_is_loaded_once_and_missed_once(monkeypatch, tmp_path):
    folder, loads = make_model_folder(tmp_path / "toy")[0], []
    ship(monkeypatch, toy_small=(folder, {}), toy_prior=(None, PRIOR))
    real = demo_methods.load
    monkeypatch.setattr(demo_methods, "load", lambda path: (loads.append(path), real(path))[1])
    record = simulate_acquisition(ellipse_phantom(SHAPE), record_id="a", volume_id="a", coils=4)
    methods = demo_methods.DemoMethods()
    with pytest.warns(UserWarning, match="has no toy_prior: the demo goes on without") as said:
        first = methods.of(record)
    assert len(said) == 1
    assert [method.name for method in methods.of(record)] == [method.name for method in first]
    assert first[-1].name == "toy_small" and loads == [folder]


def test_a_prior_is_not_asked_for_a_series(monkeypatch, tmp_path):
    ship(monkeypatch, toy_prior=(make_model_folder(tmp_path / "toy", ToyInSteps.name)[0], PRIOR))
    frames = deform_cine(ellipse_phantom(SHAPE), 3)
    record = simulate_acquisition(frames, record_id="c", volume_id="c", coils=4)
    with pytest.warns(UserWarning, match="toy_prior is not shown on series"):
        names = [method.name for method in demo_methods.DemoMethods().of(record)]
    assert "toy_prior" not in names and "zero_filled" in names


def test_a_model_that_refuses_is_left_out(quick, tmp_path, monkeypatch):
    ship(monkeypatch, toy_small=(make_model_folder(tmp_path / "toy", Refusing.name)[0], {}))
    with pytest.warns(UserWarning, match=r"toy_small is not shown on head_.*wants other data"):
        rows = demo.run_demo(tmp_path / "out").rows
    assert {row["method"] for row in rows} == {"zero_filled", "cg_sense"}


def test_models_ship_for_one_coil_for_several_and_for_any(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    for place in ("any", "one/single_coil", "one/multi_coil", "two/multi_coil", "empty/multi_coil"):
        (tmp_path / place).mkdir(parents=True)
        if not place.startswith("empty"):
            (tmp_path / place / "config.json").write_text("{}")
    prior = {"any": tmp_path / "any"}
    assert shipped.shipped_models(1) == prior | {"one": tmp_path / "one" / "single_coil"}
    assert shipped.shipped_models(8) == prior | {name: tmp_path / name / "multi_coil" for name in ("one", "two")}
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "nowhere")
    assert shipped.shipped_models(8) == {}
