"""How exact posterior samplers are: error of mean and covariance against network calls, where both are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from tfrecon.diffusion.continuous import ContinuousPath
from tfrecon.diffusion.factory import PathSettings, make_path
from tfrecon.diffusion.grids import Spacing, make_times, steps_within
from tfrecon.diffusion.guided import diffpir, dps
from tfrecon.diffusion.high_frequency import high_frequency_projector
from tfrecon.diffusion.ode import dpm_solver, probability_flow
from tfrecon.diffusion.path import residual_variance
from tfrecon.diffusion.samplers import ancestral, ddim
from tfrecon.diffusion.stochastic import PredictorCorrector, predictor_corrector
from tfrecon.physics.fourier import fft2c, ifft2c
from tfrecon.report.gaussian_problem import GaussianProblem, TabulatedEstimate, on_pixels, relative_errors
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.complex import energy
from tfrecon.util.errors import InputError
from tfrecon.util.progress import progress


class Run(NamedTuple):
    """What a sampler is run with; `denoiser` knows the data exactly in rows that say so, else the prior alone."""

    problem: GaussianProblem
    path: ContinuousPath
    denoiser: Callable[[Tensor, Tensor], Tensor]
    times: np.ndarray
    seed: Tensor
    start: Tensor


@dataclasses.dataclass(frozen=True)
class Row:
    """A sampler as the table has it.

    Attributes:
        sampler: its name.
        data: how it learns of the data.
        path: kind of path.
        spacing: of its times.
        calls: of the network at each time.
        sample: runs it.
    """

    sampler: str
    data: str
    path: str
    spacing: Spacing
    calls: int
    sample: Callable[[Run], Tensor]


@dataclasses.dataclass(frozen=True)
class Point:
    """One measurement: relative errors of mean and covariance of a row after so many network calls."""

    row: Row
    calls: int
    mean: float
    covariance: float


def measure(
    problem: GaussianProblem, calls: Sequence[int], chains: int, rows: Sequence[Row] | None = None
) -> list[Point]:
    """Runs samplers at several numbers of network calls.

    Args:
        problem: see there.
        calls: budgets of network calls.
        chains: samples of each, in one batch.
        rows: all by default.

    Raises:
        InputError: a budget below one step, or too few samples for a covariance.
    """
    if chains < 4:
        raise InputError(f"{chains} samples have no covariance", fix="take some thousands")
    jobs = [(row, count) for row in (ROWS if rows is None else rows) for count in calls]
    return [_measure(problem, row, count, chains) for row, count in progress(jobs, "samplers")]


def _measure(problem: GaussianProblem, row: Row, calls: int, chains: int) -> Point:
    path = make_path(PathSettings(row.path), high_frequency_projector(problem.low_frequencies, fft2c, ifft2c))
    times = make_times(path, steps_within(calls, row.calls), row.spacing)
    law = problem.posterior if row.data == EXACT else problem.prior
    shape = (chains, problem.size, problem.size)
    image = problem.posterior.mean.reshape(1, *shape[1:]).astype("complex64") * np.ones((chains, 1, 1), "complex64")
    start = path.join(path.prior(path.noise(rng.make_seed(0, purpose="start"), shape)), image)
    denoiser = TabulatedEstimate(law, path, times, problem.size)
    samples = row.sample(Run(problem, path, denoiser, times, rng.make_seed(0, purpose="steps"), start))
    return Point(row, calls, *relative_errors(ops.convert_to_numpy(samples), problem.posterior))


def table(points: Sequence[Point], covariance: bool) -> str:
    """A Markdown table of one of the errors in per cent, a line for each row, a column for each budget."""
    calls = sorted({point.calls for point in points})
    lines = [
        "| sampler | path | data | " + " | ".join(map(str, calls)) + " |",
        "|---|---|---|" + "---:|" * len(calls),
    ]
    for row in dict.fromkeys(point.row for point in points):
        found = {p.calls: 100 * (p.covariance if covariance else p.mean) for p in points if p.row is row}
        cells = (f"{found[count]:.1f}" if found[count] < 1000 else ">1000" for count in calls)
        lines.append(f"| {row.sampler} | {row.path} | {row.data} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(points: Sequence[Point]) -> Figure:
    """Both errors against network calls."""
    drawn = Figure(figsize=(11, 5.5), layout="constrained")
    for axis, name in zip(drawn.subplots(1, 2), ("mean", "covariance"), strict=True):
        for number, row in enumerate(dict.fromkeys(point.row for point in points)):
            mine = [point for point in points if point.row is row]
            style = "-" if row.data == EXACT else "--"
            errors = [max(getattr(point, name), 1e-3) for point in mine]
            label = f"{row.sampler} ({row.path}, {row.data})"
            axis.loglog([p.calls for p in mine], errors, style, marker=".", color=f"C{number % 10}", label=label)
        axis.set(xlabel="network calls", ylabel=f"relative error of the {name}", ylim=(8e-4, 20))
        axis.grid(alpha=0.3)
    drawn.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    return drawn


def _plain(run: Run) -> tuple[Any, ...]:
    return run.denoiser, run.path, None, run.times, run.seed, run.start


def _proximal(problem: GaussianProblem) -> Callable[[Tensor, Tensor], Tensor]:
    """`(x0_hat, w) -> argmin |A x - y|² + w |x - x0_hat|²`, solved exactly."""
    values, vectors = np.linalg.eigh(problem.matrix.conj().T @ problem.matrix)
    axes, back = (
        ops.convert_to_tensor(x, "complex64") for x in (vectors.conj(), problem.matrix.conj().T @ problem.data)
    )
    values = ops.convert_to_tensor(np.maximum(values, 0.0), "float32")

    def solve(image: Tensor, weight: Tensor) -> Tensor:
        def of_flat(flat: Tensor) -> Tensor:
            # From the image along -gradient: no weight on what the data do not see, however small w is.
            gradient = ops.matmul(back - _normal(problem, flat), axes) / ops.cast(values + weight, "complex64")
            return flat + ops.matmul(gradient, ops.conj(ops.transpose(axes)))

        return on_pixels(image, of_flat)

    return solve


def _normal(problem: GaussianProblem, flat: Tensor) -> Tensor:
    """A^H A on `[B, H·W]`."""
    return ops.matmul(flat, ops.convert_to_tensor((problem.matrix.conj().T @ problem.matrix).T, "complex64"))


def _with_proximal(run: Run) -> tuple[Any, ...]:
    """The proximal data step whose weight takes pixels for independent."""
    solve = _proximal(run.problem)
    variance = float(np.trace(run.problem.prior.covariance).real) / run.problem.size**2

    def data_step(x0_hat: Tensor, t: Tensor) -> Tensor:
        return solve(x0_hat, run.problem.noise_std**2 / residual_variance(run.path, t, variance))

    return run.denoiser, run.path, data_step, run.times, run.seed, run.start


def _with_decomposed(run: Run) -> tuple[Any, ...]:
    """The published data step of DDS, gamma = 1, solved exactly: `(1 + A^H A) x = x0_hat + A^H y`."""
    solve = _proximal(run.problem)
    return run.denoiser, run.path, lambda x0_hat, t: solve(x0_hat, 1.0), run.times, run.seed, run.start


def _project(problem: GaussianProblem) -> Callable[[Tensor, Tensor], Tensor]:
    """`x + A^H (y - A x)` of the state, the step towards noiseless data; with one coil score-MRI's projection."""
    back = ops.convert_to_tensor(problem.matrix.conj().T @ problem.data, "complex64")
    return lambda state, t: on_pixels(state, lambda flat: flat + back - _normal(problem, flat))


