import pathlib
import shutil
import subprocess

import coil_numpy
import numpy as np
import pytest
from coil_numpy import centre, similarity
from sense_numpy import cg_sense, fft2c, ifft2c

from tfrecon.physics.espirit import align_phase, crop_weight, espirit, principal_coil
from tfrecon.util.errors import InputError

pytestmark = pytest.mark.mathematics

SHARED_DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("shape", [(33, 40), (45, 37), (48, 48)])
@pytest.mark.parametrize("kernel_size", [5, 6])
def test_finds_the_true_maps_of_a_smooth_array(shape, kernel_size):
    kspace, truth, inside = coil_numpy.scene(6, shape)
    maps, values = espirit(centre(kspace, (20, 20)), shape, kernel_size=kernel_size)
    assert maps.shape == (1, 6, *shape) and maps.dtype == np.complex64
    assert values.shape == (1, *shape) and values.dtype == np.float32
    assert similarity(maps[0], truth)[inside].mean() > 0.999
    assert values[0][inside].min() > 0.9 and values.max() <= 1


def test_maps_have_unit_norm_where_kept_and_are_zero_elsewhere():
    kspace, _, inside = coil_numpy.scene(5, (40, 36))
    maps, values = espirit(centre(kspace, (18, 18)), (40, 36), crop=0.9)
    norm = np.linalg.norm(maps[0], axis=0)
    kept = values[0] >= 0.9
    assert inside[kept].mean() > 0.5 and not kept.all()
    np.testing.assert_allclose(norm[kept], 1, atol=1e-4)
    assert not maps[0][:, ~kept].any()


@pytest.mark.parametrize("size", [(13, 16), (14, 30)])
@pytest.mark.parametrize("crop", [0.05, 0.5])
def test_equals_the_papers_operator_kernel_by_kernel(size, crop):
    kspace, _, _ = coil_numpy.scene(4, (31, 34), seed=3, noise=2e-3)
    calibration = centre(kspace, size)
    values, vectors = coil_numpy.espirit(calibration, (31, 34), 5, 0.02)
    one = espirit(calibration, (31, 34), kernel_size=5, crop=crop)
    two = espirit(calibration, (31, 34), kernel_size=5, crop=0, map_sets=2)
    kept = values[0] >= max(crop, 0.12)
    assert np.abs(one.eigenvalues[0] - values[0])[kept].max() < 3e-3
    np.testing.assert_allclose(two.eigenvalues, values[:2], atol=1e-3)
    clear = values[0] - values[1] > 0.05
    assert similarity(one.maps[0], vectors[0])[kept & clear].min() > 0.999
    assert similarity(two.maps[0], vectors[0])[clear].min() > 0.999


