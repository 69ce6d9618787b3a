"""Writes one self-contained HTML page about the reconstructions of one or several methods.

tfrecon report --input=images_cg,images_tv --output=report.html
tfrecon report --input=images --reference=truth --convention=all --indices=0,7 --output=report.html

The folders are what `reconstruct` wrote from the same input. References and zero-filled images are
those of the first folder unless named.
"""

from __future__ import annotations

from absl import flags

FLAGS = flags.FlagValues()

flags.DEFINE_list("input", None, "folders of the methods' images, with commas", flag_values=FLAGS)
flags.DEFINE_string("output", None, "the HTML file", flag_values=FLAGS)
flags.DEFINE_string("reference", None, "folder of the references; INPUT/reference if not given", flag_values=FLAGS)
flags.DEFINE_string(
    "zero_filled", None, "folder of the zero-filled images; INPUT/zero_filled if not given; or none", flag_values=FLAGS
)
flags.DEFINE_multi_string(
    "convention", ["fastmri"], "fastmri, slice, v2, hfs_sde or all; repeatable; see docs/metrics.md", flag_values=FLAGS
)
flags.DEFINE_list("indices", None, "numbers of the slices to show; a few if not given", flag_values=FLAGS)
flags.DEFINE_string("title", "Reconstruction report", "the heading", flag_values=FLAGS)
flags.mark_flags_as_required(["input", "output"], flag_values=FLAGS)


def main(args: flags.FlagValues) -> None:
    """Runs the verb."""
    from tfrecon.cli.evaluate import split_names
    from tfrecon.cli.plot import whole_numbers
    from tfrecon.report.html import write_report

    page = write_report(
        args.input,
        args.output,
        reference=args.reference,
        zero_filled=args.zero_filled,
        convention=split_names(args.convention),
        indices=whole_numbers(args.indices),
        title=args.title,
    )
    print(f"wrote {page}")
