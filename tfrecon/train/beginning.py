"""What happens once, before the first step of a run: weights are taken, and the method measures what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfrecon.methods.base import Method
from tfrecon.train.config import Experiment
from tfrecon.train.model_folder import take_weights
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError


def begin_run(
    experiment: Experiment, method: Method, models: Mapping[str, Any], batches: Iterable[Mapping[str, Tensor]]
) -> list[str]:
    """Gives models what they have before the first step.

    Args:
        experiment: says from which run weights are taken, if from any.
        method: of the experiment.
        models: what it built.
        batches: see `Method.prepare`.

    Returns:
        Lines for the log.

    Raises:
        InputError: a second stage without the first, models that cannot be taken, or `Method.prepare` refuses.
    """
    source, lines = experiment.train.start_from, []
    if method.first_stage and not source:
        raise InputError(
            f"method {method.name!r} is a second stage without the first: "
            f"it takes {' and '.join(map(repr, method.first_stage))} from an earlier run",
            fix="train that first, and give its workdir as --config.train.start_from",
        )
    if source:
        lacking = take_weights(models, source, method.first_stage)
        if lacking:
            lines.append(f"{source} lacks {', '.join(lacking)}, which begin as they were built")
    try:
        said = method.prepare(models, batches)
    except InputError as error:
        raise InputError(error.what, error.where or source, error.fix) from error
    return [*lines, said] if said else lines
