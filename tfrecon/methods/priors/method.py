"""What methods that reconstruct with a prior have in common."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from keras import ops

from tfrecon.methods.base import Method, Stepwise
from tfrecon.methods.priors.checks import check_cover
from tfrecon.methods.priors.nonfinite import require_finite_images
from tfrecon.methods.priors.options import SamplingOptions
from tfrecon.methods.priors.reconstruction import PriorReconstruction, item_seeds
from tfrecon.methods.priors.sampling import measured_batch
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util.shapes import check_mask_fits


class PriorMethod(Method):
    """A method that reconstructs by a sampler around a network, the model "network", and the data.

    Subclasses say what is sampled (`_sampling`) and what its images are in the measurement's terms (`_summary`).
    """

    nfe_option: ClassVar[str | None] = "nfe"

    @abc.abstractmethod
    def _sampling(
        self,
        models: Mapping[str, Any],
        measurement: Measurement,
        seed: Tensor | None,
        options: Any,
        times: Tensor | None = None,
    ) -> Any:
        """All that is known before the first call of the network; see `reconstruction.Prepare`."""

    @abc.abstractmethod
    def _summary(self, measurement: Measurement, image: Tensor, options: Any) -> Reconstruction:
        """Images `[N, H, W]` as those of the measurement; see `reconstruction.Summarise`."""

    @property
    def _reconstruction(self) -> PriorReconstruction:
        return PriorReconstruction(self._sampling, self._summary)

    def _batch_and_seeds(
        self, measurement: Measurement, seed: Tensor | None, options: SamplingOptions
    ) -> tuple[Measurement, Tensor]:
        """The measurement as `[B, C, H, W]`, and a seed for each image and sample."""
        flat = measured_batch(measurement, self.name)
        return flat, item_seeds(seed, ops.shape(flat.kspace)[0], options.samples)

    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: Any
    ) -> Reconstruction:
        return self._reconstruction.at_once(models, measurement, seed, options)

    def check(self, measurement: Measurement, options: Any, *, series: bool = False) -> None:
        del options, series
        check_mask_fits(np.asarray(measurement.mask), np.asarray(measurement.kspace))
        check_cover(measurement)

    def network_calls(self, options: Any) -> int | None:
        return options.steps * options.samples

    def stepwise(self, options: Any) -> Stepwise | None:
        return self._reconstruction.stepwise(options)

    def require_finite(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor, options: Any, result: Reconstruction
    ) -> None:
        require_finite_images(self, models, measurement, seed, options, result)

    def serving_fields(self, options: Any) -> tuple[str, ...]:
        return ("noise_std",) if options.noise is None else ()
