"""The hybrid loss and the variational bound: against their transcription, and what they teach."""

import improved_ddpm_numpy as reference
import numpy as np
import pytest
import scipy.stats
from autodiff import gradients
from keras import ops

from tfrecon.diffusion.discrete import ChainSettings, DiscretePath
from tfrecon.diffusion.hybrid import VarianceLearning, bound_terms, hybrid_losses, log_variance_range
from tfrecon.diffusion.learned_variance import split_output
from tfrecon.diffusion.objectives import ScoreMatching, denoising_losses
from tfrecon.diffusion.parameterization import Parameterization
from tfrecon.nets.improved_unet import ImprovedUNetSettings, build_improved_unet
from tfrecon.util.complex import to_channels, to_complex
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SHAPE = (4, 5, 6)
TIMES = np.array([0, 1, 40, 99], np.int32)
HYBRID = VarianceLearning()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def chain(schedule="linear_scaled", noise_variance=1.0, steps=100):
    return DiscretePath.from_settings(ChainSettings(steps, schedule, noise_variance=noise_variance))


class Case:
    """Images, noise and what a network says of them, as real channels in units of one channel's noise."""

    def __init__(self, noise_variance=1.0, error=0.3):
        self.unit = np.sqrt(noise_variance / 2)
        self.image, self.noise, wrong, self.variance = (normal(*SHAPE, 2, seed=seed) for seed in range(4))
        self.said = self.noise + np.float32(error) * wrong

    def complex(self, channels):
        return to_complex(np.float32(self.unit) * channels)

    def network(self, image, label):
        return self.complex(self.said), 0.5 * (self.variance + 1.0)

    def losses(self, path, settings=HYBRID, **options):
        arguments = settings, ScoreMatching(), Parameterization("eps"), path, self.complex(self.image), TIMES
        losses = hybrid_losses(self.network, *arguments, self.complex(self.noise), **options)
        return [ops.convert_to_numpy(part) for part in losses]


@pytest.mark.parametrize("schedule", ["linear_scaled", "cosine"])
@pytest.mark.parametrize("noise_variance", [1.0, 2.0])
def test_losses_equal_their_transcription(schedule, noise_variance):
    path, case = chain(schedule, noise_variance), Case(noise_variance)
    total, simple, bound = case.losses(path)
    (everything, *_), published = case.losses(path, VarianceLearning("vlb")), reference.Chain(path.betas)
    assert total.dtype == np.float32 and total.shape == (4,)
    for i, t in enumerate(TIMES):
        state = np.sqrt(published.kept[t]) * case.image[i] + np.sqrt(1 - published.kept[t]) * case.noise[i]
        expected = reference.hybrid_loss(
            published, case.image[i], case.noise[i], state, case.said[i], case.variance[i], t
        )
        share = case.unit**2  # of the published numbers, whose noise has variance one in each channel
        density = np.log2(case.unit) if t == 0 else 0.0  # in units of images
        np.testing.assert_allclose(simple[i], share * expected[1], rtol=1e-4)
        np.testing.assert_allclose(bound[i], expected[2] + density, rtol=2e-3)
        np.testing.assert_allclose(total[i], share * (expected[0] + 0.1 * density), rtol=1e-3)
        np.testing.assert_allclose(everything[i], 100 * bound[i], rtol=1e-6)


def test_the_term_next_to_the_image_is_a_density():
    path, case = chain(), Case()
    x0, x0_hat = case.complex(case.image), case.complex(case.image + 0.01 * case.noise)
    share = np.float32(0.25) * np.ones((*SHAPE, 2), np.float32)
    bound = ops.convert_to_numpy(bound_terms(path, x0, x0_hat, share, np.zeros(4, np.int32)))
    beta = path.betas
    kept = np.cumprod(1 - beta)
    log_variance = 0.25 * np.log(beta[0]) + 0.75 * np.log(beta[1] * (1 - kept[0]) / (1 - kept[1]))
    difference = ops.convert_to_numpy(to_channels(x0_hat - x0)).astype(float)
    density = scipy.stats.norm.logpdf(difference, scale=case.unit * np.exp(0.5 * log_variance))
    np.testing.assert_allclose(bound, -density.mean((1, 2, 3)) / np.log(2), rtol=1e-3)


def test_a_certain_estimate_with_the_small_variance_has_no_divergence():
    path, case = chain(), Case(error=0.0)
    times, x0 = np.array([1, 3, 6, 10], np.int32), case.complex(case.image)
    exact = ops.convert_to_numpy(bound_terms(path, x0, x0, np.zeros((*SHAPE, 2), np.float32), times))
    np.testing.assert_allclose(exact, 0, atol=1e-6)
    for share in (-0.3, 0.5):
        wrong = bound_terms(path, x0, x0, np.full((*SHAPE, 2), share, np.float32), times)
        assert (ops.convert_to_numpy(wrong) > 1e-5).all()


def test_the_best_variance_has_the_errors_of_the_estimate_in_it():
    """s² = beta~ + of_image² E|x_0 - x0_hat|² per channel is where the bound's slope is zero."""
    path, t, error = chain(), 30, 0.2
    published = reference.Chain(path.betas)
    best = published.variance[t] + published.of_image[t] ** 2 * error**2 * 2  # a channel's noise has variance 1/2
    small, large = (float(ops.convert_to_numpy(part)) for part in log_variance_range(path, np.int32(t)))
    share = np.float32((np.log(best) - small) / (large - small))
    x0 = to_complex(np.zeros((1, 2, 2, 2), np.float32))
    off = to_complex(np.full((1, 2, 2, 2), error, np.float32))

    def loss(v):
        return ops.sum(bound_terms(path, x0, off, v, np.int32([t])))

    at_best, above = (gradients(loss, np.full((1, 2, 2, 2), v, np.float32))[0] for v in (share, share + 0.5))
    assert abs(at_best).max() < 0.02 * abs(above).min()


