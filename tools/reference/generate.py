"""Computes the reference results of tensorflow-mri on fixed inputs; runs inside `.venv-reference/`.

    .venv-reference/bin/python tools/reference/generate.py --output=FILE.npz

The file holds the inputs, the results and the versions of what computed them. Names are
`CASE/WHAT`; the two cases have even and odd image sizes. `tests/test_parity.py` compares tfrecon with
the committed file, `compare.py` a freshly computed one with the committed one.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # the golden results are the CPU's

import numpy as np
import scipy
import tensorflow as tf
import tensorflow_mri as tfmr

CASES = {"even": (32, 28), "odd": (29, 33)}
COILS = 4
CALIBRATION = 16
KERNEL = 5
SINGULAR_THRESHOLD = 0.8
VIRTUAL_COILS = 2
WALSH_FILTER = 5
CG_ITERATIONS = 8
TIKHONOV = 0.05
SSIM_WINDOW = 7


def make_inputs(shape: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """An object of soft discs, four smooth coils, a line mask, noise and a degraded image."""
    rng = np.random.default_rng(seed)
    height, width = shape
    rows, columns = np.meshgrid(
        (np.arange(height) - height // 2) * 2 / height, (np.arange(width) - width // 2) * 2 / width, indexing="ij"
    )
    image = np.zeros(shape, np.complex128)
    for radius, row, column, value in ((0.75, 0, 0, 0.6), (0.3, 0.2, -0.25, 0.4), (0.2, -0.3, 0.3, -0.3)):
        distance = np.hypot(rows - row, columns - column)
        image += value / (1 + np.exp((distance - radius) * 30))
    image *= np.exp(1j * (0.7 * rows - 0.4 * columns * rows + 0.3))
    angles = 2 * np.pi * (np.arange(COILS) + 0.3) / COILS
    legs = 1.5 * (np.cos(angles) - 1j * np.sin(angles))
    maps = np.exp(1j * angles)[:, None, None] / (columns - 1j * rows - legs[:, None, None])
    maps /= np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    coil_images = maps * image
    axes = (-2, -1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(coil_images, axes), norm="ortho"), axes)
    noise = rng.standard_normal((2, COILS, height, width))
    kspace = kspace + 0.002 * (noise[0] + 1j * noise[1])
    mask = np.zeros(width, bool)
    mask[width // 2 % 2 :: 2] = True
    mask[width // 2 - 3 : width // 2 + 3] = True
    test_image = rng.standard_normal((2, height, width))
    degraded = np.abs(image) + 0.05 * rng.standard_normal(shape)
    return {
        "image": image.astype(np.complex64),
        "maps": maps.astype(np.complex64),
        "kspace": kspace.astype(np.complex64),
        "mask": np.broadcast_to(mask, shape).astype(np.uint8),
        "test_image": (test_image[0] + 1j * test_image[1]).astype(np.complex64),
        "magnitude": np.abs(image).astype(np.float32),
        "degraded": degraded.astype(np.float32),
    }


def linear_results(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Transforms, the SENSE operator and conjugate gradients on its normal equations."""
    test_image = tf.constant(inputs["test_image"])
    settings = {
        "image_shape": list(inputs["image"].shape),
        "mask": tf.constant(inputs["mask"] > 0),
        "sensitivities": tf.constant(inputs["maps"]),
        "sens_norm": False,
    }
    operator = tfmr.linalg.LinearOperatorMRI(**settings)
    measured = tf.constant(inputs["kspace"]) * tf.cast(settings["mask"], tf.complex64)
    rhs = operator.transform(measured, adjoint=True)
    plain = tfmr.recon.least_squares(
        measured, **settings, optimizer="cg", optimizer_kwargs={"tol": 0.0, "max_iterations": CG_ITERATIONS}
    )
    damped = tfmr.recon.least_squares(
        measured,
        **settings,
        regularizer=tfmr.convex.ConvexFunctionTikhonov(
            scale=TIKHONOV, domain_dimension=inputs["image"].size, dtype=tf.complex64
        ),
        optimizer="cg",
        optimizer_kwargs={"tol": 1e-7, "max_iterations": 60},
    )
    return {
        "fft": tfmr.signal.fft(test_image, axes=[-2, -1], norm="ortho", shift=True),
        "ifft": tfmr.signal.ifft(test_image, axes=[-2, -1], norm="ortho", shift=True),
        "sense_forward": operator.transform(test_image),
        "sense_adjoint": rhs,
        "cg": plain,
        "cg_tikhonov": damped,
    }


