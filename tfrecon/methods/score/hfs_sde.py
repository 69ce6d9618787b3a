"""HFS-SDE's predictor-corrector sampling (Cao et al., IEEE TMI 43:1853, 2024), on its path, and on VE and VP as there.

As published the data bend the scores, `s - lambda |s| g / |g|` with `g = A^H (A x - y)` at the state x; else they act
on estimates of the image, as in all samplers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrecon.diffusion.stochastic import PredictorCorrector, predictor_corrector, steered_along
from tfrecon.methods.score.options import ScoreOptions
from tfrecon.typing import Tensor

if TYPE_CHECKING:
    from tfrecon.methods.score.sampling import Sampling


def sample_hfs_sde(run: Sampling) -> Tensor:
    """The images, complex64 `[N, H, W]`, or whatever the loop gives.

    Args:
        run: with the numbers of `options.sampling` known.
    """
    options, steering = run.options, {}
    if options.follows("gradient"):

        def gradient(state: Tensor, t: Tensor) -> Tensor:
            return run.term.gradient(state)

        steering = {
            "steer_predictor": steered_along(gradient, options.sampling.mse),
            "steer_corrector": steered_along(gradient, options.sampling.corrector_mse),
        }
    return predictor_corrector(
        run.prior.denoiser(locked=not options.follows("score")),
        run.prior.path,
        None if steering else run.correct,
        run.times,
        run.seeds,
        run.start,
        rules=rules_of(options, run.prior.model.path.kind),
        loop=run.loop,
        **steering,
    )


def rules_of(options: ScoreOptions, kind: str) -> PredictorCorrector:
    """The rules of the sampler.

    The published predictor is Euler-Maruyama with steps of 1/N and the chain's a in the corrector; of "ve" the
    chain's own step.

    Args:
        options: with the numbers of `sampling` known.
        kind: of the path.
    """
    published = options.follows("predictor")
    predictor, widths = options.predictor, options.widths
    if published:
        predictor, widths = "reverse_diffusion" if kind == "ve" else "euler_maruyama", "uniform"
    return PredictorCorrector(
        predictor,
        corrector_steps=options.corrector_steps,
        snr=options.sampling.snr,
        widths=widths,
        locked=not options.follows("score"),
        fading="chain" if published else "path",
        norms="white" if options.follows("norm") else "diffused",
    )
