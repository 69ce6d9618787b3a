"""Samplers that step along the reverse stochastic differential equation, with Langevin corrections.

Song et al., "Score-based generative modeling through stochastic differential equations", ICLR 2021, algorithms 1–5.
score-MRI (Chung & Ye, 2022) projects the state on the data after each part of a step; HFS-SDE (Cao et al., 2024)
bends the score towards them. What denoiser, data step, times, seed and start are is said in `steps`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from keras import ops

from tfrecon.diffusion.parameterization import score_of
from tfrecon.diffusion.path import Path, along, posterior
from tfrecon.diffusion.steps import (
    Carried,
    DataStep,
    Denoiser,
    Levels,
    Loop,
    all_steps,
    count_of,
    estimate_image,
    levels_of,
)
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy
from tfrecon.util.errors import InputError

Projection = Callable[[Tensor, Tensor], Tensor]
"""`(state, t) -> state`: what the data make of a state of level t."""

Steering = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`(state, score, t) -> score`."""

AfterStep = Callable[[Tensor, Tensor, Tensor], Tensor]
"""`(state, t, number of the step) -> state`, t as of `Projection`."""

PREDICTORS = ("reverse_diffusion", "euler_maruyama", "ancestral", "none")
TINY = 1e-12
RESOLUTION = 4e-7
"""Below this part of the state, `alpha x0_hat - x_t` is rounding noise of float32."""


@dataclasses.dataclass(frozen=True)
class PredictorCorrector:
    """The rules of `predictor_corrector`; the defaults are score-MRI's.

    Attributes:
        predictor: "reverse_diffusion", the forward step between two times backwards; "euler_maruyama", the
            reverse equation over the time between them; "ancestral", the posterior; or "none".
        corrector_steps: Langevin steps at each time.
        snr: r in the length `2 a (r |n| / |score|)²` of a Langevin step, where a is how much a step of the path
            keeps of an image, squared (1 for VE). Norms are of each image by itself.
        order: "corrector_first", where each acts at the level that the state has; or "predictor_first", where
            the corrector still takes the level before the predictor, as score-MRI does for coils.
        widths: of "euler_maruyama": "grid", from time to time; or "uniform", 1/K each as published. That
            one also takes its last step of 1/K at the last time, which overshoots if K is small.
        locked: whether what the path does not diffuse stays as it is. False leaves the predictor's score and
            what steering adds unprojected, as published for HFS, where low frequencies then drift; the
            denoiser then has to be one that is not locked either.
        result: "mean", the last state before noise is added, which after a predictor is the estimate; or
            "state", with the noise.
        fading: a in the length of a Langevin step: that of the "path" between two times; or of the "chain" of
            K steps as published for VP and HFS, 1 - beta(t)/K, below K = 20 zero at first.
        norms: |n| in that length: of the noise that is "diffused"; or of all of it ("white") as published for HFS.
    """

    predictor: Literal["reverse_diffusion", "euler_maruyama", "ancestral", "none"] = "reverse_diffusion"
    corrector_steps: int = 1
    snr: float = 0.16
    order: Literal["corrector_first", "predictor_first"] = "corrector_first"
    widths: Literal["grid", "uniform"] = "grid"
    locked: bool = True
    result: Literal["mean", "state"] = "mean"
    fading: Literal["path", "chain"] = "path"
    norms: Literal["diffused", "white"] = "diffused"

    def __post_init__(self) -> None:
        if self.predictor not in PREDICTORS:
            raise InputError(f"no predictor {self.predictor!r}", fix=f"choose one of {', '.join(PREDICTORS)}")
        if self.corrector_steps < 0 or self.calls < 1:
            raise InputError("a sampler without predictor or corrector", fix="set corrector_steps to 1 or more")
        if not self.snr > 0:
            raise InputError(f"snr is {self.snr:g}", fix="give a positive number, for instance 0.16")

    @property
    def calls(self) -> int:
        """Calls of the denoiser at each time."""
        return self.corrector_steps + (self.predictor != "none")


class _Tables(NamedTuple):
    """Each step as numbers, float32 `[K]`: `x + of_state P x + of_score score`, and noise on top."""

    of_state: Tensor
    of_score: Tensor
    of_noise: Tensor
    kept: Tensor  # a of `PredictorCorrector.snr`
    least_score: Tensor  # norm of what counts as a score, relative to that of the state
    corrector_noise: Tensor  # 1, or 0 where the corrector's mean is the result


