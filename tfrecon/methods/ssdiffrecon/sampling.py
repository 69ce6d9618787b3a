"""SSDiffRecon's reconstruction: the sampler of the options around the networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from tfrecon.diffusion import samplers
from tfrecon.diffusion.discrete import ChainSettings, DiscretePath, rebuilt_path
from tfrecon.diffusion.path import along
from tfrecon.methods.ssdiffrecon.denoise import denoise
from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel
from tfrecon.methods.ssdiffrecon.options import SSDiffReconOptions
from tfrecon.methods.ssdiffrecon.problem import Problem
from tfrecon.physics.operators import least_squares_image
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex, safe_abs

LEGACY_NOISE = 0.01
"""Noise on the data of the legacy sampler's consistency, relative to that of the state."""


@dataclasses.dataclass(frozen=True)
class Chain:
    """What a sampler walks along.

    Attributes:
        path: its noise levels.
        times: those at which the networks are called, int32 `[K]`, falling.
    """

    path: DiscretePath
    times: np.ndarray


def make_chain(settings: ChainSettings, options: SSDiffReconOptions) -> Chain:
    """The chain of a sampler for networks that were trained on `settings`.

    Raises:
        InputError: more steps than the trained chain has.
    """
    if options.sampler == "legacy5":
        path = rebuilt_path(settings, options.steps)
        return Chain(path, path.all_times())
    path = DiscretePath.from_settings(settings)
    return Chain(path, path.respaced(options.steps, options.depth))


def sample(
    models: Mapping[str, Any],
    model: SSDiffReconModel,
    problem: Problem,
    chain: Chain,
    seeds: Tensor,
    options: SSDiffReconOptions,
    label: Tensor | None = None,
) -> Tensor:
    """Reconstructs each example of a batch once.

    Args:
        models: "mapper" and "denoiser".
        model: what they were built from.
        problem: the measurements, as the networks know them.
        chain: from `make_chain`.
        seeds: one for each example, `[B, 2]`.
        options: see `SSDiffReconOptions`.
        label: float32 `[B, L]`, or None for zeros.

    Returns:
        complex64 `[B, H, W]`.
    """
    zero_filled = problem.image()

    def denoiser(state: Tensor, t: Tensor) -> Tensor:
        now, condition = rng.fold_in(seeds, t), problem
        if options.sampler == "legacy5":
            condition = _noised(problem, chain.path, t, now)
        settings = {"training": False, "consistency_weight": options.consistency_weight}
        return denoise(models, model, condition, state, t, label=label, seeds=now, **settings)

    def data_step(x0_hat: Tensor, _: Tensor) -> Tensor:
        return consistent(bounded(x0_hat, options), problem) if options.consistency else bounded(x0_hat, options)

    start = _start(zero_filled, chain, rng.for_purpose(seeds, "start"), options)
    arguments = (denoiser, chain.path, data_step, chain.times, rng.for_purpose(seeds, "steps"), start)
    if options.sampler == "ddim":
        return samplers.ddim(*arguments, eta=options.eta)
    return samplers.ancestral(*arguments, variance="large" if options.sampler == "legacy5" else options.variance)


def consistent(image: Tensor, problem: Problem) -> Tensor:
    """The image with the samples of the problem in place of its own; exact with one coil."""
    operator = problem.operator()
    return image - least_squares_image(operator, operator.forward(image) - problem.kspace)


def bounded(image: Tensor, options: SSDiffReconOptions) -> Tensor:
    """The image within the bound of the options."""
    if options.clip == "magnitude":
        magnitude = safe_abs(image)
        return image * ops.cast(options.limit / ops.maximum(magnitude, options.limit), "complex64")
    if options.clip == "box":
        parts = (ops.clip(part, -options.limit, options.limit) for part in (ops.real(image), ops.imag(image)))
        return make_complex(*parts)
    return image


def _start(zero_filled: Tensor, chain: Chain, seeds: Tensor, options: SSDiffReconOptions) -> Tensor:
    if options.start == "zero_filled":
        return zero_filled
    noise = chain.path.noise(seeds, ops.shape(zero_filled))
    if options.start == "noise":
        return chain.path.prior(noise)
    return chain.path.perturb(zero_filled, chain.times[0], noise)


def _noised(problem: Problem, path: DiscretePath, t: Tensor, seeds: Tensor) -> Problem:
    """The data as published: scaled and noised as an image at time t, but for the last step."""
    image = problem.image()
    noise = path.noise(rng.for_purpose(seeds, "data"), ops.shape(image))
    last = ops.equal(t, 0)
    kept = ops.where(last, 1.0, path.alpha(t))
    added = ops.where(last, 0.0, LEGACY_NOISE * path.sigma(t))
    kspace = along(kept, image) * problem.kspace + along(added, image) * problem.operator().forward(noise)
    return problem._replace(kspace=kspace)
