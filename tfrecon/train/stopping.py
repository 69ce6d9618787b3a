"""Stopping at the same step on every worker."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class Agreement:
    """Lets all workers decide alike: what is true for one of them is true for all.

    Workers exchange gradients in every step, so that one which stopped by itself would leave the others
    waiting for ever. With one worker nothing is exchanged.

    Args:
        strategy: of `tf.distribute`.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self._alone = strategy.cluster_resolver is None
        self._total = tf.function(self._add_up, autograph=False)

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag, whether it is set on any worker; to be called by all of them."""
        if self._alone:
            return list(flags)
        return [bool(total) for total in self._total(tf.constant(flags, tf.float32)).numpy() > 0]

    def _add_up(self, flags: tf.Tensor) -> tf.Tensor:
        everywhere = self._strategy.run(lambda own: own + 0.0, args=(flags,))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, everywhere, axis=None)
