"""Training on several devices and machines (`tf.distribute`).

A global batch is cut into equal contiguous pieces, one for each replica in the order of their ids,
so that an example has the same place in the global batch, and with it the same random numbers, on
any number of devices.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfrecon.util.errors import InputError

_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'

MakeDataset = Callable[[tuple[int, int], int], tf.data.Dataset]
"""`(part, replicas) -> dataset`, as `data.pipeline.dataset` takes them."""


def make_strategy(name: str | None = None) -> tf.distribute.Strategy:
    """The strategy of that name.

    Args:
        name: "" or None for one device; "mirrored" for all GPUs (else all logical CPUs) of this machine;
            "multi_worker" for the machines that the environment variable TF_CONFIG lists. The last must be
            made before TensorFlow does anything else.

    Raises:
        InputError: an unknown name, or a TF_CONFIG that is missing or does not describe workers.
    """
    if not name:
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)])
    if name == "multi_worker":
        _check_cluster(os.environ.get("TF_CONFIG"))
        return tf.distribute.MultiWorkerMirroredStrategy()
    raise InputError(f"no distribution {name!r}", fix="choose mirrored, multi_worker, or none")


def distribute_dataset(strategy: tf.distribute.Strategy, make: MakeDataset) -> Any:
    """An iterable of distributed batches, each one global batch.

    Args:
        strategy: from `make_strategy`.
        make: called once on each worker with (its index, number of workers) and with the number of its
            replicas; gives the pieces of each global batch that belong to this worker, one after the other.
    """

    def on_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        return make((context.input_pipeline_id, workers), context.num_replicas_in_sync // workers)

    return strategy.distribute_datasets_from_function(on_worker)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: the only one, or the first of several workers."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    if resolver.task_type == "chief":
        return True
    return resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs


def record_ids(strategy: tf.distribute.Strategy, batch: Mapping[str, Any]) -> dict[int, str]:
    """The record id of each example that this process works on, by its place in the global batch."""
    if "record_id" not in batch:
        return {}
    pieces = [piece.numpy() for piece in strategy.experimental_local_results(batch["record_id"])]
    worker = _worker_index(strategy)
    first = worker * sum(len(piece) for piece in pieces)
    ids = [record.decode(errors="replace") for piece in pieces for record in piece]
    return dict(enumerate(ids, start=first))


def _worker_index(strategy: tf.distribute.Strategy) -> int:
    """As `InputContext.input_pipeline_id`: a chief comes before the workers."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type in (None, "chief"):
        return 0
    return resolver.task_id + ("chief" in resolver.cluster_spec().jobs)


def _check_cluster(text: str | None) -> None:
    try:
        config = json.loads(text or "")
        hosts = config["cluster"][config["task"]["type"]]
        hosts[int(config["task"]["index"])]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        problem = "is not set" if not text else f"does not describe this worker ({type(error).__name__}: {error})"
        raise InputError(f"TF_CONFIG {problem}", fix=f"set it to {_EXAMPLE} or the like") from error
