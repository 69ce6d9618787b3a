"""Training and sampling under the names and flags of ddpm4MRI's scripts: each calls a verb of tfrecon.

What the verbs print, refuse and return holds here as well. Every other flag is the verb's own.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tfrecon.cli.main import run_verb
from tfrecon.cli.old_flags import Parser, one_line_errors
from tfrecon.util.errors import InputError

SCHEDULES = {"linear": "linear_scaled", "cosine": "cosine"}
"""Improved DDPM's "linear" is that of 1000 steps, whatever the chain has."""

KEYS = {
    "num_channels": "model.network.width",
    "num_res_blocks": "model.network.blocks",
    "diffusion_steps": "model.chain.steps",
    "noise_schedule": "model.chain.schedule",
    "schedule_sampler": "objective.schedule_sampler",
    "batch_size": "data.batch_size",
    "microbatch": "train.accumulate",
    "lr": "optimizer.learning_rate",
    "ema_rate": "train.ema_decay",
    "save_interval": "train.checkpoint_every",
    "resume_checkpoint": "train.start_from",
}
"""The keys of a config that flags of training stand for."""


@one_line_errors
def image_train(words: Sequence[str], configs: pathlib.Path) -> int:
    """Trains a prior. Unlike the script it replaces it ends, goes on from where it stopped, and knows of no account.

    Args:
        words: the flags.
        configs: folder of `singlecoil.py` and `multicoil.py`.

    Returns:
        The exit code.
    """
    parser = Parser(
        "image_train",
        "Trains an improved DDPM of complex images. --config.SECTION.KEY=VALUE changes any other value of the config.",
    )
    parser.add_argument("--data_dir", required=True, help="records, or a folder with train/ and perhaps validation/")
    parser.add_argument("--log_dir", required=True, help="folder of the run; the same one goes on with it")
    _add_truth(parser, "--single_coil", "takes configs/ddpm/singlecoil.py instead of multicoil.py")
    parser.add_argument("--config", help="another config file")
    parser.add_argument("--num_channels", type=int, help="of the first level")
    parser.add_argument("--num_res_blocks", type=int, help="of each level")
    parser.add_argument("--diffusion_steps", type=int, help="of the chain")
    parser.add_argument("--noise_schedule", choices=sorted(SCHEDULES), help="of the chain")
    parser.add_argument("--schedule_sampler", choices=["uniform", "loss-second-moment"], help="how times are drawn")
    parser.add_argument("--lr", type=float, help="learning rate")
    parser.add_argument("--batch_size", type=int, help="images in a step; the config's buckets are left out then")
    parser.add_argument("--microbatch", type=int, help="images worked on at once; -1 for all")
    parser.add_argument("--ema_rate", type=float, help="of the average of the weights")
    parser.add_argument("--save_interval", type=int, help="steps between checkpoints")
    parser.add_argument("--resume_checkpoint", help="a model folder or workdir whose weights are the first ones")
    args, more = parser.parse_known_args(words)
    config = args.config or configs / ("singlecoil.py" if args.single_coil else "multicoil.py")
    own = [f"--config={config}", f"--workdir={args.log_dir}", *_data_words(pathlib.Path(args.data_dir))]
    return run_verb("train", [*own, *_config_words(vars(args)), *more])


@one_line_errors
def image_sample(words: Sequence[str]) -> int:
    """Reconstructs with a prior, and writes what it made, which the script it replaces does not.

    Args:
        words: the flags.

    Returns:
        The exit code.
    """
    parser = Parser(
        "image_sample",
        "Reconstructs fully sampled data that are undersampled here, or data with gaps as they are. Every flag of "
        "`tfrecon reconstruct` is understood as well (--samples, --seed, --option, --format, ...).",
    )
    parser.add_argument("--data_dir", required=True, help="records, or a raw file or folder of them")
    parser.add_argument("--sample_path", required=True, help="folder of the images")
    parser.add_argument("--model_path", help="the run's folder, or a model folder")
    _add_truth(parser, "--no_model", "the zero-filled image instead of a reconstruction")
    parser.add_argument("--us_rate", type=float, help="acceleration, of equispaced lines (not for data with gaps)")
    parser.add_argument("--acl_frac", type=float, default=0.04, help="part of the lines at the centre (default: 0.04)")
    parser.add_argument("--timestep_respacing", help="which steps are made: '50', '10,10,30', 'ddim50'")
    _add_truth(parser, "--use_ddim", "DDIM's steps")
    args, more = parser.parse_known_args(words)
    if bool(args.model_path) == args.no_model:
        raise InputError("give either --model_path or --no_model")
    own = [f"--input={args.data_dir}", f"--output={args.sample_path}"]
    if args.us_rate is not None:
        own += ["--undersample=equispaced", f"--acceleration={args.us_rate:g}", f"--center_fraction={args.acl_frac:g}"]
    if args.no_model:
        return run_verb("reconstruct", [*own, "--method=zero_filled", *more])
    own.append(f"--workdir={args.model_path}")
    if args.timestep_respacing:
        own.append(f"--option=timestep_respacing={args.timestep_respacing}")
    return run_verb("reconstruct", [*own, *(["--sampler=ddim"] if args.use_ddim else []), *more])


def _add_truth(parser: Parser, flag: str, text: str) -> None:
    """A flag that is true by itself, or as its word says."""
    parser.add_argument(flag, nargs="?", const=True, default=False, type=_truth, metavar="BOOL", help=text)


def _truth(word: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if word.lower() not in known:
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return known[word.lower()]


def _data_words(folder: pathlib.Path) -> list[str]:
    """Where the data are; without a folder for validation there is none."""
    train, validation = folder / "train", folder / "validation"
    if not train.is_dir():
        return [f"--config.data.train={folder}", "--config.data.validation="]
    return [f"--config.data.train={train}", f"--config.data.validation={validation if validation.is_dir() else ''}"]


def _config_words(given: Mapping[str, Any]) -> list[str]:
    values = {name: given[name] for name in KEYS if given[name] is not None}
    if "noise_schedule" in values:
        values["noise_schedule"] = SCHEDULES[values["noise_schedule"]]
    if "microbatch" in values:
        values["microbatch"] = _parts(given["batch_size"], values["microbatch"])
    words = [f"--config.{KEYS[name]}={value}" for name, value in values.items()]
    if "batch_size" in values:
        words += ["--config.data.buckets=0", "--config.data.pixels_per_batch=0"]
    return words


def _parts(batch_size: int | None, microbatch: int) -> int:
    """In how many parts a batch is worked on."""
    if microbatch == -1:
        return 1
    if batch_size is None or microbatch < 1 or batch_size % microbatch:
        raise InputError(
            f"--microbatch={microbatch} does not divide --batch_size={batch_size}", fix="give both, or --microbatch=-1"
        )
    return batch_size // microbatch
