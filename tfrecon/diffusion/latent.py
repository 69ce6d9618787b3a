"""Sampling latents of an autoencoder, with images that agree with the data: ReSample (Song et al., arXiv 2307.08123).

The path and the denoiser are of latents z, the data of images. At some steps the estimate is decoded, made to agree
with the data as an image, encoded again, and the next state drawn anew around it; between them the steps are DDIM's.
After the last step the image is decoded and once more made to agree with the data: what the autoencoder cannot
say of measured samples comes back there.

Latents are complex images `[..., h, w]` here as everywhere (`nets.latent_space`). What denoiser, times, seed and start
are is said in `steps`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from tfrecon.diffusion.path import Path, along, posterior
from tfrecon.diffusion.steps import Carried, DataStep, Denoiser, Levels, Loop, all_steps, count_of, levels_of
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError


@dataclasses.dataclass(frozen=True)
class ImageSpace:
    """The images behind latents, and what the data make of them.

    Attributes:
        encode: images, complex64 `[B, H, W]`, to latents, complex64 `[B, h, w]`.
        decode: the reverse way, as well as an autoencoder can.
        data_step: `(image, t) -> image`, with t a time of the latents' path; for instance conjugate gradients on
            `|A x - y|² + weight |x - image|²` with the weight of `image_weight`.
    """

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    data_step: DataStep


@dataclasses.dataclass(frozen=True)
class Resampling:
    """When and how states are drawn around estimates that agree with the data.

    Attributes:
        every: at each so many steps; 0 for the last part alone.
        last_part: at all steps of so large a part at the end.
        strength: how much the new state is that of the estimate with the data, γ of the paper: with
            `ρ = γ (1 - ā / ā') / ā` it takes the part ρ/(1 + ρ) of it and the rest of the state that DDIM would
            go to. ā and ā' are the shares of the latents in the states before and after the step.
    """

    every: int = 10
    last_part: float = 1.0 / 3.0
    strength: float = 40.0

    def __post_init__(self) -> None:
        if self.every < 0:
            raise InputError(f"'every' is {self.every}", fix="give a number of steps, or 0 for the last part alone")
        if not 0 <= self.last_part <= 1:
            raise InputError(f"'last_part' is {self.last_part:g}", fix="give a part from 0 to 1")
        if not self.strength > 0:
            raise InputError(f"'strength' is {self.strength:g}", fix="give a positive number, for instance 40")


def resample(
    denoiser: Denoiser,
    path: Path,
    images: ImageSpace,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    rule: Resampling = Resampling(),
    eta: float = 0.0,
    loop: Loop = all_steps,
) -> Tensor:
    """Latents whose images agree with the data; `finish` makes the image of them.

    The denoiser is called once for each time, encoder and decoder at those of `data_steps` alone.

    Args:
        denoiser: of latents; see `steps`.
        path: of latents, any; one unit of noise should be as large as latents are.
        images: the images behind them.
        times: `[K]`, falling.
        seed: see `steps`.
        start: the state at `times[0]`, complex64 `[B, h, w]`.
        rule: when and how the data come in.
        eta: of DDIM between them: the part of the posterior's standard deviation that is new noise.
        loop: see `steps`; before the last step, the best latents are the newest estimate, after its data step if
            it had one.

    Returns:
        The last estimate of the latents, like `start`, which has not met the data itself: `finish` has to follow.

    Raises:
        InputError: eta outside [0, 1].
    """
    if not 0 <= eta <= 1:
        raise InputError(f"eta is {eta:g}", fix="give a number from 0 to 1")
    table = _tables(levels_of(path, times), rule, eta)
    with_data = data_steps(count_of(times), rule)
    times, start = ops.convert_to_tensor(times), ops.convert_to_tensor(start, "complex64")

    def body(index: Tensor, carried: Carried) -> Carried:
        state, t = carried.state, ops.take(times, index, axis=0)
        now, key = _Tables(*(ops.take(of, index, axis=0) for of in table)), rng.fold_in(seed, index)
        estimate = denoiser(state, t)
        moved = along(now.of_estimate, state) * estimate + along(now.of_state, state) * state
        if eta:
            noise = path.noise(rng.for_purpose(key, "ddim"), ops.shape(state))
            moved = moved + along(now.of_noise, state) * noise

        def with_image() -> tuple[Tensor, Tensor]:
            image = images.data_step(images.decode(estimate), t)
            latent = ops.reshape(images.encode(image), ops.shape(state))
            drawn = along(now.of_data, state) * latent + along(now.of_moved, state) * moved
            return drawn + along(now.of_new, state) * path.noise(key, ops.shape(state)), latent

        state, estimate = ops.cond(ops.take(with_data, index, axis=0), with_image, lambda: (moved, estimate))
        return Carried(path.join(state, estimate), estimate)

    return loop(count_of(times), body, start)


def finish(images: ImageSpace, latent: Tensor, t: Tensor) -> Tensor:
    """The image of latents, made to agree with the data: what `resample` ends in.

    Args:
        images: the images behind the latents.
        latent: complex64 `[B, h, w]`.
        t: the time that the data step is told, which decides how near to the decoded image it stays; the last one
            of the sampler.

    Returns:
        complex64 `[B, H, W]`.
    """
    return images.data_step(images.decode(latent), ops.convert_to_tensor(t))


def data_steps(count: int | Tensor, rule: Resampling) -> Tensor:
    """At which of `count` steps images meet the data within `resample`, bool `[count]`.

    Not at the last: after it `finish` does the same without encoding what came out.
    """
    step = ops.arange(1, count + 1, dtype="int32")
    late = step > count - ops.cast(ops.round(ops.cast(count, "float32") * rule.last_part), "int32")
    chosen = late if rule.every == 0 else late | ops.equal(step % rule.every, 0)
    return chosen & (step < count)


def image_weight(
    path: Path, t: Tensor, noise_std: Tensor | float, image_variance: float, reproduction_variance: float
) -> Tensor:
    """How near to a decoded estimate the data step should stay: noise over what is not known of the image.

    `noise_std² / (q d + e)`: of the latents' variance the part `q = sigma² / (alpha² + sigma²)` is not known at time t
    (latents of one unit of variance, see `path.residual_variance`), and of the image's, d, about as much; e is what
    the autoencoder loses, so that the data are trusted beyond it however sure the prior is.

    Args:
        path: of latents that are as large as one unit of noise.
        t: a time.
        noise_std: sqrt(E|n|²) of a sample of k-space, a scalar or `[B]`.
        image_variance: d, E|x|² of a pixel of an image.
        reproduction_variance: e, E|x - D(E(x))|² of a pixel.

    Returns:
        float32 of the shape of `noise_std`.
    """
    noise = ops.square(path.sigma(t))
    unknown = noise / (ops.square(path.alpha(t)) + noise)
    return ops.square(noise_std) / (unknown * image_variance + reproduction_variance)


class _Tables(NamedTuple):
    """Each step as numbers, float32 `[K]`."""

    of_estimate: Tensor  # DDIM: `of_estimate z0_hat + of_state z_t + of_noise n`
    of_state: Tensor
    of_noise: Tensor
    of_data: Tensor  # resampling: `of_data z0 + of_moved (what DDIM gives) + of_new n`
    of_moved: Tensor
    of_new: Tensor


def _tables(levels: Levels, rule: Resampling, eta: float) -> _Tables:
    std = eta * posterior(*levels).std
    kept = ops.sqrt(ops.maximum(levels.sigma_s**2 - std**2, 0.0)) / levels.sigma_t
    share_t, share_s = _share(levels.alpha_t, levels.sigma_t), _share(levels.alpha_s, levels.sigma_s)
    gained = rule.strength * (1.0 - share_t / share_s)
    part = gained / (gained + share_t)  # ρ / (1 + ρ), defined where nothing is left of the image
    return _Tables(
        of_estimate=levels.alpha_s - kept * levels.alpha_t,
        of_state=kept,
        of_noise=std,
        of_data=part * levels.alpha_s,
        of_moved=1.0 - part,
        of_new=ops.sqrt(part) * levels.sigma_s,
    )


def _share(alpha: Tensor, sigma: Tensor) -> Tensor:
    """ā: the image's part of the energy of a state."""
    return ops.square(alpha) / (ops.square(alpha) + ops.square(sigma))
