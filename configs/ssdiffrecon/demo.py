"""A tiny SSDiffRecon on the dummy data that come with the repository: shows that training works, nothing else.

    tfrecon train --config=configs/ssdiffrecon/demo.py --workdir=runs/demo

Six simulated four-coil slices of ellipses; two minutes on two CPU cores. The score means nothing.
"""

from ml_collections import ConfigDict

from tfrecon.methods.ssdiffrecon.presets import small
from tfrecon.train.config import default_config


def get_config() -> ConfigDict:
    """The experiment."""
    config = default_config("ssdiffrecon", small())
    config.model.channels = 16
    config.model.cascades = 3
    config.data.train = "dummy_data/records/train"
    config.data.validation = "dummy_data/records/val"
    config.data.batch_size = 2
    config.data.undersample = [{"kind": "gaussian1d", "acceleration": 3.0, "acs_lines": 6}]
    config.optimizer.learning_rate = 3e-2
    config.optimizer.warmup_steps = 20
    config.optimizer.schedule = "cosine"
    config.train.steps = 400
    config.train.ema_decay = 0.98
    config.train.validate_every = 100
    config.train.checkpoint_every = 100
    return config
