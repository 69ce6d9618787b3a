"""Folders under a budget of time: what is stopped, what is said, and how the next run goes on."""

import itertools
import json

import numpy as np
import pytest
import toy_in_steps
from trained_toys import make_model_folder

import tfrecon
from tfrecon.cli.main import EXIT_BAD_INPUT, EXIT_PARTIAL, run_verb
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.transforms import Undersampling
from tfrecon.data.writer import write_dataset
from tfrecon.serve import pace as pace_module
from tfrecon.serve.folder import reconstruct_folder, stopped_early
from tfrecon.serve.intervals import Intervals
from tfrecon.serve.mask_choice import MaskChoice
from tfrecon.serve.pace import Pace
from tfrecon.typing import Measurement
from tfrecon.util.errors import InputError

SHAPE, STEPS, SLICES = (30, 36), 8, 3
R2 = MaskChoice(Undersampling("equispaced", 2.0, acs_lines=14))
OPTIONS = {"passes": STEPS, "samples": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model_folder(tmp_path_factory.mktemp("trained") / "model", toy_in_steps.ToyInSteps.name)[0]


@pytest.fixture(scope="module")
def model(folder):
    return tfrecon.load(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "set"
    records = [
        simulate_acquisition(
            ellipse_phantom(SHAPE, seed=k), record_id=f"a/{k}", volume_id="a", slice_index=k, coils=2, store_maps=True
        )
        for k in range(SLICES)
    ]
    write_dataset(path, records)
    return path


@pytest.fixture
def clock(monkeypatch):
    """A clock on which a step takes a second; `made` counts the steps of all runs."""

    class Clock:
        time, made, step = 0.0, 0, 1.0

    real = Pace.made_steps

    def made_steps(pace, count):
        Clock.time += count * Clock.step
        Clock.made += count
        real(pace, count)

    monkeypatch.setattr(pace_module, "now", lambda: Clock.time)
    monkeypatch.setattr(Pace, "made_steps", made_steps)
    return Clock


def run(model, dataset, output, **given):
    return reconstruct_folder(dataset, output, model, OPTIONS, masks=R2, **given)


def index_of(folder):
    return json.loads((folder / "index.json").read_text())


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npy")}


@pytest.mark.parametrize("formats", [("npy",), ("h5",)])
def test_stopped_images_are_there_and_the_next_run_makes_them_whole(model, dataset, tmp_path, clock, formats):
    whole = run(model, dataset, tmp_path / "whole", formats=("npy", *formats))
    clock.made = 0
    out = run(model, dataset, tmp_path / "out", formats=formats, max_seconds=15.5)
    images = index_of(out)["images"]
    assert [image.get("stopped") for image in images] == [{"made": n, "of": STEPS} for n in (5, 5, 5)]
    assert stopped_early(out) == "3 of 3 images were stopped early, after 5 of 8 steps or more"
    kinds = {"std", "quantile_05", "quantile_95", "msd", "usd", "zero_filled", "reference", "mask"}
    assert kinds <= {path.name for path in out.iterdir()}
    tfrecon.evaluate(out)

    # More time for the first than it needs: it is whole, the others have what is left.
    assert run(model, dataset, out, formats=formats, max_seconds=21) == out
    made = [image.get("stopped", {"made": STEPS})["made"] for image in index_of(out)["images"]]
    assert made == [7, 7, 7]
    run(model, dataset, out, formats=formats, max_seconds=25)
    clock.made = 0
    run(model, dataset, out, formats=formats)
    assert clock.made == 0 and stopped_early(out) == ""
    assert not (out / ".unfinished").exists()
    if formats == ("npy",):
        known = files_of(whole)
        assert files_of(out) == known and len(known) == SLICES * (len(kinds) + 1)


def test_whole_images_are_kept_and_of_stopped_ones_the_furthest(model, dataset, tmp_path, clock):
    out = run(model, dataset, tmp_path / "out", max_seconds=15.5)
    first = files_of(out)
    run(model, dataset, out, max_seconds=6.5)  # two steps each, which come less far
    assert files_of(out) == first
    assert [image["stopped"]["made"] for image in index_of(out)["images"]] == [5, 5, 5]


def test_records_without_time_are_counted_and_made_later(model, dataset, tmp_path, clock):
    clock.step = 10.0
    out = run(model, dataset, tmp_path / "out", max_seconds=15)
    index = index_of(out)
    assert [image["k"] for image in index["images"]] == [0, 1] and index["not_begun"] == 1
    assert "for 1 more there was no time" in stopped_early(out)
    run(model, dataset, out)
    index = index_of(out)
    assert len(index["images"]) == SLICES and "not_begun" not in index and stopped_early(out) == ""
    assert files_of(out) == files_of(run(model, dataset, tmp_path / "whole"))


def test_too_little_for_one_step_leaves_nothing(model, dataset, tmp_path, monkeypatch):
    for seconds in (0.0, -1.0):
        with pytest.raises(InputError, match=f"{seconds:g} seconds"):
            run(model, dataset, tmp_path / "out", max_seconds=seconds)
    times = itertools.count()  # a second goes by whenever somebody looks
    monkeypatch.setattr(pace_module, "now", lambda: float(next(times)))
    with pytest.raises(InputError, match=r"1\.5 seconds: the time was over before a single step"):
        run(model, dataset, tmp_path / "out", max_seconds=1.5)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["cg_sense", "zero_filled"])
def test_methods_of_one_piece_have_no_budget(dataset, tmp_path, method):
    with pytest.raises(InputError, match=f"{method}.*cannot be stopped"):
        reconstruct_folder(dataset, tmp_path / "out", method, masks=R2, max_seconds=5)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(model, dataset, tmp_path, monkeypatch):
    whole = run(model, dataset, tmp_path / "whole")
    real, calls = Pace.made_steps, []

    def interrupted(pace, count):
        calls.append(count)
        if len(calls) == 4:  # in the second slice
            raise KeyboardInterrupt
        real(pace, count)

    with monkeypatch.context() as patch:
        patch.setattr(Pace, "made_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(model, dataset, tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()
    assert [path.name for path in (tmp_path / "out").glob("*.npy")] == ["im_0samples.npy"]
    monkeypatch.setattr(Pace, "made_steps", lambda pace, count: calls.append(count) or real(pace, count))
    calls.clear()
    out = run(model, dataset, tmp_path / "out")
    assert sum(calls) == 2 * STEPS
    assert files_of(out) == files_of(whole)


@pytest.mark.parametrize("damage", ["cut", "gone"])
@pytest.mark.parametrize("kind", ["", "usd"])
def test_files_that_are_not_whole_are_made_again(model, dataset, tmp_path, monkeypatch, damage, kind):
    whole = run(model, dataset, tmp_path / "whole")
    real, seen = Pace.begin, []

    def begin(pace, steps):
        seen.append(steps)
        if len(seen) == 3:
            raise KeyboardInterrupt
        real(pace, steps)

    with monkeypatch.context() as patch:
        patch.setattr(Pace, "begin", begin)
        with pytest.raises(KeyboardInterrupt):
            run(model, dataset, tmp_path / "out")
    victim = tmp_path / "out" / kind / "im_0samples.npy"
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-9])
    else:
        victim.unlink()
    assert files_of(run(model, dataset, tmp_path / "out")) == files_of(whole)


