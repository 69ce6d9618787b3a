"""How a prior of latents reconstructs, as settings."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from keras import ops

from tfrecon.diffusion.latent import Resampling, data_steps
from tfrecon.util.errors import InputError


class Passes(NamedTuple):
    """How often the networks run for one sample.

    Attributes:
        network: that of the latents.
        encoder: of the autoencoder.
        decoder: of the autoencoder.
    """

    network: int
    encoder: int
    decoder: int


@dataclasses.dataclass(frozen=True)
class LatentOptions:
    """When latents meet the data as images, and how; see `diffusion.latent`.

    Attributes:
        nfe: calls of the network of latents for each image. **They are not all that is computed**: the decoder and
            then the encoder run at each step that meets the data, and the decoder once more at the end (`passes`). With
            the defaults that is 50 calls, 19 of the encoder and 20 of the decoder, and the two work on full
            resolution. `Method.network_calls`, and so every table, counts them all; a budget (`--nfe`) is of this
            option.
        samples: how many reconstructions are drawn; of several the mean is the image, and their standard deviation
            is given too.
        eta: new noise of DDIM between the steps with data, as a part of the posterior's; 0 to 1.
        every: images meet the data at each so many steps; 0 for the last part alone.
        last_part: and at all steps of so large a part at the end.
        strength: how much a state that is drawn anew is that of the image which met the data, γ of ReSample.
        cg_iterations: conjugate gradients in each of these data steps.
        finish_iterations: conjugate gradients on the last decoded image, which brings back what the autoencoder cannot
            say of measured samples.
        prior_weight: factor on the weight of decoded images against the data.
        noise: sqrt(E|n|²) of a sample in units of the measurement's scale; None takes that of the measurement,
            or 0.01 where it says nothing.
    """

    nfe: int = 50
    samples: int = 1
    eta: float = 0.0
    every: int = 10
    last_part: float = 1.0 / 3.0
    strength: float = 40.0
    cg_iterations: int = 5
    finish_iterations: int = 15
    prior_weight: float = 1.0
    noise: float | None = None

    def __post_init__(self) -> None:
        for name in ("nfe", "samples", "cg_iterations", "finish_iterations"):
            if getattr(self, name) < 1:
                raise InputError(f"option {name!r} is {getattr(self, name)}", fix="give at least 1")
        if not 0 <= self.eta <= 1:
            raise InputError(f"option 'eta' is {self.eta:g}", fix="give a number from 0 to 1")
        if not self.prior_weight > 0:
            raise InputError(f"option 'prior_weight' is {self.prior_weight:g}", fix="give a positive number")
        if self.noise is not None and not self.noise >= 0:
            raise InputError(f"option 'noise' is {self.noise:g}", fix="give a number of at least 0")
        Resampling(self.every, self.last_part, self.strength)

    @property
    def rule(self) -> Resampling:
        """When and how states are drawn around images that met the data."""
        return Resampling(self.every, self.last_part, self.strength)

    @property
    def calls_per_step(self) -> int:
        """Calls of the network of latents at each time."""
        return 1

    @property
    def steps(self) -> int:
        """Times of the sampler."""
        return self.nfe

    @property
    def passes(self) -> Passes:
        """How often the networks run for one sample of a reconstruction that is made at once."""
        with_data = int(np.sum(ops.convert_to_numpy(data_steps(self.steps, self.rule))))
        return Passes(self.steps, with_data, with_data + 1)
