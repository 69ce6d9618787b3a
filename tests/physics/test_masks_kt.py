"""Masks of series: what changes from frame to frame and what does not."""

import numpy as np
import pytest

from tfrecon.physics.masks import make_mask

ACS = slice(64 - 6, 64 + 6)


def lines_of(mask):
    return mask.array[:, 0, 0].astype(bool)


@pytest.mark.parametrize("kind", ["kt_equispaced", "kt_gaussian", "kt_radial"])
@pytest.mark.parametrize("on_top", [False, True])
def test_every_frame_has_the_calibration_block(kind, on_top):
    mask = make_mask(kind, (128, 128), 4, acs_lines=12, frames=8, acs_on_top=on_top)
    assert mask.array.shape == (8, 1, 128 if kind == "kt_radial" else 1, 128)
    rows = ACS if kind == "kt_radial" else slice(None)
    assert mask.array[:, :, rows, ACS].all()
    assert min(mask.acs) >= 12
    if on_top:
        within = make_mask(kind, (128, 128), 4, acs_lines=12, frames=8)
        # Spokes sample the small block anyway.
        assert mask.acceleration <= within.acceleration * (1 if kind == "kt_radial" else 0.9)
    else:
        assert mask.acceleration == pytest.approx(4, rel=0.02 if kind == "kt_radial" else 0.003)


@pytest.mark.parametrize("kind", ["kt_equispaced", "kt_gaussian", "kt_radial"])
def test_frames_interleave(kind):
    mask = make_mask(kind, (64, 128), 6, acs_lines=8, frames=12).array[:, 0]
    outer = mask.copy()
    outer[..., 60:68] = 0
    repeated = (outer[1:] & outer[:-1]).sum() / outer[1:].sum()
    random = outer.mean()
    assert repeated < (0.8 * random if kind != "kt_radial" else 0.5)
    # Twelve frames of a sixth each: together they cover more than independent frames would.
    assert mask.any(axis=0).mean() > {"kt_equispaced": 0.99, "kt_gaussian": 0.7, "kt_radial": 0.75}[kind]


def test_kt_uniform_of_cmrxrecon():
    mask = make_mask("kt_equispaced", (16, 128), 8, acs_lines=12, frames=8, acs_on_top=True, seed=3)
    lines = lines_of(mask)
    for frame in range(8):
        outer = np.flatnonzero(lines[frame] & ~np.isin(np.arange(128), np.arange(58, 70)))
        assert len({int(line) % 8 for line in outer}) == 1
        assert (outer[0] + 1) % 8 == np.flatnonzero(lines[(frame + 1) % 8])[0] % 8
    assert lines.any(axis=0).all()


def test_golden_interleaving_spreads_any_number_of_frames():
    lines = lines_of(make_mask("kt_equispaced", (16, 320), 8, acs_lines=8, frames=21, interleave="golden"))
    for frames in (5, 8, 13):
        gaps = np.diff(np.flatnonzero(lines[4 : 4 + frames].any(axis=0)))
        assert gaps.max() <= 5 if frames == 5 else gaps.max() <= 3


def test_kt_gaussian_frames_have_one_count_and_the_asked_density():
    mask = make_mask("kt_gaussian", (16, 128), 4, acs_lines=12, frames=400, seed=2)
    lines = lines_of(mask)
    assert (lines.sum(axis=1) == 32).all()
    distance = np.arange(128) - 64
    weights = np.exp(-((distance / (128 / 5)) ** 2)) + 0.4
    weights[ACS] = 0
    wanted = 20 * weights / weights.sum()
    wanted[ACS] = 1
    assert np.abs(lines.mean(axis=0) - wanted).max() < 0.02


def test_kt_gaussian_reaches_every_line_count():
    assert (lines_of(make_mask("kt_gaussian", (8, 64), 4, acs_lines=16, frames=3)).sum(axis=1) == 16).all()
    assert lines_of(make_mask("kt_gaussian", (8, 64), 1, acs_lines=4, frames=2)).all()
    narrow = make_mask("kt_gaussian", (8, 512), 1.2, acs_lines=4, frames=2, floor=0.0, std=0.01)
    assert (lines_of(narrow).sum(axis=1) == round(512 / 1.2)).all()


def test_kt_equispaced_of_calibration_alone():
    mask = make_mask("kt_equispaced", (8, 64), 4, acs_lines=16, frames=3)
    assert (lines_of(mask) == lines_of(mask)[0]).all() and mask.array.sum() == 48


def test_kt_radial_continues_its_golden_angles():
    one = make_mask("kt_radial", (64, 64), n_spokes=6, frames=1, center_fraction=0, seed=9).array
    two = make_mask("kt_radial", (64, 64), n_spokes=3, frames=2, center_fraction=0, seed=9).array
    assert (one[0] == two.any(axis=0)).all()
    assert (two[0] != two[1]).any()


def test_kt_radial_can_leave_the_block_out_of_the_acceleration():
    on_top = make_mask("kt_radial", (96, 96), 8, acs_lines=30, frames=3, acs_on_top=True)
    within = make_mask("kt_radial", (96, 96), 8, acs_lines=30, frames=3)
    assert on_top.acceleration < 0.85 * within.acceleration
    assert within.acceleration == pytest.approx(8, rel=0.04)
