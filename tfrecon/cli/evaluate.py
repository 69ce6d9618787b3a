"""Scores a folder of images against references, the zero-filled images beside it.

tfrecon evaluate --recon=images
tfrecon evaluate --recon=images --reference=truth --output=scores --convention=fastmri --convention=v2

Writes metrics.json (scores, summary, passport) and metrics.csv (a row per slice and volume) and
prints the table. References and zero-filled images are looked for in images/reference and
images/zero_filled. Bare folders of .npy files, as SSDiffRecon leaves them, are read as well.
"""

from __future__ import annotations

from absl import flags

FLAGS = flags.FlagValues()

flags.DEFINE_string("recon", None, "folder of the images, or one .npy, .h5 or NIfTI file", flag_values=FLAGS)
flags.DEFINE_string("reference", None, "folder of the references; RECON/reference if not given", flag_values=FLAGS)
flags.DEFINE_string(
    "zero_filled",
    None,
    "folder of the zero-filled images; RECON/zero_filled if not given; none leaves them out, and the report says so",
    flag_values=FLAGS,
)
flags.DEFINE_string("output", None, "folder of the scores; RECON if not given", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "convention", ["fastmri"], "fastmri, slice, v2 or all; may be repeated; see docs/metrics.md", flag_values=FLAGS
)
flags.DEFINE_enum(
    "values",
    "magnitude",
    ["magnitude", "complex"],
    "complex scores PSNR, NMSE and NRMSE on the complex error",
    flag_values=FLAGS,
)
flags.DEFINE_integer("seed", 0, "of the bootstrap intervals", lower_bound=0, flag_values=FLAGS)
flags.mark_flag_as_required("recon", flag_values=FLAGS)


def main(args: flags.FlagValues) -> None:
    """Runs the verb."""
    from tfrecon.report.evaluate import default_output, evaluate

    report = evaluate(
        args.recon,
        args.reference,
        split_names(args.convention),
        args.zero_filled,
        values=args.values,
        seed=args.seed,
    )
    print(report.table())
    paths = report.save(args.output or default_output(args.recon))
    print(f"\nwrote {' and '.join(str(path) for path in paths)}")


def split_names(words: list[str]) -> list[str]:
    """Names from flags that may be repeated and may hold commas."""
    return [name.strip() for word in words for name in word.split(",") if name.strip()]
