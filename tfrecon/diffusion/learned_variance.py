"""Networks that learn the variance of the step back, beside its mean (Nichol & Dhariwal, ICML 2021).

The network says for each real channel of each pixel how far the logarithm of the variance lies between that
of the path's posterior and that of the forward step, `log s² = v log beta + (1 - v) log beta~` (equation 15), with
v = (output + 1) / 2. It needs twice the channels. Between any two times beta and beta~ are the two variances of
`path.posterior`, so respaced chains need nothing else.

Variances are in units of noise, whose variance in one channel is `path.channel_std²`, until they meet an image.
How such networks are trained is said in `hybrid`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from keras import ops

from tfrecon.diffusion.parameterization import Parameterization, estimate_of, network_output
from tfrecon.diffusion.path import Path, along, posterior
from tfrecon.diffusion.steps import Carried, DataStep, Denoiser, Loop, all_steps, count_of, levels_of
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import make_complex, to_channels, to_complex

LearnedNetwork = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""`(image, label) -> (output, v)`: a `parameterization.Network` that gives v too, float32 `[B, H, W, n]`.

n is the number of real channels: 2 of complex images, 1 of real ones.
"""

LearnedDenoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""`(x_t, t) -> (x0_hat, v)`: a `steps.Denoiser` that gives v too, float32 `[..., H, W, n]`."""


def split_output(output: Tensor) -> tuple[Tensor, Tensor]:
    """What a network with twice the channels says: the complex output, and v.

    Args:
        output: float `[B, H, W, 2n]`, n channels of the output and as many that are -1 for the smallest and 1 for the
            largest variance; nothing keeps them from going beyond.

    Returns:
        complex64 `[B, H, W]`, without imaginary part if n is 1, and float32 `[B, H, W, n]`.
    """
    output = ops.cast(output, "float32")
    mean, variance = ops.split(output, 2, axis=-1)
    real = mean[..., 0]
    image = make_complex(real, mean[..., 1] if mean.shape[-1] == 2 else ops.zeros_like(real))
    return image, 0.5 * (variance + 1.0)


def make_learned_denoiser(network: LearnedNetwork, settings: Parameterization, path: Path) -> LearnedDenoiser:
    """A network as the estimate and the variance that `learned_ancestral` takes.

    Args:
        network: see `LearnedNetwork`.
        settings: what its output predicts.
        path: any path.
    """

    def denoiser(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        output, share = network_output(network, settings, path, x_t, t)
        return estimate_of(output, settings, path, x_t, t), share

    return denoiser


def without_variance(denoiser: LearnedDenoiser) -> Denoiser:
    """The estimate alone, for every other sampler."""
    return lambda x_t, t: denoiser(x_t, t)[0]


def log_variance(share: Tensor, smallest: Tensor, largest: Tensor) -> Tensor:
    """`v log beta + (1 - v) log beta~` from v and the two logarithms."""
    # They are nearly equal at large times: so written, the gradient is not a difference of large numbers.
    return smallest + share * (largest - smallest)


def learned_ancestral(
    denoiser: LearnedDenoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    loop: Loop = all_steps,
) -> Tensor:
    """Samples each earlier state from its posterior with x0_hat for x_0 and the learned variance.

    The data step changes the mean; the variance stays what the network says.

    Args:
        denoiser: see `LearnedDenoiser`.
        path: any path.
        data_step: see `steps`.
        times: `[K]`, falling; `respacing.respaced_times` makes fewer than a chain has.
        seed: see `steps`.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        loop: see `steps`.

    Returns:
        The last x0_hat, like `start`.
    """
    times, start = ops.convert_to_tensor(times), ops.convert_to_tensor(start, "complex64")
    levels = levels_of(path, times)
    law = posterior(*levels)
    noisy = levels.sigma_s > 0  # in all steps but the last, which ends in the image
    smallest, largest = (ops.log(ops.where(noisy, std, 1.0)) for std in (law.std, law.step_std))
    numbers = (times, law.of_image, law.of_state, smallest, largest, ops.cast(noisy, "float32"))

    def body(index: Tensor, carried: Carried) -> Carried:
        t, of_image, of_state, small, large, any_noise = (ops.take(of, index, axis=0) for of in numbers)
        state = carried.state
        x0_hat, share = denoiser(state, t)
        x0 = x0_hat if data_step is None else data_step(x0_hat, t)
        std = any_noise * ops.exp(log_variance(share, small, large))
        noise = path.noise(rng.fold_in(seed, index), ops.shape(state))
        mean = along(of_image, state) * x0 + along(of_state, state) * state
        return Carried(path.join(mean + to_complex(std * to_channels(noise)), x0), x0)

    return loop(count_of(times), body, start)
