"""Every verb that reads raw data, on files that cannot be used: one line, an exit code, nothing half-written."""

import errno
import pathlib
import re
import subprocess
import sys

import h5py
import nibabel
import numpy as np
import pytest

from tfrecon.cli.main import EXIT_BAD_INPUT, run_verb
from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.writer import write_dataset

SHAPE = (32, 36)


def make_record(index=0, volume="anna"):
    return simulate_acquisition(
        ellipse_phantom(SHAPE, seed=index),
        record_id=f"{volume}/{index:03d}",
        volume_id=volume,
        slice_index=index,
        coils=3,
        noise=0.005,
    )


def kspace_with(value=None, axes=(0, 1, 2, 3)):
    kspace = np.stack([make_record(k).kspace for k in range(2)])
    if value is not None:
        kspace[1, 0, 3, 4] = value
    return np.ascontiguousarray(kspace.transpose(axes))


def write_h5(path, kspace, key="kspace", **more):
    with h5py.File(path, "w") as file:
        file[key] = kspace
        for name, value in more.items():
            file[name] = value
    return path


def truncate(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def wrong_path(folder):
    return folder / "missing.h5"


def empty_file(folder):
    (folder / "empty.h5").touch()
    return folder / "empty.h5"


def empty_folder(folder):
    (folder / "nothing").mkdir()
    return folder / "nothing"


def truncated_h5(folder):
    return truncate(write_h5(folder / "cut.h5", kspace_with()))


def text_as_h5(folder):
    (folder / "text.h5").write_text("not HDF5")
    return folder / "text.h5"


def missing_key(folder):
    return write_h5(folder / "keyless.h5", kspace_with(), key="data")


def coils_last_h5(folder):
    return write_h5(folder / "coils_last.h5", kspace_with(axes=(0, 2, 3, 1)))


def nan_in_h5(folder):
    return write_h5(folder / "nan.h5", kspace_with(np.nan))


def inf_in_npy(folder):
    np.save(folder / "inf.npy", kspace_with(np.inf))
    return folder / "inf.npy"


def truncated_npy(folder):
    np.save(folder / "cut.npy", kspace_with())
    return truncate(folder / "cut.npy")


def all_zero_npy(folder):
    np.save(folder / "zeros.npy", np.zeros((2, 3, *SHAPE), np.complex64))
    return folder / "zeros.npy"


def other_mask(folder, mask):
    np.save(folder / "anna.npy", kspace_with())
    np.save(folder / "anna_mask.npy", mask)
    return folder / "anna.npy"


def mask_of_another_size(folder):
    return other_mask(folder, np.ones((*SHAPE[::-1], 1))[..., 0])


def all_zero_mask(folder):
    return other_mask(folder, np.zeros(SHAPE[1]))


def wrong_mask_in_h5(folder):
    return write_h5(folder / "mask.h5", kspace_with(), mask=np.ones(SHAPE[1] + 2))


def truncated_nifti(folder):
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random((20, 20, 3)), np.eye(4)), folder / "cut.nii.gz")
    return truncate(folder / "cut.nii.gz")


def truncated_tfrecord(folder):
    info = write_dataset(folder / "set", [make_record(0), make_record(1)])
    truncate(pathlib.Path(info.files[0]))
    return folder / "set"


def changed_tfrecord(folder):
    info = write_dataset(folder / "set", [make_record(0), make_record(1)])
    shard = pathlib.Path(info.files[0])
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    return folder / "set"


def broken_dataset_json(folder):
    write_dataset(folder / "set", [make_record()])
    truncate(folder / "set" / "dataset.json")
    return folder / "set"


def two_files_of_one_name(folder):
    for name in ("a", "b"):
        (folder / "twins" / name).mkdir(parents=True)
        write_h5(folder / "twins" / name / "scan.h5", kspace_with())
    return folder / "twins"


CASES = {
    wrong_path: ("missing.h5", "check the path"),
    empty_file: ("empty.h5", "empty"),
    empty_folder: ("nothing", ""),
    truncated_h5: ("cut.h5", "truncated"),
    text_as_h5: ("text.h5", "HDF5"),
    missing_key: ("keyless.h5", "lacks the key 'kspace'"),
    coils_last_h5: ("coils_last.h5", "coils look last"),
    nan_in_h5: ("nan.h5", "NaN or Inf"),
    inf_in_npy: ("inf.npy", "NaN or Inf"),
    truncated_npy: ("cut.npy", "NumPy"),
    all_zero_npy: ("zeros.npy", ""),
    mask_of_another_size: ("anna", "mask"),
    all_zero_mask: ("anna", "zero everywhere"),
    wrong_mask_in_h5: ("mask.h5", "mask"),
    truncated_nifti: ("cut.nii.gz", ""),
    truncated_tfrecord: ("set", ""),
    changed_tfrecord: ("set", ""),
    broken_dataset_json: ("dataset.json", "JSON"),
    two_files_of_one_name: ("scan.h5", "same name"),
}


def last_words(text):
    """The lines on stderr that are neither progress nor warnings."""
    lines = [part for line in text.splitlines() for part in line.split("\r")]
    bar = re.compile(r": +\d+%\|")
    return [line for line in lines if line.strip() and not bar.search(line) and "tfrecon: warning:" not in line]


def check_refusal(verb, err, named, said):
    words = last_words(err)
    assert len(words) == 1, err
    assert words[0].startswith(f"tfrecon: {verb}: ") and "Traceback" not in err
    assert named in words[0] and said in words[0]


