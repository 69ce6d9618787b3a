"""ddpm4MRI's two scripts: their flags as words of verbs, and what they refuse in one line."""

import pathlib

import numpy as np
import pytest

from tfrecon.cli import ddpm_tools
from tfrecon.train.config_file import read_experiment_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "ddpm"
DATA = ROOT / "dummy_data" / "records"


@pytest.fixture
def called(monkeypatch):
    """The verb and its words, which are not run."""
    calls = []
    monkeypatch.setattr(ddpm_tools, "run_verb", lambda verb, words: calls.append((verb, words)) or 0)
    return calls


def experiment_of(words):
    """What `tfrecon train` would run."""
    config = next(word.partition("=")[2] for word in words if word.startswith("--config="))
    pairs = [word.removeprefix("--config.").partition("=") for word in words if word.startswith("--config.")]
    return read_experiment_file(config, {key: value for key, _, value in pairs})


def test_flags_of_training_are_keys_of_the_config(called, tmp_path):
    (tmp_path / "train").mkdir()
    words = ["--data_dir", str(tmp_path), "--log_dir=runs/x", "--single_coil", "True", "--num_channels", "32"]
    words += ["--num_res_blocks=1", "--diffusion_steps=500", "--noise_schedule", "linear", "--lr", "2e-4"]
    words += ["--schedule_sampler=loss-second-moment", "--batch_size=8", "--microbatch=2", "--ema_rate=0.99"]
    words += ["--save_interval=50", "--config.train.steps=7"]
    assert ddpm_tools.image_train(words, CONFIGS) == 0
    ((verb, given),) = called
    assert verb == "train" and "--workdir=runs/x" in given and f"--config={CONFIGS / 'singlecoil.py'}" in given
    experiment = experiment_of(given)
    model, train, data = experiment.model, experiment.train, experiment.data
    assert (model.network.width, model.network.blocks) == (32, 1)
    assert (model.chain.steps, model.chain.schedule) == (500, "linear_scaled")
    assert experiment.objective.draws_by_loss and experiment.optimizer.learning_rate == 2e-4
    assert (data.batch_size, train.accumulate, train.ema_decay, train.checkpoint_every) == (8, 4, 0.99, 50)
    assert (data.train, data.validation, train.steps) == (str(tmp_path / "train"), "", 7)


def test_what_is_left_out_stays_as_the_config_has_it(called):
    assert ddpm_tools.image_train(["--data_dir=records", "--log_dir=x", "--microbatch=-1"], CONFIGS) == 0
    experiment, expected = experiment_of(called[0][1]), read_experiment_file(str(CONFIGS / "multicoil.py"))
    assert experiment.model == expected.model and experiment.objective == expected.objective
    assert experiment.data.train == "records" and experiment.data.buckets == expected.data.buckets > 0
    ddpm_tools.image_train(["--data_dir=records", "--log_dir=x", "--batch_size=4"], CONFIGS)
    assert experiment_of(called[1][1]).data.buckets == 0


def test_flags_of_sampling_are_words_of_reconstruct(called):
    words = ["--data_dir=file.h5", "--model_path", "runs/x", "--sample_path=images", "--us_rate", "8", "--use_ddim"]
    assert ddpm_tools.image_sample([*words, "--timestep_respacing", "ddim25", "--samples=4"]) == 0
    assert called[0] == (
        "reconstruct",
        [
            "--input=file.h5",
            "--output=images",
            "--undersample=equispaced",
            "--acceleration=8",
            "--center_fraction=0.04",
            "--workdir=runs/x",
            "--option=timestep_respacing=ddim25",
            "--sampler=ddim",
            "--samples=4",
        ],
    )
    assert ddpm_tools.image_sample(["--data_dir=d", "--sample_path=o", "--no_model", "true"]) == 0
    assert called[1] == ("reconstruct", ["--input=d", "--output=o", "--method=zero_filled"])


def test_zero_filled_images_are_written(tmp_path, capsys):
    words = [f"--data_dir={DATA / 'test'}", f"--sample_path={tmp_path / 'out'}", "--no_model", "--us_rate=3"]
    assert ddpm_tools.image_sample([*words, "--acl_frac=0.1", "--max=1"]) == 0
    assert "wrote" in capsys.readouterr().out
    assert np.isfinite(np.load(tmp_path / "out" / "im_0samples.npy")).all()


@pytest.mark.parametrize(
    ("tool", "words", "said"),
    [
        ("train", ["--log_dir=x"], "the following arguments are required: --data_dir"),
        ("train", ["--data_dir=d", "--log_dir=x", "--noise_schedule=quadratic"], "invalid choice: 'quadratic'"),
        (
            "train",
            ["--data_dir=d", "--log_dir=x", "--batch_size=8", "--microbatch=3"],
            "--microbatch=3 does not divide",
        ),
        ("train", ["--data_dir=d", "--log_dir=x", "--single_coil=maybe"], "'maybe' is neither true nor false"),
        ("train", ["--data_dir=d", "--log_dir=x", "--diffusion_steps=0"], "a diffusion chain of 0 steps"),
        ("sample", ["--data_dir=d", "--sample_path=o"], "give either --model_path or --no_model"),
        ("sample", ["--data_dir=d", "--sample_path=o", "--model_path=nowhere"], "nowhere"),
        ("sample", ["--data_dir=d", "--sample_path=o", "--no_model", "--us_rate=fast"], "invalid float value: 'fast'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, tool, words, said):
    monkeypatch.chdir(tmp_path)
    code = ddpm_tools.image_train(words, CONFIGS) if tool == "train" else ddpm_tools.image_sample(words)
    error = capsys.readouterr().err
    assert code == 2 and said in error and len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
