r"""A diffusion prior of high frequencies small enough for a CPU: the measured centre of k-space is never diffused.

    python tools/prepare_real_data.py --input=IMAGES --output=data/views --coils=1 --view=128 --views_per_slice=20
    tfrecon train --config=configs/score/hfs_small.py --workdir=runs/hfs_small

The centre that is left alone is drawn for each image, 3 to 15 % of k-space, lines or blocks, and the network is told
how large it is: one prior serves calibration regions of all these sizes.
"""

from ml_collections import ConfigDict

from tfrecon.methods.score.presets import hfs_small
from tfrecon.train.config import default_config


def get_config() -> ConfigDict:
    """The experiment."""
    config = default_config("score", hfs_small())
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
    config.train.steps = 5000
    config.train.ema_decay = 0.999
    config.train.precision = "mixed_bfloat16"
    config.train.validate_every = 2000
    config.train.validation_records = 4
    config.train.checkpoint_every = 500
    return config