def coil_results(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sensitivities by ESPIRiT and Walsh, coil combination and compression."""
    kspace = tf.constant(inputs["kspace"])
    coil_images = tfmr.signal.ifft(kspace, axes=[-2, -1], norm="ortho", shift=True)
    espirit = tfmr.coils.estimate_sensitivities(
        kspace,
        coil_axis=0,
        method="espirit",
        calib_size=CALIBRATION,
        kernel_size=KERNEL,
        num_maps=1,
        null_threshold=0.02,
        eigen_threshold=SINGULAR_THRESHOLD,  # of singular values, in spite of its name
    )
    maps = tf.constant(inputs["maps"])
    return {
        "espirit": espirit[..., 0],
        "walsh": tfmr.coils.estimate_sensitivities(coil_images, coil_axis=0, method="walsh", filter_size=WALSH_FILTER),
        "adaptive": tfmr.coils.combine_coils(coil_images, maps=maps, coil_axis=0),
        "rss": tfmr.coils.combine_coils(coil_images, coil_axis=0),
        "compressed": tfmr.coils.compress_coils(kspace, coil_axis=0, out_coils=VIRTUAL_COILS),
    }


def metric_results(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """PSNR, and SSIM under a Gaussian and under a uniform window."""
    reference, degraded = (tf.constant(inputs[name][..., None]) for name in ("magnitude", "degraded"))
    largest = float(inputs["magnitude"].max())
    # A Gaussian far wider than its window is uniform. The sample covariance divides by n - 1 where this
    # implementation divides by n; scaling the constant of the contrast term makes up for it exactly.
    samples = SSIM_WINDOW**2
    uniform = {"filter_size": SSIM_WINDOW, "filter_sigma": 1e4, "k2": 0.03 * np.sqrt((samples - 1) / samples)}
    settings = {"max_val": largest, "image_dims": 2}
    return {
        "psnr": tfmr.image.psnr(degraded, reference, **settings),
        "ssim_gaussian": tfmr.image.ssim(degraded, reference, **settings),
        "ssim_uniform": tfmr.image.ssim(degraded, reference, **settings, **uniform),
    }


def generate() -> dict[str, np.ndarray]:
    """All inputs and results by `CASE/WHAT`, with the settings and versions beside them."""
    arrays: dict[str, np.ndarray] = {}
    for seed, (case, shape) in enumerate(CASES.items()):
        inputs = make_inputs(shape, seed)
        results = {**linear_results(inputs), **coil_results(inputs), **metric_results(inputs)}
        arrays.update({f"{case}/{name}": np.asarray(value) for name, value in {**inputs, **results}.items()})
    settings = {
        "calibration": CALIBRATION,
        "kernel": KERNEL,
        "singular_threshold": SINGULAR_THRESHOLD,
        "virtual_coils": VIRTUAL_COILS,
        "cg_iterations": CG_ITERATIONS,
        "tikhonov": TIKHONOV,
    }
    arrays.update({f"settings/{name}": np.asarray(value) for name, value in settings.items()})
    versions = {
        "python": "%d.%d" % sys.version_info[:2],
        "tensorflow_mri": tfmr.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    arrays.update({f"versions/{name}": np.asarray(value) for name, value in versions.items()})
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="where the .npz goes")
    output = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **generate())
    temporary.replace(output)
    print(f"{output}: {output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
