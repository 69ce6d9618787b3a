"""The verb on good and bad input; a few runs in processes of their own, as a user starts them."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from raw_files import write_fastmri

from tfrecon.cli.main import EXIT_BAD_INPUT, run_verb
from tfrecon.data.tfrecord import read_dataset_info, read_records

REAL = pathlib.Path(__file__).parents[2] / ".." / "shared" / "data"


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def command(*arguments):
    return [sys.executable, "-m", "tfrecon", "convert", *arguments]


def run(*arguments, **options):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120, check=False, **options)


def one_line(capsys):
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("tfrecon: ")]
    assert len(lines) == 1 and "Traceback" not in captured.err, captured.err
    return lines[0]


def test_convert_says_where_it_wrote(tmp_path, capsys):
    for i in range(2):
        write_fastmri(tmp_path / "raw" / f"file{i}.h5", slices=2, seed=i, patient_id=f"p{i}")
    arguments = [f"--input={tmp_path / 'raw'}", f"--output={tmp_path / 'out'}", "--split=train:0.5,test:0.5"]
    assert run_verb("convert", [*arguments, "--maps=walsh", "--calibration_size=6", "--coils=3"]) == 0
    printed = capsys.readouterr().out
    for part in ("train", "test"):
        assert f"{tmp_path / 'out' / part}: 2 records of 1 volume in 1 shard" in printed
        record = next(read_records(tmp_path / "out" / part))
        assert record.kspace.shape == record.maps.shape == (3, 16, 20)
    made = read_dataset_info(tmp_path / "out" / "train").made
    assert made["command"].startswith("tfrecon convert --calibration_size=6 --coils=3 --input=")
    assert run_verb("convert", [*arguments, "--maps=walsh", "--calibration_size=6", "--coils=3"]) == 0
    assert run_verb("convert", arguments) == EXIT_BAD_INPUT
    assert "--overwrite" in one_line(capsys)
    assert run_verb("convert", [*arguments, "--overwrite", "--compression=gzip", "--crop=12,0"]) == 0
    assert next(read_records(tmp_path / "out" / "train")).kspace.shape == (4, 12, 20)


def test_image_flags(tmp_path, capsys):
    images = np.ones((3, 16, 12), np.float32)
    images[1] = 0
    np.save(tmp_path / "a.npy", images)
    arguments = [f"--input={tmp_path / 'a.npy'}", f"--output={tmp_path / 'out'}"]
    assert run_verb("convert", [*arguments, "--coils=2", "--noise=0.1", "--nophase", "--seed=4", "--slices=0:2"]) == 0
    assert "1 slice skipped (every pixel is zero), the first a/001" in capsys.readouterr().out
    (record,) = read_records(tmp_path / "out")
    facts = record.attrs["simulated"]
    assert facts["seed"] == 4 and facts["noise"]["relative"] == 0.1 and facts["phase"] == "none"
    assert run_verb("convert", [*arguments, "--strict", "--overwrite"]) == EXIT_BAD_INPUT
    assert "a/001': every pixel is zero" in one_line(capsys)


def test_masks_are_applied_to_what_is_fully_sampled(tmp_path, capsys):
    write_fastmri(tmp_path / "file1.h5", slices=2)
    base = [f"--input={tmp_path / 'file1.h5'}", "--reference=rss"]
    made = ["--undersample=equispaced", "--acceleration=2", "--acs_lines=6", "--mask_seed=3", "--same_mask"]
    assert run_verb("convert", [*base, f"--output={tmp_path / 'drawn'}", *made]) == 0
    first, second = read_records(tmp_path / "drawn")
    assert first.attrs["undersampling"]["acceleration"] == pytest.approx(2, rel=0.15)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert not first.kspace[..., first.mask[0, 0] == 0].any() and first.reference is not None
    asked = read_dataset_info(tmp_path / "drawn").made["preparation"]["masks"]
    assert asked["kind"] == "equispaced" and asked["seed"] == 3 and asked["same_mask"] is True
    np.save(tmp_path / "mask.npy", first.mask[0, 0])
    given = [*base, f"--mask={tmp_path / 'mask.npy'}", f"--output={tmp_path / 'given'}"]
    assert run_verb("convert", given) == 0
    for record, other in zip(read_records(tmp_path / "given"), (first, second), strict=True):
        np.testing.assert_array_equal(record.kspace, other.kspace)
    capsys.readouterr()
    np.save(tmp_path / "mask.npy", 1 - first.mask[0, 0])  # a changed mask makes other data
    assert run_verb("convert", given) == EXIT_BAD_INPUT and "was made otherwise" in one_line(capsys)


@pytest.mark.filterwarnings("always:the original's networks")
def test_the_originals_layout_and_back(tmp_path, capsys):
    write_fastmri(tmp_path / "raw" / "file1.h5", slices=2, edges=(0, 0))
    words = [f"--input={tmp_path / 'raw'}", f"--output={tmp_path / 'out'}", "--layout=ssdiffrecon", "--padded_size=32"]
    words += ["--undersample=gaussian1d", "--acceleration=2", "--acs_lines=8", "--maps=walsh", "--calibration_size=8"]
    assert run_verb("convert", words) == 0
    printed, said = capsys.readouterr()
    assert "these are 4 of 32×32" in said.splitlines()[-1]
    assert f"{tmp_path / 'out'}: 2 records: us_im, mask, coil_map, kspace, reference; no labels" in printed
    assert run_verb("convert", [f"--input={tmp_path / 'out'}", f"--output={tmp_path / 'back'}"]) == 0
    records = list(read_records(tmp_path / "back"))
    assert [record.record_id for record in records] == ["file1/000", "file1/001"]
    assert records[0].kspace.shape == records[0].maps.shape == (4, 16, 20)
    assert run_verb("convert", words) == EXIT_BAD_INPUT and "--overwrite" in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input=same/a/file.h5", "--mask=nonzero"], "--mask=nonzero is for .npy k-space"),
        (["--input=same/a/file.h5", "--mask=no.npy"], "no.npy: no such file"),
        (["--input=same/a/file.h5", "--mask=m.npy", "--undersample=full"], "--mask and --undersample were both given"),
        (["--input=same/a/file.h5", "--undersample=gaussian"], "no mask kind 'gaussian'"),
        (["--input=same/a/file.h5", "--layout=ssdiffrecon", "--compression=gzip"], "--compression is for tfrecon's"),
        (["--input=same/a/file.h5", "--layout=ssdiffrecon"], "give --maps=espirit"),
        (["--input=nowhere"], "nowhere: no such file or folder"),
        (["--input=empty"], "empty: holds no file of a known kind"),
        (["--input=empty.npy"], "empty.npy: is an empty file"),
        (["--input=cut.h5"], "cut.h5: is truncated"),
        (["--input=nan.npy"], "nan.npy record 'nan/000': key 'kspace' (2, 8, 8) holds 1 NaN or Inf samples"),
        (["--input=last.npy"], "its coils look last; give --axes=HWC"),
        (["--input=same"], "file.h5: has the same name as"),
        (["--input=good.npy", "--split=a:0.5,b:0.5"], "1 subject(s) cannot be split into a, b"),
        (["--input=good.npy", "--crop=x"], "crop 'x' is not a size"),
        (["--input=good.npy", "--crop=1,2,3"], "crop '1,2,3' is not a size"),
        (["--input=good.npy", "--maps=espirit"], "calibration region"),
        (["--input=good.npy", "--maps=magic"], "--maps=magic"),
        ([], "--input"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    good = np.random.default_rng(0).standard_normal((2, 8, 8)) * np.outer(np.hanning(8), np.hanning(8)) ** 8 + 0j
    bad = good.copy()
    bad[0, 0, 0] = np.nan
    pathlib.Path("empty").mkdir()
    pathlib.Path("empty.npy").touch()
    np.save("good.npy", good + 1e-9)
    np.save("nan.npy", bad)
    np.save("last.npy", np.ones((16, 16, 3), complex))
    write_fastmri(pathlib.Path("cut.h5"))
    pathlib.Path("cut.h5").write_bytes(pathlib.Path("cut.h5").read_bytes()[:-500])
    for folder in ("a", "b"):
        write_fastmri(pathlib.Path("same") / folder / "file.h5")
    if "nan" in " ".join(arguments):
        arguments = [*arguments, "--npy_kind=kspace"]
    assert run_verb("convert", ["--output=out", *arguments]) == EXIT_BAD_INPUT
    assert said in one_line(capsys)
    assert not pathlib.Path("out").exists()


def test_full_disk_in_a_process(tmp_path):
    """A limit on file sizes stands for a full disk: the writer's error comes from the system itself."""
    write_fastmri(tmp_path / "file1.h5", slices=4, coils=8, height=128, width=100)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    result = run(f"--input={tmp_path / 'file1.h5'}", f"--output={tmp_path / 'out'}", preexec_fn=limit)
    assert result.returncode == EXIT_BAD_INPUT, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("tfrecon: convert: ") and "records-00000-of-00001.tfrecord: cannot be written" in last
    assert "Traceback" not in result.stderr and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_killed_conversion_goes_on(tmp_path):
    for i in range(6):
        write_fastmri(tmp_path / "raw" / f"file{i}.h5", slices=6, coils=8, height=128, width=100, seed=i)
    arguments = ["--maps=walsh", "--shards=12", "--output=out"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "raw").symlink_to(tmp_path / "raw")
    process = subprocess.Popen(
        command("--input=raw", *arguments),
        cwd=tmp_path / "killed",
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    progress = tmp_path / "killed" / "out" / ".progress.json"
    deadline = time.monotonic() + 100
    while not (progress.is_file() and len(json.loads(progress.read_text())["shards"]) >= 2):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "out" / "dataset.json").exists()
    for name in ("killed", "whole"):
        assert run("--input=raw", *arguments, cwd=tmp_path / name).returncode == 0
    assert files(tmp_path / "killed" / "out") == files(tmp_path / "whole" / "out")
    for file in files(tmp_path / "whole" / "out"):
        assert (tmp_path / "killed" / "out" / file).read_bytes() == (tmp_path / "whole" / "out" / file).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not here")
@pytest.mark.parametrize(
    ("file", "arguments", "shape"),
    [
        ("brain_7coil_slice.npz", ["--npy_kind=coil_images", "--axes=HWC", "--maps=espirit"], (7, 256, 216)),
        ("brain_8coil_poisson_ksp.npy", ["--mask=nonzero"], (8, 230, 180)),
        ("admm_brain_complex.npz", ["--coils=1"], (1, 256, 256)),
        ("ixi_t1t2_25.npz", ["--key=T2", "--limit=2"], (8, 152, 256)),
        ("colin27_ch2.nii.gz", ["--slices=80:82", "--coils=4"], (4, 217, 181)),
        ("fernando_flair.nii.gz", ["--slices=10:11"], (8, 320, 320)),
    ],
)
def test_real_data(tmp_path, file, arguments, shape):
    assert run_verb("convert", [f"--input={REAL / file}", f"--output={tmp_path / 'out'}", *arguments]) == 0
    for record in read_records(tmp_path / "out", verify=True):
        assert record.kspace.shape == shape and record.scale > 0
