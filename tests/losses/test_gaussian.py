import warnings

import keras
import numpy as np
import pytest
from keras import ops

from tfrecon.losses.gaussian import kl_to_standard_normal


def moments():
    random = np.random.default_rng(0)
    return random.normal(size=(3, 4, 5, 2)).astype("float32"), random.normal(size=(3, 4, 5, 2)).astype("float32")


@pytest.mark.mathematics
def test_divergence_is_the_mean_of_the_logarithm_of_the_ratio():
    """E[ln p(z) - ln q(z)] over draws of p, which the closed form replaces."""
    mean, log_variance = np.float32([[0.7]]), np.float32([[-0.8]])
    draws = mean + np.exp(0.5 * log_variance) * np.random.default_rng(1).normal(size=400_000)
    log_ratio = -0.5 * log_variance - 0.5 * (draws - mean) ** 2 / np.exp(log_variance) + 0.5 * draws**2
    found = ops.convert_to_numpy(kl_to_standard_normal(mean, log_variance))
    np.testing.assert_allclose(found, log_ratio.mean(), rtol=0.01)
    np.testing.assert_array_equal(ops.convert_to_numpy(kl_to_standard_normal(np.zeros((2, 3)), np.zeros((2, 3)))), 0)


@pytest.mark.slow
def test_divergence_is_that_of_tensorflow_probability():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow Probability works on TensorFlow's tensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_probability as tfp

        laws = tfp.distributions
        mean, log_variance = moments()
        flat = [part.reshape(3, -1) for part in (mean, np.exp(0.5 * log_variance))]
        standard = laws.MultivariateNormalDiag(np.zeros(40, "float32"), np.ones(40, "float32"))
        expected = laws.kl_divergence(laws.MultivariateNormalDiag(*flat), standard).numpy()
    np.testing.assert_allclose(ops.convert_to_numpy(kl_to_standard_normal(mean, log_variance)), expected, rtol=1e-5)
