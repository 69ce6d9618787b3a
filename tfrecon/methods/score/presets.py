"""Settings that belong together: prior, objective and reconstruction."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from tfrecon.methods.score.model import Preconditioning, PriorPath, ScoreModel
from tfrecon.methods.score.objective import LowFrequencies, PriorMatching, ScoreObjective
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.methods.score.published_options import ONE_COIL_ALGORITHMS
from tfrecon.nets.ddpm_unet import DDPMSettings
from tfrecon.nets.ncsnpp import NCSNppSettings

HIGH_FREQUENCY_STD = 0.09
"""Of the high frequencies of normalised brain images in one channel: 0.05 to 0.12 for centres of 3 to 15 %."""

PUBLISHED_BLOCK = 16 / 320
"""HFS-SDE's 16 lines of 320 that are not diffused in training."""

FOR_IMAGES = ScoreOptions(eta=1.0, spacing="log_snr", start=0.5, start_image="cg_sense")
"""Reconstruction with a small prior, made for one good image.

With all noise new, each step's data correct what earlier ones got wrong; the sampler begins with an image at half of
the path. The samples spread less than the posterior (docs/samplers.md); the scale of intervals has to make up for it.
"""


class Preset(NamedTuple):
    """Settings of an experiment with a prior: `config.model`, `config.objective`, `config.reconstruct`."""

    model: ScoreModel
    objective: ScoreObjective
    reconstruct: ScoreOptions


def score_small(kind: Literal["ve", "vp"] = "ve") -> Preset:
    """A prior of whole complex images for a CPU; model and objective are the defaults of the method with "ve".

    With EDM's preconditioning VE and VP are one network up to the scale of its input. VE is the default because
    its state is image plus noise at all times, which warm starts and data steps can be read in.

    Args:
        kind: of the path.
    """
    return Preset(ScoreModel(path=PriorPath(kind)), ScoreObjective(), FOR_IMAGES)


def patch_small(patch: int = 64) -> Preset:
    """A prior of patches for a CPU, for few training images.

    Args:
        patch: side of the patches, in pixels.
    """
    return Preset(ScoreModel(patch=patch), ScoreObjective(), FOR_IMAGES)


def hfs_small() -> Preset:
    """A prior of high frequencies for a CPU, for calibration regions of 3 to 15 % of k-space, lines or blocks."""
    return _for_high_frequencies(ScoreModel(path=PriorPath("hfs")), FOR_IMAGES)


def large(kind: Literal["ve", "vp", "hfs"] = "ve") -> Preset:
    """The published networks as priors of complex images, with their defects cured: NCSN++ for VE, else DDPM.

    Args:
        kind: of the path.
    """
    if kind == "ve":
        return Preset(ScoreModel("ncsnpp", ncsnpp=_unshifted(NCSNppSettings())), ScoreObjective(), ScoreOptions())
    # EDM's label is a logarithm of a few units, which the published embedding of 0 … 1000 would not resolve.
    network = dataclasses.replace(_unshifted(DDPMSettings()), embedding="fourier", fourier_scale=1.0, dropout=0.1)
    model = ScoreModel("ddpm", ddpm=network, path=PriorPath(kind))
    if kind == "hfs":
        return _for_high_frequencies(model, ScoreOptions())
    return Preset(model, ScoreObjective(), ScoreOptions())


def ve_published(algorithm: Literal["real", "prospective", "complex", "ssos", "hybrid"] = "ssos") -> Preset:
    """score-MRI's prior and sampler: magnitudes, NCSN++, noise 0.01 to 378, and one of its algorithms as published.

    It makes 2000 steps of predictor and corrector for one coil, 500 for several.

    Args:
        algorithm: which.
    """
    model = ScoreModel(
        "ncsnpp",
        path=PriorPath("ve", sigma_min=0.01, sigma_max=378.0),
        parameterization=Preconditioning("scaled_score", "ln_sigma"),
        channels="magnitude",
    )
    objective = ScoreObjective(_published_matching("sum"), random_phase=False)
    nfe = 4000 if algorithm in ONE_COIL_ALGORITHMS else 1000
    return Preset(model, objective, ScoreOptions(nfe=nfe, algorithm=algorithm, parity=("all",)))


def ve_baseline() -> Preset:
    """HFS-SDE's VE baseline: noise to 348 on complex images of fully sampled coils; as published but for its network.

    That one divides its output by the noise level of another time, and is told a level up to 348 on the scale of
    0 to 1000. Here it is divided by its own level and told its logarithm.
    """
    model = ScoreModel(
        "ddpm",
        ddpm=DDPMSettings(embedding="fourier", fourier_scale=16.0),
        path=PriorPath("ve", sigma_min=0.01, sigma_max=348.0),
        parameterization=Preconditioning("scaled_score", "ln_sigma"),
    )
    objective = ScoreObjective(_published_matching("mean"), images="measured", random_phase=False)
    return Preset(model, objective, _published_hfs_options())


def vp_published() -> Preset:
    """HFS-SDE's VP baseline: complex images of fully sampled coils, the score as output, its own label."""
    model = ScoreModel(
        "ddpm",
        ddpm=DDPMSettings(dropout=0.1),
        path=PriorPath("vp"),
        parameterization=Preconditioning("score", "std"),
    )
    objective = ScoreObjective(_published_matching("mean"), images="measured", random_phase=False)
    return Preset(model, objective, _published_hfs_options())


def hfs_published() -> Preset:
    """HFS-SDE's prior: as `vp_published`, with 16 of 320 lines left alone, of which the network is not told."""
    preset = vp_published()
    model = dataclasses.replace(preset.model, path=PriorPath("hfs"), tell_width=False)
    low = LowFrequencies(least=PUBLISHED_BLOCK, most=PUBLISHED_BLOCK, lines=1.0)
    objective = dataclasses.replace(preset.objective, low_frequencies=low)
    return Preset(model, objective, _published_hfs_options())


def _for_high_frequencies(model: ScoreModel, reconstruct: ScoreOptions) -> Preset:
    """Preconditioning and times for what is diffused, which is weaker than images are."""
    model = dataclasses.replace(model, parameterization=Preconditioning(data_std=HIGH_FREQUENCY_STD))
    return Preset(model, ScoreObjective(PriorMatching(log_mean=-2.5)), reconstruct)


def _published_matching(reduction: Literal["mean", "sum"]) -> PriorMatching:
    return PriorMatching(weighting="noise", reduction=reduction, times="uniform", t_min=1e-5)


def _published_hfs_options() -> ScoreOptions:
    """1000 steps of corrector and predictor, their scores bent towards the data."""
    return ScoreOptions(nfe=2000, algorithm="hfs_sde", parity=("all",))


def _unshifted(settings: DDPMSettings | NCSNppSettings) -> DDPMSettings | NCSNppSettings:
    """For images around zero."""
    return dataclasses.replace(settings, shift_input=False)
