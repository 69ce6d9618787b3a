"""Scores a folder of images against references, the zero-filled images beside it.

tfrecon evaluate --recon=images
tfrecon evaluate --recon=images --reference=truth --output=scores --convention=fastmri --convention=v2
tfrecon evaluate --recon=validation_images --fit_interval_scale=scale.json
tfrecon evaluate --recon=test_images --calibration --interval_scale=scale.json

Writes metrics.json (scores, summary, passport) and metrics.csv (a row per slice and volume) and
prints the table. References and zero-filled images are looked for in images/reference and
images/zero_filled. Bare folders of .npy files, as SSDiffRecon leaves them, are read as well.

--calibration asks of images of several samples how often the truth lies in their intervals, inside the object, and
writes calibration.json and reliability.png beside. --fit_interval_scale fits a factor on the standard deviation and
writes it to a file; use it, there or in tfrecon reconstruct, on other data than it was fitted on. --fit_also names
further folders, such as those of other masks, for one factor that is to serve all.
"""

from __future__ import annotations

from absl import flags

from tfrecon.typing import PathLike
from tfrecon.util.errors import InputError

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
    "convention", ["fastmri"], "fastmri, slice, v2, hfs_sde or all; repeatable; see docs/metrics.md", flag_values=FLAGS
)
flags.DEFINE_enum(
    "values",
    "magnitude",
    ["magnitude", "complex"],
    "complex scores PSNR, NMSE and NRMSE on the complex error",
    flag_values=FLAGS,
)
flags.DEFINE_integer("seed", 0, "of the bootstrap intervals", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_bool("calibration", False, "how often the truth lies in the intervals of std/", flag_values=FLAGS)
flags.DEFINE_string(
    "interval_scale",
    None,
    "of the intervals, in the place of the one they were written with: a number, a file of --fit_interval_scale, or a "
    "model folder that has one",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "fit_interval_scale", None, "fits the factor to these images and writes it to this .json file", flag_values=FLAGS
)
flags.DEFINE_multi_string(
    "fit_also", [], "further folders that --fit_interval_scale takes with --recon; may be repeated", flag_values=FLAGS
)
flags.mark_flag_as_required("recon", flag_values=FLAGS)


def main(args: flags.FlagValues) -> None:
    """Runs the verb."""
    from tfrecon.report.evaluate import default_output, evaluate

    output = args.output or default_output(args.recon)
    report = evaluate(
        args.recon,
        args.reference,
        split_names(args.convention),
        args.zero_filled,
        values=args.values,
        seed=args.seed,
    )
    print(report.table())
    paths = [*report.save(output), *_calibration(args, output)]
    print(f"\nwrote {', '.join(str(path) for path in paths[:-1])} and {paths[-1]}")


def _calibration(args: flags.FlagValues, output: PathLike) -> list[PathLike]:
    """Prints what intervals are worth, if that is asked for; returns the files that it wrote."""
    if not (args.calibration or args.fit_interval_scale or args.interval_scale or args.fit_also):
        return []
    from tfrecon.report.calibration import calibrate, fit_together
    from tfrecon.serve.interval_scale import IntervalScale

    fit = args.fit_interval_scale
    if fit is not None and not fit.endswith(".json"):
        raise InputError("is no .json file", fit, "name it, such as scale.json")
    if args.fit_also and fit is None:
        raise InputError("--fit_also without --fit_interval_scale", fix="name the file of the scale")
    scale = None if args.interval_scale is None else IntervalScale.parse(args.interval_scale)
    found = calibrate(args.recon, args.reference, scale=scale, seed=args.seed)
    print(f"\n{found.table()}")
    paths = list(found.save(output))
    if fit is not None:
        best = fit_together([found, *(calibrate(folder) for folder in args.fit_also)])
        best.write(fit)
        print(f"an interval scale of {best.factor:.4g} fits these images")
        paths.append(fit)
    return paths


def split_names(words: list[str]) -> list[str]:
    """Names from flags that may be repeated and may hold commas."""
    return [name.strip() for word in words for name in word.split(",") if name.strip()]
