"""SSDiffRecon as a method: the self-supervised loss and the reconstruction.

Korkmaz et al., "Self-supervised MRI reconstruction with unrolled diffusion models", MICCAI 2023. A network
learns to see the clean image in a noised, further undersampled one, and is judged on measured samples that
it was not given. What differs from the published code unless the settings ask for it: input,
consistency and loss use what each coil measured; the centre of k-space is always in the input; the
sampler walks the chain that was trained; data are scaled, not shifted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from keras import ops

from tfrecon.diffusion.discrete import DiscretePath
from tfrecon.losses.image import image_loss
from tfrecon.losses.kspace import sample_loss
from tfrecon.losses.weights import local_density, unseen_weights
from tfrecon.methods.base import Method, ServingFunction, register_method
from tfrecon.methods.ssdiffrecon.denoise import denoise, own_labels, same_label
from tfrecon.methods.ssdiffrecon.model import SSDiffReconModel
from tfrecon.methods.ssdiffrecon.network import build_networks
from tfrecon.methods.ssdiffrecon.objective import SSDiffReconObjective
from tfrecon.methods.ssdiffrecon.options import SSDiffReconOptions
from tfrecon.methods.ssdiffrecon.problem import Problem, make_problem, shifted, unshifted
from tfrecon.methods.ssdiffrecon.sampling import make_chain, sample
from tfrecon.physics.batches import as_batch, repeat_batch, summarise_samples
from tfrecon.physics.operators import least_squares_image
from tfrecon.physics.partition import Partition, hold_out_probability, partition
from tfrecon.typing import Measurement, Reconstruction, Tensor
from tfrecon.util import rng
from tfrecon.util.errors import InputError


@register_method
class SSDiffRecon(Method):
    """See the module. A model with labels is trained on records that have them (`attrs["label"]`)."""

    name: ClassVar[str] = "ssdiffrecon"
    model_type: ClassVar[type] = SSDiffReconModel
    objective_type: ClassVar[type] = SSDiffReconObjective
    options_type: ClassVar[type] = SSDiffReconOptions
    nfe_option: ClassVar[str | None] = "steps"

    def __init__(self, model: SSDiffReconModel | None = None, objective: SSDiffReconObjective | None = None) -> None:
        super().__init__(model, objective)
        if self.objective.loss == "robust" and self.model.consistency == "hard":
            raise InputError(
                "loss 'robust' learns to correct noisy samples, which hard data consistency puts back",
                fix="set model.consistency='proximal'",
            )

    def fields(self) -> tuple[str, ...]:
        return (*self.objective.fields, *(("label",) if self.label_width else ()))

    @property
    def label_width(self) -> int:
        return self.model.label_width

    def build(self, seed: int = 0) -> dict[str, Any]:
        return build_networks(self.model, seed)

    def loss(
        self, models: Mapping[str, Any], batch: Mapping[str, Tensor], seeds: Tensor, training: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        whole = self._reprojected(self._measured(batch["kspace"], batch["mask"], batch.get("maps")))
        label = own_labels(batch.get("label"), self.label_width)
        t = self._times(rng.for_purpose(seeds, "time"))
        logs = {"t": ops.cast(t, "float32")}
        if self.objective.loss == "supervised":
            x0_hat = self._estimate(models, whole, t, seeds, label, training)
            settings = {"distance": self.objective.distance, "magnitude": self.objective.magnitude}
            return image_loss(self._plain(x0_hat), ops.cast(batch["reference"], "complex64"), **settings), logs
        parts, weights = self._split(whole, seeds)
        copies = self.objective.partition.splits or 1
        whole = whole.repeated(copies)
        own = ops.concatenate([rng.fold_in(seeds, copy) for copy in range(copies)])
        seen = whole.masked(parts.input_mask)
        if self.objective.loss == "robust":
            seen = seen.noisier(self._extra_noise(batch["noise_std"]), rng.for_purpose(own, "extra noise"))
        x0_hat = self._estimate(models, seen, repeat_batch(t, copies), own, repeat_batch(label, copies), training)
        losses = sample_loss(
            whole.operator().forward(x0_hat),
            whole.kspace,
            parts.loss_mask,
            distance=self.objective.distance,
            average=self.objective.average,
            weights=weights,
        )
        return ops.mean(ops.reshape(losses, (copies, -1)), axis=0), logs

    def _measured(self, kspace: Tensor, mask: Tensor, maps: Tensor | None) -> Problem:
        """The measurements in the network's values."""
        problem = make_problem(kspace, mask, maps)
        return shifted(problem) if self.objective.values == "shifted" else problem

    def _plain(self, image: Tensor) -> Tensor:
        return unshifted(image) if self.objective.values == "shifted" else image

    def _path(self) -> DiscretePath:
        return DiscretePath.from_settings(self.objective.chain)

    def _times(self, seeds: Tensor) -> Tensor:
        """Uniform in 0 … T-1, int32 `[B]`."""
        steps = self.objective.chain.steps
        numbers = rng.uniform(seeds, ops.shape(seeds)[:1])
        return ops.minimum(ops.cast(numbers * steps, "int32"), steps - 1)

    def _split(self, whole: Problem, seeds: Tensor) -> tuple[Partition, Tensor | None]:
        """Θ, and Λ (for "robust" Ω) with its weights, of each example and split: `[splits · B, 1, H or 1, W]`."""
        objective, height = self.objective, ops.shape(whole.kspace)[-2]
        rule = objective.partition
        parts = partition(whole.mask, rng.for_purpose(seeds, "partition"), rule, height=height)
        if rule.splits is not None:
            parts = Partition(*(ops.reshape(part, (-1, *ops.shape(part)[-3:])) for part in parts))
        if not objective.weighted:
            return parts, None
        weights = unseen_weights(local_density(whole.mask), hold_out_probability(whole.mask, rule, height=height))
        if objective.loss == "robust":
            # The error of the corrected estimate is this much larger than that of the network's.
            seen = (1.0 + objective.alpha**-2) ** (2 if objective.distance == "l2" else 1)
            weights = parts.loss_mask * weights + parts.input_mask * seen
            parts = parts._replace(loss_mask=parts.loss_mask + parts.input_mask)
        return parts, weights

    def _extra_noise(self, noise_std: Tensor) -> Tensor:
        """Standard deviation of the noise that "robust" adds, float32 `[B]`, in the network's values."""
        return (
            self.objective.alpha * ops.cast(noise_std, "float32") * (2.0 if self.objective.values == "shifted" else 1.0)
        )

    def _reprojected(self, problem: Problem) -> Problem:
        """The problem with what the objective takes for its data."""
        return problem.reprojected() if self.objective.data == "reprojected" else problem

    def _estimate(
        self, models: Mapping[str, Any], seen: Problem, t: Tensor, seeds: Tensor, label: Tensor | None, training: bool
    ) -> Tensor:
        """x0_hat of the zero-filled image of `seen`, noised to times t `[B]`."""
        path, image = self._path(), seen.image()
        state = path.perturb(image, t, path.noise(rng.for_purpose(seeds, "diffusion"), ops.shape(image)))
        return denoise(
            models, self.model, self._reprojected(seen), state, t, label=label, seeds=seeds, training=training
        )

    def reconstruct(
        self, models: Mapping[str, Any], measurement: Measurement, seed: Tensor | None, options: SSDiffReconOptions
    ) -> Reconstruction:
        if options.consistency_weight is not None and self.model.consistency == "hard":
            raise InputError(
                "option 'consistency_weight' is not of a model with hard data consistency", fix="leave it out"
            )
        flat, lead = as_batch(measurement, self.name)
        seed = rng.make_seed(0) if seed is None else seed
        whole = self._measured(flat.kspace, flat.mask, flat.maps)
        count = ops.shape(whole.kspace)[0] * options.samples
        seeds = rng.fold_in(ops.tile(seed[None], (count, 1)), ops.arange(count))
        seen = whole.repeated(options.samples)
        if corrects := self.objective.loss == "robust" and options.correct:
            std = repeat_batch(self._extra_noise(_known_noise(flat)), options.samples)
            seen = seen.noisier(std, rng.for_purpose(seeds, "extra noise"))
        chain = make_chain(self.objective.chain, options)
        label = repeat_batch(own_labels(flat.label, self.label_width), options.samples)
        label = same_label(options.label, self.label_width, count) if options.label else label
        image = sample(models, self.model, self._reprojected(seen), chain, seeds, options, label)
        if corrects:
            operator = seen.operator()
            change = least_squares_image(operator, operator.forward(image) - seen.kspace)
            image = image + change * (1.0 / self.objective.alpha**2)
        image = ops.reshape(self._plain(image), (options.samples, *lead, *ops.shape(image)[-2:]))
        return summarise_samples(image)

    def serving_functions(self, models: Mapping[str, Any], options: SSDiffReconOptions) -> dict[str, ServingFunction]:
        """`denoise(x_t, t, kspace, mask, maps) -> x0_hat`: the networks at trained times t `[B]`, without a sampler.

        With labels also `label` `[B, L]`.
        """
        del options
        kspace = (None, None, None, None)

        def call(
            x_t: Tensor, t: Tensor, kspace: Tensor, mask: Tensor, maps: Tensor, label: Tensor | None = None
        ) -> Tensor:
            problem = self._reprojected(make_problem(kspace, mask, maps))
            count = ops.shape(x_t)[0]
            seeds = ops.tile(rng.make_seed(0)[None], (count, 1))
            return denoise(models, self.model, problem, x_t, t, label=label, seeds=seeds, training=False)

        inputs = {
            "x_t": ((None, None, None), "complex64"),
            "t": ((None,), "float32"),
            "kspace": (kspace, "complex64"),
            "mask": ((None, 1, None, None), "float32"),
            "maps": (kspace, "complex64"),
        }
        if self.label_width:
            inputs["label"] = ((None, self.label_width), "float32")
        return {"denoise": ServingFunction(call, inputs)}


def _known_noise(measurement: Measurement) -> Tensor:
    if measurement.noise_std is None:
        raise InputError(
            "a model trained by the loss 'robust' needs the noise of the measurement",
            fix="give noise_std, or the option correct=False",
        )
    return measurement.noise_std
