r"""The VP baseline of HFS-SDE at its published size: DDPM with 34 million parameters, variance preserving.

    tfrecon convert --source=fastmri --input=multicoil_train --output=data/fastmri --coils=8 --maps=espirit \
        --split=train:0.9,validation:0.1
    tfrecon train --config=configs/score/vp_fastmri.py --workdir=runs/vp_fastmri \
        --config.data.train=data/fastmri/train --config.data.validation=data/fastmri/validation

Trains on the coils of fully sampled records, combined to complex images. `get_config("published")` is the published
parameterisation, loss and sampler, without the cures. Made for an accelerator. No score is given, because nobody has
trained it to the end with this package yet.
"""

from ml_collections import ConfigDict

from tfrecon.methods.score.presets import large, vp_published
from tfrecon.train.config import default_config


def get_config(preset: str = "fixed") -> ConfigDict:
    """The experiment; `preset` is "fixed" or "published"."""
    config = default_config("score", vp_published() if preset == "published" else large("vp"))
    config.data.train = "data/fastmri/train"
    config.data.validation = "data/fastmri/validation"
    config.data.batch_size = 16
    config.objective.images = "measured"
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_steps = 5000
    config.optimizer.clip_norm = 1.0
    config.train.steps = 350_000
    config.train.ema_decay = 0.9999
    config.train.validate_every = 0
    return config
