"""HFS-SDE's sampler against a transcription, on its path and its baselines; low frequencies; few and many steps."""

import functools

import hfs_numpy as reference
import numpy as np
import pytest
import score_mri_numpy
import sense_numpy
from keras import ops
from score_cases import Network, knowing, measurement_of, tiny
from ssdiffrecon_cases import make_batch

from tfrecon.methods.score.hfs_sde import rules_of
from tfrecon.methods.score.method import item_seeds
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.published_options import PublishedSampling
from tfrecon.methods.score.sampling import prepare, sample
from tfrecon.util import rng

pytestmark = pytest.mark.mathematics

SHAPE = (9, 17)
LOW = (np.arange(17) >= 6) & (np.arange(17) < 11)
"""The calibration lines of the masks that are not diffused: 30 % of the width."""
PUBLISHED = ("schedule", "predictor", "gradient", "score", "norm", "low_frequencies")
NUMBERS = {"hfs": (0.16, 2.5, 0.1), "vp": (0.27, 2.5, 2.5), "ve": (0.10, 5.0, 5.0)}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def score(x, sigma, mean=0.2 + 0.2j):
    """What the stand-in says, of each channel."""
    return (mean - x) / (0.3 + 0.7 * sigma**2)


def stand_in():
    return Network(lambda i: score(i["image"], i["time"][:, None, None, None], 0.2))


def model_of(kind):
    path = {"sigma_max": 2.0, "sigma_min": 0.05} if kind == "ve" else {}
    return tiny(kind, {"output": "score", "label": "std"}, path, tell_width=False)


def prepared(kind, batch, network=None, samples=1, **options):
    options, model = ScoreOptions(algorithm="hfs_sde", **options), model_of(kind)
    seeds = item_seeds(rng.make_seed(4), len(batch["kspace"]), samples)
    run = prepare(network or stand_in(), model, measurement_of(batch), seeds, options, most=0.3)
    return run, seeds


@pytest.mark.parametrize("kind, count", [("hfs", 24), ("vp", 24), ("ve", 8)])
def test_as_published_step_by_step_with_the_same_noise(kind, count):
    """Two images, so that norms of each by itself show."""
    batch = make_batch(2, 2, SHAPE, lines=True, rate=0.3)
    run, seeds = prepared(kind, batch, nfe=2 * count, parity=PUBLISHED)
    found, path = numpy(run.run()), run.prior.path
    low_mask = LOW.astype(float) if kind == "hfs" else np.zeros(17)

    @functools.cache
    def units(step, part):
        key = rng.fold_in(rng.fold_in(rng.for_purpose(seeds, "steps"), step), part)
        return numpy(path.white_noise(key, (2, *SHAPE))).astype(complex)

    begin = numpy(path.white_noise(rng.for_purpose(seeds, "start"), (2, *SHAPE))).astype(complex)
    for item in range(2):
        samples, mask, maps = (batch[name][item] for name in ("kspace", "mask", "maps"))
        project = functools.partial(reference.high_frequencies, low_mask=low_mask)
        gradient = functools.partial(reference.data_gradient, samples=samples, mask=mask, maps=maps)
        start = project(begin[item]) + reference.low_frequency_image(samples, low_mask, maps)
        settings = score, lambda step, part, item=item: units(step, part)[item], gradient, NUMBERS[kind]
        if kind == "ve":
            sigmas = score_mri_numpy.geometric_levels(0.05, 2.0, count)
            expected = reference.diffused_ve(2.0 * start, *settings, sigmas=sigmas)
        else:
            expected = reference.diffused_vp(start, *settings, count=count, project=project)
        np.testing.assert_allclose(found[item], expected, atol=4e-3 * abs(expected).max())


@pytest.mark.parametrize(
    "options",
    [
        {"lock": "calibration"},
        {"lock": "calibration", "spacing": "linear", "predictor": "ancestral"},
        {"parity": ("schedule", "predictor", "gradient", "norm", "low_frequencies")},
    ],
)
def test_low_frequencies_are_untouched(options):
    """To 1e-5 of those measured by one coil, though the network would have them elsewhere."""
    batch = make_batch(1, 1, SHAPE, lines=True, rate=0.3)
    run, _ = prepared("hfs", batch, nfe=80, **options)
    changed = (sense_numpy.fft2c(numpy(run.run())) - batch["kspace"][:, 0])[..., LOW]
    assert np.linalg.norm(changed) < 1e-5 * np.linalg.norm(batch["kspace"])