def test_a_batch_equals_its_items():
    items = [centre(coil_numpy.scene(4, (24, 27), seed)[0], (14, 15)) for seed in range(4)]
    batch = espirit(np.array(items).reshape(2, 2, 4, 14, 15), (24, 27))
    assert batch.maps.shape == (2, 2, 1, 4, 24, 27) and batch.eigenvalues.shape == (2, 2, 1, 24, 27)
    for index, item in enumerate(items):
        alone = espirit(item, (24, 27))
        np.testing.assert_array_equal(batch.maps[index // 2, index % 2], alone.maps)
        np.testing.assert_array_equal(batch.eigenvalues[index // 2, index % 2], alone.eigenvalues)


def folded_scene():
    """K-space of a disc 1.6 fields of view wide, the maps of the two layers it folds into, where these are."""
    wide, shape = (40, 80), (40, 40)
    maps = coil_numpy.smooth_maps(8, wide, seed=5)
    rows, columns = (np.arange(n) - n // 2 for n in wide)
    inside = np.hypot(rows[:, None] / 16, columns / 32) < 1
    image = inside * (1 + 0.3 * np.cos(0.7 * rows[:, None]) * np.cos(0.5 * columns))
    layers = np.stack([np.roll(maps * image, shift, -1)[..., 20:60] for shift in (0, 40)])
    layer_maps = coil_numpy.unit(np.stack([np.roll(maps, shift, -1)[..., 20:60] for shift in (0, 40)]))
    layer_inside = np.stack([np.roll(inside, shift, -1)[:, 20:60] for shift in (0, 40)])
    return fft2c(layers.sum(0)).astype(np.complex64), layer_maps, layer_inside, shape


def test_a_second_set_appears_where_the_object_folds_and_only_there():
    kspace, truth, inside, shape = folded_scene()
    calibration = centre(kspace, (24, 24))
    maps, values = espirit(calibration, shape, map_sets=2)
    folded, single = inside.all(0), inside[0] & ~inside[1]
    assert values[1][folded].mean() > 0.95 and values[0][single].min() > 0.9
    # The window's finite width blurs the fold's edge; well inside one layer no second map is left.
    assert values[1][18:23, 17:24].max() < 0.8
    for layer in truth:
        spanned = (np.abs((maps.conj() * layer).sum(1)) ** 2).sum(0)
        assert spanned[folded].mean() > 0.995
    coil_images = ifft2c(kspace)
    explained = (maps * (maps.conj() * coil_images).sum(1, keepdims=True)).sum(0)
    first_only = maps[0] * (maps[0].conj() * coil_images).sum(0)

    def error(estimate):
        return np.linalg.norm((estimate - coil_images)[:, folded]) / np.linalg.norm(coil_images[:, folded])

    assert error(explained) < 0.05 < 0.1 < error(first_only)


def test_phase_is_relative_to_the_principal_coil_and_so_reproducible():
    kspace, _, _ = coil_numpy.scene(5, (32, 30))
    calibration = centre(kspace, (16, 16))
    maps = espirit(calibration, (32, 30)).maps[0]
    combined = np.einsum("c,chw->hw", principal_coil(calibration).conj(), maps)
    kept = np.abs(maps).sum(0) > 0
    assert combined.real[kept].min() > 0 and np.abs(combined.imag).max() < 1e-5
    for factor in (1e-12, 1e9 * np.exp(1.3j)):
        again = espirit((calibration * factor).astype(np.complex64), (32, 30)).maps[0]
        np.testing.assert_allclose(again, maps, atol=2e-2)
        assert np.linalg.norm(again - maps) < 1e-3 * np.linalg.norm(maps)


def test_aligning_leaves_pixels_without_a_map_alone():
    maps = np.zeros((2, 3, 3), np.complex64)
    maps[:, 1, 1] = 1j
    aligned = align_phase(maps, np.array([1, 0], np.complex64))
    assert np.isfinite(aligned).all() and not aligned[:, 0].any()
    np.testing.assert_allclose(aligned[:, 1, 1], [1, 1], atol=1e-6)


def test_soft_crop_fades_in_and_agrees_where_maps_are_certain():
    kspace, _, _ = coil_numpy.scene(5, (32, 30))
    calibration = centre(kspace, (16, 16))
    hard, soft = (espirit(calibration, (32, 30), soft_crop=value) for value in (False, True))
    sure = hard.eigenvalues[0] >= 0.9
    np.testing.assert_allclose(soft.maps[0][:, sure], hard.maps[0][:, sure], atol=1e-6)
    norm = np.linalg.norm(soft.maps[0], axis=0)
    assert ((norm > 0.01) & (norm < 0.99)).any() and norm.max() < 1 + 1e-4
    ramp = crop_weight(np.linspace(0, 1, 101), 0.8, soft=True)
    assert (np.diff(ramp) >= 0).all() and not ramp[:81].any() and (ramp[90:] == 1).all()


def test_one_coil_has_a_map_of_ones():
    kspace, _, inside = coil_numpy.scene(1, (24, 24))
    maps = espirit(centre(kspace, (16, 16)), (24, 24)).maps[0, 0]
    np.testing.assert_allclose(maps[inside], 1, atol=1e-4)


def test_what_cannot_be_calibrated_is_said_in_one_line():
    kspace, _, _ = coil_numpy.scene(3, (24, 24))
    with pytest.raises(InputError, match=r"8×16 .* needs 12×12; .*--maps=walsh"):
        espirit(centre(kspace, (8, 16)), (24, 24))
    with pytest.raises(InputError, match="zero everywhere"):
        espirit(np.zeros((2, 3, 16, 16), np.complex64), (24, 24))
    broken = centre(kspace, (16, 16)).copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or Inf"):
        espirit(broken, (24, 24))
    with pytest.raises(InputError, match="larger than the image"):
        espirit(kspace, (20, 24))
    with pytest.raises(InputError, match="coils, height, width"):
        espirit(kspace[0], (24, 24))
    for options in ({"map_sets": 3}, {"threshold": 1.0}, {"crop": -0.1}, {"kernel_size": 1}):
        with pytest.raises(InputError):
            espirit(centre(kspace, (16, 16)), (24, 24), **options)


def write_cfl(path, array):
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
    array.astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the shared data")
def test_agrees_with_bart_on_a_measured_brain(tmp_path):
    coil_images = np.moveaxis(np.load(SHARED_DATA / "brain_7coil_slice.npz")["arr_0"], -1, 0)
    kspace = fft2c(coil_images).astype(np.complex64)
    shape = kspace.shape[-2:]
    write_cfl(tmp_path / "kspace", np.moveaxis(kspace, 0, -1)[:, :, None])
    command = ["bart", "ecalib", "-m1", "-r24", "-k6", "-t0.0004", "kspace", "maps"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    theirs = np.fromfile(tmp_path / "maps.cfl", np.complex64).reshape((*shape, 7), order="F")
    theirs = np.moveaxis(theirs, -1, 0)
    ours = espirit(centre(kspace, (24, 24)), shape, threshold=0.02, crop=0.8).maps[0]
    kept = (np.abs(theirs).sum(0) > 0, np.abs(ours).sum(0) > 0)
    assert (kept[0] != kept[1]).mean() < 0.01
    assert similarity(ours, theirs)[kept[0] & kept[1]].mean() > 0.9999
    lines = np.zeros((1, 1, shape[1]))
    lines[..., ::4] = lines[..., shape[1] // 2 - 12 : shape[1] // 2 + 12] = 1
    images = [np.abs(cg_sense(lines * kspace, maps[None], lines, 0.01, 20))[0] for maps in (ours, theirs)]
    object_ = np.linalg.norm(coil_images, axis=0) > 0.1 * np.linalg.norm(coil_images, axis=0).max()
    assert np.linalg.norm((images[0] - images[1])[object_]) < 0.01 * np.linalg.norm(images[1][object_])
