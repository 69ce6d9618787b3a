"""tfrecon against tensorflow-mri 0.22, whose results `tools/reference/generate.py` wrote down.

Where the two follow different conventions, the test says which and compares what both define.
"""

import pathlib

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from tfrecon.metrics import measures
from tfrecon.physics import coils, fourier
from tfrecon.physics.espirit import espirit
from tfrecon.physics.operators import SenseOperator
from tfrecon.physics.solvers import conjugate_gradient

pytestmark = pytest.mark.mathematics

GOLDEN = pathlib.Path(__file__).parent / "reference" / "tensorflow_mri_golden.npz"
SINGLE = 1e-5


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(params=["even", "odd"])
def case(request, golden):
    """Inputs and results of one size, with the settings beside them."""
    prefix = f"{request.param}/"
    chosen = {name.removeprefix(prefix): array for name, array in golden.items() if name.startswith(prefix)}
    return chosen | {name.split("/")[1]: array for name, array in golden.items() if name.startswith("settings/")}


def relative_error(ours, theirs):
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape
    return np.linalg.norm((ours - theirs).ravel()) / np.linalg.norm(theirs.ravel())


def operator_and_measurement(case):
    mask = case["mask"][None].astype(np.float32)
    return SenseOperator(case["maps"], mask), case["kspace"] * mask


def map_agreement(ours, theirs):
    """|⟨s, t⟩| of every pixel: maps are defined up to a phase per pixel."""
    return np.abs(np.sum(ours.conj() * theirs, axis=0))


def test_golden_file_is_small_and_names_its_makers(golden):
    assert GOLDEN.stat().st_size < 500_000
    assert str(golden["versions/tensorflow_mri"]) == "0.22.0"
    assert str(golden["versions/tensorflow"]) == "2.10.1"
    assert {name.split("/")[0] for name in golden} == {"even", "odd", "settings", "versions"}


def test_centred_orthonormal_fourier_transform(case):
    assert relative_error(fourier.fft2c(case["test_image"]), case["fft"]) < SINGLE
    assert relative_error(fourier.ifft2c(case["test_image"]), case["ifft"]) < SINGLE


def test_sense_forward_and_adjoint(case):
    operator, measured = operator_and_measurement(case)
    assert relative_error(operator.forward(case["test_image"]), case["sense_forward"]) < SINGLE
    assert relative_error(operator.adjoint(measured), case["sense_adjoint"]) < SINGLE


def test_conjugate_gradient_iterates_agree_one_for_one(case):
    operator, measured = operator_and_measurement(case)
    rhs, iterations = operator.adjoint(measured), int(case["cg_iterations"])
    ours, _ = conjugate_gradient(operator.normal, rhs, iterations=iterations, tolerance=0)
    assert relative_error(ours, case["cg"]) < SINGLE
    fewer, _ = conjugate_gradient(operator.normal, rhs, iterations=iterations - 1, tolerance=0)
    assert relative_error(fewer, case["cg"]) > 3 * SINGLE  # the comparison is sharper than one iteration


def test_tikhonov_weight_means_the_same(case):
    operator, measured = operator_and_measurement(case)
    weight = float(case["tikhonov"])
    ours, _ = conjugate_gradient(
        lambda x: operator.normal(x) + weight * x, operator.adjoint(measured), iterations=60, tolerance=1e-7
    )
    assert relative_error(ours, case["cg_tikhonov"]) < SINGLE


def test_espirit_maps(case):
    # tensorflow-mri crops by singular values of the kernels' transform, tfrecon by eigenvalues of its
    # square, and both turn the phase to a principal coil, which is defined up to one global phase.
    size = int(case["calibration"])
    height, width = case["image"].shape
    rows, columns = (slice(n // 2 - size // 2, n // 2 - size // 2 + size) for n in (height, width))
    found = espirit(
        case["kspace"][:, rows, columns],
        (height, width),
        kernel_size=int(case["kernel"]),
        threshold=0.02,
        crop=float(case["singular_threshold"]) ** 2,
    )
    ours, theirs = found.maps[0], case["espirit"]
    supports = [np.abs(maps).sum(axis=0) > 0 for maps in (ours, theirs)]
    assert np.mean(supports[0] == supports[1]) > 0.995
    common = supports[0] & supports[1]
    assert common.mean() > 0.7
    assert map_agreement(ours, theirs)[common].min() > 0.9999
    inside = np.abs(case["image"]) > 0.3
    assert inside[common].sum() == inside.sum()
    # One principal coil is that of the kernels, the other that of the data: nearly, not exactly, the same.
    turned = ours * np.exp(1j * np.angle(np.sum(ours.conj() * theirs)))
    assert relative_error(turned * common, theirs * common) < 0.05


def test_walsh_maps(case):
    # tensorflow-mri takes 5×5 covariances of the fully sampled image, tfrecon Gaussian-weighted ones of
    # the tapered calibration region, because a measurement has no more: alike inside the object only.
    mask = np.ones((1, 1, case["image"].shape[1]), np.uint8)
    ours = coils.estimate_maps(case["kspace"], mask, "walsh", calibration_size=int(case["calibration"]))
    inside = np.abs(case["image"]) > 0.3
    agreement = map_agreement(ours, case["walsh"])[inside]
    assert agreement.mean() > 0.99 and agreement.min() > 0.97
    assert map_agreement(ours, case["maps"])[inside].mean() > 0.98


def test_coil_combination(case):
    coil_images = fourier.ifft2c(case["kspace"])
    assert relative_error(coils.rss(coil_images), case["rss"]) < SINGLE
    assert relative_error(coils.adaptive_combine(coil_images, case["maps"]), case["adaptive"]) < SINGLE


def test_coil_compression(case):
    # Virtual coils are singular vectors: each is defined up to a phase.
    count = int(case["virtual_coils"])
    ours = np.asarray(coils.compress_coils(case["kspace"], count).kspace).reshape(count, -1)
    theirs = case["compressed"].reshape(count, -1)
    inner = np.sum(ours.conj() * theirs, axis=1, keepdims=True)
    assert relative_error(ours * np.exp(1j * np.angle(inner)), theirs) < SINGLE


def test_psnr_and_ssim(case):
    reference, degraded = case["magnitude"], case["degraded"]
    largest = float(reference.max())
    assert measures.psnr(degraded, reference, largest) == pytest.approx(float(case["psnr"]), abs=1e-4)
    # Same window (uniform 7×7) and, by a scaled constant, the same covariance: see generate.py.
    assert measures.ssim(degraded, reference, largest) == pytest.approx(float(case["ssim_uniform"]), abs=1e-5)
    # tensorflow-mri's default is the Gaussian window; scikit-image, which tfrecon reports, has it too.
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ours = structural_similarity(reference, degraded, data_range=largest, **gaussian)
    assert ours == pytest.approx(float(case["ssim_gaussian"]), abs=1e-5)
