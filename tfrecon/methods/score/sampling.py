"""Reconstruction with a prior: the sampler of the options, around network and data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from tfrecon.diffusion import guided, ode, samplers
from tfrecon.diffusion.factory import make_path
from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.path import along
from tfrecon.diffusion.steps import DataStep, Denoiser, Loop, all_steps
from tfrecon.diffusion.stochastic import Projection, predictor_corrector
from tfrecon.methods.score.coil_data import CoilData
from tfrecon.methods.score.data_steps import DataTerm, make_data_step
from tfrecon.methods.score.hfs_sde import sample_hfs_sde
from tfrecon.methods.score.low_frequencies import block_mask, calibration_blocks, limit_blocks
from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.options import PREDICTORS, ScoreOptions
from tfrecon.methods.score.prior import Prior, make_prior
from tfrecon.methods.score.published import as_published, images_of
from tfrecon.methods.score.published_options import COIL_ALGORITHMS
from tfrecon.methods.score.score_mri import CoilSampling, prepare_coils
from tfrecon.physics.batches import repeat_batch
from tfrecon.physics.operators import measurement_operator
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng
from tfrecon.util.eager import outside_graph

ASSUMED_NOISE = 0.01
"""Of a sample, in units of the measurement's scale, where nobody says what it is."""

CALIBRATION_ITERATIONS, START_ITERATIONS, START_REGULARISATION = 10, 30, 0.01
"""Of conjugate gradients, for the low frequencies that are locked and for the start "cg_sense"."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """All that a sampler is run with.

    Attributes:
        prior: network and path.
        term: the data.
        data_step: that of the options; None for "none".
        times: float32 `[K]`, falling; a tensor where their number is known only when the graph runs.
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
    options: ScoreOptions
    loop: Loop = all_steps

    def run(self) -> Tensor:
        """The images, complex64 `[N, H, W]`, or whatever the loop gives."""
        name = self.options.sampler if self.options.algorithm == "none" else self.options.algorithm
        return _RUN[name](self)

    @property
    def denoiser(self) -> Denoiser:
        """Of the prior."""
        return self.prior.denoiser()

    def lock(self, image: Tensor) -> Tensor:
        """An estimate with what is locked."""
        return image if self.locked is None else self.prior.path.join(image, self.locked)

    def correct(self, x0_hat: Tensor, t: Tensor) -> Tensor:
        """What the data make of an estimate: the sampler's data step."""
        return self.lock(x0_hat if self.data_step is None else self.data_step(x0_hat, t))


def sample(
    network: Any,
    model: ScoreModel,
    measurement: Measurement,
    seeds: Tensor,
    options: ScoreOptions,
    *,
    most: float = 1.0,
) -> Tensor:
    """Reconstructs each measurement of a batch, once or several times; as `prepare`.

    Returns:
        complex64 `[N, H, W]`: the batch, N / B times in a row.
    """
    run = prepare(network, model, measurement, seeds, options, most=most)
    return images_of(run.run(), model, measurement, options)


def prepare(
    network: Any,
    model: ScoreModel,
    measurement: Measurement,
    seeds: Tensor,
    options: ScoreOptions,
    *,
    most: float = 1.0,
    times: Tensor | None = None,
) -> Sampling | CoilSampling:
    """Everything before the first call of the network.

    Args:
        network: the Keras model.
        model: what it was built from.
        measurement: normalised, as `data_steps.DataTerm` takes it.
        seeds: one for each image, `[N, 2]` with N a multiple of B.
        options: see there.
        most: largest side of what the path "hfs" leaves alone, as a part of k-space's.
        times: those of `sampling_times`; None for those of the options.

    Raises:
        InputError: as `DataTerm`; or prior, coils and algorithm do not go together.
    """
    options = options.for_path(model.path.kind)
    times = sampling_times(model, options, options.steps) if times is None else times
    noise_std = _noise_of(measurement, options)
    measurement, scale = as_published(measurement, options)
    noise_std = noise_std if scale is None else noise_std / scale
    if options.algorithm in COIL_ALGORITHMS:
        warm = _warm_coils(measurement, options)
        return prepare_coils(network, model, measurement, seeds, options, times, warm)
    term, size = DataTerm(measurement), ops.shape(measurement.kspace)[-2:]
    copies = ops.shape(seeds)[0] // ops.shape(measurement.kspace)[0]
    blocks = low = None
    if model.high_frequency:
        measured = calibration_blocks(ops.cast(measurement.mask, "float32"), size[0])
        kept = limit_blocks(measured, most, size)
        blocks = repeat_batch(kept, copies)
        known = kept if options.follows("low_frequencies") else measured
        low = repeat_batch(_calibration_image(measurement, block_mask(known, size), options), copies)
    prior = make_prior(
        network, model, model.path, size, rng.for_purpose(seeds, "network"), blocks=blocks, whole=options.whole_images
    )
    data_step = make_data_step(options, term, prior.path, noise_std, model.data_variance)
    locked = low if options.lock == "calibration" else None
    start = _start(term, prior, times, rng.for_purpose(seeds, "start"), low, copies, size, options)
    return Sampling(prior, term, data_step, times, start, rng.for_purpose(seeds, "steps"), noise_std, locked, options)


