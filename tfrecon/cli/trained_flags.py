"""The flags that name a trained model, shared by several verbs."""

from __future__ import annotations

from absl import flags


def define_trained_flags(values: flags.FlagValues) -> None:
    """Adds the flags to those of a verb."""
    flags.DEFINE_string("workdir", None, "workdir of tfrecon train, or a model folder", flag_values=values)
    flags.DEFINE_string(
        "checkpoint",
        None,
        "of the workdir: best, final, or a step; if not given the best, else the end, else the latest",
        flag_values=values,
    )
