"""The algorithms of score-MRI (Chung & Ye, Medical Image Analysis 80:102479, 2022), on images of single coils.

Predictor and Langevin corrector walk the reverse equation; after each half of a step the measured samples are put
into the state. A prior of magnitudes sees real and imaginary parts apart, one of complex images the coil images. All
coils and parts are items of one batch, with noise and step lengths of their own, which is the published algorithm
for one slice.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from tfrecon.diffusion.steps import Loop, all_steps, count_of
from tfrecon.diffusion.stochastic import AfterStep, PredictorCorrector, predictor_corrector
from tfrecon.methods.score.coil_data import CoilData, root_sum_of_plain_squares, root_sum_of_squares
from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.prior import Prior, make_prior
from tfrecon.methods.score.published_options import ONE_COIL_ALGORITHMS, REAL_ALGORITHMS, WEIGHT_STEPS
from tfrecon.physics.batches import repeat_batch
from tfrecon.typing import Measurement, Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the images of coils are items of a batch.

    Attributes:
        coils: C.
        apart: whether real and imaginary part are items of their own, complex64 without imaginary part.
    """

    coils: int | Tensor
    apart: bool

    def items(self, images: Tensor) -> Tensor:
        """`[N, C, H, W]` as `[N · C (· 2), H, W]`, those of an image next to each other."""
        if self.apart:
            images = ops.stack([ops.real(images), ops.imag(images)], axis=2)
            images = make_complex(images, ops.zeros_like(images))
        return ops.reshape(images, (-1, *ops.shape(images)[-2:]))

    def images(self, items: Tensor) -> Tensor:
        """The inverse of `items`."""
        size = ops.shape(items)[-2:]
        if not self.apart:
            return ops.reshape(items, (-1, self.coils, *size))
        parts = ops.reshape(ops.real(items), (-1, self.coils, 2, *size))
        return make_complex(parts[:, :, 0], parts[:, :, 1])

    def seeds(self, seeds: Tensor) -> Tensor:
        """A seed for each item, of those of the images `[N, 2]`."""
        each = self.coils * (2 if self.apart else 1)
        count = ops.shape(seeds)[0]
        spread = ops.reshape(ops.broadcast_to(seeds[:, None], (count, each, 2)), (count * each, 2))
        return rng.fold_in(spread, ops.tile(ops.arange(each, dtype="int32"), (count,)))


