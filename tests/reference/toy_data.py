"""A small dataset on disk, and an experiment that trains the method "toy" on it in a second."""

import dataclasses

import toy_method  # noqa: F401  (makes the method known)

from tfrecon.data.synthetic import ellipse_phantom, simulate_acquisition
from tfrecon.data.writer import write_dataset
from tfrecon.train.config import resolve_experiment

LINES = {"kind": "gaussian1d", "acceleration": 3, "acs_lines": 4}


def write_toy_dataset(folder, count=10, shapes=((16, 14),), reference=True, first=0):
    """Simulated slices of two coils with their maps, one shape after the other."""
    records = [
        simulate_acquisition(
            ellipse_phantom(shapes[number % len(shapes)], seed=number),
            record_id=f"volume-{number // 3}/{number:03d}",
            volume_id=f"volume-{number // 3}",
            slice_index=number,
            coils=2,
            store_maps=True,
        )
        for number in range(first, first + count)
    ]
    if not reference:
        records = [dataclasses.replace(record, reference=None) for record in records]
    write_dataset(folder, records)
    return folder


def toy_config(train_data, validation_data="", **changes):
    """A config as nested dictionaries; `changes` replace whole keys of sections: `train={"steps": 3}`."""
    config = {
        "method": "toy",
        "data": {
            "train": str(train_data),
            "validation": str(validation_data),
            "batch_size": 4,
            "undersample": [LINES],
        },
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 3, "schedule": "cosine"},
        "train": {
            "steps": 12,
            "log_every": 5,
            "validate_every": 6,
            "validation_records": 5,
            "images": 2,
            "checkpoint_every": 4,
            "ema_decay": 0.9,
        },
        "seed": 3,
    }
    for key, value in changes.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    return config


def toy_experiment(train_data, validation_data="", **changes):
    """The experiment of `toy_config`."""
    return resolve_experiment(toy_config(train_data, validation_data, **changes))
