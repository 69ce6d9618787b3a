"""Reconstructs real anatomy, and your own files, with every method; scores, draws, writes one page.

tfrecon demo
tfrecon demo --input=file1000031.h5 --output=demo_output

The anatomy is the head that comes with matplotlib, measured with 8 simulated coils, phase and noise.
A file of yours that is fully sampled is undersampled four-fold; any other is used as it is. Beside the methods
without training there are the small models of weights/, as far as they are there; of a diffusion prior the mean of
several samples, and figures that say how sure it is.
"""

from __future__ import annotations

from absl import flags

from tfrecon.cli.source_flags import define_source_flags, source_options

FLAGS = flags.FlagValues()

flags.DEFINE_list("input", [], "datasets, raw files or folders of your own, with commas", flag_values=FLAGS)
flags.DEFINE_string("output", "demo_output", "folder of everything", flag_values=FLAGS)
flags.DEFINE_integer(
    "max", 3, "slices of each input, from the middle of its first volume", lower_bound=1, flag_values=FLAGS
)
flags.DEFINE_string(
    "mask", None, "what .npy inputs were measured with, or what to keep of them; or nonzero", flag_values=FLAGS
)
define_source_flags(FLAGS)


def main(args: flags.FlagValues) -> None:
    """Runs the verb."""
    from tfrecon.serve.demo import run_demo

    result = run_demo(
        args.output, args.input, slices=args.max, mask_file=args.mask, source_options=source_options(args)
    )
    print(result.table())
    print()
    for path in [*result.figures, result.metrics, result.page]:
        print(f"wrote {path}")
    print(f"look at {result.page} in a browser")
