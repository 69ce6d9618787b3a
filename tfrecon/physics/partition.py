"""Partitions of a sampled mask Ω into Θ, which the method sees, and Λ, on which its loss is taken.

Self-supervision by data undersampling (SSDU: Yaman et al., MRM 84:3172, 2020; several splits of
one measurement: Yaman et al., NMR Biomed. 35:e4798, 2022). Θ and Λ are disjoint, their union is Ω,
and the number of samples in Λ is exact for every example. All runs inside the training step, on
any Keras backend, with sizes that need not be known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from keras import ops

from tfrecon.typing import Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError

_BY = ("point", "line")
_SELECTIONS = ("uniform", "gaussian")

_HALVINGS = 32
"""Enough to bring two bounds on a float32 key together."""


class Partition(NamedTuple):
    """Θ and Λ, float32 0/1, laid out as the mask; with `splits` in front an axis of that length.

    Attributes:
        input_mask: Θ, the samples that the method is given.
        loss_mask: Λ, the samples that its loss is computed on.
    """

    input_mask: Tensor
    loss_mask: Tensor


@dataclasses.dataclass(frozen=True)
class PartitionRule:
    """How a mask is split; checked when it is made, so that a wrong configuration fails early.

    Attributes:
        ratio: share of the samples outside the protected block that goes to Λ, in (0, 1). Each
            example gets round(ratio · number) of them (halves to even).
        selection: "uniform", or "gaussian" to prefer low frequencies.
        std: standard deviation of the Gaussian as a fraction of height and width.
        acs: side or (rows, columns) of the centred block that always stays in Θ; at least DC must
            stay for the input to keep its mean. 0 protects nothing.
        by: "point", or "line" to keep or hold out whole columns.
        splits: number of splits of one mask; None for one, without an axis for it.
        disjoint: whether the Λ of the splits are disjoint; each then has at most
            floor(number / splits) samples.
        exclude_hermitian: whether the mirror image of a held-out sample about DC may not stay in Θ:
            images with little phase have nearly conjugate-symmetric k-space, and the mirror sample
            would give the held-out one away. Where both are sampled they go to Λ together, so the
            union is still Ω and the count still exact (one less if it is odd and only pairs are
            left). The protected block is made symmetric too.
    """

    ratio: float = 0.4
    selection: str = "uniform"
    std: float = 0.25
    acs: int | tuple[int, int] = 4
    by: str = "point"
    splits: int | None = None
    disjoint: bool = False
    exclude_hermitian: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise InputError(f"partition ratio is {self.ratio:g}", fix="give a share between 0 and 1, for instance 0.4")
        for name, value, known in (("selection", self.selection, _SELECTIONS), ("by", self.by, _BY)):
            if value not in known:
                raise InputError(f"partition {name} is {value!r}", fix=f"choose {' or '.join(known)}")
        if not self.std > 0:
            raise InputError(f"partition std is {self.std:g}", fix="give a positive fraction, for instance 0.25")
        if len(self.protected) != 2 or min(self.protected) < 0:
            raise InputError(f"partition acs is {self.acs}", fix="give a side or (rows, columns), 0 for none")
        if self.splits is not None and self.splits < 1:
            raise InputError(f"partition splits is {self.splits}", fix="give at least 1, or None")
        if self.disjoint and (self.splits or 1) * self.ratio > 1 + 1e-6:
            raise InputError(
                f"{self.splits} disjoint splits of ratio {self.ratio:g} need more samples than there are",
                fix=f"give a ratio of at most {1 / (self.splits or 1):.3f}",
            )

    @property
    def protected(self) -> tuple[int, int]:
        """(rows, columns) of the protected block."""
        return (self.acs, self.acs) if isinstance(self.acs, int) else tuple(self.acs)


def partition(
    mask: Tensor, seed: Tensor, rule: PartitionRule | None = None, *, height: Tensor | int | None = None
) -> Partition:
    """Splits each mask of a batch into Θ and Λ, each example (and each frame) on its own.

    Args:
        mask: 0/1 `[..., 1, H or 1, W]`, any leading axes; sizes may be unknown, the rank may not.
        seed: from `util.rng.make_seed`; the same seed gives the same split. With one for each example,
            `[B, 2]`, an example's split does not depend on the others.
        rule: how to split; by default SSDU's uniform 40 % with a protected 4 x 4 block.
        height: H of k-space. A line mask (height 1) is expanded to it, which splits by points need.

    Returns:
        Θ and Λ, float32, `[..., 1, H or 1, W]`; with `rule.splits` `[splits, ..., 1, H or 1, W]`.

    Raises:
        InputError: a mask with a coil axis, or a line mask to be split by points without its height.
    """
    rule = rule or PartitionRule()
    sampled = _prepare(mask, rule, height)
    units = ops.max(sampled, axis=-2, keepdims=True) if rule.by == "line" else sampled
    units = units > 0
    rows, columns = ops.shape(units)[-2:]
    protected = _protected_block(rows, columns, rule)
    eligible = ops.logical_and(units, ops.logical_not(protected))
    held = _hold_out(eligible, _random_keys(units, seed, rule), rule)
    loss_mask = ops.expand_dims(sampled * ops.cast(held, "float32"), -3)
    return Partition(ops.expand_dims(sampled, -3) - loss_mask, loss_mask)


def hold_out_probability(
    mask: Tensor, rule: PartitionRule | None = None, *, height: Tensor | int | None = None
) -> Tensor:
    """How probable it is that a sample goes to Λ, given the mask: P(j ∈ Λ | Ω) of one split.

    A uniform selection takes all with the share that `partition` takes exactly. For a Gaussian one a draw
    without replacement of n units with weights w is the first n arrivals of independent exponential clocks of
    rates w, so that P = 1 - exp(-λ w) with λ such that they sum to n: the limit of many samples.

    Args:
        mask: as in `partition`.
        rule: as in `partition`.
        height: as in `partition`.

    Returns:
        float32, laid out as one split of `partition`; zero where there is no sample and where it is protected.
    """
    rule = rule or PartitionRule()
    sampled = _prepare(mask, rule, height)
    units = ops.max(sampled, axis=-2, keepdims=True) if rule.by == "line" else sampled
    rows, columns = ops.shape(units)[-2:]
    eligible = ops.logical_and(units > 0, ops.logical_not(_protected_block(rows, columns, rule)))
    total = _count(eligible)
    wanted = ops.cast(ops.round(rule.ratio * ops.cast(total, "float32")), "int32")
    if rule.disjoint and rule.splits is not None:
        wanted = ops.minimum(wanted, total // rule.splits)
    eligible, wanted = ops.cast(eligible, "float32"), ops.cast(wanted, "float32")
    if rule.selection == "uniform":
        share = wanted / ops.maximum(ops.cast(total, "float32"), 1.0)
    else:
        share = _clock_probability(eligible * ops.exp(_log_density((rows, columns), rule)), wanted)
    return ops.expand_dims(sampled * eligible * share, -3)


def hermitian_partner(array: Tensor) -> Tensor:
    """The mirror image of `[..., H, W]` about DC at (H//2, W//2): index i becomes 2·(n//2) - i modulo n.

    At even sizes the row and column 0 (the highest frequency) are their own mirror.
    """
    for axis in (-2, -1):
        size = ops.shape(array)[axis]
        array = ops.take(array, (2 * (size // 2) - ops.arange(size)) % size, axis=axis)
    return array


def _prepare(mask: Tensor, rule: PartitionRule, height: Tensor | int | None) -> Tensor:
    """The mask as float32 `[..., H, W]`, expanded to its height where points are asked for."""
    mask = ops.convert_to_tensor(mask)
    if len(mask.shape) < 3 or mask.shape[-3] not in (1, None):
        raise InputError(f"mask {tuple(mask.shape)} has no axis of one coil", fix="give [..., 1, H or 1, W]")
    sampled = ops.cast(mask[..., 0, :, :] > 0, "float32")
    if rule.by == "line":
        return sampled
    if height is not None:
        return ops.broadcast_to(sampled, (*ops.shape(sampled)[:-2], height, ops.shape(sampled)[-1]))
    if mask.shape[-2] == 1:
        raise InputError("a line mask is to be split by points", fix="give the height of k-space, or split by='line'")
    return sampled


def _protected_block(rows: Tensor | int, columns: Tensor | int, rule: PartitionRule) -> Tensor:
    """Bool `[rows, columns]`; one row stands for whole lines, which the block's columns protect."""
    wanted_rows, wanted_columns = rule.protected
    if rule.by == "line":
        wanted_rows = min(wanted_rows, 1)
    inside_rows, inside_columns = _inside(rows, wanted_rows), _inside(columns, wanted_columns)
    block = ops.logical_and(ops.expand_dims(inside_rows, -1), inside_columns)
    return ops.logical_or(block, hermitian_partner(block)) if rule.exclude_hermitian else block


def _inside(size: Tensor | int, wanted: int) -> Tensor:
    distance = ops.arange(size) - size // 2 + wanted // 2
    return ops.logical_and(distance >= 0, distance < wanted)


def _random_keys(units: Tensor, seed: Tensor, rule: PartitionRule) -> Tensor:
    """Random numbers whose order is the order in which units are held out, `[(splits,) ..., h, W]`."""
    splits = () if rule.splits is None or rule.disjoint else (rule.splits,)
    shape = ops.shape(units)
    if len(seed.shape) == 1 or not splits:
        numbers = rng.uniform(seed, (*splits, *shape))
    else:
        numbers = ops.moveaxis(rng.uniform(seed, (shape[0], *splits, *shape[1:])), 1, 0)
    if rule.selection == "uniform":
        return numbers
    # Largest log-density + Gumbel noise: a draw without replacement from that density.
    numbers = ops.clip(numbers, 1e-7, 1 - 1e-7)
    gumbel = -ops.log(-ops.log(numbers))
    return gumbel + _log_density(shape[-2:], rule)


def _log_density(size: Sequence[Tensor | int], rule: PartitionRule) -> Tensor:
    """Of the Gaussian selection, `[H or 1, W]`, zero at DC."""
    exponent = -0.5 * ops.square(_relative(size[1], rule.std))
    if rule.by == "point":
        exponent = exponent - 0.5 * ops.expand_dims(ops.square(_relative(size[0], rule.std)), -1)
    return exponent


def _relative(size: Tensor | int, std: float) -> Tensor:
    return ops.cast(ops.arange(size) - size // 2, "float32") / (std * ops.cast(size, "float32"))


def _hold_out(eligible: Tensor, keys: Tensor, rule: PartitionRule) -> Tensor:
    """Which units go to Λ, bool `[(splits,) ..., h, W]`.

    Units with an eligible mirror image stand for the pair: pairs and singles are ranked apart and
    held out in proportion, so that pairs stay whole and the count is exact.
    """
    singles, pairs = _stand_ins(eligible) if rule.exclude_hermitian else (eligible, None)
    room = _count(singles), 0 if pairs is None else _count(pairs)
    take_singles, take_pairs = _exact_counts(*room, rule)
    held = _batch_of_units(singles, keys, take_singles, rule)
    if pairs is None:
        return held
    of_pair = _batch_of_units(pairs, keys, take_pairs, rule)
    return ops.logical_or(held, ops.logical_or(of_pair, hermitian_partner(of_pair)))


def _batch_of_units(units: Tensor, keys: Tensor, count: Tensor, rule: PartitionRule) -> Tensor:
    """The first `count` units; for disjoint splits the first, the second, ... `count`, along a new axis."""
    if not rule.disjoint or rule.splits is None:
        return _first(units, keys, count)
    index = ops.reshape(ops.arange(rule.splits), (-1, *[1] * len(units.shape)))
    up_to = _first(units, keys, (index + 1) * count)
    before = ops.concatenate([ops.zeros_like(up_to[:1]), up_to[:-1]], axis=0)
    return ops.logical_and(up_to, ops.logical_not(before))


def _stand_ins(eligible: Tensor) -> tuple[Tensor, Tensor]:
    """Units without an eligible mirror image, and of each pair with one the first unit; bool like `eligible`."""
    shape = ops.shape(eligible)
    index = ops.reshape(ops.arange(shape[-2] * shape[-1]), shape[-2:])
    mirrored = hermitian_partner(index)
    paired = ops.logical_and(eligible, ops.logical_and(hermitian_partner(eligible), ops.not_equal(index, mirrored)))
    return ops.logical_and(eligible, ops.logical_not(paired)), ops.logical_and(paired, index < mirrored)


def _count(units: Tensor) -> Tensor:
    """Units per example, int32 `[..., 1, 1]`."""
    return ops.sum(ops.cast(units, "int32"), axis=(-2, -1), keepdims=True)


def _first(units: Tensor, keys: Tensor, count: Tensor) -> Tensor:
    """Of each example the `count` units of largest key, exactly; equal keys go by place.

    The key that separates them is found by bisection, which needs only sums: on the CPU it is many
    times faster than sorting.
    """
    zeros = ops.cast(count, "float32") * 0 + ops.min(keys, axis=(-2, -1), keepdims=True) * 0
    bounds = (zeros + ops.min(keys) - 1, zeros + ops.max(keys))
    low, high = ops.fori_loop(0, _HALVINGS, _halve, (*bounds, units, keys, count))[:2]
    surely = ops.logical_and(units, keys > high)
    open_still = ops.logical_and(units, ops.logical_and(keys > low, keys <= high))
    shape = ops.shape(open_still)
    flat = ops.reshape(ops.cast(open_still, "int32"), (*shape[:-2], -1))
    place = ops.reshape(ops.cumsum(flat, axis=-1), shape)
    return ops.logical_or(surely, ops.logical_and(open_still, place <= count - _count(surely)))


def _halve(_: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # At module level with all it needs in its state, so that eager JAX compiles it once per shape.
    low, high, units, keys, count = state
    middle = 0.5 * (low + high)
    too_many = _count(ops.logical_and(units, keys > middle)) > count
    return ops.where(too_many, middle, low), ops.where(too_many, high, middle), units, keys, count


def _clock_probability(rates: Tensor, wanted: Tensor) -> Tensor:
    """`1 - exp(-λ rates)` with the λ of each example for which they sum to `wanted`; by bisection on log λ."""
    zeros = wanted * 0
    bounds = ops.fori_loop(0, _HALVINGS, _halve_clock, (zeros - 20.0, zeros + 40.0, rates, wanted))[:2]
    return 1.0 - ops.exp(-ops.exp(0.5 * (bounds[0] + bounds[1])) * rates)


def _halve_clock(_: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    low, high, rates, wanted = state
    middle = 0.5 * (low + high)
    too_many = ops.sum(1.0 - ops.exp(-ops.exp(middle) * rates), axis=(-2, -1), keepdims=True) > wanted
    return ops.where(too_many, low, middle), ops.where(too_many, middle, high), rates, wanted


def _exact_counts(singles: Tensor, pairs: Tensor | int, rule: PartitionRule) -> tuple[Tensor, Tensor]:
    """How many singles and pairs each split holds out: in proportion, and exact in total."""
    total = singles + 2 * pairs
    if rule.disjoint and rule.splits is not None:
        singles, pairs = singles // rule.splits, pairs // rule.splits
    room = singles + 2 * pairs
    wanted = ops.cast(ops.round(rule.ratio * ops.cast(total, "float32")), "int32")
    wanted = ops.minimum(wanted, room)
    share = ops.cast(wanted, "float32") / ops.cast(ops.maximum(room, 1), "float32")
    take_pairs = ops.minimum(ops.cast(ops.floor(ops.cast(pairs, "float32") * share), "int32"), wanted // 2)
    rest = wanted - 2 * take_pairs
    # More singles wanted than there are: as many further pairs instead.
    further = ops.maximum(ops.minimum((rest - singles + 1) // 2, rest // 2), 0)
    return ops.minimum(rest - 2 * further, singles), take_pairs + further
