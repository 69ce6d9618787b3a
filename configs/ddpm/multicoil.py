r"""Improved DDPM for multi-coil data, with the network "M" of 51.8 million parameters.

    tfrecon convert --source=fastmri --input=multicoil_train --output=data/fastmri --coils=8 --maps=espirit \
        --split=train:0.9,validation:0.1
    tfrecon train --config=configs/ddpm/multicoil.py --workdir=runs/ddpm_multicoil \
        --config.data.train=data/fastmri/train --config.data.validation=data/fastmri/validation

What is diffused is the one complex image that all coils see, combined by their maps: coils and masks come in at
reconstruction alone. `get_config("L")` takes the network of 124.1 million parameters, `get_config("S")` that of 19.8.
Images of several sizes share batches. Made for an accelerator. No score is given, because nobody has trained it to the
end with this package yet.
"""

from ml_collections import ConfigDict

from tfrecon.methods.ddpm.presets import sized
from tfrecon.train.config import default_config


def get_config(size: str = "M") -> ConfigDict:
    """The experiment; `size` is "S", "M" or "L"."""
    config = default_config("ddpm", sized(size))
    config.model.heteroscedastic = True
    config.objective.images = "measured"
    config.data.train = "data/fastmri/train"
    config.data.validation = "data/fastmri/validation"
    config.data.batch_size = 1
    config.data.buckets = 64
    config.data.pixels_per_batch = 8 * 320 * 384
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.warmup_steps = 1000
    config.train.steps = 300_000
    config.train.ema_decay = 0.9999
    config.train.precision = "mixed_bfloat16"
    config.train.validate_every = 0
    return config
