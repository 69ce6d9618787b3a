"""Writes reference images in the order and under the names that `reconstruct` gives its own.

tfrecon reference --input=data/test --output=truth --kind=ground_truth
tfrecon reference --input=file1000031.h5 --output=zero_filled --kind=zero_filled --undersample=equispaced
"""

from __future__ import annotations

from absl import flags

from tfrecon.cli.source_flags import define_source_flags, source_options
from tfrecon.cli.undersampling_flags import define_undersampling_flags, mask_choice_from

FLAGS = flags.FlagValues()

flags.DEFINE_string("input", None, "dataset folder, or a raw file or folder of them", flag_values=FLAGS)
flags.DEFINE_string("output", None, "folder of the images", flag_values=FLAGS)
flags.DEFINE_enum("kind", "ground_truth", ["ground_truth", "zero_filled"], "which reference", flag_values=FLAGS)
flags.DEFINE_string("maps", "auto", "coil sensitivities for zero_filled, as in reconstruct", flag_values=FLAGS)
flags.DEFINE_list("format", ["npy"], "npy, h5 or nifti, or several with commas", flag_values=FLAGS)
flags.DEFINE_bool("complex", False, "complex images where the reference is complex", flag_values=FLAGS)
flags.DEFINE_integer("max", None, "stops after that many slices", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "replaces images made with other settings", flag_values=FLAGS)
define_source_flags(FLAGS)
define_undersampling_flags(FLAGS)
flags.mark_flags_as_required(["input", "output"], flag_values=FLAGS)


def main(args: flags.FlagValues) -> None:
    """Runs the verb."""
    masks = mask_choice_from(args)
    from tfrecon.serve.folder import reference_folder

    folder = reference_folder(
        args.input,
        args.output,
        args.kind,
        masks=masks,
        maps=args.maps,
        formats=args.format,
        complex_output=args.complex,
        max_records=args.max,
        overwrite=args.overwrite,
        source_options=source_options(args),
    )
    print(f"wrote {folder}: {args.kind} images and index.json")
