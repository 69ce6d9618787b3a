"""What every kind of mask keeps, what is measured on a given mask, and what is refused."""

import pathlib

import numpy as np
import pytest

from tfrecon.physics.masks import achieved_acceleration, acs_size, from_array, make_mask, mask_kinds
from tfrecon.records import Record, validate_record
from tfrecon.util.errors import InputError
from tfrecon.util.shapes import centre_slices

SHARED_DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"
GIVEN_BY_SIZE = ("full", "hfs_low_frequency", "hfs_center")
EXACT_LINES = ("equispaced", "random1d", "gaussian1d", "uniform1d", "hfs_random_uniform")
EXACT_LINES += ("hfs_cartesian", "kt_equispaced", "kt_gaussian")
EXACT_POINTS = ("gaussian2d", "poisson")


def draw(kind, shape=(40, 50), acceleration=4, **options):
    if kind in GIVEN_BY_SIZE:
        acceleration = None
    if kind.startswith("kt_"):
        options.setdefault("frames", 6)
    return make_mask(kind, shape, acceleration, **options)


@pytest.mark.parametrize("shape", [(40, 50), (33, 51)])
@pytest.mark.parametrize("kind", mask_kinds())
def test_every_kind_keeps_the_contract(kind, shape):
    mask = draw(kind, shape, seed=7)
    frames = (6,) if kind.startswith("kt_") else ()
    assert mask.array.dtype == np.uint8
    assert mask.array.shape in ((*frames, 1, *shape), (*frames, 1, 1, shape[1]))
    assert set(np.unique(mask.array)) <= {0, 1}
    assert (mask.kind, mask.seed) == (kind, 7)
    assert mask.acceleration == pytest.approx(1 / mask.array.mean())
    assert mask.nominal == (mask.acceleration if kind in GIVEN_BY_SIZE else 4)
    assert mask.acs == acs_size(mask.array, shape)
    assert kind in str(mask) and f"{mask.acceleration:.2f}" in str(mask)


@pytest.mark.parametrize("kind", mask_kinds())
def test_a_mask_is_a_function_of_its_seed(kind):
    first, again = draw(kind, seed=11), draw(kind, seed=11)
    assert (first.array == again.array).all()
    if kind in (*GIVEN_BY_SIZE, "lowfrequency", "center", "hfs_uniform", "ddpm4mri_equispaced"):
        return  # nothing random in them
    assert any((first.array != draw(kind, seed=seed).array).any() for seed in (12, 13, 14))


@pytest.mark.parametrize("rate", [1, 2, 3.5, 4, 8, 10])
@pytest.mark.parametrize("kind", EXACT_LINES)
def test_line_masks_have_the_asked_number_of_lines(kind, rate):
    for seed in range(3):
        mask = draw(kind, (8, 320), rate, seed=seed, acs_lines=24)
        lines = mask.array.sum(axis=-1)
        # hfs_... cut W/R to an integer, the others round it; a common lattice of all frames is right on average.
        assert abs(lines.mean() - 320 / rate) <= 1
        assert np.abs(lines - 320 / rate).max() <= (1.5 if kind == "kt_equispaced" else 1)
        assert abs(mask.acceleration / rate - 1) < 0.03
        assert mask.array[..., 148:172].all()


@pytest.mark.parametrize("rate", [1, 1.3, 2, 4, 8, 15])
@pytest.mark.parametrize("kind", EXACT_POINTS)
def test_point_masks_have_the_asked_number_of_samples(kind, rate):
    mask = draw(kind, (96, 81), rate, center_fraction=0.1)
    assert mask.array.sum() == round(96 * 81 / rate)
    block = mask.array[0][centre_slices((96, 81), (round(9.6), round(8.1)))]
    assert block.shape == (10, 8) and block.all()


def test_the_calibration_block_can_be_left_out_or_given_by_its_sides():
    none = draw("gaussian2d", (64, 64), 8, center_fraction=0, std=2.0)
    assert none.acs[0] < 5
    sides = draw("poisson", (64, 64), 6, acs_lines=(6, 20), density_slope=0)
    assert sides.array[0][centre_slices((64, 64), (6, 20))].all()
    assert sides.acs[0] in (6, 7)


def test_frames_repeat_a_still_mask():
    mask = make_mask("uniform1d", (16, 64), 4, frames=3)
    assert mask.array.shape == (3, 1, 1, 64)
    assert (mask.array == make_mask("uniform1d", (16, 64), 4).array).all()


