r"""score-MRI at its published size: NCSN++ with 61 million parameters, variance exploding.

    tfrecon convert --source=fastmri --input=multicoil_train --output=data/fastmri --coils=8 --maps=espirit \
        --split=train:0.9,validation:0.1
    tfrecon train --config=configs/score/ve_fastmri.py --workdir=runs/ve_fastmri \
        --config.data.train=data/fastmri/train --config.data.validation=data/fastmri/validation

Trains on the coils of fully sampled records, combined to complex images with their phase. `get_config("published")` is
the published prior of magnitudes, loss and sampler, on the records' references; `get_config("baseline")` is HFS-SDE's
VE baseline. Made for an accelerator. No score is given, because nobody has trained it to the end with this package yet.
"""

from ml_collections import ConfigDict

from tfrecon.methods.score.presets import large, ve_baseline, ve_published
from tfrecon.train.config import default_config


def get_config(preset: str = "fixed") -> ConfigDict:
    """The experiment; `preset` is "fixed", "published" or "baseline"."""
    published = preset == "published"
    presets = {"published": ve_published, "baseline": ve_baseline}
    config = default_config("score", presets[preset]() if preset in presets else large("ve"))
    config.data.train = "data/fastmri/train"
    config.data.validation = "data/fastmri/validation"
    config.data.batch_size = 1 if published else 8
    if not published:
        config.objective.images = "measured"
    config.optimizer.learning_rate = 2e-4
    config.optimizer.warmup_steps = 5000
    config.optimizer.clip_norm = 1.0
    config.train.steps = 500_000
    config.train.accumulate = 1 if published else 8
    config.train.ema_decay = 0.999 if preset in presets else 0.9999
    config.train.validate_every = 0
    return config
