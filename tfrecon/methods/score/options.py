"""How a prior reconstructs, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.grids import steps_within
from tfrecon.diffusion.stochastic import PredictorCorrector
from tfrecon.methods.priors.options import SamplingOptions
from tfrecon.methods.score.published_options import (
    Algorithm,
    PublishedSampling,
    Switch,
    check_published,
    follows,
)
from tfrecon.util.errors import InputError

PREDICTORS = {"pc": "", "reverse_diffusion": "reverse_diffusion", "euler_maruyama": "euler_maruyama"}
"""Samplers that step with scores; "pc" takes the predictor of the options."""


@dataclasses.dataclass(frozen=True)
class ScoreOptions(SamplingOptions):
    """`methods.priors.options.SamplingOptions` with more samplers, and the published algorithms.

    Attributes:
        sampler: besides those: "ode" (Heun), the probability flow of second order; "pc", predictor and Langevin
            corrector; "reverse_diffusion" and "euler_maruyama", predictors alone.
        nfe: "pc" takes 1 + `corrector_steps` calls at each time, "ode" 2.
        spacing: of the times: "karras", "linear" or "log_snr"; see `diffusion.grids.make_times`.
        predictor: of "pc" and of the algorithms.
        widths: of "euler_maruyama" steps: "grid" or "uniform" as published; see `PredictorCorrector`.
        snr: r of the Langevin corrector of "pc"; that of the algorithms is `sampling.snr`.
        corrector_steps: of "pc" and of the algorithms.
        data_at: where samplers that step with scores apply the data step: to the "estimate", or as published to the
            "state" ("projection" and "gradient" only).
        lock: with the path "hfs": "data" lets data steps refine the low frequencies; "calibration" holds them at
            what the calibration samples say.
        whole_images: shows a prior of patches whole images instead of partitions.
        algorithm: "none", or a published algorithm in the place of a sampler. Of score-MRI, which puts measured samples
            into the state after each half of a step: "real" and "prospective", real images of one coil; "complex",
            one coil; "ssos", each coil by itself, combined by root sum of squares; "hybrid", the same with SENSE
            steps between. Of HFS-SDE: "hfs_sde", on any path. Their defects are mended unless `parity` keeps them.
        parity: which published behaviours an algorithm keeps: "all", or any of `published_options.SWITCHES`.
        sampling: numbers of the algorithms.
    """

    sampler: Literal[
        "dds",
        "ancestral",
        "ddim",
        "dpm_solver",
        "ode",
        "pc",
        "reverse_diffusion",
        "euler_maruyama",
        "dps",
        "diffpir",
    ] = "dds"
    spacing: Literal["karras", "linear", "log_snr"] = "karras"
    predictor: Literal["reverse_diffusion", "euler_maruyama", "ancestral"] = "reverse_diffusion"
    widths: Literal["grid", "uniform"] = "grid"
    snr: float = 0.16
    corrector_steps: int = 1
    data_at: Literal["estimate", "state"] = "estimate"
    lock: Literal["data", "calibration"] = "data"
    whole_images: bool = False
    algorithm: Algorithm = "none"
    parity: tuple[Switch, ...] = ()
    sampling: PublishedSampling = dataclasses.field(default_factory=PublishedSampling)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(1, "corrector_steps")
        self._check_positive("snr")
        self._check_data_at()
        check_published(self.algorithm, self.parity, self.sampling, self.sampler)
        if self.sampler != "ode":  # whose single step takes one call
            steps_within(self.nfe, self.calls_per_step)

    def _check_data_at(self) -> None:
        if self.data_at == "estimate":
            return
        if self.sampler not in PREDICTORS or self.data_step not in ("projection", "gradient"):
            raise InputError(
                f"data_at 'state' is not for sampler {self.sampler!r} with data_step {self.data_step!r}",
                fix="take pc, reverse_diffusion or euler_maruyama with projection or gradient",
            )

    def follows(self, switch: str) -> bool:
        """Whether a published behaviour is kept; see `published_options.SWITCHES`."""
        return follows(self.parity, self.algorithm, switch)

    def for_path(self, kind: str) -> ScoreOptions:
        """With the published numbers for a kind of path in the place of those that were left out."""
        if self.algorithm == "none":
            return self
        sampling = self.sampling.completed(self.algorithm, kind, steered=self.follows("gradient"))
        return dataclasses.replace(self, sampling=sampling)

    @property
    def grid(self) -> Literal["karras", "linear", "log_snr"]:
        """Spacing of the times."""
        return "linear" if self.follows("schedule") else self.spacing

    @property
    def calls_per_step(self) -> int:
        """Calls of the network at each time but, with "ode", the last."""
        if self.algorithm != "none":
            return 1 + self.corrector_steps
        if self.sampler in PREDICTORS:
            return self.rules.calls
        return 2 if self.sampler == "ode" else 1

    @property
    def steps(self) -> int:
        """Times of the sampler that the budget allows."""
        if self.sampling.N is not None:
            return self.sampling.N
        if self.sampler == "ode":
            return steps_within(self.nfe + 1, 2)  # the last step of Heun's method takes one call
        return steps_within(self.nfe, self.calls_per_step)

    @property
    def calls(self) -> int:
        """Network calls that are made for each image, at most `nfe` unless `sampling.N` is given."""
        return 2 * self.steps - 1 if self.sampler == "ode" else self.steps * self.calls_per_step

    @property
    def rules(self) -> PredictorCorrector:
        """Of the samplers that step with scores."""
        return PredictorCorrector(
            PREDICTORS.get(self.sampler) or self.predictor,
            corrector_steps=self.corrector_steps if self.sampler == "pc" else 0,
            snr=self.snr,
            widths=self.widths,
        )