def _distance(problem: GaussianProblem) -> Callable[[Tensor], Tensor]:
    matrix = ops.convert_to_tensor(problem.matrix.T, "complex64")
    data = ops.convert_to_tensor(problem.data, "complex64")

    def distance(x0_hat: Tensor) -> Tensor:
        flat = ops.reshape(x0_hat, (-1, problem.size**2))
        return ops.sqrt(ops.sum(energy(ops.matmul(flat, matrix) - data), axis=-1) + 1e-12)

    return distance


def _flow(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return *arguments[:4], arguments[5]


_PREDICTOR = PredictorCorrector(corrector_steps=0)
_EULER = PredictorCorrector("euler_maruyama", corrector_steps=0)
_PUBLISHED_DDS = {"eta": 0.85, "eta_of": "level", "direction": "before_data"}

EXACT, PROXIMAL = "exact", "proximal"

ROWS = (
    Row("predictor-corrector", EXACT, "ve", "linear", 2, lambda r: predictor_corrector(*_plain(r))),
    Row("reverse diffusion", EXACT, "ve", "linear", 1, lambda r: predictor_corrector(*_plain(r), rules=_PREDICTOR)),
    Row("Euler–Maruyama", EXACT, "vp", "linear", 1, lambda r: predictor_corrector(*_plain(r), rules=_EULER)),
    Row("ancestral", EXACT, "vp", "linear", 1, lambda r: ancestral(*_plain(r))),
    Row("ancestral", EXACT, "hfs", "linear", 1, lambda r: ancestral(*_plain(r))),
    Row("DDIM, η = 0", EXACT, "vp", "linear", 1, lambda r: ddim(*_plain(r))),
    Row("probability flow, Heun", EXACT, "ve", "karras", 2, lambda r: probability_flow(*_flow(_plain(r)))),
    Row("DPM-Solver++(2M)", EXACT, "vp", "log_snr", 1, lambda r: dpm_solver(*_flow(_plain(r)))),
    Row("ancestral", PROXIMAL, "vp", "linear", 1, lambda r: ancestral(*_with_proximal(r))),
    Row("ancestral", PROXIMAL, "hfs", "linear", 1, lambda r: ancestral(*_with_proximal(r))),
    Row("DDIM, η = 0", PROXIMAL, "ve", "karras", 1, lambda r: ddim(*_with_proximal(r))),
    Row("DPM-Solver++(2M)", PROXIMAL, "vp", "log_snr", 1, lambda r: dpm_solver(*_flow(_with_proximal(r)))),
    Row("DDS, η = 0.85", "γ = 1", "vp", "linear", 1, lambda r: ddim(*_with_decomposed(r), **_PUBLISHED_DDS)),
    Row(
        "predictor-corrector",
        "each state",
        "ve",
        "linear",
        2,
        lambda r: predictor_corrector(*_plain(r), project_state=_project(r.problem)),
    ),
    Row(
        "DPS, ζ = 0.4",
        "gradient",
        "vp",
        "linear",
        1,
        lambda r: dps(r.denoiser, r.path, _distance(r.problem), r.times, r.seed, r.start),
    ),
    Row(
        "DiffPIR, ξ = 0.3",
        "proximal, λ = 1",
        "vp",
        "linear",
        1,
        lambda r: diffpir(
            r.denoiser, r.path, _proximal(r.problem), r.times, r.seed, r.start, noise_std=r.problem.noise_std
        ),
    ),
)
"""What the table has. "exact" means that the network is E[x_0 | x_t, y], so the error is the sampler's alone."""
