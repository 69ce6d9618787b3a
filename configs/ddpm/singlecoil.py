r"""Improved DDPM for single-coil data, with the network "S" of 19.8 million parameters.

    tfrecon convert --source=fastmri --input=singlecoil_train --output=data/singlecoil --split=train:0.9,validation:0.1
    tfrecon train --config=configs/ddpm/singlecoil.py --workdir=runs/ddpm_singlecoil \
        --config.data.train=data/singlecoil/train --config.data.validation=data/singlecoil/validation

Trains on the images of fully sampled records with their own phase. `get_config("published")` is improved DDPM's chain,
prediction and loss. Made for an accelerator. No score is given, because nobody has trained it to the end with this
package yet.
"""

from ml_collections import ConfigDict

from tfrecon.methods.ddpm.presets import published, sized
from tfrecon.train.config import default_config


def get_config(preset: str = "fixed") -> ConfigDict:
    """The experiment; `preset` is "fixed" or "published"."""
    config = default_config("ddpm", published("S") if preset == "published" else sized("S"))
    config.objective.images = "measured"
    config.data.train = "data/singlecoil/train"
    config.data.validation = "data/singlecoil/validation"
    config.data.batch_size = 8
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 1000
    config.train.steps = 300_000
    config.train.ema_decay = 0.9999
    config.train.validate_every = 0
    return config