def test_other_intervals_ask_for_another_folder(model, dataset, tmp_path):
    run(model, dataset, tmp_path / "out")
    with pytest.raises(InputError, match=r"other settings .*intervals"):
        run(model, dataset, tmp_path / "out", intervals=Intervals((0.1, 0.9)))


def test_slice_and_image_that_are_not_finite_are_named(model, dataset, tmp_path):
    with pytest.raises(InputError, match=r"a/0.*image 0 of 1 is not finite"):
        reconstruct_folder(dataset, tmp_path / "out", model, {"passes": STEPS, "bad": 3}, masks=R2)
    assert not (tmp_path / "out").exists()


def test_a_run_ends_where_it_ceases_to_be_finite(model, dataset, monkeypatch):
    made, real = [], Pace.made_steps
    monkeypatch.setattr(Pace, "made_steps", lambda pace, count: made.append(count) or real(pace, count))
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.0)  # after each step
    random = np.random.default_rng(0)
    kspace = random.normal(size=(2, 1, 8, 9)).astype("complex64")
    measurement = Measurement(kspace, np.ones((1, 8, 9), np.uint8))
    with pytest.raises(InputError, match="image 0, 1 of 2"):
        model.reconstructor({"passes": 20, "bad": 4})(measurement)
    assert sum(made) == 4


