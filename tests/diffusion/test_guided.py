"""DPS and DiffPIR against their formulas."""

import gaussian_diffusion as gaussian
import numpy as np
import pytest
from keras import ops

from tfrecon.diffusion.grids import make_times
from tfrecon.diffusion.guided import diffpir, diffpir_weight, dps
from tfrecon.diffusion.path import posterior
from tfrecon.util import rng
from tfrecon.util.complex import energy
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SEED = rng.make_seed(5)


def flat(images):
    return ops.convert_to_numpy(images).astype(complex).reshape(-1, gaussian.PIXELS)


def levels(path, t, s):
    later = [float(level(t)) for level in (path.alpha, path.sigma)]
    return *later, *([1.0, 0.0] if s is None else [float(level(s)) for level in (path.alpha, path.sigma)])


def case(kind, variance=1.0):
    path = gaussian.make(kind, variance)
    times = make_times(path, 5)
    start = gaussian.starts(path, gaussian.PRIOR, 3)
    return path, times, gaussian.estimate(gaussian.PRIOR, path, times, kind), start, [*times[1:], None]


@pytest.mark.parametrize("kind", ["ve", "vp", "hfs"])
def test_dps_goes_down_the_gradient_through_the_denoiser(kind):
    """For an affine denoiser x0_hat = G x + b the gradient of |y - A x0_hat| is -(A G)^H r / |r|."""
    path, times, denoiser, start, following = case(kind)
    projector = gaussian.projector_matrix(kind).T
    matrix, data = gaussian.MATRIX, gaussian.DATA

    def distance(x0_hat):
        seen = ops.matmul(ops.reshape(x0_hat, (-1, 4)), matrix.T.astype("complex64"))
        return ops.sqrt(ops.sum(energy(seen - data.astype("complex64")), axis=-1))

    state = flat(start)
    for index, (t, s) in enumerate(zip(times, following, strict=True)):
        law = [float(part) for part in posterior(*(np.float32(level) for level in levels(path, t, s)))]
        estimate = flat(denoiser(state.reshape(-1, *gaussian.SHAPE).astype("complex64"), t))
        residual = data - estimate @ matrix.T
        gain = denoiser.gains[index].T
        uphill = -(residual @ (matrix @ gain).conj()) / np.linalg.norm(residual, axis=-1, keepdims=True)
        noise = flat(path.noise(rng.fold_in(SEED, index), (3, *gaussian.SHAPE)))
        moved = law[0] * estimate + law[1] * state + law[2] * noise - 0.4 * uphill
        state = (moved - estimate) @ projector + estimate
    found = dps(denoiser, path, distance, times, SEED, start, strength=0.4)
    np.testing.assert_allclose(flat(found), state, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", ["ve", "vp", "hfs"])
@pytest.mark.parametrize("variance", [1.0, 2.0])
def test_diffpir_equals_its_formula(kind, variance):
    path, times, denoiser, start, following = case(kind, variance)
    projector, xi, strength = gaussian.projector_matrix(kind).T, 0.3, 2.0
    normal, back = gaussian.MATRIX.conj().T @ gaussian.MATRIX, gaussian.MATRIX.conj().T @ gaussian.DATA
    state = flat(start)
    for index, (t, s) in enumerate(zip(times, following, strict=True)):
        alpha, sigma, alpha_s, sigma_s = levels(path, t, s)
        estimate = flat(denoiser(state.reshape(-1, *gaussian.SHAPE).astype("complex64"), t))
        rho = strength * gaussian.NOISE_STD**2 * alpha**2 / (sigma**2 * variance)
        assert float(diffpir_weight(path, t, gaussian.NOISE_STD, strength)) == pytest.approx(rho, rel=1e-4)
        image = np.linalg.solve(normal + rho * np.eye(4), (back + rho * estimate).T).T
        implied = (state - alpha * image) / sigma
        noise = flat(path.noise(rng.fold_in(SEED, index), (3, *gaussian.SHAPE)))
        moved = alpha_s * image + sigma_s * (np.sqrt(1 - xi) * implied + np.sqrt(xi) * noise)
        state = (moved - image) @ projector + image
    options = {"noise_std": gaussian.NOISE_STD, "strength": strength, "xi": xi}
    found = diffpir(denoiser, path, gaussian.proximal, times, SEED, start, **options)
    np.testing.assert_allclose(flat(found), state, rtol=5e-3, atol=5e-3)


def test_wrong_share_of_noise():
    path, times, denoiser, start, _ = case("vp")
    with pytest.raises(InputError, match="xi is 2"):
        diffpir(denoiser, path, gaussian.proximal, times, SEED, start, noise_std=0.1, xi=2.0)
