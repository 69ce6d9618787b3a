r"""A diffusion prior of complex images small enough for a CPU, variance exploding with EDM's preconditioning.

    python tools/prepare_real_data.py --input=IMAGES --output=data/views --coils=1 --view=128 --views_per_slice=20
    tfrecon train --config=configs/score/ve_small.py --workdir=runs/ve_small

Trains on fully sampled images; the acquisitions below matter for the scale alone, which so varies as it does in use.
One prior serves every mask, rate and number of coils. `get_config("patch")` is a prior of patches of 64 x 64 pixels
that know where they are, for few training images.
"""

from ml_collections import ConfigDict

from tfrecon.methods.score.presets import patch_small, score_small
from tfrecon.train.config import default_config


def get_config(prior: str = "image") -> ConfigDict:
    """The experiment; `prior` is "image" or "patch"."""
    config = default_config("score", patch_small() if prior == "patch" else score_small())
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
    config.train.steps = 8000
    config.train.ema_decay = 0.999
    config.train.precision = "mixed_bfloat16"
    config.train.validate_every = 2000
    config.train.validation_records = 4
    config.train.checkpoint_every = 500
    return config
