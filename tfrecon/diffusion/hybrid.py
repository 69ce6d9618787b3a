"""The losses of networks that learn a variance: the variational bound, and a hybrid with the simple loss.

Nichol & Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021, section 3.1. Images are not made of
256 grey levels here, so that the bound's last term is the density of a Gaussian, which may be larger than one and its
negative logarithm below zero.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

from keras import ops

from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.diffusion.learned_variance import LearnedNetwork, log_variance
from tfrecon.diffusion.objectives import ScoreMatching, denoising_losses, pixel_mean
from tfrecon.diffusion.parameterization import Parameterization, estimate_of, network_output
from tfrecon.diffusion.path import Posterior, posterior
from tfrecon.typing import Tensor
from tfrecon.util.complex import to_channels
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class VarianceLearning:
    """How mean and variance are learned.

    With L_t the bound's term of one time in bits per real channel and L_vlb their sum over all T:

    Attributes:
        kind: "hybrid", L_simple + lambda L_vlb, in which L_vlb teaches the variance alone; or "vlb", L_vlb for both, as
            published under the option `use_kl`.
        vlb_weight: lambda. With one random time L_vlb is T L_t, so that the published 0.001 gives L_t · T/1000.
    """

    kind: Literal["hybrid", "vlb"] = "hybrid"
    vlb_weight: float = 1e-3

    def __post_init__(self) -> None:
        if self.kind not in ("hybrid", "vlb"):
            raise InputError(f"no loss {self.kind!r}", fix="choose hybrid or vlb")
        if not self.vlb_weight > 0:
            raise InputError(f"vlb_weight is {self.vlb_weight:g}", fix="give a positive number, usually 0.001")


class HybridLosses(NamedTuple):
    """Losses of each image, float32 `[B]`.

    Attributes:
        total: what is minimised.
        simple: the weighted squared error.
        bound: L_t in bits per real channel.
    """

    total: Tensor
    simple: Tensor
    bound: Tensor


def chain_posterior(path: DiscretePath, t: Tensor) -> Posterior:
    """q(x_{t-1} | x_t, x_0) at times t of a chain, int32 of any shape; t = 0 goes to the image itself."""
    t = ops.cast(t, "int32")
    first, before = ops.equal(t, 0), ops.maximum(t - 1, 0)
    alpha_s = ops.where(first, 1.0, path.alpha(before))
    sigma_s = ops.where(first, 0.0, path.sigma(before))
    return posterior(path.alpha(t), path.sigma(t), alpha_s, sigma_s)


def log_variance_range(path: DiscretePath, t: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of beta~ and beta at times t of a chain, in units of noise.

    beta~ is zero at t = 0; that of t = 1 takes its place, as published.

    Raises:
        InputError: a chain of one step, which has no beta~.
    """
    if path.steps < 2:
        raise InputError("a learned variance needs a chain of several steps", fix="give at least 2")
    smallest = chain_posterior(path, ops.maximum(ops.cast(t, "int32"), 1)).std
    return 2.0 * ops.log(smallest), 2.0 * ops.log(chain_posterior(path, t).step_std)


def bound_terms(
    path: DiscretePath, x0: Tensor, x0_hat: Tensor, share: Tensor, t: Tensor, valid: Tensor | None = None
) -> Tensor:
    """The variational bound's term at time t of each image, L_t.

    For t > 0 it is the divergence KL(q(x_{t-1} | x_t, x_0) || N(mean, s²)) with the mean of x0_hat; for t = 0 it is
    the negative logarithm of N(x_0; x0_hat, s²).

    Args:
        path: the chain.
        x0: complex64 `[B, H, W]`.
        x0_hat: like x0.
        share: v, float32 `[B, H, W, n]`.
        t: int32 `[B]`.
        valid: float32 `[B, H, W]`, 1 where an image is and 0 where it was padded; None for all ones.

    Returns:
        float32 `[B]`, bits per real channel.
    """
    t = ops.cast(t, "int32")
    smallest, largest = (_over_pixels(part) for part in log_variance_range(path, t))
    learned = log_variance(share, smallest, largest)
    # Both means have the same part of x_t, so that their difference is one of estimates alone.
    error = _over_pixels(chain_posterior(path, t).of_image) * _channels(x0_hat - x0, path)
    squared = ops.square(error / path.channel_std) * ops.exp(-learned)
    divergence = 0.5 * (learned - smallest - 1.0 + ops.exp(smallest - learned) + squared)
    likelihood = 0.5 * (math.log(2.0 * math.pi * path.channel_std**2) + learned + squared)
    nats = ops.where(ops.equal(_over_pixels(t), 0), likelihood, divergence)
    return pixel_mean(ops.mean(nats, axis=-1), valid) / math.log(2.0)


def hybrid_losses(
    network: LearnedNetwork,
    settings: VarianceLearning,
    matching: ScoreMatching,
    parameterization: Parameterization,
    path: DiscretePath,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    valid: Tensor | None = None,
) -> HybridLosses:
    """The losses of each image at given times and with given noise.

    The simple loss is in units of the noise. So that the two balance as published, where noise has variance one in each
    channel, the bound is weighted with the variance that it has in one channel here.

    Args:
        network: see `LearnedNetwork`.
        settings: see there.
        matching: of the simple loss, `objectives.denoising_losses`.
        parameterization: what the network predicts.
        path: the chain.
        x0: complex64 `[B, H, W]`.
        t: int32 `[B]`, from `objectives.draw_times` or `importance.draw_weighted_times`.
        noise: from `path.noise`, like x0.
        valid: float32 `[B, H, W]`, 1 where an image is and 0 where it was padded; None for all ones.

    Raises:
        InputError: the simple loss is a sum over pixels, beside which the bound would not count.
    """
    if matching.reduction != "mean":
        raise InputError("a learned variance needs the mean over pixels", fix="set matching.reduction='mean'")
    x_t = path.perturb(x0, t, noise)
    output, share = network_output(network, parameterization, path, x_t, t)
    simple = denoising_losses(lambda image, label: output, matching, parameterization, path, x0, t, noise, valid)
    taught = output if settings.kind == "vlb" else ops.stop_gradient(output)
    x0_hat = estimate_of(taught, parameterization, path, x_t, t)
    bound = bound_terms(path, x0, x0_hat, share, t, valid)
    if settings.kind == "vlb":
        return HybridLosses(path.steps * bound, simple, bound)
    weight = settings.vlb_weight * path.steps * path.channel_std**2
    return HybridLosses(simple + weight * bound, simple, bound)


def _channels(image: Tensor, path: DiscretePath) -> Tensor:
    """The real channels that are diffused, float32 `[B, H, W, n]`."""
    return ops.real(image)[..., None] if path.real else to_channels(image)


def _over_pixels(values: Tensor) -> Tensor:
    """`[B]` as `[B, 1, 1, 1]`."""
    return values[:, None, None, None]
