"""Learned methods as SavedModels: the whole reconstruction in one folder that needs no Python of the method.

The folder holds TensorFlow's SavedModel with the functions

    reconstruct(kspace, mask, maps, seed) -> image       complex64 [B, H, W], in the units of k-space
    scale(kspace, mask) -> scale                         float32 [B], what k-space is divided by inside

and those of `Method.serving_functions`; where the method gives a standard deviation, also
`reconstruct_with_std`, which returns a dictionary of "image", "std" and, if there are several, "samples" [K, B, H, W].
Some methods have more arguments, in this order: `noise_std` float32 [B] (`Method.serving_fields`), `label` float32
[B, L], and `nfe`, an int32 scalar, the budget of network calls (`Method.budgeted`). Batch, coils, height and width
are free.
`tfrecon.json` beside says what it is.
"""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

import tfrecon
from tfrecon.methods.base import Budgeted, Method, ServingFunction
from tfrecon.physics.scale import expand_to, measurement_scale, normalise
from tfrecon.serve.learned import LearnedModel
from tfrecon.serve.load import load
from tfrecon.serve.saved import FACTS_FILE, SavedModel
from tfrecon.typing import Measurement, PathLike, Tensor
from tfrecon.util.errors import InputError
from tfrecon.util.files import atomic_folder, write_json
from tfrecon.util.settings import to_dictionary

_KSPACE = (None, None, None, None)
_MEASUREMENT = {
    "kspace": (_KSPACE, "complex64"),
    "mask": ((None, 1, None, None), "float32"),
    "maps": (_KSPACE, "complex64"),
}
_SEED = {"seed": ((2,), "int32")}
_NOISE = {"noise_std": ((None,), "float32")}
_BUDGET = {"nfe": ((), "int32")}
_SCALE = ("kspace", "mask")


