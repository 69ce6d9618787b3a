"""What a network predicts, and how its output becomes an estimate of the image.

Whatever it predicts, a network is one affine function of the state away from the estimate,

    x0_hat = of_state(t) x_t + of_output(t) network(of_input(t) x_t, label(t)),

so that a kind of network is five numbers at each time (`Coefficients`) and its training target follows.
What a path does not diffuse is taken from the state, where it is exact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

from keras import ops

from tfrecon.diffusion.path import Path, along
from tfrecon.diffusion.steps import Denoiser
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError

Network = Callable[[Tensor, Tensor], Tensor]
"""`(image, label) -> output`: complex64 `[B, H, W]` and float32 `[B]` to complex64 `[B, H, W]`."""

OUTPUTS = ("eps", "x0", "v", "score", "scaled_score", "edm")
LABELS = ("ln_sigma", "999t", "log_snr", "std", "c_noise")


@dataclasses.dataclass(frozen=True)
class Parameterization:
    """What a network predicts and how it is told the time.

    Attributes:
        output: "eps", the noise (Ho et al., 2020); "x0", the image; "v", `alpha eps - sigma x0` (Salimans & Ho,
            2022); "score", as the published VP and HFS networks; "scaled_score", sigma times the score, as
            score-MRI's network, which is divided by sigma; "edm", preconditioned so that the network's input
            and target have variance one in each channel at all times (Karras et al., 2022, table 1).
        label: how the time is given to the network: "ln_sigma" (score-MRI); "999t", 0 at the image to 999 at
            noise; "log_snr"; "std", sigma itself (HFS-SDE); "c_noise", `ln(sigma / alpha) / 4` of the noise in one
            channel (EDM).
        data_std: standard deviation of the images in one channel, for "edm" and for weightings that need it.
    """

    output: Literal["eps", "x0", "v", "score", "scaled_score", "edm"] = "eps"
    label: Literal["ln_sigma", "999t", "log_snr", "std", "c_noise"] = "999t"
    data_std: float = 0.5

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise InputError(f"no output {self.output!r}", fix=f"choose one of {', '.join(OUTPUTS)}")
        if self.label not in LABELS:
            raise InputError(f"no label {self.label!r}", fix=f"choose one of {', '.join(LABELS)}")
        if not self.data_std > 0:
            raise InputError(f"data_std is {self.data_std:g}", fix="give the standard deviation of the images")


class Coefficients(NamedTuple):
    """A parameterisation at some times; float32 of their shape.

    Attributes:
        of_input: what the state is multiplied with before the network sees it (c_in).
        of_state: weight of the state in the estimate (c_skip).
        of_output: weight of the network's output in the estimate (c_out).
        target_of_image: weight of x_0 in what the network should say.
        target_of_noise: weight of the unit noise n in it.
    """

    of_input: Tensor
    of_state: Tensor
    of_output: Tensor
    target_of_image: Tensor
    target_of_noise: Tensor


def coefficients(settings: Parameterization, path: Path, t: Tensor) -> Coefficients:
    """The numbers of a parameterisation at times t, for any alpha and sigma."""
    alpha, sigma = path.alpha(t), path.sigma(t)
    one, zero = ops.ones_like(sigma), ops.zeros_like(sigma)
    if settings.output == "eps":
        return Coefficients(one, 1 / alpha, -sigma / alpha, zero, one)
    if settings.output == "x0":
        return Coefficients(one, zero, one, one, zero)
    if settings.output == "v":
        total = alpha**2 + sigma**2
        return Coefficients(one, alpha / total, -sigma / total, -sigma, alpha)
    if settings.output == "score":
        return Coefficients(one, 1 / alpha, sigma**2 / alpha, zero, -1 / sigma)
    if settings.output == "scaled_score":
        return Coefficients(one, 1 / alpha, sigma / alpha, zero, -one)
    return _preconditioned(alpha, sigma, path.channel_std, settings.data_std)


def _preconditioned(alpha: Tensor, sigma: Tensor, unit: float, data: float) -> Coefficients:
    """EDM for any alpha: the best linear estimate is skipped past the network, the rest is scaled to variance one."""
    noise = sigma * unit
    total = (alpha * data) ** 2 + noise**2
    root = ops.sqrt(total)
    return Coefficients(
        of_input=1 / root,
        of_state=alpha * data**2 / total,
        of_output=noise * data / root,
        target_of_image=noise / (data * root),
        target_of_noise=-alpha * data / (unit * root),
    )


def time_label(settings: Parameterization, path: Path, t: Tensor) -> Tensor:
    """What the network is told of times t, float32 of their shape."""
    if settings.label == "ln_sigma":
        return ops.log(path.sigma(t))
    if settings.label == "999t":
        return 999.0 * path.fraction(t)
    if settings.label == "log_snr":
        return path.log_snr(t)
    if settings.label == "std":
        return path.sigma(t)
    return 0.25 * (ops.log(path.sigma(t) * path.channel_std) - ops.log(path.alpha(t)))


def network_output(network: Network, settings: Parameterization, path: Path, x_t: Tensor, t: Tensor) -> Tensor:
    """Calls a network on a noisy state.

    Args:
        network: see `Network`.
        settings: what it predicts.
        path: any path.
        x_t: complex64 `[B, H, W]`.
        t: times, a scalar or `[B]`.

    Returns:
        What the network returns: of a `learned_variance.LearnedNetwork` a pair.
    """
    label = ops.broadcast_to(time_label(settings, path, t), ops.shape(x_t)[:1])
    return network(along(coefficients(settings, path, t).of_input, x_t) * x_t, label)


def estimate_of(
    output: Tensor, settings: Parameterization, path: Path, x_t: Tensor, t: Tensor, *, locked: bool = True
) -> Tensor:
    """The estimate x0_hat from a network's output, like x_t; `locked` as of `make_denoiser`."""
    of = coefficients(settings, path, t)
    estimate = along(of.of_state, x_t) * x_t + along(of.of_output, x_t) * output
    return path.join(estimate, x_t) if locked else estimate


def target_of(settings: Parameterization, path: Path, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What a network should say of `path.perturb(x0, t, noise)`, like x0."""
    of = coefficients(settings, path, t)
    return along(of.target_of_image, x0) * x0 + along(of.target_of_noise, x0) * noise


def make_denoiser(network: Network, settings: Parameterization, path: Path, *, locked: bool = True) -> Denoiser:
    """A network as the estimate `(x_t, t) -> x0_hat` that samplers take.

    Args:
        network: see `Network`.
        settings: what it predicts.
        path: any path.
        locked: whether what the path does not diffuse is taken from the state. The published HFS sampler takes it
            from the network, which was never trained there.
    """

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        return estimate_of(network_output(network, settings, path, x_t, t), settings, path, x_t, t, locked=locked)

    return denoiser


def score_of(path: Path, x_t: Tensor, x0_hat: Tensor, t: Tensor, *, projected: bool = True) -> Tensor:
    """The score that an estimate implies, `P (alpha x0_hat - x_t) / sigma²`, per unit of noise (Tweedie).

    With noise of variance one in each channel it is the gradient of the logarithm of the density of x_t. In
    `dx = (f x - g² score) dt + g dw` it is right for noise of any variance.

    Args:
        path: any path; P is its `project`.
        x_t: complex64 `[..., H, W]`.
        x0_hat: like x_t.
        t: times, a scalar or `[B]`.
        projected: False leaves P away.
    """
    score = along(1 / ops.square(path.sigma(t)), x_t) * (along(path.alpha(t), x_t) * x0_hat - x_t)
    return path.project(score) if projected else score