@dataclasses.dataclass(frozen=True)
class CoilSampling:
    """All that an algorithm is run with; used as `sampling.Sampling` is.

    Attributes:
        prior: network and path, for the items of the layout.
        data: the measured samples.
        layout: see there.
        times: float32 `[K]`, falling.
        start: the state at the first of them, items of the layout.
        seeds: of the noise of each item.
        options: see there; the numbers of `sampling` are known.
        loop: see `diffusion.steps`.
    """

    prior: Prior
    data: CoilData
    layout: Layout
    times: np.ndarray | Tensor
    start: Tensor
    seeds: Tensor
    options: ScoreOptions
    loop: Loop = all_steps

    def run(self) -> Tensor:
        """The items of the coil images, or whatever the loop gives; `image_of_coils` makes images of them."""
        options = self.options
        rules = PredictorCorrector(
            options.predictor,
            corrector_steps=options.corrector_steps,
            snr=options.sampling.snr,
            order="predictor_first" if options.follows("order") else "corrector_first",
            widths=options.widths,
            result="state" if options.follows("result") else "mean",
        )
        return predictor_corrector(
            self.prior.denoiser(),
            self.prior.path,
            None,
            self.times,
            self.seeds,
            self.start,
            rules=rules,
            project_state=self.project,
            after_step=self._sense_steps() if options.algorithm == "hybrid" else None,
            loop=self.loop,
        )

    def project(self, state: Tensor, t: Tensor) -> Tensor:
        """A state with the measured samples."""
        images = self.data.projected(self.layout.images(state), self.prior.path.alpha(t))
        return _real_part(self.layout.items(images), self.options)

    def _sense_steps(self) -> AfterStep:
        """A SENSE step after some steps, with falling weight; the samples it moves are put in again."""
        options, sampling, count = self.options, self.options.sampling, count_of(self.times)
        every = ops.maximum(count // 10, 1) if sampling.sense_every is None else sampling.sense_every
        total = WEIGHT_STEPS if options.follows("weights") else count
        published = options.follows("sense")

        def step(state: Tensor, t: Tensor, weight: Tensor) -> Tensor:
            images, level = self.layout.images(state), self.prior.path.alpha(t)
            if published:
                return self.layout.items(self.data.published_sense_step(images, weight, level))
            return self.layout.items(self.data.projected(self.data.sense_step(images, weight, level), level))

        def after_step(state: Tensor, t: Tensor, index: Tensor) -> Tensor:
            part = ops.cast(index, "float32") / ops.cast(total, "float32")
            weight = sampling.sense_first + (sampling.sense_last - sampling.sense_first) * part
            return ops.cond(ops.equal(index % every, 0), lambda: step(state, t, weight), lambda: state)

        return after_step


def prepare_coils(
    network: Any,
    model: ScoreModel,
    measurement: Measurement,
    seeds: Tensor,
    options: ScoreOptions,
    times: np.ndarray | Tensor,
    warm: Tensor | None = None,
) -> CoilSampling:
    """Everything before the first call of the network.

    Args:
        network: the Keras model.
        model: what it was built from.
        measurement: k-space `[B, C, H, W]`, normalised.
        seeds: one for each image, `[N, 2]` with N a multiple of B.
        options: see there; the numbers of `sampling` are known.
        times: of the sampler.
        warm: coil images `[B, C, H, W]` to begin with instead of noise alone.

    Raises:
        InputError: prior, coils and algorithm do not go together.
    """
    check_prior(model, measurement.kspace.shape[-3], options)
    shape = ops.shape(measurement.kspace)
    real = options.algorithm in REAL_ALGORITHMS
    layout = Layout(shape[1], model.channels == "magnitude" and not real)
    own = layout.seeds(seeds)
    # Each part by itself is a real image, and its noise is real: the path of training.
    prior = make_prior(
        network,
        model,
        model.training_path(),
        shape[-2:],
        rng.for_purpose(own, "network"),
        whole=options.whole_images,
    )
    data = CoilData(measurement, real=real and not options.follows("projection"))
    noise = prior.path.noise(rng.for_purpose(own, "start"), (ops.shape(own)[0], *shape[-2:]))
    if warm is None:
        start = prior.path.prior(noise)
    else:
        copies = ops.shape(seeds)[0] // shape[0]
        start = prior.path.perturb(_real_part(layout.items(repeat_batch(warm, copies)), options), times[0], noise)
    run = CoilSampling(prior, data, layout, times, start, rng.for_purpose(own, "steps"), options)
    return dataclasses.replace(run, start=_begun(run))


def _begun(run: CoilSampling) -> Tensor:
    """The first state: with the measured samples, or as published."""
    if not run.options.follows("start") or run.options.start_image != "none":
        return run.project(run.start, run.times[0])
    if run.options.algorithm != "complex":
        return run.start
    noise = run.layout.images(run.start)
    noise = make_complex(ops.real(noise), ops.zeros_like(ops.real(noise)))
    return run.project(run.layout.items(noise), run.times[0])


def image_of_coils(items: Tensor, model: ScoreModel, measurement: Measurement, options: ScoreOptions) -> Tensor:
    """The images that the items of a `CoilSampling` make, complex64 `[N, H, W]`.

    Args:
        items: complex64 `[N · C (· 2), H, W]`.
        model: see `prepare_coils`.
        measurement: likewise.
        options: likewise.
    """
    real = options.algorithm in REAL_ALGORITHMS
    images = Layout(ops.shape(measurement.kspace)[1], model.channels == "magnitude" and not real).images(items)
    data = CoilData(measurement, real=real)
    if not (options.follows("projection") or options.follows("sense")):
        images = data.projected(images)  # changes nothing but where alpha is not quite one at the last time
    if real:
        return make_complex(ops.real(images[:, 0]), ops.zeros_like(ops.real(images[:, 0])))
    if options.algorithm == "complex":
        return data.combined(images)
    return root_sum_of_plain_squares(images) if options.follows("combination") else root_sum_of_squares(images)


def check_prior(model: ScoreModel, coils: int | None, options: ScoreOptions) -> None:
    """Raises InputError where prior, number of coils and algorithm do not go together.

    Args:
        model: of the prior.
        coils: None if their number is not known.
        options: with one of score-MRI's algorithms.
    """
    name = options.algorithm
    if model.high_frequency:
        raise InputError(
            f"algorithm {name!r} needs a path that diffuses all of an image, not 'hfs'",
            fix="take algorithm=hfs_sde, or a prior on the path ve",
        )
    if name in REAL_ALGORITHMS and model.channels != "magnitude":
        raise InputError(
            f"algorithm {name!r} needs a prior of magnitudes, but this one is of complex images",
            fix="take algorithm=complex, or train with config.model.channels=magnitude",
        )
    if options.follows("separate") and model.channels != "magnitude":
        raise InputError(
            f"algorithm {name!r} as published applies a prior of magnitudes to real and imaginary part, but this one "
            "is of complex images",
            fix="list the parity that is wanted without 'separate', or train with config.model.channels=magnitude",
        )
    if name in ONE_COIL_ALGORITHMS and coils not in (None, 1):
        raise InputError(
            f"algorithm {name!r} is for one coil, but k-space has {coils}", fix="take algorithm=ssos or hybrid"
        )


def _real_part(items: Tensor, options: ScoreOptions) -> Tensor:
    """Real images have no imaginary part, whatever the samples say."""
    if options.algorithm not in REAL_ALGORITHMS:
        return items
    return make_complex(ops.real(items), ops.zeros_like(ops.real(items)))
