"""Options that every method with a diffusion prior has."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How a sampler goes and what the data make of its estimates; methods add their own options and samplers.

    Attributes:
        sampler: "dds", decomposed diffusion: a few conjugate gradients on each estimate, then a step with part of
            the noise new; "ancestral" and "ddim", steps from posteriors of the path; "dpm_solver", the probability
            flow; "dps" and "diffpir", with a guidance of their own instead of `data_step`. docs/samplers.md compares
            them.
        nfe: budget of network calls for each image.
        eta: new noise of "dds", as a part of the noise level, and of "ddim", as a part of the posterior's; 0 to 1.
        direction: of "dds": which estimate says what noise is in the state, "after_data" or "before_data" as published.
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
        gamma: of "cg": mu is 1 / gamma at all times, as published for DDS; None for mu from noise and time.
        cg_iterations: conjugate gradients in each data step.
        prior_weight: factor on the weight of x0_hat in "cg" and "proximal". 1 is right for independent Gaussian
            pixels; a prior that knows more deserves more.
        step_size: of "gradient".
        noise: sqrt(E|n|²) of a sample in units of the measurement's scale; None takes that of the measurement,
            or 0.01 where it says nothing.
        strength: of "dps" (along the gradient of |y - A x0_hat|, published 0.3 to 0.5) and of "diffpir" (weight of
            the prior); None for 0.4 and 1.
        xi: of "diffpir": part of the noise variance that is new.
    """

    sampler: str = "dds"
    nfe: int = 50
    eta: float = 0.5
    direction: Literal["after_data", "before_data"] = "after_data"
    start: float = 1.0
    start_image: Literal["none", "zero_filled", "cg_sense"] = "none"
    samples: int = 1
    data_step: Literal["cg", "proximal", "projection", "gradient", "none"] = "cg"
    gamma: float | None = None
    cg_iterations: int = 5
    prior_weight: float = 1.0
    step_size: float = 1.0
    noise: float | None = None
    strength: float | None = None
    xi: float = 0.3

    def __post_init__(self) -> None:
        self._check_least(1, "nfe", "samples", "cg_iterations")
        for name in ("eta", "xi"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"option {name!r} is {getattr(self, name):g}", fix="give a number from 0 to 1")
        self._check_positive("step_size", "gamma", "prior_weight", "strength")
        if self.noise is not None and not self.noise >= 0:
            raise InputError(f"option 'noise' is {self.noise:g}", fix="give a number of at least 0")
        if not 0 < self.start <= 1:
            raise InputError(f"option 'start' is {self.start:g}", fix="give a number above 0 and up to 1")
        if self.start < 1 and self.start_image == "none":
            raise InputError(
                f"option 'start' is {self.start:g}, but there is no image to start from",
                fix="set start_image to cg_sense or zero_filled",
            )

    def _check_least(self, least: int, *names: str) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise InputError(f"option {name!r} is {getattr(self, name)}", fix=f"give at least {least}")

    def _check_positive(self, *names: str) -> None:
        """None is allowed."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"option {name!r} is {value:g}", fix="give a positive number")

    @property
    def calls_per_step(self) -> int:
        """Calls of the network at each time."""
        return 1

    @property
    def steps(self) -> int:
        """Times of the sampler that the budget allows."""
        return self.nfe // self.calls_per_step
