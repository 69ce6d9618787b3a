r"""SSDiffRecon at its published single-coil size (128 channels, 6 cascades), with its defects cured.

    tfrecon convert --source=ixi --input=IXI-T1 --output=data/ixi --coils=1 \
        --split=train:0.625,validation:0.125,test:0.25
    tfrecon train --config=configs/ssdiffrecon/ixi.py --workdir=runs/ixi \
        --config.data.train=data/ixi/train --config.data.validation=data/ixi/validation

Trains self-supervised: acquisitions are simulated once for each record, and only what they sampled is used.
Made for an accelerator; what a step costs on two CPU cores is in docs/ssdiffrecon.md. No score is
given, because nobody has trained it to the end with this package yet. `get_config("faithful")` is the
published network and loss, defects included, for comparison.
"""

from ml_collections import ConfigDict

from tfrecon.methods.ssdiffrecon.presets import faithful, fixed
from tfrecon.train.config import default_config


def get_config(preset: str = "fixed") -> ConfigDict:
    """The experiment; `preset` is "fixed" or "faithful"."""
    config = default_config("ssdiffrecon", faithful() if preset == "faithful" else fixed())
    config.data.train = "data/ixi/train"
    config.data.validation = "data/ixi/validation"
    config.data.batch_size = 1
    config.data.undersample = [
        {"kind": "gaussian2d", "acceleration": 4.0, "acs_lines": 20},
        {"kind": "gaussian2d", "acceleration": 8.0, "acs_lines": 10},
    ]
    config.optimizer.learning_rate = 2e-3 if preset == "faithful" else 1e-3
    config.optimizer.warmup_steps = 5000
    config.optimizer.clip_norm = 1.0
    config.train.steps = 450_000
    config.train.ema_decay = 0.9999
    config.train.validate_every = 10_000
    return config
