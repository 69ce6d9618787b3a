import numpy as np
import pytest

from tfrecon.physics import noise
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics


def complex_noise(shape, std, seed=0):
    generator = np.random.default_rng(seed)
    return (std * np.sqrt(0.5) * (generator.normal(size=shape) + 1j * generator.normal(size=shape))).astype(
        np.complex64
    )


def test_a_noise_scan_gives_the_root_of_the_mean_power_without_its_offset():
    scan = complex_noise((3, 400, 5), 0.7) + np.array([5, 1j, 0], np.complex64)[:, None, None]
    assert noise.noise_std_of_scan(scan) == pytest.approx(0.7, rel=0.02)


def test_the_periphery_gives_the_noise_level_under_a_strong_object():
    kspace = complex_noise((2, 64, 60), 0.3)
    rows, columns = np.arange(64) - 32, np.arange(60) - 30
    kspace += (1e4 * np.exp(-(np.hypot(rows[:, None], columns) ** 2) / 20)).astype(np.complex64)
    full = np.ones((1, 1, 60), np.uint8)
    assert noise.estimate_noise_std(kspace, full) == pytest.approx(0.3, rel=0.1)
    lines = full.copy()
    lines[..., 1::2] = 0
    assert noise.estimate_noise_std(kspace * lines, lines, fraction=0.3) == pytest.approx(0.3, rel=0.1)


def test_padding_and_unsampled_positions_are_not_taken_for_silence():
    kspace = np.zeros((2, 48, 48), np.complex64)
    kspace[:, 6:42, 6:42] = complex_noise((2, 36, 36), 1.0)
    samples = noise.peripheral_samples(kspace, np.ones((1, 48, 48)))
    assert samples.shape == (2, int(0.1 * 36 * 36)) and (samples != 0).all()
    assert noise.estimate_noise_std(kspace, np.ones((1, 48, 48)), 0.5) == pytest.approx(1.0, rel=0.1)


def test_periphery_means_far_from_the_centre_and_keeps_coils_together():
    rows, columns = np.meshgrid(np.arange(30) - 15, np.arange(41) - 20, indexing="ij")
    radius = np.hypot(rows / 30, columns / 41)
    kspace = np.stack([radius + 1, 2j * (radius + 1)]).astype(np.complex64)
    samples = noise.peripheral_samples(kspace, np.ones((1, 1, 41)), 0.2)
    assert samples[0].real.min() - 1 >= np.quantile(radius, 0.79)
    np.testing.assert_allclose(samples[1], 2j * samples[0])


def test_a_series_is_measured_over_all_its_frames():
    kspace = complex_noise((3, 2, 24, 24), 2.0)
    mask = np.zeros((3, 1, 1, 24), np.uint8)
    for frame in range(3):
        mask[frame, ..., frame::3] = 1
    assert noise.estimate_noise_std(kspace * mask, mask, 1.0) == pytest.approx(2.0, rel=0.1)


def test_too_little_to_tell_is_an_input_error():
    with pytest.raises(InputError, match="too few"):
        noise.peripheral_samples(complex_noise((2, 16, 16), 1.0), np.ones((1, 16, 16)))
    with pytest.raises(InputError, match="fraction"):
        noise.peripheral_samples(complex_noise((2, 16, 16), 1.0), np.ones((1, 16, 16)), 0.0)
    with pytest.raises(InputError, match="two samples"):
        noise.noise_std_of_scan(np.zeros((4, 1), np.complex64))