@pytest.mark.parametrize("kind", ["gaussian1d", "poisson", "kt_gaussian"])
def test_masks_fit_the_record(kind):
    mask = draw(kind, (12, 20), 2)
    kspace = np.ones((*mask.array.shape[:-3], 3, 12, 20), np.complex64)
    record = Record(kspace, mask.array, "a/0", "a")
    assert validate_record(record) is record


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (("spiral", (8, 8), 4), {}, "no mask kind 'spiral'; choose one of .*equispaced.*kt_radial"),
        (("gaussian1d", (8, 64), 0.5), {}, "acceleration is 0.5; give 1"),
        (("gaussian1d", (8, 64), float("nan")), {}, "acceleration is nan"),
        (("gaussian1d", (8, 64)), {}, "needs an acceleration"),
        (("gaussian1d", (8, 64), 200), {}, "leaves no line of 64; give an acceleration of at most 64"),
        (("gaussian2d", (8, 8), 200), {"center_fraction": 0}, "leaves no sample of 64"),
        (("gaussian1d", (8, 320), 16), {"acs_lines": 24}, "24 calibration lines are 4 more than the 20 lines .*13.33"),
        (("equispaced", (8, 320), 16), {"acs_lines": 24}, "at most 20"),
        (("kt_gaussian", (8, 320), 16), {"acs_lines": 24, "frames": 2}, "at most 20"),
        (("poisson", (32, 32), 16), {"acs_lines": 10}, "10 x 10 calibration block has 36 samples more than the 64"),
        (("radial", (32, 32), 16), {"acs_lines": 10}, "at most 8 x 8"),
        (("gaussian1d", (8, 64), 4), {"acs_lines": 65}, "does not fit k-space"),
        (("gaussian1d", (8, 64), 4), {"acs_lines": -1}, "does not fit k-space"),
        (("gaussian1d", (8, 64), 4), {"acs_lines": (4, 4)}, "samples lines: give one number"),
        (("gaussian2d", (8, 64), 4), {"acs_lines": (4, 4, 4)}, "one number, or"),
        (("gaussian1d", (8, 64), 4), {"center_fraction": 1.5}, "between 0 and 1"),
        (("gaussian1d", (8, 64), 4), {"std": 0.0}, "give a positive fraction"),
        (("gaussian1d", (8, 64), 4), {"width": 3}, "has no option 'width'; its options are: std"),
        (("uniform1d", (8, 64), 4), {"width": 3}, "its options are: none"),
        (("uniform1d", (8, 64, 3), 4), {}, "give the height and width"),
        (("uniform1d", (8, 0), 4), {}, "give the height and width"),
        (("full", (8, 64), 4), {}, "full sampling has acceleration 1, not 4"),
        (("kt_gaussian", (8, 64), 4), {}, "give the number of frames"),
        (("kt_gaussian", (8, 64), 4), {"frames": 0}, "at least one frame"),
        (("lowfrequency", (8, 64), 4), {"acs_lines": 8}, "takes one of the two"),
        (("lowfrequency", (8, 64)), {"acs_lines": 0}, "neither"),
        (("center", (8, 64), 4), {"acs_lines": 8}, "leave one of them out"),
        (("center", (8, 64)), {"acs_lines": 0}, "neither"),
        (("radial", (32, 32), 4), {"n_spokes": 8}, "leave one of them out"),
        (("radial", (32, 32)), {"n_spokes": 0}, "at least one spoke"),
        (("radial", (32, 32), 1.1), {}, "corners stay empty; give an acceleration of at least 1.2"),
        (("poisson", (32, 32), 1.1), {"crop_corners": True}, "without corners"),
        (("poisson", (32, 32), 4), {"density_slope": -1.0}, "give 0"),
        (("random1d", (8, 64), 4), {"density_power": -1.0}, "give 0"),
        (("equispaced", (8, 64), 4), {"nominal_spacing": True, "integer_spacing": True}, "exclude each other"),
        (("equispaced", (8, 64), 80), {"nominal_spacing": True}, "wider than"),
        (("kt_equispaced", (8, 64), 4), {"frames": 2, "interleave": "no"}, "shift or golden"),
        (("kt_gaussian", (8, 64), 4), {"frames": 2, "floor": -1.0}, "floor"),
    ],
)
def test_impossible_requests(arguments, options, message):
    with pytest.raises(InputError, match=message) as raised:
        make_mask(*arguments, **options)
    assert "\n" not in str(raised.value)


LINES = np.array([0, 1, 0, 1, 1, 1, 0, 1])


@pytest.mark.parametrize("lead", [(), (1,), (1, 1), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.complex64])
def test_given_line_masks(lead, dtype):
    mask = from_array(LINES.astype(dtype).reshape(*lead, 8), (6, 8))
    assert mask.array.dtype == np.uint8
    assert mask.array.shape == ((1, 1, 8) if len(lead) < 3 else (1, 1, 1, 8))
    assert (mask.array.ravel() == LINES).all()
    assert (mask.kind, mask.acceleration, mask.nominal, mask.acs) == ("given", 1.6, 1.6, (6, 3))


