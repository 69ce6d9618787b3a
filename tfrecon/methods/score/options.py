"""How a prior reconstructs, as settings."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.diffusion.grids import steps_within
from tfrecon.diffusion.stochastic import PredictorCorrector
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
class ScoreOptions:
    """Options of reconstruction with a diffusion prior.

    Attributes:
        sampler: "dds" (default), decomposed diffusion: a few conjugate gradients on each estimate, then a step with
            part of the noise new; "ancestral" and "ddim", steps from posteriors of the path; "dpm_solver" and
            "ode" (Heun), the probability flow; "pc", predictor and Langevin corrector; "reverse_diffusion" and
            "euler_maruyama", predictors alone; "dps" and "diffpir", with a guidance of their own instead of
            `data_step`. docs/samplers.md compares them.
        nfe: budget of network calls for each image; "pc" takes 1 + `corrector_steps` of them at each time, "ode" 2.
        spacing: of the times: "karras", "linear" or "log_snr"; see `diffusion.grids.make_times`.
        eta: new noise of "dds", as a part of the noise level, and of "ddim", as a part of the posterior's; 0 to 1.
        direction: of "dds": which estimate says what noise is in the state, "after_data" or "before_data" as published.
        predictor: of "pc" and of the algorithms.
        widths: of "euler_maruyama" steps: "grid" or "uniform" as published; see `PredictorCorrector`.
        snr: r of the Langevin corrector of "pc"; that of the algorithms is `sampling.snr`.
        corrector_steps: of "pc" and of the algorithms.
        start: where on the path to begin: 1 at noise, less for a warm start from `start_image` (CCDF; Chung, Sim & Ye,
            CVPR 2022).
        start_image: "none", "zero_filled", or "cg_sense", regularised least squares.
        samples: how many reconstructions are drawn; of several the mean is the image, and their standard deviation
            is given too.
        data_step: what the data make of an estimate: "cg", conjugate gradients on
            `(A^H A + mu) x = A^H y + mu x0_hat`, with mu from noise and time, or from `gamma`; "proximal", each
            coil's samples drawn towards the measured ones as far as noise and time say; "projection", measured
            samples put in the place of the estimate's, exact for one coil; "gradient", one step down
            `|A x - y|² / 2`; "none", samples of the prior.
        data_at: where samplers that step with scores apply it: to the "estimate", or as published to the "state"
            ("projection" and "gradient" only).
        gamma: of "cg": mu is 1 / gamma at all times, as published for DDS; None for mu from noise and time.
        cg_iterations: conjugate gradients in each data step.
        prior_weight: factor on the weight of x0_hat in "cg" and "proximal". 1 is right for independent Gaussian
            pixels; a prior that knows more deserves more.
        step_size: of "gradient".
        noise: sqrt(E|n|²) of a sample in units of the measurement's scale; None takes that of the measurement,
            or 0.01 where it says nothing.
        lock: with the path "hfs": "data" lets data steps refine the low frequencies; "calibration" holds them at
            what the calibration samples say.
        strength: of "dps" (along the gradient of |y - A x0_hat|, published 0.3 to 0.5) and of "diffpir" (weight of
            the prior); None for 0.4 and 1.
        xi: of "diffpir": part of the noise variance that is new.
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
    nfe: int = 50
    spacing: Literal["karras", "linear", "log_snr"] = "karras"
    eta: float = 0.5
    direction: Literal["after_data", "before_data"] = "after_data"
    predictor: Literal["reverse_diffusion", "euler_maruyama", "ancestral"] = "reverse_diffusion"
    widths: Literal["grid", "uniform"] = "grid"
    snr: float = 0.16
    corrector_steps: int = 1
    start: float = 1.0
    start_image: Literal["none", "zero_filled", "cg_sense"] = "none"
    samples: int = 1
    data_step: Literal["cg", "proximal", "projection", "gradient", "none"] = "cg"
    data_at: Literal["estimate", "state"] = "estimate"
    gamma: float | None = None
    cg_iterations: int = 5
    prior_weight: float = 1.0
    step_size: float = 1.0
    noise: float | None = None
    lock: Literal["data", "calibration"] = "data"
    strength: float | None = None
    xi: float = 0.3
    whole_images: bool = False
    algorithm: Algorithm = "none"
    parity: tuple[Switch, ...] = ()
    sampling: PublishedSampling = dataclasses.field(default_factory=PublishedSampling)

    def __post_init__(self) -> None:
        for name in ("nfe", "samples", "cg_iterations", "corrector_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"option {name!r} is {getattr(self, name)}", fix="give at least 1")
        for name in ("eta", "xi"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"option {name!r} is {getattr(self, name):g}", fix="give a number from 0 to 1")
        for name in ("snr", "step_size", "gamma", "prior_weight", "strength"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"option {name!r} is {value:g}", fix="give a positive number")
        if self.noise is not None and not self.noise >= 0:
            raise InputError(f"option 'noise' is {self.noise:g}", fix="give a number of at least 0")
        self._check_start()
        self._check_data_at()
        check_published(self.algorithm, self.parity, self.sampling, self.sampler)
        if self.sampler != "ode":  # whose single step takes one call
            steps_within(self.nfe, self.calls_per_step)

    def _check_start(self) -> None:
        if not 0 < self.start <= 1:
            raise InputError(f"option 'start' is {self.start:g}", fix="give a number above 0 and up to 1")
        if self.start < 1 and self.start_image == "none":
            raise InputError(
                f"option 'start' is {self.start:g}, but there is no image to start from",
                fix="set start_image to cg_sense or zero_filled",
            )

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
