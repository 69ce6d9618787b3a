r"""Makes images from a dataset of records or a raw file, and goes on where an earlier run stopped.

tfrecon reconstruct --input=data/test --output=images --method=cg_sense
tfrecon reconstruct --input=file1000031.h5 --output=images --undersample=equispaced --acceleration=4 \
    --method=l1_wavelet --option=iterations=60 --format=h5
tfrecon reconstruct --input=data/test --output=images --workdir=runs/first
tfrecon reconstruct --input=data/test --output=images --model=exported
tfrecon reconstruct --input=data/test --output=images --workdir=runs/prior --nfe=30 --samples=8 --max_seconds=600

Input that is undersampled is used as it is. Fully sampled input is undersampled by --mask or
--undersample, or reconstructed from all of its samples. A trained model is named by its workdir, its
model folder or its SavedModel, any other method by --method (cg_sense, if nothing is named).
`--list_options` names the methods and their options.

The exit code is 3 where --max_seconds ended before all was done: the images are the best there were, and the same
command, perhaps with more time, makes those anew that were stopped early.
"""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from absl import flags

from tfrecon.cli.main import EXIT_PARTIAL
from tfrecon.cli.sampling_flags import define_sampling_flags, intervals_from, sampling_options
from tfrecon.cli.source_flags import define_source_flags, source_options
from tfrecon.cli.trained_flags import define_trained_flags
from tfrecon.cli.undersampling_flags import define_undersampling_flags, mask_choice_from
from tfrecon.methods.base import method_names
from tfrecon.util.errors import InputError

if TYPE_CHECKING:
    from tfrecon.serve.learned import LearnedModel

FLAGS = flags.FlagValues()

flags.DEFINE_string("input", None, "dataset folder, or a raw file or folder of them", flag_values=FLAGS)
flags.DEFINE_string("output", None, "folder of the images", flag_values=FLAGS)
flags.DEFINE_string(
    "method", None, f"one of {', '.join(method_names())}; cg_sense if no model is named", flag_values=FLAGS
)
define_trained_flags(FLAGS)
flags.DEFINE_string("model", None, "a model folder, or a SavedModel of tfrecon export", flag_values=FLAGS)
flags.DEFINE_multi_string("option", [], "NAME=VALUE, an option of the method", flag_values=FLAGS)
flags.DEFINE_bool("list_options", False, "prints the methods with their options, and stops", flag_values=FLAGS)
flags.DEFINE_string(
    "maps",
    "auto",
    "coil sensitivities: auto (the record's own, else espirit), espirit or walsh (estimated anew), or an .npy file",
    flag_values=FLAGS,
)
flags.DEFINE_integer("map_sets", 1, "sets of maps to estimate; 2 is soft-SENSE", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_list("format", ["npy"], "npy, h5 or nifti, or several with commas", flag_values=FLAGS)
flags.DEFINE_bool("complex", False, "complex images instead of magnitudes", flag_values=FLAGS)
flags.DEFINE_integer("max", None, "stops after that many slices", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "replaces images made with other settings", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "for methods that draw random numbers", lower_bound=0, flag_values=FLAGS)
define_sampling_flags(FLAGS)
define_source_flags(FLAGS)
define_undersampling_flags(FLAGS)


def main(args: flags.FlagValues) -> int:
    """Runs the verb."""
    if args.list_options:
        print(_list_options())
        return 0
    _require(args, "input", "output")
    options = parse_options(args.option)
    masks = mask_choice_from(args)
    method = _method(args)
    options = sampling_options(args, options, method)
    from tfrecon.serve.folder import reconstruct_folder

    folder = reconstruct_folder(
        args.input,
        args.output,
        method,
        options,
        masks=masks,
        maps=args.maps,
        map_sets=args.map_sets,
        formats=args.format,
        complex_output=args.complex,
        max_records=args.max,
        overwrite=args.overwrite,
        seed=args.seed,
        source_options=source_options(args),
        intervals=intervals_from(args),
        max_seconds=args.max_seconds,
    )
    return _report(folder)


def _report(folder: pathlib.Path) -> int:
    """Says what was written and what comes next; returns the exit code."""
    from tfrecon.serve.folder import stopped_early
    from tfrecon.serve.writers import subfolders

    scored = (folder / "reference").is_dir()
    beside = [f"{path.name}/" for path in subfolders(folder) if any(path.glob("*"))]
    print(f"wrote {folder}: images, {', '.join(beside)} and index.json")
    lacking = stopped_early(folder)
    if lacking:
        print(f"not all of it: {lacking}; run the same command again, with more --max_seconds, to make them anew")
    print(f"next: tfrecon {'evaluate --recon' if scored else 'plot --save=images.png --input'}={folder}")
    return EXIT_PARTIAL if lacking else 0


def _method(args: flags.FlagValues) -> str | LearnedModel:
    """The method's name, or the trained model, that was asked for.

    Raises:
        InputError: several were, or the model cannot be loaded.
    """
    named = [f"--{name}" for name in ("method", "workdir", "model") if args[name].value]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} were both given", fix="give one of them")
    if args.checkpoint and not args.workdir:
        raise InputError("--checkpoint was given without --workdir", fix="name the workdir it is of")
    if args.workdir or args.model:
        from tfrecon.serve.load import load

        return load(args.workdir or args.model, args.checkpoint)
    return args.method or "cg_sense"


def parse_options(words: list[str]) -> dict[str, str]:
    """`NAME=VALUE` words to a dictionary.

    Raises:
        InputError: a word without "=", or a name given twice.
    """
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError(f"--option={word} is not NAME=VALUE", fix="write for instance --option=iterations=30")
        if name in options:
            raise InputError(f"option {name!r} was given twice", fix="give it once")
        options[name] = value
    return options


def _require(args: flags.FlagValues, *names: str) -> None:
    missing = [f"--{name}" for name in names if not args[name].value]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given", fix="see tfrecon reconstruct --help")


def _list_options() -> str:
    from tfrecon.methods.base import get_method
    from tfrecon.util.settings import to_dotted

    lines = []
    for name in method_names():
        lines.append(name)
        options = to_dotted(get_method(name).options_type())
        lines += [f"  {option}={value}" for option, value in options.items()]
    return "\n".join(lines)
