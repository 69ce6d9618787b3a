"""Draws reconstructions beside their references: images, errors, masks, scores.

tfrecon plot --input=images --indices=0,3 --save=figure.png
tfrecon plot --input=images_cg,images_tv --indices=5 --save=compare.png
tfrecon plot --input=bare_folder --grid --rows=2 --save=overview.png
tfrecon plot --input=images --uncertainty --indices=0 --save=uncertainty.png

The numbers of --indices are those in the file names (im_3samples.npy is 3). Without references, or
with --grid, the images of the first folder are shown side by side.
"""

from __future__ import annotations

from absl import flags

FLAGS = flags.FlagValues()

flags.DEFINE_list("input", None, "folder of the images; several, with commas, are compared", flag_values=FLAGS)
flags.DEFINE_list("indices", None, "numbers of the images, with commas; a few if not given", flag_values=FLAGS)
flags.DEFINE_string("save", None, "the figure file (.png, .pdf, .svg)", flag_values=FLAGS)
flags.DEFINE_string("reference", None, "folder of the references; INPUT/reference if not given", flag_values=FLAGS)
flags.DEFINE_string(
    "zero_filled",
    None,
    "folder of the zero-filled images; INPUT/zero_filled if there is one; or none",
    flag_values=FLAGS,
)
flags.DEFINE_string("convention", "fastmri", "fastmri, slice or v2: how the titles are scored", flag_values=FLAGS)
flags.DEFINE_bool("grid", False, "images side by side, without references", flag_values=FLAGS)
flags.DEFINE_bool("uncertainty", False, "how sure the images are, of several samples", flag_values=FLAGS)
flags.DEFINE_integer("rows", 2, "rows of the grid", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("dpi", 130, "pixels per inch", lower_bound=20, upper_bound=1200, flag_values=FLAGS)
flags.mark_flags_as_required(["input", "save"], flag_values=FLAGS)


def main(args: flags.FlagValues) -> None:
    """Runs the verb."""
    from tfrecon.report.plot import plot_folders

    missing = plot_folders(
        args.input,
        args.save,
        indices=whole_numbers(args.indices),
        reference=args.reference,
        zero_filled=args.zero_filled,
        convention=args.convention,
        grid=args.grid,
        rows=args.rows,
        dpi=args.dpi,
        uncertainty=args.uncertainty,
    )
    for k in missing:
        print(f"there is no image number {k}")
    print(f"wrote {args.save}")


def whole_numbers(words: list[str] | None) -> list[int] | None:
    """The numbers of an `--indices` flag.

    Raises:
        InputError: a word is not a whole number from 0 up.
    """
    from tfrecon.util.errors import InputError

    wrong = [word for word in words or [] if not word.strip().isdecimal()]
    if wrong:
        raise InputError(f"--indices holds {wrong[0]!r}", fix="give whole numbers with commas, such as 0,3")
    return [int(word) for word in words] if words else None
