import numpy as np
import pytest

from tfrecon.metrics.ceiling import MARGIN_DB, reproduction_ceiling, require_ceiling
from tfrecon.metrics.measures import psnr
from tfrecon.util.errors import InputError


def batches():
    random = np.random.default_rng(0)
    return [random.normal(size=(count, 12, 9 + count, 2)) @ np.array([1, 1j]) for count in (2, 3)]


def test_ceiling_is_the_mean_psnr_of_magnitudes_of_each_image():
    found = reproduction_ceiling(lambda images: 0.9 * np.exp(0.3j) * images, batches())
    expected = [psnr(0.9 * abs(image), abs(image), abs(image).max()) for batch in batches() for image in batch]
    assert found.count == 5 and found.mean == pytest.approx(np.mean(expected))
    assert found.low < found.mean < found.high


def test_a_ceiling_needs_images():
    with pytest.raises(InputError, match="no images to measure"):
        reproduction_ceiling(lambda images: images, [])


def test_an_autoencoder_has_to_be_better_than_what_is_wanted():
    require_ceiling(38.0, 35.0)
    require_ceiling(35.5, 35.0, margin=0.5)
    for ceiling in (35.0 + MARGIN_DB - 0.01, float("nan")):
        with pytest.raises(InputError, match=r"runs/ae: the autoencoder reproduces .* need 38\.0 dB of it") as caught:
            require_ceiling(ceiling, 35.0, where="runs/ae")
        assert "\n" not in str(caught.value)
