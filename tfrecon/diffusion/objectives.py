"""Denoising score matching: how a network learns a path's estimate, one loss for each image.

All weightings are weights on the squared error of the network in what it predicts, so each of them goes
with each parameterisation. On a path that diffuses a part of the image, only that part is compared.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from keras import ops

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.diffusion.parameterization import Network, Parameterization, coefficients, network_output, target_of
from tfrecon.diffusion.path import Path
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy
from tfrecon.util.errors import InputError

WEIGHTINGS = ("noise", "likelihood", "edm", "min_snr")


@dataclasses.dataclass(frozen=True)
class ScoreMatching:
    """How a network is trained to denoise.

    With eps the noise in x_t and s the score that the network implies:

    Attributes:
        weighting: "noise", `|sigma s + n|²`, the published one of score-MRI and HFS-SDE; "likelihood",
            `g² |s + n / sigma|²` (Song et al., 2021), of high variance at small times; "edm", the error of x0_hat so
            weighted that it is that of EDM's network (Karras et al., 2022); "min_snr", the error of x0_hat
            times `min(SNR, gamma)` (Hang et al., 2023), which spends less on nearly clean images.
        reduction: of the two squared channels of all pixels: "mean", or "sum" for half their sum, as
            score-MRI. Its learning rate belongs to it.
        times: "uniform" in time; "log_normal", where `ln(sigma / alpha)` of the noise in one channel is normal (EDM).
        t_min: smallest time of continuous paths; published 1e-5.
        log_mean: of "log_normal".
        log_std: of "log_normal".
        gamma: of "min_snr".
    """

    weighting: Literal["noise", "likelihood", "edm", "min_snr"] = "noise"
    reduction: Literal["mean", "sum"] = "mean"
    times: Literal["uniform", "log_normal"] = "uniform"
    t_min: float = 1e-5
    log_mean: float = -1.2
    log_std: float = 1.2
    gamma: float = 5.0

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise InputError(f"no weighting {self.weighting!r}", fix=f"choose one of {', '.join(WEIGHTINGS)}")
        if self.reduction not in ("mean", "sum"):
            raise InputError(f"no reduction {self.reduction!r}", fix="choose mean or sum")
        if self.times not in ("uniform", "log_normal"):
            raise InputError(f"no times {self.times!r}", fix="choose uniform or log_normal")
        if not 0 < self.t_min < 1:
            raise InputError(f"t_min is {self.t_min:g}", fix="give a time between 0 and 1, for instance 1e-5")
        if not (self.log_std > 0 and self.gamma > 0):
            raise InputError("log_std and gamma have to be positive", fix="give for instance 1.2 and 5")


def draw_times(settings: ScoreMatching, path: ContinuousPath | DiscretePath, seeds: Tensor) -> Tensor:
    """A random time for each seed.

    Args:
        settings: see there.
        path: whose times they are.
        seeds: `[B, 2]`.

    Returns:
        `[B]`: float32 in [t_min, 1], or int32 of a chain.
    """
    shape = ops.shape(seeds)[:1]
    if settings.times == "uniform":
        return path.time_at(rng.uniform(seeds, shape), settings.t_min)
    log_ratio = settings.log_mean + settings.log_std * rng.normal(seeds, shape)
    # From the noise in one channel to units of noise.
    t = path.time_of_log_snr(-2.0 * (log_ratio - float(np.log(path.channel_std))))
    return ops.clip(t, path.time_at(0.0, settings.t_min), path.t_max)


def loss_weight(settings: ScoreMatching, parameterization: Parameterization, path: Path, t: Tensor) -> Tensor:
    """Weight of the network's squared error at times t, float32 of their shape."""
    alpha, sigma = path.alpha(t), path.sigma(t)
    of_output = coefficients(parameterization, path, t).of_output
    if settings.weighting == "edm":
        wanted = dataclasses.replace(parameterization, output="edm")
        return ops.square(of_output / coefficients(wanted, path, t).of_output)
    # The error of the noise is alpha / sigma times that of x0_hat.
    weight = ops.square(alpha * of_output / sigma)
    if settings.weighting == "likelihood":
        return weight * ops.square(path.g(t) / sigma)
    if settings.weighting == "min_snr":
        snr = ops.square(alpha * parameterization.data_std / (sigma * path.channel_std))
        return weight * ops.minimum(1.0, settings.gamma / snr)
    return weight


def denoising_losses(
    network: Network,
    settings: ScoreMatching,
    parameterization: Parameterization,
    path: Path,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    valid: Tensor | None = None,
) -> Tensor:
    """The loss of each image at given times and with given noise.

    Args:
        network: see `parameterization.Network`.
        settings: see there.
        parameterization: what the network predicts.
        path: any path.
        x0: complex64 `[B, H, W]`.
        t: `[B]`, from `draw_times`.
        noise: from `path.noise`, like x0.
        valid: float32 `[B, H, W]`, 1 where an image is and 0 where it was padded; None for all ones.

    Returns:
        float32 `[B]`.
    """
    output = network_output(network, parameterization, path, path.perturb(x0, t, noise), t)
    error = energy(path.project(output - target_of(parameterization, path, x0, noise, t)))
    if settings.reduction == "sum":
        total = 0.5 * ops.sum(error if valid is None else valid * error, axis=(-2, -1))
    else:
        total = pixel_mean(error, valid) / (1.0 if path.real else 2.0)
    return loss_weight(settings, parameterization, path, t) * total


def pixel_mean(values: Tensor, valid: Tensor | None = None) -> Tensor:
    """The mean of values `[B, H, W]` over the pixels of each image, or over those that are valid: float32 `[B]`."""
    if valid is None:
        return ops.mean(values, axis=(-2, -1))
    count = ops.maximum(ops.sum(valid, axis=(-2, -1)), 1.0)
    return ops.sum(valid * values, axis=(-2, -1)) / count


def random_denoising_losses(
    network: Network,
    settings: ScoreMatching,
    parameterization: Parameterization,
    path: ContinuousPath | DiscretePath,
    x0: Tensor,
    seeds: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `denoising_losses`, at times and with noise that are functions of the seeds `[B, 2]`.

    Returns:
        The losses and the times, `[B]` both.
    """
    t = draw_times(settings, path, rng.for_purpose(seeds, "time"))
    noise = path.noise(rng.for_purpose(seeds, "noise"), ops.shape(x0))
    return denoising_losses(network, settings, parameterization, path, x0, t, noise), t
