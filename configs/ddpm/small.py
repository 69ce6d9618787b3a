r"""Improved DDPM small enough for a CPU: a prior of complex images with 1.4 million parameters.

    python tools/prepare_real_data.py --input=IMAGES --output=data/views --coils=1 --view=128 --views_per_slice=20
    tfrecon train --config=configs/ddpm/small.py --workdir=runs/ddpm_small

Trains on fully sampled images; the acquisitions below matter for the scale and the low-resolution phase, which so vary
as they do in use. One prior serves every mask, rate and number of coils.
"""

from ml_collections import ConfigDict

from tfrecon.methods.ddpm.presets import small
from tfrecon.train.config import default_config


def get_config() -> ConfigDict:
    """The experiment."""
    config = default_config("ddpm", small())
    config.data.train = "data/views/train"
    config.data.validation = "data/full/validation"
    config.data.batch_size = 8
    config.data.undersample = [
        {"kind": "gaussian1d", "acceleration": 4.0, "acs_lines": 10},
        {"kind": "gaussian1d", "acceleration": 8.0, "acs_lines": 6},
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