def test_as_published_low_frequencies_drift():
    batch = make_batch(1, 1, SHAPE, lines=True, rate=0.3)
    run, _ = prepared("hfs", batch, nfe=48, parity=PUBLISHED)
    changed = (sense_numpy.fft2c(numpy(run.run())) - batch["kspace"][:, 0])[..., LOW]
    assert np.linalg.norm(changed) > 0.05 * np.linalg.norm(batch["kspace"])


@pytest.mark.parametrize("kind", ["hfs", "vp", "ve"])
def test_with_a_network_that_is_right_the_image_is_the_truth(kind):
    """Mended: the data act on the estimate and refine low frequencies too."""
    batch = make_batch(2, 3, SHAPE, lines=True, rate=0.3)
    model = tiny(kind, {"output": "x0", "label": "std"}, {"sigma_max": 1.0}, tell_width=False)
    seeds = item_seeds(rng.make_seed(0), 2, 1)
    found = sample(
        knowing(batch["reference"]),
        model,
        measurement_of(batch),
        seeds,
        ScoreOptions(algorithm="hfs_sde", nfe=10),
        most=0.3,
    )
    np.testing.assert_allclose(numpy(found), batch["reference"], atol=1e-3)


def test_the_result_is_no_worse_in_low_frequencies_than_what_the_calibration_says():
    batch = make_batch(2, 3, SHAPE, lines=True, rate=0.4)
    truth, errors = sense_numpy.fft2c(batch["reference"])[..., LOW], {}
    for lock in ("data", "calibration"):
        model = tiny("hfs", {"output": "x0", "label": "std"}, tell_width=False)
        seeds = item_seeds(rng.make_seed(0), 2, 1)
        options = ScoreOptions(algorithm="hfs_sde", nfe=10, lock=lock, noise=0.001)
        found = sample(knowing(batch["reference"]), model, measurement_of(batch), seeds, options, most=0.3)
        errors[lock] = np.linalg.norm(sense_numpy.fft2c(numpy(found))[..., LOW] - truth)
    assert errors["data"] < errors["calibration"] < 0.2 * np.linalg.norm(truth)


@pytest.mark.parametrize("kind, first, last", [("hfs", 1.0, 1e-3), ("vp", 1.0, 1e-3), ("ve", 2.0, 0.05)])
@pytest.mark.parametrize("count", [20, 50, 100, 300, 1000])
def test_grids_reach_from_noise_to_image_however_many_steps(kind, first, last, count):
    batch = make_batch(1, 1, SHAPE, lines=True)
    run, _ = prepared(kind, batch, parity=("schedule",), sampling=PublishedSampling(N=count))
    levels = numpy(run.prior.path.sigma(run.times)) if kind == "ve" else run.times
    assert len(levels) == count and (np.diff(levels) < 0).all()
    np.testing.assert_allclose([levels[0], levels[-1]], [first, last], rtol=1e-3)


def test_published_numbers_belong_to_the_path():
    for kind, (snr, mse, corrector_mse) in NUMBERS.items():
        options = ScoreOptions(algorithm="hfs_sde", parity=("all",)).for_path(kind)
        assert (options.sampling.snr, options.sampling.mse, options.sampling.corrector_mse) == (snr, mse, corrector_mse)
        assert options.sampling.N is None and options.steps == 25
    fast = ScoreOptions(algorithm="hfs_sde", sampling=PublishedSampling(accelerated_sampling=True))
    found = {kind: fast.for_path(kind) for kind in NUMBERS}
    assert [(found[kind].sampling.snr, found[kind].steps) for kind in NUMBERS] == [(0.32, 100), (0.43, 100), (0.1, 300)]
    own = ScoreOptions(algorithm="hfs_sde", sampling=PublishedSampling(snr=0.2, N=40, accelerated_sampling=True))
    assert (own.for_path("vp").sampling.snr, own.for_path("vp").calls) == (0.2, 80)


def test_published_rules():
    published = ScoreOptions(algorithm="hfs_sde", parity=("all",))
    for kind, predictor in (("hfs", "euler_maruyama"), ("vp", "euler_maruyama"), ("ve", "reverse_diffusion")):
        rules = rules_of(published.for_path(kind), kind)
        assert (rules.predictor, rules.fading, rules.norms, rules.locked) == (predictor, "chain", "white", False)
    mended = rules_of(ScoreOptions(algorithm="hfs_sde", predictor="ancestral").for_path("hfs"), "hfs")
    assert (mended.predictor, mended.fading, mended.norms, mended.locked) == ("ancestral", "path", "diffused", True)
