"""Raw MRI data to datasets of records (TFRecord shards and a dataset.json).

Reads fastMRI h5, NIfTI (IXI and others; phase, coils and noise are simulated), NumPy files and
SSDiffRecon's records. An interrupted conversion goes on where it stopped when the command is
repeated.

    tfrecon convert --input=multicoil_val --output=records --split=train:0.8,test:0.2 --maps=espirit
    tfrecon convert --input=IXI-T1 --source=ixi --output=records --coils=8 --noise=0.01 --seed=1
    tfrecon convert --input=slice.npz --output=records --npy_kind=coil_images --axes=HWC
"""

from __future__ import annotations

from absl import flags

from tfrecon.cli.source_flags import define_format_flags

FLAGS = flags.FlagValues()

flags.DEFINE_string("input", None, "file or folder of raw data", flag_values=FLAGS)
flags.DEFINE_string("output", None, "folder for the dataset (with --split: for one folder a split)", flag_values=FLAGS)
flags.DEFINE_string("split", "", "fractions by subject, train:0.8,test:0.2", flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "of the split and of everything simulated", flag_values=FLAGS)
flags.DEFINE_enum(
    "maps", "none", ["none", "espirit", "walsh"], "estimate coil maps from the calibration block", flag_values=FLAGS
)
flags.DEFINE_integer("map_sets", 1, "1, or 2 for objects that fold over (espirit)", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "calibration_size",
    24,
    "central samples per axis that maps and coil compression may see; no more than the masks used later sample",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "coils",
    None,
    "simulated coils (8 if not given), or compress measured coils to so many",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_list("crop", None, "cut the image to H,W; 0 keeps an axis", flag_values=FLAGS)
flags.DEFINE_string("slices", "", "which slices of each volume, start:stop", flag_values=FLAGS)
flags.DEFINE_integer("limit", 0, "at most so many slices in all; 0 for no limit", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string("name", "records", "first part of the shards' names", flag_values=FLAGS)
flags.DEFINE_integer("shards", 0, "shards in each dataset; 0 chooses by size", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_enum("compression", "none", ["none", "gzip"], "of the shards", flag_values=FLAGS)
flags.DEFINE_bool("resume", True, "go on with an interrupted conversion; --noresume starts again", flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "replace a finished dataset in --output", flag_values=FLAGS)
flags.DEFINE_bool("strict", False, "refuse empty slices, which are otherwise skipped", flag_values=FLAGS)
define_format_flags(FLAGS)
flags.DEFINE_enum(
    "reference",
    "auto",
    ["auto", "file", "rss", "none"],
    "fastMRI, npy: the file's reference (auto: else RSS where fully sampled)",
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "min_foreground", 0.02, "image formats: skip slices with a smaller part of bright pixels", flag_values=FLAGS
)
flags.DEFINE_string(
    "mask", "", "npy, ssdiffrecon: mask file; 'nonzero' takes samples that are not zero as measured", flag_values=FLAGS
)
flags.DEFINE_string("coil_maps", "", "npy, ssdiffrecon: file of coil maps", flag_values=FLAGS)
flags.mark_flags_as_required(["input", "output"], flag_values=FLAGS)

_SOURCE_FLAGS = (
    *("strict", "remove_oversampling", "reference", "slice_axis", "min_foreground", "npy_kind", "axes"),
    *("key", "mask", "coil_maps", "noise", "phase", "seed"),
)


def main(args: flags.FlagValues) -> None:
    """Converts `--input` and says where the records are."""
    from tfrecon.data.convert import Preparation, convert, parse_split
    from tfrecon.data.sources import open_source

    options = {name: args[name].value for name in _SOURCE_FLAGS}
    if args.coils is not None:
        options["coils"] = args.coils
    source = open_source(args.input, args.source, **options)
    datasets = convert(
        source,
        args.output,
        split=parse_split(args.split) if args.split else None,
        seed=args.seed,
        preparation=Preparation(
            args.maps, args.map_sets, args.calibration_size, args.coils or 0, parse_size(args.crop)
        ),
        slices=args.slices,
        limit=args.limit,
        name=args.name,
        shards=args.shards,
        compression="" if args.compression == "none" else args.compression.upper(),
        resume=args.resume,
        overwrite=args.overwrite,
        made={"command": command_line(args)},
    )
    for info in datasets:
        size = sum(shard.bytes for shard in info.shards) / 1e6
        print(
            f"{info.path}: {counted(info.records, 'record')} of {counted(len(info.volumes), 'volume')} "
            f"in {counted(len(info.shards), 'shard')}, {size:.1f} MB"
        )
        for line in skip_lines(info.skipped):
            print(f"  {line}")


def parse_size(words: list[str] | None) -> tuple[int, int]:
    """Reads "H,W"; one number serves for both, nothing gives (0, 0)."""
    from tfrecon.util.errors import InputError

    try:
        numbers = [int(word) for word in words or ["0"]]
    except ValueError as error:
        raise InputError(f"crop {','.join(words)!r} is not a size", fix="give H,W such as 320,320") from error
    if len(numbers) > 2 or min(numbers) < 0:
        raise InputError(f"crop {','.join(words)!r} is not a size", fix="give H,W such as 320,320")
    return (numbers[0], numbers[-1])


def skip_lines(skipped: dict[str, str]) -> list[str]:
    """One line for each reason why slices were left out, with their number and the first."""
    first: dict[str, str] = {}
    for record_id, reason in skipped.items():
        first.setdefault(reason, record_id)
    reasons = list(skipped.values())
    return [
        f"{counted(reasons.count(reason), 'slice')} skipped ({reason}), the first {record_id}"
        for reason, record_id in first.items()
    ]


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def command_line(args: flags.FlagValues) -> str:
    """The command without what has no effect on the result; a resumed conversion has the same one."""
    passing = ("resume", "overwrite")
    words = [
        args[name].serialize()
        for name in sorted(args)
        if name not in passing and args[name].value != args[name].default
    ]
    return " ".join(["tfrecon convert", *words])
