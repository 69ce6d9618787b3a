r"""A prior that knows the measurement: noise on unsampled k-space alone, after ddpm4MRI.

    python tools/prepare_real_data.py --input=IMAGES --output=data/views --coils=1 --view=128 --views_per_slice=20
    tfrecon train --config=configs/ddpm/conditional.py --workdir=runs/conditional

Trains on complex images and the masks below; it serves masks like these. `get_config("published")` is the published
noise, loss, chain and size of network, for fully sampled single-coil records with their own phase;
`--config.objective.images=magnitude` makes the published synthetic single-coil data of records with any coils. It is
made for an accelerator. No score is given, because nobody has trained either to the end with this package yet.
"""

from ml_collections import ConfigDict

from tfrecon.methods.conditional.presets import published, small
from tfrecon.train.config import default_config


def get_config(preset: str = "small") -> ConfigDict:
    """The experiment; `preset` is "small" or "published"."""
    config = default_config("conditional", published() if preset == "published" else small())
    if preset == "published":
        config.objective.images = "measured"
        config.data.train = "data/singlecoil/train"
        config.data.validation = "data/singlecoil/validation"
        config.data.batch_size = 1
        config.optimizer.name = "adamw"
        config.optimizer.learning_rate = 1e-4
        config.train.steps = 300_000
        config.train.ema_decay = 0.9999
        config.train.validate_every = 0
        return config
    config.data.train = "data/views/train"
    config.data.validation = "data/full/validation"
    config.data.batch_size = 8
    config.data.undersample = [
        {"kind": "equispaced", "acceleration": 4.0, "center_fraction": 0.08},
        {"kind": "equispaced", "acceleration": 8.0, "center_fraction": 0.04},
    ]
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 200
    config.optimizer.schedule = "cosine"
    config.train.steps = 20_000
    config.train.ema_decay = 0.999
    config.train.validate_every = 5000
    config.train.validation_records = 4
    config.train.checkpoint_every = 1000
    return config
