r"""SSDiffRecon at its published multi-coil size (64 channels, 6 cascades), with its defects cured.

    tfrecon convert --source=fastmri --input=multicoil_train --output=data/fastmri --coils=5 --maps=espirit \
        --calibration_size=12 --split=train:0.8,validation:0.2
    tfrecon train --config=configs/ssdiffrecon/fastmri.py --workdir=runs/fastmri \
        --config.data.train=data/fastmri/train --config.data.validation=data/fastmri/validation

Trains self-supervised on what each coil measured, at the native size of each slice: records of several
sizes mix, nothing is padded. Maps come from the calibration block that every mask samples. The data
consistency of each cascade solves the SENSE problem by five conjugate gradients.
Made for an accelerator; what a step costs on two CPU cores is in docs/ssdiffrecon.md. No score is
given, because nobody has trained it to the end with this package yet. `get_config("faithful")` is the
published network and loss, defects included, for comparison.
"""

from ml_collections import ConfigDict

from tfrecon.methods.ssdiffrecon.presets import faithful, fixed
from tfrecon.train.config import default_config


def get_config(preset: str = "fixed") -> ConfigDict:
    """The experiment; `preset` is "fixed" or "faithful"."""
    config = default_config("ssdiffrecon", faithful(coils=5) if preset == "faithful" else fixed(channels=64))
    if preset == "fixed":  # one gradient step in a cascade unfolds too little
        config.model.begin = "cg_sense"
        config.model.consistency = "proximal"
        config.model.consistency_iterations = 5
    config.data.train = "data/fastmri/train"
    config.data.validation = "data/fastmri/validation"
    config.data.batch_size = 1
    config.data.undersample = [
        {"kind": "gaussian2d", "acceleration": 4.0, "acs_lines": 20},
        {"kind": "gaussian2d", "acceleration": 8.0, "acs_lines": 12},
    ]
    config.optimizer.learning_rate = 2e-3 if preset == "faithful" else 1e-3
    config.optimizer.warmup_steps = 5000
    config.optimizer.clip_norm = 1.0
    config.train.steps = 450_000
    config.train.ema_decay = 0.9999
    config.train.validate_every = 10_000
    return config