def test_the_bound_does_not_teach_the_mean():
    """In the hybrid loss the mean's gradient is that of the simple loss, the variance's that of the bound."""
    path, case = chain(), Case()
    x0, noise = case.complex(case.image), case.complex(case.noise)

    def losses(kind, said, variance):
        return hybrid_losses(
            lambda image, label: (to_complex(said), 0.5 * (variance + 1.0)),
            VarianceLearning(kind),
            ScoreMatching(),
            Parameterization(),
            path,
            x0,
            TIMES,
            noise,
        )

    arguments = np.float32(case.unit) * case.said, case.variance
    of_simple, nothing = gradients(lambda s, v: ops.sum(losses("hybrid", s, v).simple) + 0 * ops.sum(v), *arguments)
    of_mean, of_variance = gradients(lambda s, v: ops.sum(losses("hybrid", s, v).total), *arguments)
    whole_mean, of_bound = gradients(lambda s, v: ops.sum(losses("vlb", s, v).total), *arguments)
    np.testing.assert_allclose(of_mean, of_simple, rtol=1e-6)
    np.testing.assert_allclose(of_variance, 0.001 * case.unit**2 * of_bound, rtol=2e-3)
    assert not nothing.any() and abs(of_variance).min() > 0
    assert abs(whole_mean).max(axis=(1, 2, 3)).min() > 0


def test_the_bound_does_not_touch_the_head_of_the_mean():
    """Of a real network: the bound moves the head's columns for the variance, and not those for the mean."""
    model = build_improved_unet(ImprovedUNetSettings(width=8, multipliers=(1, 2), blocks=1, attention_levels=(1,)))
    path, case = chain(), Case()
    values = [
        ops.convert_to_tensor(np.asarray(variable.value) + 0.1 * normal(*variable.shape))
        for variable in model.trainable_variables
    ]
    paths = [variable.path for variable in model.trainable_variables]
    kernel = next(number for number, name in enumerate(paths) if name.endswith("head/kernel"))

    def loss(head):
        def network(image, label):
            weights = [*values[:kernel], head, *values[kernel + 1 :]]
            output, _ = model.stateless_call(weights, [], {"image": to_channels(image), "time": label})
            return split_output(output)

        images = case.complex(case.image), TIMES, case.complex(case.noise)
        return ops.sum(hybrid_losses(network, HYBRID, ScoreMatching(), Parameterization(), path, *images).bound)

    (gradient,) = gradients(loss, values[kernel])
    assert gradient.shape[-1] == 4 and (abs(gradient[..., 2:]).max(axis=(0, 1, 2)) > 0).all()
    np.testing.assert_array_equal(gradient[..., :2], 0)


def test_padding_does_not_count():
    path, case = chain(), Case()
    valid = np.zeros(SHAPE, np.float32)
    valid[:, 1:4, :4] = 1
    masked, cut = case.losses(path, valid=valid), Case()
    for name in ("image", "noise", "said", "variance"):
        setattr(cut, name, getattr(case, name)[:, 1:4, :4])
    for whole, part in zip(masked, cut.losses(path), strict=True):
        np.testing.assert_allclose(whole, part, rtol=1e-5)
    x0, noise = case.complex(case.image), case.complex(case.noise)
    arguments = lambda image, label: 0 * image, ScoreMatching(reduction="sum"), Parameterization(), path, x0, TIMES
    summed = [denoising_losses(*arguments, noise, part) for part in (valid, None)]
    part = 0.5 * np.sum(abs(ops.convert_to_numpy(noise)[:, 1:4, :4]) ** 2, axis=(1, 2))
    np.testing.assert_allclose(ops.convert_to_numpy(summed[0]), part, rtol=1e-5)
    assert (ops.convert_to_numpy(summed[1]) > part).all()


def test_real_images_have_one_channel():
    """Those of complex ones whose two channels are alike, with half the noise variance in all."""
    both, one = chain(noise_variance=2.0), chain(noise_variance=1.0)
    one.real = True
    case, share = Case(2.0), 0.5 * (Case().variance[..., :1] + 1.0)
    real, said = case.image[..., :1], case.said[..., :1]
    twice = [to_complex(np.concatenate([part, part], axis=-1)) for part in (real, said)]
    alone = [to_complex(np.concatenate([part, 0 * part], axis=-1)) for part in (real, said)]
    pairs = bound_terms(both, *twice, np.concatenate([share, share], axis=-1), TIMES)
    np.testing.assert_allclose(
        ops.convert_to_numpy(bound_terms(one, *alone, share, TIMES)), ops.convert_to_numpy(pairs), rtol=1e-5
    )


def test_wrong_losses():
    with pytest.raises(InputError, match="hybrid or vlb"):
        VarianceLearning("simple")
    with pytest.raises(InputError, match="vlb_weight"):
        VarianceLearning(vlb_weight=0.0)
    with pytest.raises(InputError, match="at least 2"):
        log_variance_range(DiscretePath([0.1]), 0)
    path, case = chain(), Case()
    images = case.complex(case.image), TIMES, case.complex(case.noise)
    with pytest.raises(InputError, match="mean over pixels"):
        hybrid_losses(case.network, HYBRID, ScoreMatching(reduction="sum"), Parameterization(), path, *images)
