r"""Raw MRI data to datasets of records (TFRecord shards and a dataset.json).

Reads fastMRI h5, NIfTI (IXI and others; phase, coils and noise are simulated), NumPy files and
SSDiffRecon's records. An interrupted conversion goes on where it stopped when the command is
repeated. With --undersample or --mask fully sampled data are written as a faster scan would have
measured them. --layout=ssdiffrecon writes the files that SSDiffRecon's own code reads.

    tfrecon convert --input=multicoil_val --output=records --split=train:0.8,test:0.2 --maps=espirit
    tfrecon convert --input=IXI-T1 --source=ixi --output=records --coils=8 --noise=0.01 --seed=1
    tfrecon convert --input=slice.npz --output=records --npy_kind=coil_images --axes=HWC
    tfrecon convert --input=results/test --source=npy --output=records --slices_per_volume=30 --coils=1 \
        --split=train:0.8,test:0.2 --seed=42 --undersample=gaussian2d --acceleration=4
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absl import flags

from tfrecon.cli.source_flags import define_format_flags
from tfrecon.cli.undersampling_flags import define_undersampling_flags, mask_choice_from
from tfrecon.util.errors import InputError

if TYPE_CHECKING:
    from tfrecon.data.convert import Masks
    from tfrecon.data.sources import RecordSource
    from tfrecon.data.ssdiffrecon_writer import WrittenPart
    from tfrecon.data.tfrecord import DatasetInfo

FLAGS = flags.FlagValues()

flags.DEFINE_string("input", None, "file or folder of raw data", flag_values=FLAGS)
flags.DEFINE_string("output", None, "folder for the dataset (with --split: for one folder a split)", flag_values=FLAGS)
flags.DEFINE_string(
    "split", "", "fractions by subject (by slice where no subject is known), train:0.8,test:0.2", flag_values=FLAGS
)
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
flags.DEFINE_enum(
    "layout",
    "tfrecon",
    ["tfrecon", "ssdiffrecon"],
    "tfrecon's datasets, or the record files of SSDiffRecon's own code",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "padded_size",
    512,
    "ssdiffrecon layout: side to which multi-coil images are zero-padded",
    lower_bound=1,
    flag_values=FLAGS,
)
define_format_flags(FLAGS)
define_undersampling_flags(FLAGS)
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
flags.DEFINE_string("coil_maps", "", "npy, ssdiffrecon: file of coil maps", flag_values=FLAGS)
flags.mark_flags_as_required(["input", "output"], flag_values=FLAGS)

_SOURCE_FLAGS = (
    *("strict", "remove_oversampling", "reference", "slice_axis", "min_foreground", "npy_kind", "axes"),
    *("key", "coil_maps", "volumes", "slices_per_volume", "noise", "phase", "seed"),
)
_SOURCES_WITH_MASKS = ("npy", "ssdiffrecon")
"""Sources that take the mask file themselves: it may say what was measured."""


def main(args: flags.FlagValues) -> None:
    """Converts `--input` and says where the records are."""
    source, masks = _open(args)
    from tfrecon.data.convert import Preparation, parse_split

    preparation = Preparation(
        args.maps, args.map_sets, args.calibration_size, args.coils or 0, parse_size(args.crop), masks
    )
    shared = {
        "split": parse_split(args.split) if args.split else None,
        "seed": args.seed,
        "preparation": preparation,
        "slices": args.slices,
        "limit": args.limit,
        "overwrite": args.overwrite,
        "made": {"command": command_line(args), **_mask_facts(args.mask)},
    }
    if args.layout == "ssdiffrecon":
        _refuse_dataset_flags(args)
        from tfrecon.data.ssdiffrecon_writer import write_ssdiffrecon

        for part in write_ssdiffrecon(source, args.output, padded_size=args.padded_size, **shared):
            _say_part(part)
        return
    from tfrecon.data.convert import convert

    compression = "" if args.compression == "none" else args.compression.upper()
    written = {"name": args.name, "shards": args.shards, "compression": compression, "resume": args.resume}
    for info in convert(source, args.output, **shared, **written):
        _say_dataset(info)


def _open(args: flags.FlagValues) -> tuple[RecordSource, Masks | None]:
    """The source, and the masks that are left to be applied to its records."""
    masks = mask_choice_from(args)
    from tfrecon.data.sources import open_source

    options = {name: args[name].value for name in _SOURCE_FLAGS}
    if args.coils is not None:
        options["coils"] = args.coils
    source = open_source(args.input, args.source, mask=args.mask or "", **options)
    if args.mask is not None and source.kind in _SOURCES_WITH_MASKS:
        return source, None
    if args.mask == "nonzero":
        raise InputError("--mask=nonzero is for .npy k-space", str(args.input), "leave it out")
    return source, masks


def _mask_facts(mask: str | None) -> dict[str, Any]:
    """Name and SHA-256 of the mask file, so that a changed one is noticed."""
    import pathlib

    if mask is None or not pathlib.Path(mask).is_file():
        return {}
    from tfrecon.serve.mask_choice import file_facts

    return {"mask": file_facts(mask)}


def _refuse_dataset_flags(args: flags.FlagValues) -> None:
    """The other layout has one file a quantity: no shards, no compression, nothing to resume."""
    given = [name for name in ("name", "shards", "compression") if args[name].value != args[name].default]
    if given:
        raise InputError(f"--{given[0]} is for tfrecon's own layout", fix="leave it out with --layout=ssdiffrecon")


def _say_dataset(info: DatasetInfo) -> None:
    size = sum(shard.bytes for shard in info.shards) / 1e6
    print(
        f"{info.path}: {counted(info.records, 'record')} of {counted(len(info.volumes), 'volume')} "
        f"in {counted(len(info.shards), 'shard')}, {size:.1f} MB"
    )
    for line in skip_lines(info.skipped):
        print(f"  {line}")


def _say_part(part: WrittenPart) -> None:
    labels = "" if "labels" in part.quantities else "; no labels, the records have none"
    print(f"{part.path}: {counted(part.records, 'record')}: {', '.join(part.quantities)}{labels}")
    for line in skip_lines(dict(part.skipped)):
        print(f"  {line}")


def parse_size(words: list[str] | None) -> tuple[int, int]:
    """Reads "H,W"; one number serves for both, nothing gives (0, 0)."""
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
