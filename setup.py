"""Packaging of tfrecon; tool settings are in pyproject.toml, tested versions in constraints.txt."""

import pathlib

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = next(
    line.split('"')[1] for line in (HERE / "tfrecon" / "__init__.py").read_text().splitlines() if "__version__" in line
)

setup(
    name="tfrecon",
    version=VERSION,
    description="Accelerated-MRI reconstruction with self-supervised and diffusion methods in TensorFlow and Keras 3",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["tfrecon", "tfrecon.*"]),
    package_data={"tfrecon": ["report/*.html"]},
    install_requires=[
        "tensorflow>=2.19",
        "keras>=3.15",
        "tensorflow-probability[tf]>=0.25",
        "numpy>=1.26",
        "scipy>=1.12",
        "h5py>=3.11",
        "scikit-image>=0.23",
        "absl-py>=2.1",
        "ml_collections>=1.0",
        "nibabel>=5.2",
        "matplotlib>=3.8",
        "tqdm>=4.66",
        "PyWavelets>=1.6",
    ],
    extras_require={
        "dev": ["pytest>=8", "pytest-cov>=5", "pytest-xdist>=3.6", "ruff>=0.6"],
        "mrd": ["ismrmrd>=1.14"],
        "dicom": ["pydicom>=3.0"],
        "jax": ["jax>=0.4.30"],
        "bench": ["sigpy>=0.1.26"],
    },
    entry_points={"console_scripts": ["tfrecon=tfrecon.cli.main:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