def test_parts_are_traced_once_for_each_shape_and_equal_the_whole(folder, monkeypatch, caplog):
    model = tfrecon.load(folder)
    traced, real = [], toy_in_steps.apply_networks
    monkeypatch.setattr(toy_in_steps, "apply_networks", lambda *a, **k: traced.append(1) or real(*a, **k))
    monkeypatch.setattr(pace_module, "LOOK_SECONDS", 0.0)
    random = np.random.default_rng(0)
    for width in (9, 9, 12, 9):
        kspace = random.normal(size=(2, 1, 8, width)).astype("complex64")
        image = model(kspace, passes=6, noise=0.1)
        assert np.isfinite(image).all()
    assert len(traced) == 2 and "retracing" not in caplog.text


COMMON = ["--undersample=equispaced", "--acceleration=2", "--acs_lines=14"]


def test_the_command_line_says_partial(folder, dataset, tmp_path, clock, capsys):
    words = [f"--input={dataset}", f"--output={tmp_path / 'out'}", f"--model={folder}", *COMMON]
    words += [f"--nfe={STEPS}", "--samples=3"]
    assert run_verb("reconstruct", [*words, "--max_seconds=15.5"]) == EXIT_PARTIAL
    said = capsys.readouterr()
    assert "std/, usd/, zero_filled/" in said.out and "quantile_05/" in said.out
    assert "not all of it: 3 of 3 images were stopped early, after 5 of 8 steps or more" in said.out
    assert "of the budget left" in said.err
    assert run_verb("reconstruct", words) == 0
    assert "not all of it" not in capsys.readouterr().out
    index = index_of(tmp_path / "out")
    assert index["options"]["passes"] == STEPS and index["options"]["samples"] == 3
    assert index["intervals"] == {"quantiles": [0.05, 0.95], "scale": {"factor": 1.0, "fitted_on": {}}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model={model}", "--nfe=0"], "--nfe=0; give at least 1"),
        (["--model={model}", "--nfe=3", "--option=passes=3"], "option 'passes' was given twice"),
        (["--model={model}", "--samples=2", "--option=samples=2"], "option 'samples' was given twice"),
        (["--model={model}", "--max_seconds=0"], "0 seconds"),
        (["--model={model}", "--sampler=dds"], "no key 'sampler'"),
        (["--model={model}", "--quantiles=0.5,2"], "quantiles 0.5, 2"),
        (["--model={model}", "--quantiles=low"], "quantiles low"),
        (["--model={model}", "--interval_scale=0"], "interval scale of 0"),
        (["--model={model}", "--interval_scale=none.json"], "no such file"),
        (["--model={model}", "--interval_scale=2"], "no standard deviation to scale"),
        (["--method=cg_sense", "--nfe=5"], "'cg_sense' has no number of network calls"),
        (["--method=cg_sense", "--samples=5"], "no key 'samples'"),
        (["--method=cg_sense", "--max_seconds=5"], "cannot be stopped"),
    ],
)
def test_bad_words_are_one_line(words, said, folder, dataset, tmp_path, capsys):
    words = [f"--input={dataset}", f"--output={tmp_path / 'out'}", *COMMON, *(w.format(model=folder) for w in words)]
    assert run_verb("reconstruct", words) == EXIT_BAD_INPUT
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tfrecon: ")]
    assert len(lines) == 1 and said in lines[0]
    assert not (tmp_path / "out").exists()
