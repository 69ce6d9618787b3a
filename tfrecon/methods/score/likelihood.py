"""How likely a prior takes images to be, and its probability flow from image to noise and back.

The one module of the methods that needs TensorFlow: its solver is TensorFlow Probability's. What is solved is in
`diffusion.likelihood`. After Song et al., "Score-based generative modeling through stochastic differential equations",
ICLR 2021, section 4.3.

Units. Images are those that a prior sees: measured ones divided by their scale. A flow begins at `path.t_min`, so what
has a density is an image with a little noise in it, of standard deviation `sigma / alpha` units; `dequantise` says
where that noise comes from. The density p is one of real numbers in units of images, and bits for each dimension are
`-log2(p step)`: the cost of telling each real and imaginary part to the nearest multiple of `step`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import tensorflow as tf
from keras import ops

from tfrecon.diffusion.likelihood import ScaledFlow, bits_per_dimension
from tfrecon.diffusion.parameterization import make_denoiser
from tfrecon.diffusion.path import along
from tfrecon.methods.score.model import ScoreModel
from tfrecon.methods.score.prior import Prior, make_prior
from tfrecon.physics.batches import repeat_batch
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex
from tfrecon.util.errors import InputError

DEQUANTISE = ("gaussian", "uniform", "none")
FIRST_STEP = 0.1
"""Of the solver, in ln(sigma / alpha); it finds its own soon."""

_LEVEL, _STATE, _IMAGE = (
    tf.TensorSpec([], tf.float32),
    tf.TensorSpec([None, None, None, 2], tf.float32),
    tf.TensorSpec([None, None, None], tf.complex64),
)


@dataclasses.dataclass(frozen=True)
class FlowOptions:
    """How a flow is solved, and what its likelihood is one of.

    Attributes:
        tolerance: relative and absolute, of the solver's steps, in units in which images have about variance one.
        max_steps: of the solver; more are an error, because they mean that the flow is not smooth.
        probes: random directions in which the divergence is looked at, each with a solution of its own; their spread
            gives a standard error.
        dequantise: the noise of the flow's first level in images: "gaussian" adds what the path has there, right for
            images without noise; "uniform" adds one of width `step`, for images that were stored as whole numbers of
            steps, whose density then bounds their probability; "none" takes images as they are.
        step: see the module; 1/256 of the brightness of normalised tissue by default.
        centre: with the path "hfs", which part of the lines of k-space is known. The likelihood is that of the rest.
    """

    tolerance: float = 1e-4
    max_steps: int = 500
    probes: int = 1
    dequantise: Literal["gaussian", "uniform", "none"] = "gaussian"
    step: float = 1 / 256
    centre: float = 0.08

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InputError(f"'tolerance' is {self.tolerance:g}", fix="give a small number above 0, for instance 1e-4")
        if self.probes < 1 or self.max_steps < 1:
            raise InputError(f"{self.probes} probes and {self.max_steps} steps", fix="give at least one of each")
        if self.dequantise not in DEQUANTISE:
            raise InputError(f"no dequantisation {self.dequantise!r}", fix=f"choose one of {', '.join(DEQUANTISE)}")
        if not self.step > 0:
            raise InputError(f"'step' is {self.step:g}", fix="give a positive number, for instance 1/256")
        if not 0 < self.centre < 1:
            raise InputError(f"'centre' is {self.centre:g}", fix="give a part of k-space's lines between 0 and 1")


class Likelihood(NamedTuple):
    """How likely each image is.

    Attributes:
        nats: ln p of each image, float32 `[B]`.
        bits: bits for each dimension, float32 `[B]`; smaller is likelier.
        bits_error: standard error of `bits` from the spread between probes; NaN with a single one.
        dimensions: real numbers of an image that the path diffuses, float32 `[B]`.
        calls: of the network, each with one gradient.
    """

    nats: Tensor
    bits: Tensor
    bits_error: Tensor
    dimensions: Tensor
    calls: int


class PriorFlow:
    """The probability flow of a prior. The network is compiled once, for images of any number and size.

    Images of a batch share the solver's steps, so their results depend on each other as far as the tolerance lets them.
    Priors of patches work with one fixed partition of each image.

    Args:
        network: the Keras model.
        model: what it was built from.
        options: see there.
    """

    def __init__(self, network: Any, model: ScoreModel, options: FlowOptions = FlowOptions()) -> None:
        self._network, self._model, self.options = network, model, options
        # The solver runs in Python around one compiled call. In one graph with it the network would stand seven times,
        # once for each stage, and that takes minutes to make.
        self._velocity = tf.function(self._velocity_of, (_LEVEL, _STATE, _IMAGE), autograph=False)
        self._with_divergence = tf.function(self._divergence_of, (_LEVEL, _STATE, _IMAGE, _IMAGE), autograph=False)

    def log_likelihood(self, images: Tensor, seeds: Tensor) -> Likelihood:
        """The likelihood of images under the prior.

        Args:
            images: complex64 `[B, H, W]`, normalised; of a prior of magnitudes only the real part counts.
            seeds: of noise and probes, `[B, 2]`.

        Raises:
            InputError: the solver needs more than `max_steps`, as it does if the network gives NaN.
        """
        images = ops.convert_to_tensor(images, "complex64")
        images = self._dequantised(images, rng.for_purpose(seeds, "dequantisation"))
        copies, count = self.options.probes, images.shape[0]
        images, seeds = repeat_batch(images, copies), repeat_batch(rng.for_purpose(seeds, "probe"), copies)
        flow = self._flow(images)
        numbers = ops.repeat(ops.arange(copies, dtype="int32"), count)
        probe = flow.draw_probe(rng.fold_in(seeds, numbers), ops.shape(images))
        first, last = flow.ends()

        def both(level: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            velocity, divergence = self._with_divergence(level, state[0], images, probe)
            return velocity, divergence[:, None, None] * ops.ones_like(state[1])

        # The solver's norm is a mean over all numbers. The integral is carried once for each pixel, to count in it.
        begin = flow.state_of(images, first), ops.zeros(ops.shape(images), "float32")
        (state, integral), calls = self._solve(both, first, last, begin)
        nats = ops.reshape(flow.log_density(state, integral[:, 0, 0]), (copies, count))
        bits, dimensions = bits_per_dimension(nats, self.options.step), flow.dimensions[:count]
        spread = ops.std(bits, axis=0) / ops.sqrt(ops.cast(copies - 1, "float32"))  # 0 / 0 with one probe: NaN
        return Likelihood(ops.mean(nats, axis=0) * dimensions, ops.mean(bits, axis=0), spread, dimensions, calls)

    def encode(self, images: Tensor) -> tuple[Tensor, int]:
        """The noise that the flow takes images to; `decode` takes it back.

        Args:
            images: complex64 `[B, H, W]`, normalised; typical ones have the noise of `path.t_min` in them.

        Returns:
            Unit noise, complex64 `[B, H, W]`: E|n|² is the path's `noise_variance` for images that the prior knows
            well, and with the path "hfs" only what is diffused; and the calls of the network.

        Raises:
            InputError: as `log_likelihood`.
        """
        images = self._allowed(ops.convert_to_tensor(images, "complex64"))
        flow = self._flow(images)
        first, last = flow.ends()
        begin = flow.state_of(images, first)
        state, calls = self._solve(lambda level, w: self._velocity(level, w, images), first, last, begin)
        return flow.noise_of(state), calls

    def decode(self, noise: Tensor, still: Tensor | None = None) -> tuple[Tensor, int]:
        """The images that the flow takes noise to: samples of the prior, with the noise of `path.t_min`.

        Args:
            noise: unit noise, complex64 `[B, H, W]`.
            still: complex64 `[B, H, W]`, images with the low frequencies that the path "hfs" leaves alone; None for
                zeros.

        Returns:
            The images, complex64 `[B, H, W]`, and the calls of the network.

        Raises:
            InputError: as `log_likelihood`.
        """
        noise = self._allowed(ops.convert_to_tensor(noise, "complex64"))
        still = ops.zeros_like(noise) if still is None else ops.convert_to_tensor(still, "complex64")
        flow = self._flow(still)
        first, last = flow.ends()
        # The solver only goes forwards: what it takes for time is -l.
        state, calls = self._solve(
            lambda time, w: -self._velocity(-time, w, still), -last, -first, flow.state_of_noise(noise)
        )
        return flow.image_of(state, first), calls

    def _velocity_of(self, level: Tensor, state: Tensor, still: Tensor) -> Tensor:
        return self._flow(still).velocity(level, state)

    def _divergence_of(self, level: Tensor, state: Tensor, still: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
        return self._flow(still).velocity_and_divergence(level, state, probe)

    def _flow(self, still: Tensor) -> ScaledFlow:
        prior = self._prior(still)
        # One partition into patches for all levels: the flow has to be a function.
        denoiser = make_denoiser(prior.as_network(), self._model.parameterization, prior.path)
        count, height, width = ops.shape(still)
        numbers = ops.cast(height * width * (1 if prior.path.real else 2), "float32")
        numbers = ops.broadcast_to(numbers, (count,)) * _diffused_part(prior, still)
        return ScaledFlow(denoiser, prior.path, self._model.parameterization.data_std, still, numbers)

    def _prior(self, images: Tensor) -> Prior:
        """The prior on its training path; with "hfs" whole lines of the centre are known."""
        count, height, width = ops.shape(images)
        blocks = None
        if self._model.high_frequency:
            lines = ops.cast(ops.round(self.options.centre * ops.cast(width, "float32")), "int32")
            blocks = ops.stack([ops.cast(height, "int32"), ops.maximum(lines, 1)])
            blocks = ops.tile(blocks[None], (count, 1))
        seeds = rng.make_seeds(0, 0, count, purpose="partition")
        path = self._model.training_path()
        return make_prior(self._network, self._model, path, (height, width), seeds, blocks=blocks)

    def _allowed(self, images: Tensor) -> Tensor:
        """Images as the prior is one of: magnitudes have no imaginary part."""
        if not self._model.training_path().real:
            return images
        return make_complex(ops.real(images), ops.zeros_like(ops.real(images)))

    def _dequantised(self, images: Tensor, seeds: Tensor) -> Tensor:
        images, options = self._allowed(images), self.options
        path = self._prior(images).path
        if options.dequantise == "none":
            return images
        if options.dequantise == "gaussian":
            noise = path.noise(seeds, ops.shape(images))
            return images + along(path.sigma(path.t_min) / path.alpha(path.t_min), images) * noise
        numbers = (rng.uniform(seeds, (*ops.shape(images), 2)) - 0.5) * options.step
        noise = self._allowed(make_complex(numbers[..., 0], numbers[..., 1]))
        return images + path.project(noise)

    def _solve(self, velocity: Callable[..., Any], first: Tensor, last: Tensor, state: Any) -> tuple[Any, int]:
        """The state at the end of a flow by Dormand and Prince's method, and the calls of the velocity.

        The solver passes the end by a part of a step and interpolates.
        """
        tolerance, most = self.options.tolerance, self.options.max_steps
        solver = _dormand_prince()(rtol=tolerance, atol=tolerance, first_step_size=FIRST_STEP, max_num_steps=most)
        try:
            found = solver.solve(velocity, first, state, solution_times=ops.reshape(last, (1,)))
        except tf.errors.InvalidArgumentError as error:
            if "max_num_steps" not in str(error):
                raise
            raise InputError(
                f"the probability flow is not solved in {most} steps",
                fix="check that image and network are finite; raise max_steps or the tolerance",
            ) from error
        calls = 1 + int(found.diagnostics.num_ode_fn_evaluations)  # one before the first step
        return tf.nest.map_structure(lambda part: part[-1], found.states), calls


def _diffused_part(prior: Prior, image: Tensor) -> Tensor:
    """How much of k-space the path diffuses, float32 `[B]`: the energy that it leaves of a flat spectrum."""
    height, width = ops.shape(image)[1:]
    rows, columns = (ops.equal(ops.arange(size, dtype="int32"), 0) for size in (height, width))
    at_origin = ops.logical_and(rows[:, None], columns)
    point = ops.broadcast_to(ops.cast(at_origin, "complex64"), ops.shape(image))
    return ops.sum(ops.square(ops.abs(prior.path.project(point))), axis=(-2, -1))


def _dormand_prince() -> Any:
    """The solver's class; loading it takes seconds and warns of what it itself does in old ways."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import tensorflow_probability as tfp

        return tfp.math.ode.DormandPrince
