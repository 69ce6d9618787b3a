"""Latent sampling with an autoencoder that loses nothing: a unitary matrix, whose pixel-space laws are known."""

import gaussian_diffusion as gaussian
import keras
import latent_numpy
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.latent import ImageSpace, Resampling, data_steps, finish, image_weight, resample
from tfrecon.diffusion.path import residual_variance
from tfrecon.diffusion.samplers import ddim
from tfrecon.diffusion.steps import SomeSteps
from tfrecon.util import rng
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

LATENT = (2, 2)
"""Shape of the latents of images of four pixels in a row."""

UNITARY = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4, 2)) @ np.array([1, 1j]))[0]
NO_DATA = Resampling(every=0, last_part=0.0)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def flat(images):
    return numpy(images).astype(complex).reshape(-1, gaussian.PIXELS)


def turned(images, matrix, shape):
    pixels = ops.reshape(ops.convert_to_tensor(images), (-1, gaussian.PIXELS))
    return ops.reshape(ops.matmul(pixels, matrix.T.astype("complex64")), (-1, *shape))


def encode(images):
    return turned(images, UNITARY, LATENT)


def decode(latents):
    return turned(latents, UNITARY.conj().T, gaussian.SHAPE)


class Case:
    """The module's Gaussian problem, its prior seen through the unitary autoencoder."""

    def __init__(self, kind="vp", count=9, law=gaussian.PRIOR, times=None):
        self.path = gaussian.make(kind, 2.0)
        self.times = make_times(self.path, count) if times is None else times
        self.pixels = gaussian.estimate(law, self.path, self.times, kind)
        self.data = gaussian.exact_data_step(law, self.path, self.times, kind)
        self.images = ImageSpace(encode, decode, self.data)

    def denoise(self, latent, t):
        return encode(self.pixels(decode(latent), t))

    def start(self, count, seed=3):
        return self.path.prior(self.path.noise(rng.make_seed(seed), (count, *LATENT)))

    def run(self, start, seed, **options):
        return resample(self.denoise, self.path, self.images, self.times, seed, start, **options)


@pytest.mark.parametrize("kind", ["ve", "vp", "subvp"])
def test_without_data_it_is_ddim_of_the_pixels(kind):
    case = Case(kind)
    start, seed = case.start(3), rng.make_seed(1)
    expected = ddim(case.pixels, case.path, None, case.times, seed, decode(start))
    np.testing.assert_allclose(flat(decode(case.run(start, seed, rule=NO_DATA))), flat(expected), atol=2e-5)


@pytest.mark.parametrize("rule", [Resampling(3, 1 / 3), Resampling(1, 0.0, 5.0), Resampling(0, 0.5)])
def test_equals_its_transcription(rule):
    case, seeds = Case(), rng.make_seeds(0, 1, 3)
    start = case.start(3)
    kept = numpy(case.path.alpha(case.times)).astype(float) ** 2
    noises = [flat(case.path.noise(rng.fold_in(seeds, i), (3, *LATENT))) for i in range(9)]
    expected = latent_numpy.resample(
        lambda z, i: (z @ UNITARY.conj() @ case.pixels.gains[i] + case.pixels.offsets[i]) @ UNITARY.T,
        lambda image: image @ UNITARY.T,
        lambda z: z @ UNITARY.conj(),
        lambda image, i: image @ case.data.gains[i] + case.data.offsets[i],
        kept,
        flat(start),
        noises,
        numpy(data_steps(9, rule)),
        rule.strength,
    )
    found = gaussian.compiled(lambda start, seeds: case.run(start, seeds, rule=rule), start, seeds)
    np.testing.assert_allclose(flat(found), expected, atol=2e-4 * abs(expected).max())


def test_all_of_the_data_at_each_step_is_the_sampler_of_pixels():
    """With all weight on the resampled state it is DDIM of images with all noise new, and a data step each time."""
    case = Case(count=12)
    seeds, start = rng.make_seeds(0, 0, 4), gaussian.starts(case.path, gaussian.PRIOR, 4)
    images = ImageSpace(lambda image: image, lambda latent: latent, case.data)
    rule = Resampling(1, 0.0, strength=1e9)
    latent = resample(case.pixels, case.path, images, case.times, seeds, start, rule=rule)
    found = finish(images, latent, case.times[-1])
    expected = ddim(case.pixels, case.path, case.data, case.times, seeds, start, eta=1.0, eta_of="level")
    np.testing.assert_allclose(flat(found), flat(expected), atol=2e-5)