def predictor_corrector(
    denoiser: Denoiser,
    path: Path,
    data_step: DataStep | None,
    times: Tensor | np.ndarray,
    seed: Tensor,
    start: Tensor,
    *,
    rules: PredictorCorrector = PredictorCorrector(),
    project_state: Projection | None = None,
    steer_predictor: Steering | None = None,
    steer_corrector: Steering | None = None,
    after_step: AfterStep | None = None,
    loop: Loop = all_steps,
) -> Tensor:
    """Predicts the next state and corrects it by Langevin steps, at each time.

    The denoiser is called `len(times) * rules.calls` times. The last prediction goes to the image itself.

    Args:
        denoiser: see `steps`.
        path: any path.
        data_step: see `steps`; the score is then that of the estimate after it.
        times: `[K]`, falling.
        seed: see `steps`.
        start: the state at `times[0]`, complex64 `[..., H, W]`.
        rules: see `PredictorCorrector`.
        project_state: applied to the state after the corrector and after the predictor, with the time whose
            level the state has by then; after the last prediction the last time.
        steer_predictor: changes the score before the predictor uses it; for instance `steered_along`.
        steer_corrector: changes the score before the corrector uses it.
        after_step: applied to the state at the end of each step.
        loop: see `steps`; before the last step, the best image is the newest estimate through `project_state`.

    Returns:
        The image, like `start`.
    """
    tables = _tables(path, times, rules)
    times = ops.convert_to_tensor(times)
    following = ops.concatenate([times[1:], times[-1:]], axis=0)
    start = ops.convert_to_tensor(start, "complex64")
    stepper = _Stepper(denoiser, path, data_step, rules, steer_predictor, steer_corrector)

    projected: Projection = project_state or (lambda state, t: state)

    def body(index: Tensor, carried: Carried) -> Carried:
        state, image = carried
        t, after = ops.take(times, index, axis=0), ops.take(following, index, axis=0)
        now, key = _Tables(*(ops.take(of, index, axis=0) for of in tables)), rng.fold_in(seed, index)
        if rules.order == "corrector_first" and rules.corrector_steps:
            state, image = stepper.correct(state, t, now, key)
            state = projected(state, t)
        if rules.predictor != "none":
            state, image = stepper.predict(state, t, now, key)
            state = projected(state, after)
        if rules.order == "predictor_first" and rules.corrector_steps:
            state, corrected = stepper.correct(state, t, now, key)
            state = projected(state, after)
            image = corrected if rules.predictor == "none" else image
        return Carried(state if after_step is None else after_step(state, after, index), image)

    return loop(count_of(times), body, start, lambda image: projected(image, times[-1]))


def steered_along(gradient: Callable[[Tensor, Tensor], Tensor], strength: float) -> Steering:
    """Bends a score towards the data as HFS-SDE does: `score - strength |score| g / |g|`, norms of each image.

    The length of the step so does not depend on how well state and data agree; where they agree exactly
    the score is left alone.

    Args:
        gradient: `(state, t) -> g`, for instance `A^H (A x - y)`, complex64 like the state.
        strength: published 2.5 for the predictor, 0.1 for the corrector of HFS-SDE.
    """

    def steer(state: Tensor, score: Tensor, t: Tensor) -> Tensor:
        towards = gradient(state, t)
        share = strength * _share(_norm(score), _norm(towards), TINY)
        return score - ops.cast(share, "complex64") * towards

    return steer


