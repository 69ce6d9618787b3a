"""The published algorithms as settings: their numbers, and which of their behaviours can be kept.

score-MRI is Chung & Ye, Medical Image Analysis 80:102479 (2022), arXiv 2110.05243; HFS-SDE is Cao et al., IEEE TMI
43:1853 (2024), arXiv 2208.05481.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tfrecon.util.errors import InputError

REAL_ALGORITHMS = ("real", "prospective")
ONE_COIL_ALGORITHMS = (*REAL_ALGORITHMS, "complex")
COIL_ALGORITHMS = (*ONE_COIL_ALGORITHMS, "ssos", "hybrid")
ALGORITHMS = (*COIL_ALGORITHMS, "hfs_sde")

Algorithm = Literal["none", "real", "prospective", "complex", "ssos", "hybrid", "hfs_sde"]
Switch = Literal[
    "all",
    "schedule",
    "order",
    "start",
    "separate",
    "projection",
    "result",
    "combination",
    "sense",
    "weights",
    "predictor",
    "gradient",
    "score",
    "norm",
    "low_frequencies",
    "scale",
]

SWITCHES: dict[str, tuple[str, ...]] = {
    "schedule": ALGORITHMS,
    "order": ("ssos", "hybrid"),
    "start": ("complex", "ssos", "hybrid"),
    "separate": ("complex", "ssos", "hybrid"),
    "projection": REAL_ALGORITHMS,
    "result": REAL_ALGORITHMS,
    "combination": ("ssos", "hybrid"),
    "sense": ("hybrid",),
    "weights": ("hybrid",),
    "predictor": ("hfs_sde",),
    "gradient": ("hfs_sde",),
    "score": ("hfs_sde",),
    "norm": ("hfs_sde",),
    "low_frequencies": ("hfs_sde",),
    "scale": ALGORITHMS,
}
"""Which algorithms a published behaviour is of; docs/score.md and docs/hfs.md say what each is."""

SCORE_MRI_SNR = 0.16
WEIGHT_STEPS = 2000
"""score-MRI's weights of SENSE steps fall over so many steps, however many there are."""


class Numbers(NamedTuple):
    """What HFS-SDE publishes for a path: `PublishedSampling`, and snr and N of its accelerated sampling."""

    snr: float
    mse: float
    corrector_mse: float
    accelerated_snr: float
    accelerated_steps: int


HFS_NUMBERS = {
    "hfs": Numbers(0.16, 2.5, 0.1, 0.32, 100),
    "vp": Numbers(0.27, 2.5, 2.5, 0.43, 100),
    "subvp": Numbers(0.27, 2.5, 2.5, 0.43, 100),
    "ve": Numbers(0.10, 5.0, 5.0, 0.10, 300),
}
"""By kind of path; nothing was published for "subvp", which takes VP's."""


@dataclasses.dataclass(frozen=True)
class PublishedSampling:
    """Numbers of an `algorithm`, under the names they were published with.

    Attributes:
        snr: r of the Langevin corrector; None for 0.16, of "hfs_sde" for what was published for the path: "hfs" 0.16,
            "vp" 0.27, "ve" 0.10, accelerated 0.32, 0.43, 0.10.
        mse: of "hfs_sde" with parity "gradient": how much the predictor's score is bent towards the data, in parts of
            its norm; None for what was published: 2.5, "ve" 5.
        corrector_mse: the corrector's; None for "hfs" 0.1, "vp" 2.5, "ve" 5.
        N: steps; None for as many as `nfe` allows, accelerated 100 ("ve" 300). It goes before `nfe`. Published:
            2000 for one coil, 500 for several, 1000 for HFS-SDE.
        accelerated_sampling: of "hfs_sde": its settings for few steps.
        sense_every: of "hybrid": a SENSE step follows each so many-th step, beginning with the first; None for a tenth
            of them, which is the published 50 of 500.
        sense_first: weight of the first SENSE step.
        sense_last: weight at the end, to which it falls in a line; the same for a constant one.
    """

    snr: float | None = None
    mse: float | None = None
    corrector_mse: float | None = None
    N: int | None = None
    accelerated_sampling: bool = False
    sense_every: int | None = None
    sense_first: float = 1.0
    sense_last: float = 0.2

    def __post_init__(self) -> None:
        for name, least in (("N", 1), ("sense_every", 1), ("mse", 0.0), ("corrector_mse", 0.0)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise InputError(f"'sampling.{name}' is {value:g}", fix=f"give at least {least:g}")
        if self.snr is not None and not self.snr > 0:
            raise InputError(f"'sampling.snr' is {self.snr:g}", fix="give a positive number, for instance 0.16")

    def completed(self, algorithm: str, kind: str, *, steered: bool) -> PublishedSampling:
        """With what was published in the place of what was left out.

        Args:
            algorithm: one of `ALGORITHMS`.
            kind: of the path.
            steered: whether the score is bent towards the data.
        """
        if algorithm != "hfs_sde":
            return self._with(snr=SCORE_MRI_SNR)
        known = HFS_NUMBERS[kind]
        numbers = {"snr": known.snr}
        if self.accelerated_sampling:
            numbers = {"snr": known.accelerated_snr, "N": known.accelerated_steps}
        if steered:
            numbers |= {"mse": known.mse, "corrector_mse": known.corrector_mse}
        return self._with(**numbers)

    def _with(self, **numbers: float) -> PublishedSampling:
        left_out = {name: value for name, value in numbers.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **left_out)


def follows(parity: Sequence[str], algorithm: str, switch: str) -> bool:
    """Whether an algorithm keeps a published behaviour."""
    return algorithm in SWITCHES[switch] and (switch in parity or "all" in parity)


def check_published(algorithm: str, parity: Sequence[str], sampling: PublishedSampling, sampler: str) -> None:
    """Raises InputError for settings of published algorithms that do not go together."""
    if algorithm == "none":
        if parity or sampling != PublishedSampling():
            name = "parity" if parity else "sampling"
            raise InputError(
                f"option {name!r} is of published algorithms, but none is asked for",
                fix=f"set algorithm to one of {', '.join(ALGORITHMS)}, or parity= to none",
            )
        return
    if sampler not in ("dds", "pc"):
        raise InputError(
            f"algorithm {algorithm!r} is a sampler of its own, beside sampler {sampler!r}", fix="leave one of them out"
        )
    for switch in parity:
        if switch != "all" and algorithm not in SWITCHES[switch]:
            own = [name for name, algorithms in SWITCHES.items() if algorithm in algorithms]
            raise InputError(
                f"parity {switch!r} is not of algorithm {algorithm!r}", fix=f"choose of all, {', '.join(own)}"
            )
    _check_steering(algorithm, parity, sampling)


def _check_steering(algorithm: str, parity: Sequence[str], sampling: PublishedSampling) -> None:
    if algorithm != "hfs_sde" and sampling.accelerated_sampling:
        raise InputError(
            f"'sampling.accelerated_sampling' is not of algorithm {algorithm!r}", fix="set sampling.N instead"
        )
    if follows(parity, algorithm, "gradient"):
        return
    if follows(parity, algorithm, "score"):
        raise InputError("parity 'score' needs 'gradient': data steps work on locked estimates", fix="give both")
    for name in ("mse", "corrector_mse"):
        if getattr(sampling, name) is not None:
            raise InputError(
                f"'sampling.{name}' is given, but the data act by data_step", fix="give parity=gradient with it"
            )
