"""The flags by which raw input is read, shared by all verbs that take raw files."""

from __future__ import annotations

from typing import Any

from absl import flags

_OPTIONS = (
    *("source", "remove_oversampling", "slice_axis", "npy_kind", "axes", "key"),
    *("volumes", "slices_per_volume", "coils", "noise", "phase", "simulation_seed"),
)


def define_format_flags(values: flags.FlagValues) -> None:
    """Adds the flags that every verb needs to read a format."""
    flags.DEFINE_enum(
        "source",
        "auto",
        ["auto", "dataset", "fastmri", "ixi", "nifti", "npy", "ssdiffrecon"],
        "format of the input",
        flag_values=values,
    )
    flags.DEFINE_bool("remove_oversampling", True, "fastMRI: cut the readout to the field of view", flag_values=values)
    flags.DEFINE_enum(
        "slice_axis",
        "axial",
        ["axial", "coronal", "sagittal", "0", "1", "2"],
        "NIfTI: plane (turned upright by the affine) or array axis of the slices",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "npy_kind",
        "",
        ["", "kspace", "coil_images", "image"],
        "npy: what the arrays are; guessed where that is safe",
        flag_values=values,
    )
    flags.DEFINE_string("axes", "", "npy: order of the axes, letters of N (slice), C (coil), H, W", flag_values=values)
    flags.DEFINE_string("key", "", "npz: which array", flag_values=values)
    flags.DEFINE_string(
        "volumes",
        "",
        "im_NUMBERsamples.npy: table of the volumes, CSV file,volume[,subject,slice] or JSON",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "slices_per_volume",
        0,
        "im_NUMBERsamples.npy: so many successive numbers are a volume; 0 if it is not known",
        lower_bound=0,
        flag_values=values,
    )
    flags.DEFINE_float("noise", 0.01, "simulated noise as a fraction of the image's brightness", flag_values=values)
    flags.DEFINE_bool("phase", True, "simulate a smooth phase for magnitude images", flag_values=values)


def define_source_flags(values: flags.FlagValues) -> None:
    """Adds the flags of verbs that reconstruct raw files as well as datasets."""
    define_format_flags(values)
    flags.DEFINE_integer("coils", 8, "simulated coils of magnitude images", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("simulation_seed", 0, "of everything simulated", lower_bound=0, flag_values=values)


def source_options(args: flags.FlagValues) -> dict[str, Any]:
    """The options that were given, for `data.sources.open_source`."""
    given = {name: args[name].value for name in _OPTIONS if args[name].value != args[name].default}
    if "simulation_seed" in given:
        given["seed"] = given.pop("simulation_seed")
    return given
