"""The flags of methods that sample: budgets, uncertainty, and short ways to their options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from tfrecon.util.errors import InputError

if TYPE_CHECKING:
    from tfrecon.serve.intervals import Intervals
    from tfrecon.serve.learned import LearnedModel


def define_sampling_flags(values: flags.FlagValues) -> None:
    """Adds the flags to those of a verb."""
    flags.DEFINE_string("sampler", None, "short for --option=sampler=NAME", flag_values=values)
    flags.DEFINE_integer("nfe", None, "budget of network calls for each image", flag_values=values)
    flags.DEFINE_float(
        "max_seconds",
        None,
        "time for all slices that are not done yet, each of which gets an equal part of what is left; samplers then "
        "stop at the last step that fits and give the best image so far (exit code 3)",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "samples", None, "reconstructions of each slice; their mean is the image, and maps say how they differ",
        flag_values=values,
    )  # fmt: skip
    flags.DEFINE_list("quantiles", ["0.05", "0.95"], "of the samples, with commas", flag_values=values)
    flags.DEFINE_string(
        "interval_scale",
        None,
        "factor on standard deviation and quantiles: a number, the file of tfrecon evaluate --fit_interval_scale, or a "
        "model folder that has one",
        flag_values=values,
    )


def sampling_options(args: flags.FlagValues, options: dict[str, str], method: str | LearnedModel) -> dict[str, str]:
    """The options with those that the short flags stand for.

    Raises:
        InputError: an option is given twice, a budget is below one, or the method has none.
    """
    given = {"sampler": args.sampler, "samples": args.samples}
    if args.nfe is not None:
        if args.nfe < 1:
            raise InputError(f"--nfe={args.nfe}", fix="give at least 1")
        given[_nfe_option(method)] = args.nfe
    for name, value in given.items():
        if value is not None and name in options:
            raise InputError(f"option {name!r} was given twice", fix="give it once")
    return {**options, **{name: str(value) for name, value in given.items() if value is not None}}


def intervals_from(args: flags.FlagValues) -> Intervals:
    """The maps of uncertainty that are asked for.

    Raises:
        InputError: bad quantiles, or no interval scale.
    """
    from tfrecon.serve.interval_scale import IntervalScale
    from tfrecon.serve.intervals import Intervals, parse_quantiles

    scale = IntervalScale() if args.interval_scale is None else IntervalScale.parse(args.interval_scale)
    return Intervals(parse_quantiles(args.quantiles), scale)


def _nfe_option(method: str | LearnedModel) -> str:
    from tfrecon.methods.base import method_type

    name = method if isinstance(method, str) else method.name
    option = method_type(method).nfe_option if isinstance(method, str) else method.nfe_option
    if option is None:
        raise InputError(f"method {name!r} has no number of network calls that --nfe could set", fix="leave it out")
    return option