def test_given_masks_with_equal_rows_are_line_masks():
    mask = from_array(np.tile(LINES, (6, 1)), (6, 8))
    assert mask.array.shape == (1, 1, 8)
    points = np.tile(LINES, (6, 1))
    points[0, 0] = 1
    assert from_array(points, (6, 8)).array.shape == (1, 6, 8)
    assert from_array(points[None], (6, 8)).array.shape == (1, 6, 8)


@pytest.mark.parametrize("lead", [(5, 1), (5, 1, 1)])
def test_given_series_of_line_masks(lead):
    lines = np.tile(LINES, 5).reshape(*lead, 8)
    lines[2, ..., 0] = 1
    mask = from_array(lines, (6, 8))
    assert mask.array.shape == (5, 1, 1, 8)
    assert (mask.array.ravel() == lines.ravel()).all()
    assert mask.acceleration == 40 / 26


def test_given_series_of_point_masks():
    points = np.random.default_rng(0).integers(0, 2, (3, 6, 8))
    assert (from_array(points, (6, 8)).array[:, 0] == points).all()
    assert (from_array(points[:, None], (6, 8)).array[:, 0] == points).all()


@pytest.mark.parametrize(
    "array, message",
    [
        (np.ones((8, 6)), "looks transposed"),
        (np.ones(6), "looks transposed"),
        (np.ones((6, 1)), "looks transposed"),
        (np.ones((5, 8)), r"for each frame of a series is \[T, 1, W\]"),
        (np.ones(9), "same height and width"),
        (np.ones((1, 7, 9)), "same height and width"),
        (np.array(1.0), "same height and width"),
        (np.ones((2, 3, 6, 8)), r"give \[W\]"),
        (np.ones((1, 1, 1, 6, 8)), r"give \[W\]"),
        (np.zeros((6, 8)), "zero everywhere"),
        (np.stack([np.ones((1, 8)), np.zeros((1, 8))]), "zero in frame 1"),
        (np.full((6, 8), 255), "48 values other than 0 and 1, such as 255"),
        (np.full((6, 8), 0.5), "such as 0.5"),
        (np.full((6, 8), np.nan), "such as nan"),
        (np.full((6, 8), "1"), "dtype"),
    ],
)
def test_masks_that_are_refused(array, message):
    with pytest.raises(InputError, match=f"^mask.npy: .*{message}"):
        from_array(array, (6, 8), "mask.npy")


def brute_force_acs(mask):
    """All centred blocks tried one by one."""
    height, width = mask.shape
    best = (0, 0)
    for rows in range(1, height + 1):
        for columns in range(1, width + 1):
            if mask[centre_slices(mask.shape, (rows, columns))].all():
                size = (rows, columns)
                best = max(best, size, key=lambda s: (min(s), s[0] * s[1]))
    return best


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (10, 7)])
def test_acs_size_against_trying_every_block(shape):
    generator = np.random.default_rng(3)
    for share in (0.05, 0.2, 0.4, 1.0):
        mask = generator.random(shape) > share * np.hypot(*np.meshgrid(*(np.linspace(-1, 1, n) for n in shape[::-1])))
        found, tried = acs_size(mask, shape), brute_force_acs(mask)
        assert min(found) == min(tried) and np.prod(found) == np.prod(tried)
        assert mask[centre_slices(shape, found)].all()


def test_acs_size_of_line_masks_series_and_empty_centres():
    assert acs_size(LINES, (20, 8)) == (20, 3)
    series = np.ones((2, 1, 7, 9))
    series[0, 0, 3, 6] = 0
    series[1, 0, 1, 4] = 0
    assert acs_size(series, (7, 9)) == (3, 3) or acs_size(series, (7, 9)) == (3, 4)
    centre_missing = np.ones((7, 9))
    centre_missing[3, 4] = 0
    assert acs_size(centre_missing, (7, 9)) == (0, 0)
    assert acs_size(np.ones((7, 9)), (7, 9)) == (7, 9)


def test_a_single_long_line_is_no_calibration_block():
    mask = np.zeros((32, 32))
    mask[16] = 1
    mask[centre_slices((32, 32), (4, 4))] = 1
    assert acs_size(mask, (32, 32)) == (4, 4)


def test_measures_refuse_another_size_and_an_empty_mask():
    for measure in (acs_size, achieved_acceleration):
        with pytest.raises(InputError, match="looks transposed"):
            measure(np.ones((9, 7)), (7, 9))
    with pytest.raises(InputError, match="zero everywhere"):
        achieved_acceleration(np.zeros((7, 9)), (7, 9))


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the shared data")
def test_a_scanner_poisson_mask_is_measured():
    kspace = np.load(SHARED_DATA / "brain_8coil_poisson_ksp.npy")
    mask = from_array((np.abs(kspace).sum(axis=0) > 0).astype(np.float32), kspace.shape[-2:])
    assert mask.acceleration == pytest.approx(1 / 0.124, rel=0.01)
    assert min(mask.acs) >= 16
