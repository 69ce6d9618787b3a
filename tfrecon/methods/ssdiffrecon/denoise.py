"""One call of SSDiffRecon's two networks: mapper, then denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel
from tfrecon.methods.ssdiffrecon.problem import Problem
from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError


def denoise(
    models: Mapping[str, Any],
    settings: SSDiffReconModel,
    problem: Problem,
    state: Tensor,
    t: Tensor,
    *,
    label: Tensor | None,
    seeds: Tensor,
    training: bool,
    consistency_weight: float | None = None,
) -> Tensor:
    """The image that the networks see in a noisy state.

    Args:
        models: "mapper" and "denoiser".
        settings: what they were built from.
        problem: the measurement that conditions them.
        state: x_t, complex64 `[B, H, W]`.
        t: trained times, a scalar or `[B]`.
        label: float32 `[B, L]`, or None for zeros.
        seeds: of dropout, `[B, 2]`.
        training: whether dropout is active.
        consistency_weight: in the place of the weights of the data consistency.

    Returns:
        x0_hat, complex64 `[B, H, W]`.
    """
    batch = ops.shape(state)[:1]
    conditions = {"time": ops.broadcast_to(ops.cast(t, "float32"), batch)}
    if settings.label_width:
        conditions["label"] = ops.zeros((*batch, settings.label_width)) if label is None else label
    inputs = {"image": state, "kspace": problem.kspace, "mask": problem.mask}
    if problem.maps is not None:
        inputs["maps"] = problem.maps
    if consistency_weight is not None:
        inputs["consistency_weight"] = ops.convert_to_tensor(consistency_weight, "float32")
    if settings.drops(training):
        conditions["dropout_seed"] = rng.for_purpose(seeds, "mapper dropout")
        inputs["dropout_seed"] = rng.for_purpose(seeds, "denoiser dropout")
    inputs["tokens"] = models["mapper"](conditions, training=training)
    return models["denoiser"](inputs, training=training)


def own_labels(label: Tensor | None, width: int) -> Tensor | None:
    """The labels of a batch, float32 `[B, L]`; None if it has none or the model takes none.

    Raises:
        InputError: labels of another width than the model was built for.
    """
    if not width or label is None:
        return None
    if len(label.shape) != 2 or label.shape[-1] != width:
        raise InputError(
            f"labels are {tuple(label.shape)}, but the model takes [batch, {width}]",
            fix=f"give labels of {width} numbers, or set model.label_width to those of the data",
        )
    return ops.cast(label, "float32")


def same_label(label: Sequence[float], width: int, count: Tensor | int) -> Tensor | None:
    """One label for a whole batch, float32 `[count, L]`; None for an empty one.

    Raises:
        InputError: another width than the model was built for.
    """
    if not label:
        return None
    if len(label) != width:
        raise InputError(
            f"option 'label' has {len(label)} numbers, but the model takes {width}", fix=f"give {width} numbers"
        )
    return ops.broadcast_to(ops.convert_to_tensor(label, "float32"), (count, width))
