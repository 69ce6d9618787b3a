"""The flags by which fully sampled input is undersampled, shared by several verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from tfrecon.util.errors import InputError

if TYPE_CHECKING:
    from tfrecon.serve.mask_choice import MaskChoice


def define_undersampling_flags(values: flags.FlagValues) -> None:
    """Adds the flags to those of a verb."""
    flags.DEFINE_string(
        "mask",
        None,
        "an .npy mask [W] or [H, W], 0/1: what of fully sampled input to keep, or what an .npy input with gaps was "
        "measured with; nonzero takes an .npy input's samples that are not zero as measured",
        flag_values=values,
    )
    flags.DEFINE_string(
        "undersample", None, "kind of mask for fully sampled input, for instance equispaced", flag_values=values
    )
    flags.DEFINE_float("acceleration", 4.0, "nominal rate of --undersample", lower_bound=1.0, flag_values=values)
    flags.DEFINE_float("center_fraction", 0.08, "fully sampled part at the centre", flag_values=values)
    flags.DEFINE_integer("acs_lines", None, "the same as a number of lines", flag_values=values)
    flags.DEFINE_integer("mask_seed", 0, "with the record id it decides a record's mask", flag_values=values)
    flags.DEFINE_bool("same_mask", False, "one mask for all slices of a volume", flag_values=values)


def mask_choice_from(args: flags.FlagValues) -> MaskChoice | None:
    """What the flags ask for; None where they ask for nothing.

    Raises:
        InputError: two ways at once.
    """
    if args.mask is not None and args.undersample is not None:
        raise InputError("--mask and --undersample were both given", fix="give one of them")
    if args.mask is None and args.undersample is None:
        return None
    from tfrecon.data.transforms import Undersampling
    from tfrecon.serve.mask_choice import MaskChoice

    if args.mask is not None:
        return MaskChoice(mask_file=args.mask)
    asked = Undersampling(args.undersample, args.acceleration, args.center_fraction, args.acs_lines)
    return MaskChoice(asked, args.mask_seed, args.same_mask)