@dataclasses.dataclass(frozen=True)
class _Stepper:
    """The two halves of a step."""

    denoiser: Denoiser
    path: Path
    data_step: DataStep | None
    rules: PredictorCorrector
    steer_predictor: Steering | None
    steer_corrector: Steering | None

    def predict(self, state: Tensor, t: Tensor, now: _Tables, key: Tensor) -> Carried:
        """The state after the predictor, and the estimate it went by."""
        x0, score = self._score(state, t, self.steer_predictor, projected=self.rules.locked)
        faded, added = along(now.of_state, state) * state, along(now.of_score, state) * score
        noise = along(now.of_noise, state) * self.path.noise(rng.fold_in(key, 0), ops.shape(state))
        if self.rules.locked:
            return Carried(self._joined(state + self.path.project(faded + added) + noise, x0), x0)
        return Carried(state + self.path.project(faded) + added + noise, x0)

    def correct(self, state: Tensor, t: Tensor, now: _Tables, key: Tensor) -> Carried:
        """The state after the corrector, and the estimate its last step went by."""
        for number in range(self.rules.corrector_steps):
            white = self.path.white_noise(rng.fold_in(key, number + 1), ops.shape(state))
            noise = self.path.project(white)
            x0, score = self._score(state, t, None, projected=True)
            # Where rounding hides the score, as at the end of subVP, a step has no length that would be right.
            least, loud = now.least_score * _norm(state), white if self.rules.norms == "white" else noise
            length = 2.0 * now.kept * ops.square(self.rules.snr * _share(_norm(loud), _norm(score), least))
            if self.steer_corrector is not None:
                score = self.steer_corrector(state, score, t)
                score = self.path.project(score) if self.rules.locked else score
            last = number == self.rules.corrector_steps - 1
            noise = along(now.corrector_noise, state) * noise if last else noise
            spread = ops.cast(ops.sqrt(2.0 * length), "complex64")
            state = state + ops.cast(length, "complex64") * score + spread * noise
            state = self._joined(state, x0) if self.rules.locked else state
        return Carried(state, x0)

    def _score(self, state: Tensor, t: Tensor, steer: Steering | None, projected: bool) -> tuple[Tensor, Tensor]:
        """The estimate after its data step, and its score."""
        _, x0 = estimate_image(self.denoiser, self.data_step, state, t)
        score = score_of(self.path, state, x0, t, projected=projected)
        return x0, score if steer is None else steer(state, score, t)

    def _joined(self, state: Tensor, x0: Tensor) -> Tensor:
        """What is not diffused is as the data step left it; without one it stays as it is, to the last bit."""
        return state if self.data_step is None else self.path.join(state, x0)


def _norm(image: Tensor) -> Tensor:
    """|x| of each image, float32 `[..., 1, 1]`."""
    return ops.sqrt(ops.sum(energy(image), axis=(-2, -1), keepdims=True))


def _share(part: Tensor, whole: Tensor, least: Tensor | float) -> Tensor:
    """The ratio of norms; zero, so that nothing moves, where the second is not more than `least`."""
    return ops.where(whole > least, part / ops.maximum(whole, TINY), 0.0)


def _tables(path: Path, times: Tensor | np.ndarray, rules: PredictorCorrector) -> _Tables:
    levels = levels_of(path, times)
    count = count_of(times)
    last = ops.equal(ops.arange(count, dtype="int32"), count - 1)
    of_state, of_score, of_noise = _predictor(path, times, levels, rules)
    if rules.widths == "grid" or rules.predictor != "euler_maruyama":
        # To the image exactly: its estimate.
        of_state = ops.where(last, 1.0 / levels.alpha_t - 1.0, of_state)
        of_score = ops.where(last, levels.sigma_t**2 / levels.alpha_t, of_score)
    quiet = last & (rules.result == "mean")
    corrector_last = rules.predictor == "none" or (rules.order == "predictor_first" and rules.corrector_steps > 0)
    return _Tables(
        of_state,
        of_score,
        of_noise if corrector_last else ops.where(quiet, 0.0, of_noise),
        _kept(path, times, levels, rules),
        RESOLUTION / ops.square(levels.sigma_t),
        ops.where(quiet, 0.0, 1.0) if corrector_last else ops.ones_like(of_noise),
    )


def _kept(path: Path, times: Tensor | np.ndarray, levels: Levels, rules: PredictorCorrector) -> Tensor:
    if rules.fading == "path":
        return ops.square(levels.alpha_t / levels.alpha_s)
    return ops.maximum(1.0 + 2.0 * path.f(times) / ops.cast(count_of(times), "float32"), 0.0)


def _predictor(
    path: Path, times: Tensor | np.ndarray, levels: Levels, rules: PredictorCorrector
) -> tuple[Tensor, Tensor, Tensor]:
    """`of_state`, `of_score` and `of_noise` of all steps, before the last one is made exact."""
    ratio = levels.alpha_t / levels.alpha_s
    law = posterior(*levels)
    if rules.predictor == "euler_maruyama":
        given = ops.convert_to_tensor(times, "float32")
        if rules.widths == "uniform":
            width = ops.ones_like(given) / ops.cast(count_of(times), "float32")
        else:
            width = given - ops.pad(given[1:], [[0, 1]])
        variance = ops.square(path.g(times)) * width
        return -width * path.f(times), variance, ops.sqrt(variance)
    if rules.predictor == "ancestral":
        of_score = law.of_image * levels.sigma_t**2 / levels.alpha_t
        return law.of_state + law.of_image / levels.alpha_t - 1.0, of_score, law.std
    return 1.0 - ratio, law.step_std**2, law.step_std
