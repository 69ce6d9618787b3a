import numpy as np
import pytest

from tfrecon.data import phantoms
from tfrecon.data.phantoms import Ellipse
from tfrecon.physics import fourier
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SHAPES = [(8, 8), (7, 9), (33, 40), (64, 64)]


def fft2c(image):
    return np.asarray(fourier.fft2c(np.asarray(image, np.complex64)))


@pytest.mark.parametrize("shape", SHAPES)
def test_dc_sample_is_the_area_of_the_ellipses(shape):
    ellipses = [Ellipse(2.0, (0.1, -0.2), (0.3, 0.5), 0.4), Ellipse(-0.5, (0.0, 0.0), (0.2, 0.1))]
    area = np.pi * (2.0 * 0.3 * 0.5 - 0.5 * 0.2 * 0.1)
    kspace = phantoms.ellipses_kspace(ellipses, shape)
    assert kspace.dtype == np.complex64
    # Orthonormal: the sum over the pixels over sqrt(H W), a pixel covering 4 / (H W).
    expected = area / (4 / np.prod(shape)) / np.sqrt(np.prod(shape))
    np.testing.assert_allclose(kspace[shape[0] // 2, shape[1] // 2], expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
def test_kspace_equals_the_fourier_integral_by_quadrature(shape):
    ellipse = Ellipse(1.5, (0.2, -0.3), (0.4, 0.15), 0.7)
    points = (np.arange(1500) + 0.5) / 1500 * 2 - 1
    row, column = np.meshgrid(points, points, indexing="ij")
    along = np.cos(0.7) * (row - 0.2) + np.sin(0.7) * (column + 0.3)
    across = -np.sin(0.7) * (row - 0.2) + np.cos(0.7) * (column + 0.3)
    inside = ((along / 0.4) ** 2 + (across / 0.15) ** 2 <= 1) * 1.5
    k_row, k_column = ((np.arange(n) - n // 2) / 2 for n in shape)
    row_waves = np.exp(-2j * np.pi * np.outer(k_row, points))
    column_waves = np.exp(-2j * np.pi * np.outer(points, k_column))
    integral = row_waves @ inside @ column_waves * (2 / 1500) ** 2
    expected = integral * np.sqrt(np.prod(shape)) / 4
    kspace = phantoms.ellipses_kspace([ellipse], shape)
    np.testing.assert_allclose(kspace, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(64, 64), (65, 63), (81, 64)])
@pytest.mark.parametrize("name", ["shepp_logan", "random"])
def test_image_and_kspace_describe_one_object(shape, name):
    ellipses = phantoms.SHEPP_LOGAN if name == "shepp_logan" else phantoms.random_ellipses(3)
    analytic = phantoms.ellipses_kspace(ellipses, shape)
    image = phantoms.ellipses_image(ellipses, shape, oversampling=8)
    gridded = fft2c(image)
    centre = tuple(slice(n // 2 - 6, n // 2 + 7) for n in shape)
    # The mean over a pixel multiplies k-space by a sinc, which is known and undone here.
    rows, columns = ((np.arange(n) - n // 2) / n for n in shape)
    gridded = gridded / (np.sinc(rows)[:, None] * np.sinc(columns)[None, :])
    error = np.abs(gridded[centre] - analytic[centre]).max() / np.abs(analytic).max()
    assert error < 2e-3
    band_limited = np.asarray(fourier.ifft2c(analytic))
    assert np.abs(band_limited.imag).max() < 0.1 * np.abs(band_limited).max()
    assert np.corrcoef(band_limited.real.ravel(), image.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("shape", [(33, 41), (9, 7)])
def test_kspace_of_a_real_object_is_hermitian_at_odd_sizes(shape):
    kspace = phantoms.shepp_logan_kspace(shape)
    np.testing.assert_allclose(kspace, kspace[::-1, ::-1].conj(), atol=1e-5 * np.abs(kspace).max())


def test_shepp_logan_has_the_published_grey_values_and_is_upright():
    image = phantoms.shepp_logan_image((256, 256))
    assert image.dtype == np.float32
    levels, counts = np.unique(np.round(image, 3), return_counts=True)
    common = set(levels[counts > 150].tolist())
    assert {0.0, 0.2, 0.3, 1.0} <= {round(level, 1) for level in common}
    assert image.min() > -1e-6 and image.max() == pytest.approx(1.0)
    # Upright: the large bright oval (y = 0.35) is above the centre, the three small ones below.
    assert image[128 - 45, 128] == pytest.approx(0.3, abs=1e-5)
    assert image[128 + 45, 128] == pytest.approx(0.2, abs=1e-5)
    # The larger ventricle (x = -0.22) is on the left.
    left, right = (image[60:190, 85:115] < 0.1).sum(), (image[60:190, 142:172] < 0.1).sum()
    assert left > right > 0


def test_random_phantoms_are_functions_of_their_seed_and_never_negative():
    first, again, other = (phantoms.ellipse_phantom((48, 41), seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    for seed in range(20):
        image = phantoms.ellipse_phantom((40, 40), seed, count=20)
        assert image.min() > -1e-5
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert np.abs(border).max() < 1e-6


def test_random_phantom_without_inner_ellipses_is_one_uniform_body():
    image = phantoms.ellipse_phantom((64, 64), seed=1, count=0)
    assert image[32, 32] == pytest.approx(image.max())
    assert len(phantoms.random_ellipses(1, 0)) == 1


@pytest.mark.parametrize("shape", [(0, 8), (8,), (4, 4, 4)])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(InputError, match="cannot have shape"):
        phantoms.shepp_logan_kspace(shape)
