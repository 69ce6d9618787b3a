"""The steps that samplers take towards the data, on estimates of the image.

Noise has variance `noise_std²` in each sample of k-space, E|n|².
"""

from __future__ import annotations

from keras import ops

from tfrecon.diffusion.path import Path, residual_variance
from tfrecon.diffusion.steps import DataStep
from tfrecon.methods.priors.options import SamplingOptions
from tfrecon.physics.data_term import DataTerm
from tfrecon.typing import Tensor


def make_data_step(
    options: SamplingOptions, term: DataTerm, path: Path, noise_std: Tensor, data_variance: float
) -> DataStep | None:
    """The data step of the options, for estimates at times of a path; None for "none".

    Args:
        options: see there.
        term: the data.
        path: of the sampler.
        noise_std: float32 `[B]`.
        data_variance: E|x_0|² of a pixel.
    """
    variance = ops.square(noise_std)

    def conjugate_gradients(x0_hat: Tensor, t: Tensor) -> Tensor:
        if options.gamma is None:
            weight = options.prior_weight * variance / residual_variance(path, t, data_variance)
        else:
            weight = 1.0 / options.gamma
        return term.near(x0_hat, weight, options.cg_iterations)

    def proximal(x0_hat: Tensor, t: Tensor) -> Tensor:
        level = ops.square(path.sigma(t) / path.alpha(t)) * path.noise_variance
        return term.projected(x0_hat, level / (level + options.prior_weight * variance))

    steps: dict[str, DataStep | None] = {
        "cg": conjugate_gradients,
        "proximal": proximal,
        "projection": lambda x0_hat, t: term.projected(x0_hat),
        "gradient": lambda x0_hat, t: term.descended(x0_hat, options.step_size),
        "none": None,
    }
    return steps[options.data_step]
