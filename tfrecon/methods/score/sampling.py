"""Reconstruction with a prior: the sampler of the options, around network and data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from keras import ops

from tfrecon.diffusion.factory import make_path
from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.path import along
from tfrecon.diffusion.stochastic import Projection, predictor_corrector
from tfrecon.methods.priors.data_steps import make_data_step
from tfrecon.methods.priors.sampling import SAMPLERS, Sampler, Sampling, first_state, noise_of, start_image
from tfrecon.methods.score.coil_data import CoilData
from tfrecon.methods.score.hfs_sde import sample_hfs_sde
from tfrecon.methods.score.low_frequencies import limit_blocks
from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.options import PREDICTORS, ScoreOptions
from tfrecon.methods.score.prior import Prior, make_prior
from tfrecon.methods.score.published import as_published, images_of
from tfrecon.methods.score.published_options import COIL_ALGORITHMS
from tfrecon.methods.score.score_mri import CoilSampling, prepare_coils
from tfrecon.physics.batches import repeat_batch
from tfrecon.physics.calibration_block import block_mask, calibration_blocks
from tfrecon.physics.data_term import DataTerm
from tfrecon.physics.operators import measurement_operator
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng
from tfrecon.util.eager import outside_graph

CALIBRATION_ITERATIONS = 10
"""Of conjugate gradients, for the low frequencies that are locked."""


class ScoreSampling(Sampling):
    """`methods.priors.sampling.Sampling` with the samplers that step with scores; its prior is a `prior.Prior`."""

    samplers: ClassVar[Mapping[str, Sampler]] = {
        **SAMPLERS,
        **dict.fromkeys(PREDICTORS, lambda run: _with_scores(run)),
        "hfs_sde": sample_hfs_sde,
    }

    @property
    def name(self) -> str:
        """Of the sampler or the algorithm."""
        return self.options.sampler if self.options.algorithm == "none" else self.options.algorithm


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
) -> ScoreSampling | CoilSampling:
    """Everything before the first call of the network.

    Args:
        network: the Keras model.
        model: what it was built from.
        measurement: normalised, as `DataTerm` takes it.
        seeds: one for each image, `[N, 2]` with N a multiple of B.
        options: see there.
        most: largest side of what the path "hfs" leaves alone, as a part of k-space's.
        times: those of `sampling_times`; None for those of the options.

    Raises:
        InputError: as `DataTerm`; or prior, coils and algorithm do not go together.
    """
    options = options.for_path(model.path.kind)
    times = sampling_times(model, options, options.steps) if times is None else times
    noise_std = noise_of(measurement, options)
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
    noise = prior.path.noise(rng.for_purpose(seeds, "start"), (ops.shape(seeds)[0], *size))
    start = _with_low_frequencies(first_state(term, prior.path, times, noise, copies, options), low, prior, options)
    own = rng.for_purpose(seeds, "steps")
    return ScoreSampling(prior, term, data_step, times, start, own, noise_std, locked, options)


def sampling_times(model: ScoreModel, options: ScoreOptions, steps: int) -> np.ndarray:
    """The times of the sampler, float32 `[steps]`, falling."""
    with outside_graph():
        # The path without projector has the same times, and no tensor of the graph.
        path = make_path(model.path, lambda image: image)
        return make_times(path, steps, options.grid, start=options.start)


def _with_low_frequencies(state: Tensor, low: Tensor | None, prior: Prior, options: ScoreOptions) -> Tensor:
    """The first state, its low frequencies from `low` where there are any."""
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
    image = start_image(DataTerm(measurement), options)
    return measurement_operator(measurement).maps * image[:, None]


def _at_state(run: ScoreSampling) -> Projection:
    """The data step on a state, whose diffused part has faded by alpha."""

    def project(state: Tensor, t: Tensor) -> Tensor:
        alpha = along(run.prior.path.alpha(t), state)
        return alpha * run.data_step(state / alpha, t)

    return project


def _with_scores(run: ScoreSampling) -> Tensor:
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
