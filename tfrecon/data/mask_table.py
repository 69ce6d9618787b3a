"""The retrospective masks of a whole dataset, made once and looked up in the pipeline's graph.

A mask is a function of (seed, record id), so making them beforehand gives what making them again
and again would give. They are kept as bits: 12.8 kB for a 320×320 mask of points, 40 bytes for one
of lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfrecon.data.dataset_info import DatasetInfo
from tfrecon.data.transforms import Undersampling, calibrated_size, retrospective_mask
from tfrecon.physics.scale import measurement_scale
from tfrecon.typing import Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.progress import progress

_QUICK = 2000
"""Masks of lines take a tenth of a millisecond each; more than these get a progress bar."""


class RetrospectiveMasks:
    """Simulates the acquisition of batches; every record keeps its mask for ever.

    Args:
        info: the dataset.
        groups: which of `info.groups` each record belongs to, `[N]`.
        undersampling: what kind of masks; of several kinds each record has one.
        seed: of the masks.

    Raises:
        InputError: the masks cannot be made as asked for.
    """

    def __init__(
        self, info: DatasetInfo, groups: np.ndarray, undersampling: Undersampling | Sequence[Undersampling], seed: int
    ) -> None:
        self._info = info
        self._least_acs: dict[int, np.ndarray] = {}
        self._shapes: dict[int, tuple[int, ...]] = {}
        own = []
        for name, group in zip(self._watched(info.record_ids), groups.tolist(), strict=True):
            kspace = info.groups[group].kspace
            mask = retrospective_mask(undersampling, seed, name, kspace).array
            acs = np.array(calibrated_size(mask, kspace[-2:]))
            self._least_acs[group] = np.minimum(acs, self._least_acs.get(group, acs))
            # Lines beside points are stored as points: the masks of a batch have one shape.
            self._shapes[group] = np.broadcast_shapes(mask.shape, self._shapes.get(group, mask.shape))
            own.append((mask.shape, np.packbits(mask)))
        packed = [self._expanded(*item, group) for item, group in zip(own, groups.tolist(), strict=True)]
        lengths = np.array([len(bits) for bits in packed], np.int64)
        # Tensors, not arrays: a function captures them instead of copying them into its graph.
        self._bits, self._starts = tf.constant(np.concatenate(packed)), tf.constant(np.cumsum(lengths) - lengths)
        self._group_of = tf.constant(groups)
        self._shape_of = tf.constant([self._shapes[group] for group in range(len(info.groups))])

    def _expanded(self, shape: tuple[int, ...], bits: np.ndarray, group: int) -> np.ndarray:
        wanted = self._shapes[group]
        if shape == wanted:
            return bits
        mask = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape)
        return np.packbits(np.broadcast_to(mask, wanted))

    def _watched(self, names: Sequence[str]) -> Sequence[str]:
        return progress(names, "masks", unit="mask") if len(names) > _QUICK else names

    def check_calibration(self) -> None:
        """Checks that maps were estimated from no more than every mask samples.

        Raises:
            InputError: the calibration block of some maps is larger than that of some mask.
        """
        for number, have in self._least_acs.items():
            block = self._info.groups[number].calibration
            if block and any(n > m for n, m in zip(block, have, strict=True)):
                raise InputError(
                    f"maps were estimated from {block[0]}×{block[1]} central samples, but the masks sample "
                    f"{have[0]}×{have[1]}",
                    str(self._info.path),
                    f"convert with --calibration_size={min(have)}, use more acs_lines, or leave maps out of the fields",
                )

    def shape_of(self, group: int) -> tuple[int, ...]:
        """The shape of the masks, measured and simulated together, of the records of one group."""
        return np.broadcast_shapes(self._shapes[group], self._info.groups[group].mask)

    def apply(self, batch: Mapping[str, Tensor], numbers: Tensor) -> dict[str, Tensor]:
        """Masks the k-space of a batch and takes the scale from what is left.

        Args:
            batch: with `kspace` and `mask`.
            numbers: of its records, int64 `[B]`, all of one group.

        Returns:
            The batch with new `kspace`, `mask` and `scale`.
        """
        shapes = [self.shape_of(group) for group in self._shapes]
        mask = with_shape(batch["mask"] * self._look_up(numbers), numbers.shape, shapes)
        kspace = batch["kspace"] * tf.cast(mask, tf.complex64)
        return {**batch, "mask": mask, "kspace": kspace, "scale": _scale(kspace, mask, series=len(shapes[0]) == 4)}

    def _look_up(self, numbers: Tensor) -> Tensor:
        """float32 masks `[B, ...]` of records of one group."""
        shape = tf.gather(self._shape_of, tf.gather(self._group_of, numbers[0]))
        size = tf.reduce_prod(shape)
        places = tf.gather(self._starts, numbers)[:, None] + tf.range(tf.cast((size + 7) // 8, tf.int64))
        packed = tf.gather(self._bits, places)[..., None]
        shifts = tf.constant([7, 6, 5, 4, 3, 2, 1, 0], tf.uint8)
        bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(packed, shifts), tf.constant(1, tf.uint8))
        count = tf.shape(numbers)
        bits = tf.reshape(bits, tf.concat([count, [-1]], axis=0))[:, :size]
        return tf.cast(tf.reshape(bits, tf.concat([count, shape], axis=0)), tf.float32)


def with_shape(array: Tensor, batch: tf.TensorShape, shapes: Sequence[Sequence[int]]) -> Tensor:
    """States what is known beforehand of the shape of a batch: the sizes that all groups share."""
    if len({len(shape) for shape in shapes}) == 1:
        shared = [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True)]
        array = tf.ensure_shape(array, batch.concatenate(shared))
    return array


def _scale(kspace: Tensor, mask: Tensor, series: bool) -> Tensor:
    if keras.backend.backend() == "tensorflow":
        return measurement_scale(kspace, mask, series)

    # Another backend cannot run in TensorFlow's graph; its training loop drops the iterator at its end.
    def on_host(kspace: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(measurement_scale(kspace, mask, series)), np.float32)

    scale = tf.numpy_function(on_host, [kspace, mask], tf.float32, stateful=False)
    return tf.ensure_shape(scale, kspace.shape[:1])
