r"""The first stage of latent diffusion: an autoencoder of complex images small enough for a CPU.

    python tools/prepare_real_data.py --input=IMAGES --output=data/views --coils=1 --view=128 --views_per_slice=20
    tfrecon train --config=configs/ddpm/autoencoder.py --workdir=runs/autoencoder

Trains on fully sampled images with the low-resolution phase of simulated acquisitions taken off; the acquisitions below
matter for that phase and the scale alone, which so vary as they do in use. Validation is of fully sampled records: its
PSNR is the autoencoder's ceiling, which no reconstruction through it exceeds. `get_config("f2")` halves the size of
images instead of quartering it, for a higher ceiling and latents of twice as many numbers.
"""

from ml_collections import ConfigDict

from tfrecon.methods.autoencoder.presets import small
from tfrecon.train.config import default_config


def get_config(factor: str = "f4") -> ConfigDict:
    """The experiment; `factor` is "f4" or "f2"."""
    config = default_config("autoencoder", small(2 if factor == "f2" else 4))
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
    config.train.steps = 10_000
    config.train.ema_decay = 0.999
    config.train.validate_every = 1000
    config.train.validation_records = 8
    config.train.checkpoint_every = 1000
    return config
