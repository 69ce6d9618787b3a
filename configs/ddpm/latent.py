r"""The second stage of latent diffusion: a prior of an autoencoder's latents, small enough for a CPU.

    tfrecon train --config=configs/ddpm/autoencoder.py --workdir=runs/autoencoder
    tfrecon train --config=configs/ddpm/latent.py --workdir=runs/latent

Takes the autoencoder from `train.start_from` and trains it no more. Before the first step the autoencoder's own PSNR is
measured on `train.validation_records` records: training is refused where it is not 3 dB above
`objective.wanted_psnr`, what reconstructions are to reach. `get_config("f2")` is for the autoencoder of
`configs/ddpm/autoencoder.py:f2`. No score is given, because nobody has trained it to the end with this package yet.
"""

from ml_collections import ConfigDict

from tfrecon.methods.latent.presets import small
from tfrecon.train.config import default_config


def get_config(factor: str = "f4") -> ConfigDict:
    """The experiment; `factor` is "f4" or "f2", as of the autoencoder."""
    config = default_config("latent", small(2 if factor == "f2" else 4))
    config.data.train = "data/views/train"
    config.data.validation = "data/full/validation"
    config.data.batch_size = 16
    config.data.undersample = [
        {"kind": "gaussian1d", "acceleration": 4.0, "acs_lines": 10},
        {"kind": "gaussian1d", "acceleration": 8.0, "acs_lines": 6},
    ]
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 200
    config.optimizer.schedule = "cosine"
    config.train.start_from = "runs/autoencoder"
    config.train.steps = 20_000
    config.train.ema_decay = 0.999
    config.train.validate_every = 5000
    config.train.validation_records = 8
    config.train.checkpoint_every = 1000
    return config
