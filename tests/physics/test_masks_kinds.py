"""The properties that make each kind what it is."""

import time

import numpy as np
import pytest
import scipy.spatial

from tfrecon.physics.mask_request import draw_without_replacement
from tfrecon.physics.masks import make_mask
from tfrecon.physics.masks_lines import inclusion_probability


def outer_lines(mask, acs):
    """Line numbers left and right of the calibration lines."""
    lines = np.flatnonzero(mask.array[0, 0])
    centre = mask.array.shape[-1] // 2
    start = centre - acs // 2
    return lines[lines < start], lines[lines >= start + acs]


@pytest.mark.parametrize("rate", [3, 4, 6, 10])
def test_equispaced_gaps_differ_by_one_line_at_most(rate):
    for sides in (outer_lines(make_mask("equispaced", (8, 320), rate, acs_lines=24, seed=s), 24) for s in range(5)):
        gaps = np.concatenate([np.diff(side) for side in sides])
        assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("width", [320, 368, 201])
@pytest.mark.parametrize("rate", [4, 5, 8])
def test_equispaced_hits_the_acceleration_to_one_line(width, rate):
    for seed in range(5):
        mask = make_mask("equispaced", (8, width), rate, center_fraction=0.06, seed=seed)
        assert abs(int(mask.array.sum()) - width / rate) <= 1


def test_equispaced_with_nominal_spacing_is_a_lattice_under_the_acs():
    offsets = set()
    for seed in range(20):
        mask = make_mask("equispaced", (8, 320), 4, acs_lines=24, seed=seed, nominal_spacing=True)
        left, right = outer_lines(mask, 24)
        offset = left[0]
        assert offset < 4
        assert (left == np.arange(offset, 148, 4)).all()
        assert ((right - offset) % 4 == 0).all()
        assert mask.acceleration == pytest.approx(320 / 98)  # 24 lines and every fourth of 296 others
        offsets.add(int(offset))
    assert offsets == {0, 1, 2, 3}


def test_equispaced_with_integer_spacing_is_the_nearest_such_lattice():
    mask = make_mask("equispaced", (8, 320), 4, acs_lines=24, seed=1, integer_spacing=True)
    gaps = np.concatenate([np.diff(side) for side in outer_lines(mask, 24)])
    assert (gaps == gaps[0]).all()
    errors = []
    for spacing in range(1, 20):
        for offset in range(spacing):
            lines = np.zeros(320, bool)
            lines[offset::spacing] = True
            lines[148:172] = True
            errors.append(abs(lines.sum() - 80))
    assert abs(int(mask.array.sum()) - 80) == min(errors)


def test_densities_of_line_masks():
    def density(kind, **options):
        masks = [make_mask(kind, (4, 128), 6, acs_lines=8, seed=seed, **options).array for seed in range(300)]
        density = np.mean(masks, axis=0)[0, 0]
        return np.r_[density[:60], density[68:][::-1]].reshape(2, 60).mean(axis=0)  # from the edge inwards

    uniform = density("uniform1d")
    assert np.abs(uniform - (21 - 8) / 120).max() < 0.06
    assert (density("random1d") == density("random1d", density_power=0.0)).all()
    for falling in (density("gaussian1d"), density("random1d", density_power=4.0)):
        assert falling[50:].mean() > 2.5 * falling[30:40].mean() > 2.5 * falling[:10].mean()


def test_independent_lines_are_right_on_average():
    counts = [make_mask("random1d", (4, 320), 4, acs_lines=24, seed=s, exact=False).array.sum() for s in range(200)]
    outer = 320 - 24
    share = (80 - 24) / outer
    assert np.mean(counts) == pytest.approx(80, abs=4 * np.sqrt(outer * share * (1 - share) / 200))
    assert np.std(counts) == pytest.approx(np.sqrt(outer * share * (1 - share)), rel=0.25)


def test_low_frequency_lines_and_centre_blocks():
    for rate in (1, 2, 3.5, 8):
        assert make_mask("lowfrequency", (8, 320), rate).array.sum() == round(320 / rate)
    lines = make_mask("lowfrequency", (8, 321), 4)
    assert (np.flatnonzero(lines.array) == np.arange(160 - 40, 160 + 40)).all()
    assert make_mask("lowfrequency", (8, 320), acs_lines=10).acs == (8, 10)
    block = make_mask("center", (60, 90), 9)
    assert block.acs == (20, 30) and block.acceleration == 9
    assert make_mask("center", (60, 90), acs_lines=(6, 10)).array.sum() == 60


