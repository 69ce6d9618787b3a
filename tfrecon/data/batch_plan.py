"""Which records make up each batch, as lists of their numbers (`tf.data`)."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.rng import numpy_generator


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """Batches hold records of one kind, and each kind has its own batch size.

    Attributes:
        kinds: the kind of each record, int64 `[N]`.
        sizes: records in a batch of each kind.
    """

    kinds: np.ndarray
    sizes: tuple[int, ...]

    @property
    def size(self) -> int | None:
        """The batch size if all kinds that occur share one."""
        sizes = {self.sizes[kind] for kind in np.unique(self.kinds)}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def has_full_batch(self) -> bool:
        """Whether some kind has as many records as a batch of it."""
        counts = np.bincount(self.kinds, minlength=len(self.sizes))
        return bool((counts >= np.array(self.sizes)).any())

    def size_of(self, kind: Tensor) -> Tensor | int:
        """The batch size of a kind, int64; a plain number where there is one for all, so that shapes are static."""
        return tf.gather(tf.constant(self.sizes, tf.int64), kind) if self.size is None else self.size


def plan_batches(plan: BatchPlan, seed: int, shuffle: bool, repeat: bool, drop_remainder: bool) -> tf.data.Dataset:
    """The numbers of the records of each batch, int64 `[B]`, all of one kind.

    Each epoch is a permutation that depends on (seed, epoch). With `repeat`, what is left of an epoch
    waits for the next; at the end smaller batches are given, or left out.
    """
    order_seed = int(numpy_generator(seed, "order of epochs").integers(2**31))

    def epoch(number: Tensor) -> tf.data.Dataset:
        order = tf.range(len(plan.kinds), dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, tf.stack([order_seed, number]))
        return tf.data.Dataset.from_tensor_slices(order)

    epochs = tf.data.Dataset.counter() if repeat else tf.data.Dataset.range(1)
    numbers, full = epochs.flat_map(epoch), drop_remainder or repeat
    if len(np.unique(plan.kinds)) == 1:
        return numbers.batch(plan.size, drop_remainder=full)
    return numbers.group_by_window(
        key_func=lambda number: tf.gather(tf.constant(plan.kinds), number),
        reduce_func=lambda kind, window: window.batch(plan.size_of(kind), drop_remainder=full),
        window_size_func=lambda kind: tf.cast(plan.size_of(kind), tf.int64),
    )


def cut_batches(
    numbers: tf.data.Dataset, plan: BatchPlan, full: bool, part: tuple[int, int], replicas: int
) -> tf.data.Dataset:
    """One part of every batch, in `replicas` pieces one after the other.

    Args:
        numbers: from `plan_batches`.
        plan: by which they were planned.
        full: whether all batches have the size of their kind.
        part: (index, number) of parts.
        replicas: pieces of a part.

    Raises:
        InputError: batches that cannot be cut into equal pieces.
    """
    index, parts = part
    for size in dict.fromkeys(plan.sizes):
        if size % (parts * replicas) or not full:
            raise InputError(
                f"batches of {size} cannot be cut into {parts * replicas} equal parts",
                fix="give a batch size that the number of devices divides, and repeat or drop the remainder",
            )
    piece = -1 if plan.size is None else plan.size // (parts * replicas)  # static where it is known

    def pieces_of(batch: Tensor) -> Tensor:
        own = tf.size(batch) // parts
        return tf.reshape(batch[index * own : (index + 1) * own], (replicas, piece))

    own = numbers.map(pieces_of)
    return own.unbatch() if replicas > 1 else own.map(lambda pieces: pieces[0])
