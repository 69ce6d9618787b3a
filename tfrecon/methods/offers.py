"""What a method may offer beside its loss and its reconstruction: the types that `methods.base.Method` names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from tfrecon.typing import Measurement, Reconstruction, Tensor


@dataclasses.dataclass(frozen=True)
class ServingFunction:
    """A function that an exported model offers beside `reconstruct`; see `Method.serving_functions`.

    Attributes:
        call: takes the tensors of `inputs` by name, returns a tensor or a dictionary of tensors.
        inputs: (shape, dtype) of each tensor by name, in the order of the positional arguments; a
            size of None is free.
    """

    call: Callable[..., Any]
    inputs: Mapping[str, tuple[tuple[int | None, ...], str]]


@dataclasses.dataclass(frozen=True)
class Stepwise:
    """A reconstruction that is made some steps at a time, so that one that is stopped has an image too.

    One after the other the parts give what `Method.reconstruct` gives, bit for bit.

    Attributes:
        count: steps of the whole.
        begin: `(models, measurement, seed) -> carried`, a tuple of tensors.
        advance: `(models, measurement, seed, carried, first, last) -> carried`, the steps `first` to `last` - 1; both
            int32 scalars.
        result: `(measurement, carried) -> Reconstruction`, the best there is after one step or more.
    """

    count: int
    begin: Callable[..., tuple[Tensor, ...]]
    advance: Callable[..., tuple[Tensor, ...]]
    result: Callable[[Measurement, tuple[Tensor, ...]], Reconstruction]


@dataclasses.dataclass(frozen=True)
class Budgeted:
    """A reconstruction that is told how many network calls to make when its graph runs, for exported models.

    Attributes:
        least: the smallest budget, that of one step.
        most: the largest.
        reconstruct: `(models, measurement, seed, nfe) -> Reconstruction` with nfe an int32 scalar; what
            `Method.reconstruct` gives with an option of that value.
    """

    least: int
    most: int
    reconstruct: Callable[..., Reconstruction]


@dataclasses.dataclass(frozen=True)
class TrainingImages:
    """The images that a loss learns from, where it needs nothing else of a record; see `Method.training_images`.

    Attributes:
        size_of: the field of a record whose height and width the images have, "reference" or "kspace".
        make: the images of a batch of records of one size, complex64 `[B, H, W]`: a function of each record alone,
            without randomness. It may be called in a graph where sizes are not known.
        grid: to a multiple of which the network pads images by itself, 1 if it does not. Images lie in a padded
            batch as they do in the network when they are alone.
    """

    size_of: Literal["reference", "kspace"]
    make: Callable[[Mapping[str, Tensor]], Tensor]
    grid: int = 1

    def of(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The images of any batch that a loss may be given, and where they are.

        Args:
            batch: of records of one size, or of images that were padded to one.

        Returns:
            complex64 `[B, H, W]`, and float32 `[B, H, W]`, 1 where the image is and 0 where it was padded
            with zeros; None if nothing was.
        """
        if "image" in batch:
            return batch["image"], batch["valid"]
        return self.make(batch), None