def test_gaussian_points_are_denser_in_the_middle():
    mask = make_mask("gaussian2d", (128, 128), 8, center_fraction=0, seed=2, std=0.2).array[0]
    rows, columns = np.nonzero(mask)
    assert rows.mean() == pytest.approx(64, abs=1.5) and columns.mean() == pytest.approx(64, abs=1.5)
    assert mask[48:80, 48:80].mean() > 3 * mask[:, :16].mean()


@pytest.mark.parametrize("rate", [2, 4, 8, 16])
@pytest.mark.parametrize("slope", [0.0, 2.0, 5.0])
def test_poisson_delivers_the_asked_acceleration(rate, slope):
    mask = make_mask("poisson", (128, 120), rate, acs_lines=12, density_slope=slope, seed=rate)
    assert mask.acceleration == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_poisson_points_keep_their_distance(slope):
    mask = make_mask("poisson", (128, 128), 10, center_fraction=0, density_slope=slope, seed=4).array[0]
    points = np.argwhere(mask)
    radius = np.hypot(*((points - 64) / 64).T)
    nearest = scipy.spatial.cKDTree(points).query(points, k=2)[0][:, 1]
    # The scale of the distances, from the density that a saturated random set would have.
    relative = nearest / (1 + slope * radius)
    expected = np.sqrt(0.7 * 10 * np.mean((1 + slope * np.hypot(*np.mgrid[-1:1:128j, -1:1:128j])) ** -2.0))
    assert relative.min() > 0.7 * expected
    random = np.argwhere(make_mask("gaussian2d", (128, 128), 10, center_fraction=0, std=9.0).array[0])
    random_nearest = scipy.spatial.cKDTree(random).query(random, k=2)[0][:, 1]
    assert random_nearest.min() == 1 < nearest.min()


def test_poisson_corners_can_be_cropped():
    mask = make_mask("poisson", (90, 64), 5, crop_corners=True).array[0]
    rows, columns = np.nonzero(mask)
    assert (np.hypot((rows - 45) / 45, (columns - 32) / 32) <= 1).all()
    assert mask.sum() == round(90 * 64 / 5)
    assert make_mask("poisson", (90, 64), 5).array[0, :8, :8].any()


def test_poisson_is_quick():
    start = time.process_time()
    mask = make_mask("poisson", (320, 320), 4)
    assert time.process_time() - start < 2
    assert mask.acceleration == 4


@pytest.mark.parametrize("rate", [3, 6, 12])
def test_radial_has_the_nearest_number_of_spokes(rate):
    mask = make_mask("radial", (160, 128), rate, acs_lines=8, seed=1)
    assert mask.acceleration == pytest.approx(rate, rel=0.5 * rate * 160 / (160 * 128) + 0.001)


def test_radial_spokes_pass_through_the_centre_at_golden_angles():
    mask = make_mask("radial", (101, 101), n_spokes=1, center_fraction=0, seed=5).array[0]
    rows, columns = np.nonzero(mask)
    angle = np.arctan2(rows - 50.0, columns - 50.0)[np.hypot(rows - 50, columns - 50) > 30] % np.pi
    three = make_mask("radial", (101, 101), n_spokes=3, center_fraction=0, seed=5).array[0]
    for n in range(3):
        turned = np.median(angle) + n * np.deg2rad(111.246)
        reach = np.arange(-45, 46)
        on_spoke = np.rint(50 + reach * np.sin(turned)).astype(int), np.rint(50 + reach * np.cos(turned)).astype(int)
        near = three[on_spoke] | three[on_spoke[0] - 1, on_spoke[1]] | three[on_spoke[0] + 1, on_spoke[1]]
        assert near.mean() > 0.98
    assert mask[50, 50] == 1
    assert three.sum() < 3 * 101 * np.sqrt(2)


def test_weighted_draws_follow_their_weights():
    generator = np.random.default_rng(0)
    weights = np.array([0.5, 0.25, 0.125, 0.125, 0.0])
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    first = [draw_without_replacement(generator, log_weights, 1)[0] for _ in range(4000)]
    assert np.bincount(first, minlength=5) / 4000 == pytest.approx(weights, abs=0.035)
    assert sorted(draw_without_replacement(generator, log_weights, 4)) == [0, 1, 2, 3]
    assert draw_without_replacement(generator, log_weights, 0).size == 0


def test_inclusion_probabilities_are_capped_and_sum_to_the_count():
    probability = inclusion_probability(np.array([100.0, 1, 1, 2, 0]), 2)
    assert probability == pytest.approx([1, 0.25, 0.25, 0.5, 0])
    assert inclusion_probability(np.array([3.0, 2, 1]), 3) == pytest.approx([1, 1, 1])