def export_saved_model(
    source: PathLike,
    output: PathLike,
    *,
    checkpoint: int | str | None = None,
    options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> pathlib.Path:
    """Writes a trained model as a SavedModel, whole or not at all.

    Args:
        source: a workdir or a model folder; see `serve.load.load`.
        output: the folder to write.
        checkpoint: of a workdir: "best", "final" or a step; see `serve.load.load`.
        options: of the reconstruction, on top of those the model was trained with; the SavedModel
            keeps them for ever.
        overwrite: replaces an earlier export.

    Returns:
        The folder.

    Raises:
        InputError: the source is no trained model, an unknown option, or the output exists.
    """
    learned = load(source, checkpoint)
    if isinstance(learned, SavedModel):
        raise InputError("is a SavedModel already", str(source), "give a workdir or a model folder")
    output = pathlib.Path(output)
    _check_free(output, overwrite)
    resolved = learned.resolve(options or {})
    functions = make_functions(learned.method, learned.models, resolved)
    module = tf.Module()
    module.variables_kept = [v.value for model in learned.models.values() for v in model.variables]
    for name, function in functions.items():
        setattr(module, name, function)
    with atomic_folder(output) as folder:
        try:
            tf.saved_model.save(module, str(folder), signatures=functions)
        except tf.errors.OpError as error:
            raise InputError(f"cannot be written ({error.message})", str(output), "choose another --output") from error
        write_json(folder / FACTS_FILE, _facts(learned, resolved, functions))
    return output


def make_functions(method: Method, models: Mapping[str, Any], options: Any) -> dict[str, Callable[..., Any]]:
    """The functions of the SavedModel by name, traced once for tensors of any size.

    Args:
        method: the learned method.
        models: its Keras models.
        options: an instance of its `options_type`; constants of the graph.

    Raises:
        ValueError: the method names one of its own functions like one of these.
    """
    budgeted = method.budgeted(options)

    def everything(
        kspace: Tensor,
        mask: Tensor,
        maps: Tensor,
        seed: Tensor,
        noise_std: Tensor | None = None,
        label: Tensor | None = None,
        nfe: Tensor | None = None,
    ) -> dict[str, Tensor]:
        measurement = normalised_measurement(kspace, mask, maps, noise_std)._replace(label=label)
        if budgeted is None:
            result = method.reconstruct(models, measurement, seed, options)
        else:
            result = budgeted.reconstruct(models, measurement, seed, _checked(nfe, budgeted))
        scale = expand_to(measurement.scale, result.image)
        found = {name: array for name, array in result._asdict().items() if array is not None}
        return {name: array * tf.cast(scale, array.dtype) for name, array in found.items()}

    inputs = _inputs_of(method, options) | ({} if budgeted is None else _BUDGET)
    whole = _function(everything, inputs, "reconstruct_with_std", method.xla)
    functions = {
        "reconstruct": _function(lambda **given: whole(**given)["image"], inputs, "reconstruct"),
        "scale": _function(
            lambda kspace, mask: normalised_measurement(kspace, mask).scale,
            {name: _MEASUREMENT[name] for name in _SCALE},
            "scale",
        ),
    }
    if "std" in whole.get_concrete_function().structured_outputs:
        functions["reconstruct_with_std"] = whole
    more = method.serving_functions(models, options)
    if set(more) & {*functions, "reconstruct_with_std"}:
        raise ValueError(f"method {method.name!r} may not name functions {', '.join(functions)}")
    for name, function in more.items():
        functions[name] = _function(_normalising(function), function.inputs, name, method.xla)
    return functions


def _inputs_of(method: Method, options: Any) -> dict[str, tuple[tuple[int | None, ...], str]]:
    """The arguments of `reconstruct` but for the budget."""
    inputs, fields = {**_MEASUREMENT, **_SEED}, method.serving_fields(options)
    if "noise_std" in fields:
        inputs |= _NOISE
    if "label" in fields:
        inputs["label"] = ((None, method.label_width), "float32")
    return inputs


def _checked(nfe: Tensor, budgeted: Budgeted) -> Tensor:
    """The budget; running the graph fails if it is none."""
    said = f"nfe must be from {budgeted.least} to {budgeted.most}"
    fits = tf.debugging.Assert((nfe >= budgeted.least) & (nfe <= budgeted.most), [said, nfe])
    with tf.control_dependencies([fits]):
        return tf.identity(nfe)


def normalised_measurement(
    kspace: Tensor, mask: Tensor, maps: Tensor | None = None, noise_std: Tensor | None = None
) -> Measurement:
    """A measurement divided by its scale, its mask at full height and its k-space zero where nothing was sampled.

    Args:
        kspace: complex64 `[B, C, H, W]`, sizes unknown.
        mask: float32 `[B, 1, H or 1, W]`.
        maps: complex64 `[B, C, H, W]`, or None.
        noise_std: float32 `[B]` in the units of k-space, or None.
    """
    shape = tf.shape(kspace)
    # A height of 1 would have to be known before tracing; at full height the result is the same.
    mask = tf.ensure_shape(tf.broadcast_to(mask, [shape[0], 1, shape[2], shape[3]]), [kspace.shape[0], 1, None, None])
    kspace = kspace * tf.cast(mask, tf.complex64)
    return normalise(Measurement(kspace, mask, maps, noise_std), measurement_scale(kspace, mask))


def _normalising(function: ServingFunction) -> Callable[..., Any]:
    """The function with its k-space and mask brought into the form that methods see."""

    def call(**given: Tensor) -> Any:
        if "kspace" in given:
            measurement = normalised_measurement(given["kspace"], given["mask"])
            given |= {"kspace": measurement.kspace, "mask": measurement.mask}
        return function.call(**given)

    return call


def _function(
    call: Callable[..., Any], inputs: Mapping[str, tuple[tuple[int | None, ...], str]], name: str, xla: bool = False
) -> Callable[..., Any]:
    """A `tf.function` with one trace, whose arguments are named as the inputs."""

    def positional(*tensors: Tensor) -> Any:
        return call(**dict(zip(inputs, tensors, strict=True)))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    positional.__signature__ = inspect.Signature([inspect.Parameter(key, kind) for key in inputs])
    positional.__name__ = name
    specs = [tf.TensorSpec(shape, dtype, key) for key, (shape, dtype) in inputs.items()]
    return tf.function(positional, input_signature=specs, autograph=False, jit_compile=xla or None)


def _check_free(output: pathlib.Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / FACTS_FILE).is_file():
        raise InputError("exists and is not an exported model", str(output), "choose another --output")
    if not overwrite:
        raise InputError("already holds an exported model", str(output), "choose another --output, or give --overwrite")


def _facts(learned: LearnedModel, options: Any, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    inputs = {
        name: {spec.name: _describe(spec) for spec in function.input_signature} for name, function in functions.items()
    }
    budgeted = learned.method.budgeted(options)
    budget = None
    if budgeted is not None:
        budget = {"option": learned.method.nfe_option, "least": budgeted.least, "most": budgeted.most}
    return {
        "tfrecon": tfrecon.__version__,
        "method": learned.method.name,
        "model": to_dictionary(learned.method.model),
        "options": to_dictionary(options),
        "fields": list(learned.method.fields()),
        "label_width": learned.method.label_width,
        "budget": budget,
        "functions": inputs,
        "exported_from": learned.settings["model"],
    }


def _describe(spec: tf.TensorSpec) -> str:
    """For instance "complex64 [?, ?, ?, ?]"."""
    return f"{spec.dtype.name} [{', '.join('?' if size is None else str(size) for size in spec.shape)}]"
