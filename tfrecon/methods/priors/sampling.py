"""A sampler around a prior and the data.

    run = Sampling(prior, term, data_step, times, start, seeds, noise_std, None, options)
    images = run.run()

Methods derive from `Sampling` where they have samplers of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from keras import ops

from tfrecon.diffusion import guided, ode, samplers
from tfrecon.diffusion.path import Path
from tfrecon.diffusion.steps import DataStep, Denoiser, Loop, all_steps
from tfrecon.methods.priors.options import SamplingOptions
from tfrecon.physics.batches import as_batch, repeat_batch
from tfrecon.physics.data_term import DataTerm
from tfrecon.typing import Measurement, Tensor

ASSUMED_NOISE = 0.01
"""Of a sample, in units of the measurement's scale, where nobody says what it is."""

START_ITERATIONS, START_REGULARISATION = 30, 0.01
"""Of conjugate gradients, for the start "cg_sense"."""

STRENGTHS = {"dps": 0.4, "diffpir": 1.0}
"""What `strength` is where it is None."""


class Prior(Protocol):
    """A network with the path that it was trained on, for the images of one batch."""

    @property
    def path(self) -> Path:
        """Of the images."""

    def denoiser(self) -> Denoiser:
        """`(x_t, t) -> x0_hat`."""


Sampler = Callable[["Sampling"], Tensor]


def _steps(run: Sampling) -> tuple[Any, ...]:
    return run.denoiser, run.prior.path, run.correct, run.times, run.seeds, run.start


def _flow(run: Sampling) -> tuple[Any, ...]:
    return run.denoiser, run.prior.path, run.correct, run.times, run.start


def _dps(run: Sampling) -> Tensor:
    arguments = run.denoiser, run.prior.path, run.term.distance, run.times, run.seeds, run.start
    return guided.dps(*arguments, strength=run.strength, loop=run.loop)


def _diffpir(run: Sampling) -> Tensor:
    def proximal(x0_hat: Tensor, weight: Tensor) -> Tensor:
        return run.lock(run.term.near(x0_hat, weight, run.options.cg_iterations))

    arguments = run.denoiser, run.prior.path, proximal, run.times, run.seeds, run.start
    given = {"noise_std": run.noise_std, "strength": run.strength, "xi": run.options.xi}
    return guided.diffpir(*arguments, **given, loop=run.loop)


SAMPLERS: dict[str, Sampler] = {
    "dds": lambda run: samplers.ddim(
        *_steps(run), eta=run.options.eta, eta_of="level", direction=run.options.direction, loop=run.loop
    ),
    "ancestral": lambda run: samplers.ancestral(*_steps(run), loop=run.loop),
    "ddim": lambda run: samplers.ddim(*_steps(run), eta=run.options.eta, loop=run.loop),
    "dpm_solver": lambda run: ode.dpm_solver(*_flow(run), loop=run.loop),
    "ode": lambda run: ode.probability_flow(*_flow(run), loop=run.loop),
    "dps": _dps,
    "diffpir": _diffpir,
}
"""By the name that options give them."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """All that a sampler is run with.

    Attributes:
        prior: network and path.
        term: the data.
        data_step: that of the options; None for "none".
        times: `[K]`, falling; a tensor where their number is known only when the graph runs.
        start: the state at the first of them, complex64 `[N, H, W]`.
        seeds: of the sampler's noise, `[N, 2]`.
        noise_std: of the data, float32 `[B]`.
        locked: complex64 `[N, H, W]`, whose undiffused part estimates keep; None lets data steps change it.
        options: see there.
        loop: see `diffusion.steps`.
    """

    prior: Prior
    term: DataTerm
    data_step: DataStep | None
    times: np.ndarray | Tensor
    start: Tensor
    seeds: Tensor
    noise_std: Tensor
    locked: Tensor | None
    options: SamplingOptions
    loop: Loop = all_steps

    samplers: ClassVar[Mapping[str, Sampler]] = SAMPLERS

    def run(self) -> Tensor:
        """The images, complex64 `[N, H, W]`, or whatever the loop gives."""
        return self.samplers[self.name](self)

    @property
    def name(self) -> str:
        """Of the sampler."""
        return self.options.sampler

    @property
    def denoiser(self) -> Denoiser:
        """Of the prior."""
        return self.prior.denoiser()

    @property
    def strength(self) -> float:
        """Of a sampler with a guidance of its own."""
        return STRENGTHS[self.name] if self.options.strength is None else self.options.strength

    def lock(self, image: Tensor) -> Tensor:
        """An estimate with what is locked."""
        return image if self.locked is None else self.prior.path.join(image, self.locked)

    def correct(self, x0_hat: Tensor, t: Tensor) -> Tensor:
        """What the data make of an estimate: the sampler's data step."""
        return self.lock(x0_hat if self.data_step is None else self.data_step(x0_hat, t))


def measured_batch(measurement: Measurement, method: str, *, map_sets: bool = False) -> Measurement:
    """The measurement as a batch `[B, C, H, W]`, whatever is not zero in its mask measured.

    Args:
        measurement: with any leading axes.
        method: its name, for messages.
        map_sets: see `physics.batches.as_batch`.

    Raises:
        InputError: several sets of maps, and the method takes one.
    """
    flat, _ = as_batch(measurement, method, map_sets=map_sets)
    return flat._replace(mask=ops.cast(ops.cast(flat.mask, "float32") > 0, "float32"))


def noise_of(measurement: Measurement, options: SamplingOptions) -> Tensor:
    """Standard deviation of the noise of each measurement, float32 `[B]`; one below zero is not known."""
    if options.noise is None and measurement.noise_std is not None:
        known = ops.cast(measurement.noise_std, "float32")
        return ops.where(known < 0, ASSUMED_NOISE, known)
    assumed = ASSUMED_NOISE if options.noise is None else options.noise
    return ops.broadcast_to(ops.convert_to_tensor(assumed, "float32"), ops.shape(measurement.kspace)[:1])


def first_state(
    term: DataTerm,
    path: Path,
    times: np.ndarray | Tensor,
    noise: Tensor,
    copies: int | Tensor,
    options: SamplingOptions,
) -> Tensor:
    """Where a sampler begins: at noise, or at an image that is noised to the first time.

    Args:
        term: the data.
        path: of the sampler.
        times: its times.
        noise: one unit of it for each image, complex64 `[N, H, W]`.
        copies: samples, N over the number of the start's images.
        options: say which image.
    """
    if options.start_image == "none":
        return path.prior(noise)
    return path.perturb(repeat_batch(start_image(term, options), copies), times[0], noise)


def start_image(term: DataTerm, options: SamplingOptions) -> Tensor:
    """The images of a warm start, as `DataTerm.zero_filled`."""
    if options.start_image == "zero_filled":
        return term.zero_filled()
    return term.least_squares(START_REGULARISATION, START_ITERATIONS)
