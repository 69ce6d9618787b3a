"""The published rules: their realised rates over many draws, and the line counts of the shipped masks."""

import math

import numpy as np
import pytest

from tfrecon.physics.masks import make_mask
from tfrecon.util.errors import InputError

# Mean and standard deviation of the realised acceleration at 320 x 320 over 300 draws of the published code's rules.
SCORE_MRI = [
    ("scoremri_gaussian1d", 4, 0.08, 4.11, 0.21),
    ("scoremri_gaussian1d", 8, 0.04, 6.72, 0.39),
    ("scoremri_gaussian1d", 12, 0.04, 8.83, 0.55),
    ("scoremri_gaussian1d", 8, 0.08, 5.75, 0.30),
    ("scoremri_uniform1d", 4, 0.08, 4.48, 0.15),
    ("scoremri_uniform1d", 8, 0.04, 8.46, 0.30),
    ("scoremri_uniform1d", 12, 0.04, 12.7, 0.4),
]
SCORE_MRI_2D = [
    ("scoremri_gaussian2d", 4, 7.5),
    ("scoremri_gaussian2d", 8, 11.6),
    ("scoremri_gaussian2d", 15, 18.6),
    ("scoremri_uniformrandom2d", 4, 4.53),
    ("scoremri_uniformrandom2d", 8, 8.51),
]
HFS_UNIFORM = [(4, 24, 98), (6, 24, 74), (8, 24, 61), (10, 24, 54), (12, 24, 49), (14, 24, 46), (16, 24, 43)]
HFS_UNIFORM += [(20, 18, 34)]

# Published rate and calibration fraction, widths, and the acceleration that its code makes of them.
DDPM4MRI = [(8, 0.04, {320: 8.0, 368: 8.8, 372: 8.9, 396: 8.6, 640: 12.8})]
DDPM4MRI += [(4, 0.08, {320: 8.9, 368: 9.2, 396: 8.6, 640: 10.0})]


@pytest.mark.parametrize("kind, rate, fraction, mean, std", SCORE_MRI)
def test_score_mri_line_masks_realise_the_published_rates(kind, rate, fraction, mean, std):
    rates = [make_mask(kind, (320, 320), rate, center_fraction=fraction, seed=seed).acceleration for seed in range(300)]
    # Two means of 300 draws each differ by less than 4 standard errors; the table is rounded to 0.01 or 0.1.
    assert abs(np.mean(rates) - mean) < 4 * std * math.sqrt(2 / 300) + 0.03
    assert np.std(rates) == pytest.approx(std, rel=0.25, abs=0.03)


@pytest.mark.parametrize("kind, rate, mean", SCORE_MRI_2D)
def test_score_mri_point_masks_realise_the_published_rates(kind, rate, mean):
    rates = [make_mask(kind, (320, 320), rate, seed=seed).acceleration for seed in range(10)]
    assert np.mean(rates) == pytest.approx(mean, rel=0.01)


def test_score_mri_calibration_lines_are_where_the_published_rule_puts_them():
    mask = make_mask("scoremri_uniform1d", (320, 320), 4, center_fraction=0.08)
    start = 320 // 2 - 25 // 2
    assert mask.array[0, 0, start : start + 25].all()


@pytest.mark.parametrize("rate, acs, lines", HFS_UNIFORM)
def test_hfs_uniform_has_the_shipped_number_of_lines(rate, acs, lines):
    mask = make_mask("hfs_uniform", (320, 320), rate, acs_lines=acs)
    assert mask.array.sum() == lines
    assert mask.acceleration == 320 / lines
    columns = mask.array[0, 0]
    outer = np.r_[columns[: 160 - acs // 2], columns[160 + acs // 2 :]]
    assert (np.flatnonzero(outer) == np.arange(0, 320 - acs, rate)).all()
    assert columns[160 - acs // 2 : 160 + acs // 2].all()


@pytest.mark.parametrize("rate, acs", [(4, 24), (10, 24), (20, 16)])
def test_hfs_uniform_exact_has_the_asked_number_of_lines(rate, acs):
    mask = make_mask("hfs_uniform", (320, 320), rate, acs_lines=acs, prop="exact")
    assert mask.array.sum() == 320 // rate


@pytest.mark.parametrize("kind", ["hfs_random_uniform", "hfs_cartesian"])
@pytest.mark.parametrize("rate, lines", [(10, 32), (6, 53)])
def test_hfs_random_masks_are_exact(kind, rate, lines):
    mask = make_mask(kind, (320, 320), rate, acs_lines=24, seed=5)
    assert mask.array.sum() == lines
    assert mask.array[0, 0, 148:172].all()


def test_hfs_cartesian_prefers_low_frequencies():
    near, far = 0, 0
    for seed in range(100):
        lines = make_mask("hfs_cartesian", (8, 320), 6, acs_lines=24, seed=seed).array[0, 0]
        near += lines[108:148].sum() + lines[172:212].sum()
        far += lines[:40].sum() + lines[280:].sum()
    assert near > 3 * far


@pytest.mark.parametrize("rate, fraction, realised", DDPM4MRI)
def test_ddpm4mri_masks_realise_the_published_rates(rate, fraction, realised):
    for width, acceleration in realised.items():
        mask = make_mask("ddpm4mri_equispaced", (16, width), rate, center_fraction=fraction)
        assert round(mask.acceleration, 1) == acceleration
        columns = mask.array[0, 0]
        np.testing.assert_array_equal(columns, columns[::-1])
        assert columns[width // 2 - 6 : width // 2 + 6].all()


def test_ddpm4mri_masks_have_no_last_line_of_an_odd_width():
    odd, even = (make_mask("ddpm4mri_equispaced", (4, width), 8, acs_lines=12).array[0, 0] for width in (321, 320))
    np.testing.assert_array_equal(odd, np.r_[even, 0])


def test_hfs_training_masks():
    lines = make_mask("hfs_low_frequency", (32, 320), acs_lines=16).array
    assert lines.shape == (1, 1, 320)
    assert (np.flatnonzero(lines[0, 0]) == np.arange(152, 168)).all()
    block = make_mask("hfs_center", (320, 320), acs_lines=24)
    assert block.array.sum() == 24 * 24
    assert block.acs == (24, 24)


@pytest.mark.parametrize(
    "kind, rate, options, message",
    [
        ("scoremri_uniform1d", 16, {}, "25 calibration lines are 5 more"),
        ("hfs_random_uniform", 20, {"acs_lines": 24}, "24 calibration lines are 8 more"),
        ("scoremri_gaussian2d", 4, {"acs_lines": 24}, "take gaussian2d"),
        ("hfs_uniform", 4.5, {"acs_lines": 24}, "take equispaced"),
        ("hfs_uniform", 4, {"prop": "other"}, "choose legacy or exact"),
        ("ddpm4mri_equispaced", 8, {"acs_lines": 38}, "no line distance for 38 calibration lines"),
        ("hfs_low_frequency", 4, {"acs_lines": 24}, "leave the acceleration out"),
        ("hfs_center", None, {"acs_lines": 0}, "give acs_lines"),
    ],
)
def test_impossible_requests(kind, rate, options, message):
    with pytest.raises(InputError, match=message):
        make_mask(kind, (320, 320), rate, **options)
