"""The losses of a prior: of its estimates, of the variance of its steps, and of what it says of its own errors."""

from __future__ import annotations

from keras import ops

from tfrecon.diffusion.hybrid import VarianceLearning, hybrid_losses
from tfrecon.diffusion.objectives import denoising_losses, pixel_mean
from tfrecon.losses.gaussian import complex_gaussian_loss
from tfrecon.methods.ddpm.objective import DDPMObjective
from tfrecon.methods.ddpm.prior import DDPMPrior
from tfrecon.typing import Tensor


def prior_losses(
    prior: DDPMPrior, objective: DDPMObjective, x0: Tensor, t: Tensor, noise: Tensor, valid: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of each image at given times and with given noise; the network is called once.

    Args:
        prior: network and chain.
        objective: which losses.
        x0: complex64 `[B, H, W]`.
        t: int32 `[B]`.
        noise: from the chain, like x0.
        valid: float32 `[B, H, W]`, 1 where an image is and 0 where it was padded; None for all ones.

    Returns:
        float32 `[B]`, and its parts by name, likewise.
    """
    x_t = prior.path.perturb(x0, t, noise)
    output = prior.output(x_t, t)
    arguments = objective.matching, prior.model.parameterization, prior.path, x0, t, noise, valid
    if objective.loss == "simple":
        total = denoising_losses(lambda image, label: output.mean, *arguments)
        parts = {"simple": total}
    else:
        learning = VarianceLearning(objective.loss, objective.vlb_weight)
        found = hybrid_losses(lambda image, label: (output.mean, output.share), learning, *arguments)
        total, parts = found.total, {"simple": found.simple, "bound": found.bound}
    if output.spread is not None:
        error = x0 - ops.stop_gradient(prior.estimate(output, x_t, t))
        parts["spread"] = pixel_mean(complex_gaussian_loss(error, prior.log_variance(output.spread, t)), valid)
        total = total + objective.spread_weight * parts["spread"]
    return total, parts