def test_its_mean_is_that_of_the_posterior():
    case = Case(count=30)
    latent = case.run(case.start(4000), rng.make_seed(1), rule=Resampling(1, 0.0, strength=1e9))
    mean, _ = gaussian.errors(finish(case.images, latent, case.times[-1]), gaussian.POSTERIOR)
    assert mean < 0.05


def test_paths_differ_in_scale_alone():
    """VE states are those of VP divided by alpha; so are the resampled ones."""
    path = gaussian.make("vp", 2.0)
    vp = Case("vp", times=make_times(path, 9, start=0.6, end=0.02))
    times = numpy(gaussian.make("ve", 2.0).time_of_log_snr(path.log_snr(vp.times)))
    ve, seeds, start = Case("ve", times=times), rng.make_seeds(0, 0, 3), numpy(vp.start(3))
    rule = Resampling(2, 1 / 3)
    found = ve.run(start / float(path.alpha(vp.times[0])), seeds, rule=rule)
    np.testing.assert_allclose(flat(found), flat(vp.run(start, seeds, rule=rule)), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_an_image_depends_on_its_own_seed_alone(eta):
    case, seeds = Case(), rng.make_seeds(0, 1, 3)
    start = case.start(3)
    together = flat(case.run(start, seeds, eta=eta))
    np.testing.assert_array_equal(together, flat(case.run(start, seeds, eta=eta)))
    np.testing.assert_allclose(together[1:2], flat(case.run(start[1:2], seeds[1:2], eta=eta)), atol=2e-5)
    assert abs(together - flat(case.run(start, rng.make_seeds(0, 2, 3), eta=eta))).max() > 0.01


def test_steps_can_be_made_in_parts():
    case, seeds = Case(), rng.make_seeds(0, 1, 2)
    start, carried = case.start(2), None
    rule = Resampling(3, 1 / 3)
    for first, last in ((0, 4), (4, 8), (8, 9)):
        carried = case.run(start, seeds, rule=rule, loop=SomeSteps(first, last, carried))
        if last == 8:  # the newest estimate is one that has met the data
            image = flat(decode(carried.image))
            np.testing.assert_allclose(image @ gaussian.MATRIX.T, gaussian.DATA[None].repeat(2, 0), atol=0.4)
    np.testing.assert_array_equal(flat(carried.image), flat(case.run(start, seeds, rule=rule)))


def test_when_images_meet_the_data():
    expected = [False, False, False, True, False, False, True, True, False]
    np.testing.assert_array_equal(numpy(data_steps(9, Resampling(4, 1 / 3))), expected)
    np.testing.assert_array_equal(numpy(data_steps(4, Resampling(1, 0.0))), [True, True, True, False])
    np.testing.assert_array_equal(numpy(data_steps(4, Resampling(0, 1.0))), [True, True, True, False])
    assert not numpy(data_steps(30, NO_DATA)).any() and not numpy(data_steps(1, Resampling(1))).any()
    assert numpy(data_steps(30, Resampling(10))).sum() == 11  # steps 10, 20, and 21 to 29
    found = gaussian.compiled(lambda times: data_steps(ops.shape(times)[0], Resampling(4, 1 / 3)), np.zeros(9))
    np.testing.assert_array_equal(numpy(found), expected)


def test_encoder_and_decoder_run_at_those_steps_alone():
    if keras.backend.backend() == "jax":
        pytest.skip("JAX traces a loop instead of running it in Python")
    case, calls = Case(), []
    case.images = ImageSpace(lambda image: calls.append("encode") or encode(image), decode, case.data)
    rule = Resampling(3, 1 / 3)
    case.run(case.start(2), rng.make_seed(0), rule=rule)
    assert len(calls) == case.data.calls == numpy(data_steps(9, rule)).sum() == 4


def test_weight_of_the_decoded_image():
    path, noise, variance, lost = gaussian.make("vp", 2.0), np.float32([0.1, 0.2]), 0.3, 0.004
    for t in (0.05, 0.5, 1.0):
        unknown = float(residual_variance(path, np.float32(t), 2.0)) / 2.0
        expected = noise**2 / (unknown * variance + lost)
        np.testing.assert_allclose(numpy(image_weight(path, np.float32(t), noise, variance, lost)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"every": -1}, "'every' is -1"), ({"last_part": 1.5}, "'last_part' is 1.5"), ({"strength": 0.0}, "'strength'")],
)
def test_wrong_rules_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        Resampling(**wrong)


def test_wrong_eta_is_refused():
    case = Case()
    with pytest.raises(InputError, match="eta is 2"):
        case.run(case.start(1), rng.make_seed(0), eta=2.0)