def sampling_times(model: ScoreModel, options: ScoreOptions, steps: int) -> np.ndarray:
    """The times of the sampler, float32 `[steps]`, falling."""
    with outside_graph():
        # The path without projector has the same times, and no tensor of the graph.
        path = make_path(model.path, lambda image: image)
        return make_times(path, steps, options.grid, start=options.start)


def _start(
    term: DataTerm,
    prior: Prior,
    times: np.ndarray | Tensor,
    seeds: Tensor,
    low: Tensor | None,
    copies: int | Tensor,
    size: tuple[int | Tensor, ...],
    options: ScoreOptions,
) -> Tensor:
    """The first state: noise, or an image that is noised to the first time; low frequencies from `low`."""
    noise = prior.path.noise(seeds, (ops.shape(seeds)[0], *size))
    if options.start_image == "none":
        state = prior.path.prior(noise)
    else:
        warm = options.start_image == "cg_sense"
        image = term.least_squares(START_REGULARISATION, START_ITERATIONS) if warm else term.zero_filled()
        state = prior.path.perturb(repeat_batch(image, copies), times[0], noise)
    if low is None:
        return state
    # As published, with what coils' maps move from low to high frequencies.
    published = options.follows("low_frequencies") and options.start_image == "none"
    return low + state if published else prior.path.join(state, low)


def _calibration_image(measurement: Measurement, block: Tensor, options: ScoreOptions) -> Tensor:
    """The image that the calibration samples tell, complex64 `[B, H, W]`; right in its low frequencies."""
    mask = ops.cast(measurement.mask, "float32") * block[:, None]
    centre = DataTerm(measurement._replace(mask=mask))
    if options.follows("low_frequencies"):
        return centre.zero_filled()
    return centre.least_squares(0.0, CALIBRATION_ITERATIONS)


def _warm_coils(measurement: Measurement, options: ScoreOptions) -> Tensor | None:
    """Coil images to begin with, complex64 `[B, C, H, W]`; None for noise alone."""
    if options.start_image == "none":
        return None
    if options.start_image == "zero_filled":
        return CoilData(measurement).zero_filled()
    image = DataTerm(measurement).least_squares(START_REGULARISATION, START_ITERATIONS)
    return measurement_operator(measurement).maps * image[:, None]


def _at_state(run: Sampling) -> Projection:
    """The data step on a state, whose diffused part has faded by alpha."""

    def project(state: Tensor, t: Tensor) -> Tensor:
        alpha = along(run.prior.path.alpha(t), state)
        return alpha * run.data_step(state / alpha, t)

    return project


def _with_scores(run: Sampling) -> Tensor:
    at_state = run.options.data_at == "state"
    return predictor_corrector(
        run.denoiser,
        run.prior.path,
        None if at_state else run.correct,
        run.times,
        run.seeds,
        run.start,
        rules=run.options.rules,
        project_state=_at_state(run) if at_state else None,
        loop=run.loop,
    )


def _dps(run: Sampling) -> Tensor:
    strength = 0.4 if run.options.strength is None else run.options.strength
    arguments = run.denoiser, run.prior.path, run.term.distance, run.times, run.seeds, run.start
    return guided.dps(*arguments, strength=strength, loop=run.loop)


def _diffpir(run: Sampling) -> Tensor:
    def proximal(x0_hat: Tensor, weight: Tensor) -> Tensor:
        return run.lock(run.term.near(x0_hat, weight, run.options.cg_iterations))

    return guided.diffpir(
        run.denoiser,
        run.prior.path,
        proximal,
        run.times,
        run.seeds,
        run.start,
        noise_std=run.noise_std,
        strength=1.0 if run.options.strength is None else run.options.strength,
        xi=run.options.xi,
        loop=run.loop,
    )


def _steps(run: Sampling) -> tuple[Any, ...]:
    return run.denoiser, run.prior.path, run.correct, run.times, run.seeds, run.start


def _flow(run: Sampling) -> tuple[Any, ...]:
    return run.denoiser, run.prior.path, run.correct, run.times, run.start


_RUN = {
    "dds": lambda r: samplers.ddim(
        *_steps(r), eta=r.options.eta, eta_of="level", direction=r.options.direction, loop=r.loop
    ),
    "ancestral": lambda r: samplers.ancestral(*_steps(r), loop=r.loop),
    "ddim": lambda r: samplers.ddim(*_steps(r), eta=r.options.eta, loop=r.loop),
    "dpm_solver": lambda r: ode.dpm_solver(*_flow(r), loop=r.loop),
    "ode": lambda r: ode.probability_flow(*_flow(r), loop=r.loop),
    **dict.fromkeys(PREDICTORS, _with_scores),
    "dps": _dps,
    "diffpir": _diffpir,
    "hfs_sde": sample_hfs_sde,
}


def _noise_of(measurement: Measurement, options: ScoreOptions) -> Tensor:
    """Standard deviation of the noise of each measurement, float32 `[B]`; one below zero is not known."""
    if options.noise is None and measurement.noise_std is not None:
        known = ops.cast(measurement.noise_std, "float32")
        return ops.where(known < 0, ASSUMED_NOISE, known)
    assumed = ASSUMED_NOISE if options.noise is None else options.noise
    return ops.broadcast_to(ops.convert_to_tensor(assumed, "float32"), ops.shape(measurement.kspace)[:1])