def leftovers(folder):
    """Files that a failed run left in its output folder."""
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("verb", ["reconstruct", "reference"])
@pytest.mark.filterwarnings("default::UserWarning")
def test_reading_verbs_refuse(verb, make, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in")
    out = tmp_path / "out"
    words = [f"--input={path}", f"--output={out}"]
    if verb == "reference":
        words.append("--kind=zero_filled")
    assert run_verb(verb, [*words, "--maps=walsh"]) == EXIT_BAD_INPUT
    check_refusal(verb, capsys.readouterr().err, *CASES[make])
    kept = {path.name for path in leftovers(out)}
    # A slice that was good stays for the next run; there is no index that would call the folder finished.
    assert "index.json" not in kept and not any(name.startswith(".im") for name in kept)
    assert not kept or make in (nan_in_h5, inf_in_npy, changed_tfrecord)


@pytest.fixture
def dataset(tmp_path):
    write_dataset(tmp_path / "set", [make_record(0), make_record(1)])
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("words", "named", "said"),
    [
        (["--undersample=equispaced", "--acs_lines=4"], "anna/000", "--maps=walsh"),
        (["--undersample=spirals"], "anna/000", "equispaced"),
        (["--mask=missing.npy"], "missing.npy", "check the path"),
        (["--maps=missing.npy"], "missing.npy", "check the path"),
        (["--method=magic"], "magic", "cg_sense"),
        (["--option=iterations=lots"], "iterations", "int"),
        (["--option=lambda=1"], "lambda", "regularisation"),
        (["--format=dicom"], "dicom", "nifti"),
        (["--format="], "format", "nifti"),
    ],
)
def test_reconstruct_refuses_what_it_cannot_do(words, named, said, dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_verb("reconstruct", [f"--input={dataset}", "--output=out", *words]) == EXIT_BAD_INPUT
    check_refusal("reconstruct", capsys.readouterr().err, named, said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.ones(SHAPE[1] + 1), "mask"),
        (np.zeros(SHAPE[1]), "zero everywhere"),
        (np.full(SHAPE[1], 0.5), "0 and 1"),
        (np.ones(SHAPE[::-1]), "mask"),
    ],
)
def test_mask_files_are_checked(content, said, dataset, tmp_path, capsys):
    np.save(tmp_path / "lines.npy", content)
    words = [f"--input={dataset}", f"--output={tmp_path / 'out'}", f"--mask={tmp_path / 'lines.npy'}"]
    assert run_verb("reconstruct", words) == EXIT_BAD_INPUT
    check_refusal("reconstruct", capsys.readouterr().err, "lines.npy", said)


@pytest.mark.parametrize("target", ["im_1samples.npy", "index.json", "journal.jsonl", "anna.h5"])
def test_full_disk_leaves_whole_files_and_can_go_on(target, dataset, tmp_path, capsys, monkeypatch):
    """The disk fills up while `target` is written; after room was made the same command finishes."""
    words = [f"--input={dataset}", f"--output={tmp_path / 'out'}", "--maps=walsh", "--format=npy,h5"]
    real_replace, real_open = pathlib.Path.replace, open

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def replace(self, to):
        return full(to) if pathlib.Path(to).name == target else real_replace(self, to)

    def opened(path, *args, **options):
        return full(path) if str(path).endswith(target) and "a" in args else real_open(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", replace)
        patch.setattr("builtins.open", opened)
        assert run_verb("reconstruct", words) == EXIT_BAD_INPUT
    check_refusal("reconstruct", capsys.readouterr().err, target, "no space left")
    assert not (tmp_path / "out" / "index.json").exists()
    for path in (tmp_path / "out").rglob("*.npy"):
        assert not path.name.startswith(".") and np.isfinite(np.load(path)).all()
    assert run_verb("reconstruct", words) == 0
    assert len(list((tmp_path / "out").glob("im_*.npy"))) == 2


def test_output_that_cannot_be_a_folder(dataset, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run_verb("reconstruct", [f"--input={dataset}", f"--output={tmp_path / 'file'}"]) == EXIT_BAD_INPUT
    check_refusal("reconstruct", capsys.readouterr().err, "file", "--output")


def run_in_process(*words):
    return subprocess.run([sys.executable, "-m", "tfrecon", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("verb", "make"),
    [
        ("reconstruct", truncated_tfrecord),
        pytest.param("convert", truncated_h5, marks=pytest.mark.slow),
        pytest.param("convert", two_files_of_one_name, marks=pytest.mark.slow),
        pytest.param("reconstruct", nan_in_h5, marks=pytest.mark.slow),
        pytest.param("reference", mask_of_another_size, marks=pytest.mark.slow),
        pytest.param("demo", coils_last_h5, marks=pytest.mark.slow),
        pytest.param("evaluate", empty_folder, marks=pytest.mark.slow),
        pytest.param("plot", wrong_path, marks=pytest.mark.slow),
        pytest.param("report", empty_folder, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_verbs_as_commands(verb, make, tmp_path):
    """The same in a process of its own: the exit code, and nothing of TensorFlow's on stderr."""
    (tmp_path / "in").mkdir()
    path, out = make(tmp_path / "in"), tmp_path / "out"
    words = {
        "evaluate": [f"--recon={path}"],
        "plot": [f"--input={path}", f"--save={out / 'figure.png'}"],
        "report": [f"--input={path}", f"--output={out / 'page.html'}"],
    }.get(verb, [f"--input={path}", f"--output={out}"])
    if verb in ("reconstruct", "reference"):
        words.append("--maps=walsh")
    done = run_in_process(verb, *words)
    assert done.returncode == EXIT_BAD_INPUT
    check_refusal(verb, done.stderr, CASES[make][0], "")
    if (verb, make) != ("reconstruct", nan_in_h5):
        assert not leftovers(out)
