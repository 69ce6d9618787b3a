import json
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

import tfrecon
from tfrecon.cli.main import run_verb
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.methods.base import method_names
from tfrecon.report.evaluate import evaluate

SHAPE = (40, 44)


@pytest.fixture(scope="module")
def fastmri_file(tmp_path_factory):
    """A fully sampled multi-coil volume of two slices in fastMRI's layout."""
    records = [
        simulate_acquisition(ellipse_phantom(SHAPE, seed=k), record_id=f"v/{k}", volume_id="v", coils=4, noise=0.003)
        for k in range(2)
    ]
    path = tmp_path_factory.mktemp("raw") / "file1000031.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = np.stack([record.kspace for record in records])
        file["reconstruction_rss"] = np.stack([np.abs(record.reference[4:36, 4:40]) for record in records])
    return path


def run(verb, *words):
    assert run_verb(verb, list(words)) == 0


def test_the_main_job_on_a_fastmri_volume(fastmri_file, tmp_path, capsys):
    out = tmp_path / "images"
    run(
        "reconstruct",
        f"--input={fastmri_file}",
        f"--output={out}",
        "--undersample=equispaced",
        "--acceleration=2",
        "--acs_lines=14",
        "--option=iterations=12",
        "--option=regularisation=1e-3",
        "--format=h5,npy",
    )
    said = capsys.readouterr().out
    assert f"wrote {out}" in said and f"tfrecon evaluate --recon={out}" in said
    with h5py.File(out / "file1000031.h5") as file:  # the source's name, fastMRI's key
        assert file["reconstruction"].shape == (2, *SHAPE) and file["reconstruction"].dtype == np.float32
    index = json.loads((out / "index.json").read_text())
    assert index["options"]["iterations"] == 12 and index["reference_type"] == "rss"
    report = evaluate(out)
    assert report.mean("psnr") > report.mean("psnr", image="zero_filled") + 3


def test_one_mask_for_a_volume_and_the_same_from_python(fastmri_file, tmp_path):
    out = tmp_path / "images"
    words = ["--undersample=random1d", "--acceleration=2", "--acs_lines=14", "--mask_seed=7", "--same_mask"]
    run("reconstruct", f"--input={fastmri_file}", f"--output={out}", *words, "--maps=walsh", "--complex")
    masks = [np.load(out / "mask" / f"im_{k}samples.npy") for k in range(2)]
    np.testing.assert_array_equal(*masks)
    with h5py.File(fastmri_file) as file:
        expected = tfrecon.reconstruct(file["kspace"][1], masks[1], "walsh")
    image = np.load(out / "im_1samples.npy")
    assert image.dtype == np.complex64
    np.testing.assert_allclose(image, expected, atol=1e-4 * np.abs(expected).max())


def test_reference_verb_gives_the_same_names(fastmri_file, tmp_path, capsys):
    run("reference", f"--input={fastmri_file}", f"--output={tmp_path / 'truth'}", "--max=1")
    assert "ground_truth" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "truth").glob("*.npy")] == ["im_0samples.npy"]
    with h5py.File(fastmri_file) as file:
        np.testing.assert_array_equal(np.load(tmp_path / "truth" / "im_0samples.npy"), file["reconstruction_rss"][0])
    words = ["--kind=zero_filled", "--undersample=equispaced", "--acs_lines=14", "--acceleration=2"]
    run("reference", f"--input={fastmri_file}", f"--output={tmp_path / 'zero'}", *words)
    zero_filled = np.load(tmp_path / "zero" / "im_1samples.npy")
    run("reconstruct", f"--input={fastmri_file}", f"--output={tmp_path / 'images'}", *words[1:])
    np.testing.assert_array_equal(zero_filled, np.load(tmp_path / "images" / "zero_filled" / "im_1samples.npy"))


def test_layout_of_arrays_is_told_by_flags(fastmri_file, tmp_path):
    with h5py.File(fastmri_file) as file:
        coils_last = np.moveaxis(file["kspace"][()], 1, -1)
    np.savez(tmp_path / "scan.npz", data=coils_last, other=np.zeros((3, 3)))
    run(
        "reconstruct",
        f"--input={tmp_path / 'scan.npz'}",
        f"--output={tmp_path / 'out'}",
        "--key=data",
        "--axes=NHWC",
        "--npy_kind=kspace",
        "--method=zero_filled",
        "--maps=walsh",
        "--max=1",
    )
    assert np.load(tmp_path / "out" / "im_0samples.npy").shape == SHAPE


def test_options_of_every_method_are_listed(capsys):
    run("reconstruct", "--list_options")
    out = capsys.readouterr().out
    assert all(f"{name}\n" in out for name in method_names())
    assert "  iterations=30" in out and "  wavelet=db4" in out
    assert "  algorithm=none" in out and "  sampling.accelerated_sampling=False" in out


@pytest.mark.slow
def test_goes_on_after_it_was_killed(fastmri_file, tmp_path):
    """SIGKILL leaves no time to clean up; the folder must still be one that the next run completes."""
    with h5py.File(fastmri_file) as file, h5py.File(tmp_path / "many.h5", "w") as many:
        many["kspace"] = np.tile(file["kspace"][()], (6, 1, 1, 1))
    words = [f"--input={tmp_path / 'many.h5'}", "--method=l1_wavelet", "--option=iterations=400"]
    words += ["--undersample=equispaced", "--acceleration=2", "--acs_lines=14"]
    out = tmp_path / "out"
    journal = out / ".unfinished" / "journal.jsonl"
    process = subprocess.Popen([sys.executable, "-m", "tfrecon", "reconstruct", *words, f"--output={out}"])
    while process.poll() is None and not (journal.exists() and journal.read_text()):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (out / "index.json").exists()
    before = {path: path.stat().st_mtime_ns for path in out.glob("im_*.npy")}
    done = [json.loads(line)["file"] for line in journal.read_text().splitlines()]
    assert 1 <= len(done) < 12
    run("reconstruct", *words, f"--output={out}")
    run("reconstruct", *words, f"--output={tmp_path / 'whole'}")
    assert all((out / name).stat().st_mtime_ns == before[out / name] for name in done)
    names = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.*"))
    for k in range(12):
        whole = np.load(tmp_path / "whole" / f"im_{k}samples.npy")
        np.testing.assert_allclose(np.load(out / f"im_{k}samples.npy"), whole, atol=1e-6 * whole.max())
