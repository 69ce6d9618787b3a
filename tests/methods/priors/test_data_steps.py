"""Data steps against dense solutions, at odd sizes, for several samples of several measurements."""

import numpy as np
import pytest
import sense_numpy
from dense_sense import batch_of, images_like, nearest, numpy
from score_cases import measurement_of

from tfrecon.diffusion.path import residual_variance
from tfrecon.diffusion.variance_preserving import VariancePreserving
from tfrecon.methods.priors.data_steps import make_data_step
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.physics.data_term import DataTerm

pytestmark = pytest.mark.mathematics


def test_the_weight_of_the_estimate_follows_noise_and_time():
    batch, path = batch_of(), VariancePreserving()
    term, images, noise = DataTerm(measurement_of(batch)), images_like(batch), np.float32([0.1, 0.3])
    step = make_data_step(ScoreOptions(cg_iterations=25, prior_weight=2.0), term, path, noise, 0.2)
    for t in (0.1, 0.6):
        weight = 2 * noise**2 / float(residual_variance(path, np.float32(t), 0.2))
        np.testing.assert_allclose(numpy(step(images, np.float32(t))), nearest(batch, images, weight), atol=3e-4)
    fixed = make_data_step(ScoreOptions(cg_iterations=25, gamma=4.0), term, path, noise, 0.2)
    np.testing.assert_allclose(numpy(fixed(images, np.float32(0.1))), nearest(batch, images, 0.25), atol=3e-4)


def test_the_proximal_step_goes_part_of_the_way():
    batch, path = batch_of(coils=1), VariancePreserving()
    term, images, noise = DataTerm(measurement_of(batch)), images_like(batch), np.float32([0.1, 0.4])
    step = make_data_step(ScoreOptions(data_step="proximal"), term, path, noise, 0.2)
    t = np.float32(0.3)
    level = 2 * (float(path.sigma(t)) / float(path.alpha(t))) ** 2
    part = np.tile(level / (level + noise**2), 2)[:, None, None]
    sampled, before = np.tile(batch["mask"][:, 0], (2, 1, 1)), sense_numpy.fft2c(images)
    data = np.tile(batch["kspace"][:, 0], (2, 1, 1))
    expected = before + sampled * part * (data - before)
    np.testing.assert_allclose(sense_numpy.fft2c(numpy(step(images, t))), expected, atol=1e-4)
    assert make_data_step(ScoreOptions(data_step="none"), term, path, noise, 0.2) is None


@pytest.mark.parametrize("data_step", ["cg", "proximal", "projection", "gradient"])
def test_where_no_coil_sees_anything_the_image_is_zero(data_step):
    batch = batch_of()
    batch["maps"][..., 2:4, 2:5] = 0
    images = images_like(batch)
    step = make_data_step(
        ScoreOptions(data_step=data_step),
        DataTerm(measurement_of(batch)),
        VariancePreserving(),
        np.float32([0, 0.1]),
        0.2,
    )
    found = numpy(step(images, np.float32(0.5)))
    assert np.isfinite(found).all()
    assert not found[:, 2:4, 2:5].any()
    seen = batch["maps"].any(axis=1)[np.tile([0, 1], 2)]
    assert abs(found[seen]).min() > 0 and abs(found - images)[seen].max() > 0.1
