"""A path from its settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.high_frequency import HighFrequency, Transform
from tfrecon.diffusion.variance_exploding import VarianceExploding
from tfrecon.diffusion.variance_preserving import SubVariancePreserving, VariancePreserving
from tfrecon.util.errors import InputError

PUBLISHED_T_MIN = {"ve": 1e-5, "vp": 1e-3, "subvp": 1e-3, "hfs": 1e-3}
"""Where the published samplers end, by kind of path."""


@dataclasses.dataclass(frozen=True)
class PathSettings:
    """A continuous path; the defaults are what was published.

    Attributes:
        kind: "ve" variance exploding, "vp" variance preserving, "subvp", or "hfs": VP on high frequencies alone.
        sigma_min: units of noise at t = 0 ("ve").
        sigma_max: units of noise at t = 1 ("ve").
        beta_min: rate at t = 0 (all others).
        beta_max: rate at t = 1 (all others).
        t_min: where samplers end; None for the published time of the kind.
        noise_variance: E|n|² of one unit of noise: 2 for variance one in each of the two channels, as
            published, or 1.
        real: whether noise is real, for priors of magnitude images; set `noise_variance` to 1 then.
    """

    kind: Literal["ve", "vp", "subvp", "hfs"] = "ve"
    sigma_min: float = 0.01
    sigma_max: float = 378.0
    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float | None = None
    noise_variance: float = 2.0
    real: bool = False

    def __post_init__(self) -> None:
        make_path(self, lambda image: image)


def make_path(settings: PathSettings, projector: Transform | None = None) -> ContinuousPath:
    """The path that settings describe.

    Args:
        settings: see there.
        projector: for "hfs", see `high_frequency_projector`; other kinds do not use it.

    Raises:
        InputError: an unknown kind, values out of range, or "hfs" without a projector.
    """
    if settings.kind not in PUBLISHED_T_MIN:
        raise InputError(f"no path {settings.kind!r}", fix=f"choose one of {', '.join(PUBLISHED_T_MIN)}")
    t_min = PUBLISHED_T_MIN[settings.kind] if settings.t_min is None else settings.t_min
    shared = {"t_min": t_min, "noise_variance": settings.noise_variance, "real": settings.real}
    if settings.kind == "ve":
        return VarianceExploding(settings.sigma_min, settings.sigma_max, **shared)
    if settings.kind == "subvp":
        return SubVariancePreserving(settings.beta_min, settings.beta_max, **shared)
    path = VariancePreserving(settings.beta_min, settings.beta_max, **shared)
    if settings.kind == "vp":
        return path
    if projector is None:
        raise InputError("a path 'hfs' without a projector", fix="give the high-frequency projector of the data")
    return HighFrequency(path, projector)
